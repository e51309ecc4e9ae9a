"""The verb that confirms: only over a new connection, and only when all is proven once more."""

from __future__ import annotations

import os
import shutil

from service.hostside.arming import disarm
from service.hostside.carriers import prove_switch
from service.hostside.copies import forget_copies
from service.hostside.durable import worded
from service.hostside.errors import Foreign, Json, Refused, Trouble
from service.hostside.host import Host
from service.hostside.journal import ENDED, Transaction, armed_id, find
from service.hostside.lock import locked
from service.hostside.points import point
from service.hostside.restore import failed, restore
from service.hostside.steps import MEANWHILE, Steps
from service.hostside.verify import told, wait_until, wanted_after


def verb_confirm(host: Host, identifier: str, console: bool) -> dict[str, Json]:
    transaction = find(host, identifier)
    if transaction.state in ("staged", "armed", "applying"):
        return transaction.answer(state="applying")
    with locked(host):
        transaction.load()
        point(host, "confirm-locked")
        if transaction.state in ENDED:
            if armed_id(host) == identifier and transaction.state != "rollback_failed":
                disarm(host, identifier)
            return transaction.answer()
        if transaction.state not in ("applied", "confirming") or transaction.past_deadline():
            transaction.journal["confirms"] = confirms(transaction) + 1
            return restore(transaction, "deadline")
        _refuse_old_connection(transaction, console)
        return _confirm(transaction)


def _refuse_old_connection(transaction: Transaction, console: bool) -> None:
    """An old connection that still works proves nothing: packet filters keep what is established."""
    began, now = transaction.journal.get("peer"), os.environ.get("SSH_CONNECTION", "").split()[:2]
    if began and now == began:
        raise Refused("same-connection", "confirm over a new connection: this one is as old as the change")
    if began and not now and not console:
        raise Refused(
            "no-connection", "this is not an SSH connection, so it proves nothing. Fix: on the console, add --console"
        )


def confirms(transaction: Transaction) -> int:
    """How many confirmations have come in, those that came too late as well."""
    return int(transaction.journal.get("confirms") or 0)


def _lost(transaction: Transaction) -> str:
    """What of the switch is gone by now, "" when all is there."""
    try:
        prove_switch(transaction)
    except Trouble as error:
        return str(error)
    return ""


def _confirm(transaction: Transaction) -> dict[str, Json]:
    host = transaction.host
    try:
        transaction.save(state="confirming", confirms=confirms(transaction) + 1)
        steps = Steps(transaction)
        left = wait_until(host, wanted_after(steps.document, on_confirm=False))
        if left:
            return failed(transaction, "verify failed", told(left))
        point(host, "confirm-verified")
        late = [n for n, step in enumerate(steps.document["steps"]) if step["on_confirm"]]
        for number in late:
            steps.do(number)
        steps.setter.units.reload()
        if late:
            left = wait_until(host, wanted_after(steps.document, on_confirm=True))
            if left:
                return failed(transaction, "verify failed", told(left))
        lost = _lost(transaction)
        if lost:
            return failed(transaction, "switch lost", lost)
        transaction.save(state="confirmed")
    except Foreign as error:
        return failed(transaction, MEANWHILE, worded(host, error))
    except (Trouble, OSError, ValueError, KeyError) as error:
        return failed(transaction, "confirm failed", worded(host, error))
    point(host, "confirmed")
    disarm(host, transaction.id)
    shutil.rmtree(os.path.join(transaction.folder, "reserve"), ignore_errors=True)
    forget_copies(transaction.folder)
    return transaction.answer()
