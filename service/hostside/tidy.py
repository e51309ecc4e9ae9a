"""What a killed process left is finished, before anything new begins."""

from __future__ import annotations

import contextlib
import os
import re
import shutil

from service.hostside.arming import disarm
from service.hostside.canonical import STATE
from service.hostside.copies import forget_copies
from service.hostside.errors import BadInput, Refused, UnknownFormat
from service.hostside.host import Host
from service.hostside.journal import ENDED, KEPT_TRANSACTIONS, Transaction, armed_id, discard, transactions
from service.hostside.policy import finish_packages
from service.hostside.restore import restore


def tidy(host: Host) -> None:
    """Finish what a killed process left: under the lock, before anything new begins."""
    finish_packages(host)
    armed = armed_id(host)
    if armed and not re.fullmatch(r"[0-9A-Z]{26}", armed):
        raise Refused("journal-format", f"{STATE}/armed holds no transaction id; a person has to look")
    names = os.listdir(host.state("txn")) if os.path.isdir(host.state("txn")) else []
    for name in names:
        if name.startswith(".trash-"):
            shutil.rmtree(host.state("txn", name), ignore_errors=True)
    for identifier in transactions(host):
        _finish(host, identifier, identifier == armed)
    _forget_ended(host)


def _finish(host: Host, identifier: str, is_armed: bool) -> None:
    """End one transaction that a killed process left in the middle."""
    try:
        transaction = Transaction(host, identifier).load()
    except BadInput:  # cut while staging
        if not is_armed:
            discard(host, identifier)
        return
    except UnknownFormat as error:
        if is_armed:
            raise Refused("journal-format", str(error)) from None
        return
    if is_armed and transaction.state in ENDED and transaction.state != "rollback_failed":
        disarm(host, identifier)
    elif transaction.state == "staged" and not is_armed:
        discard(host, identifier)
    elif transaction.state not in ENDED and (not is_armed or transaction.past_deadline()):
        restore(transaction, "deadline" if is_armed else "never armed")


def _forget_ended(host: Host) -> None:
    """Copies that no ended transaction needs, and the oldest of these transactions."""
    ended = [i for i in transactions(host) if i != armed_id(host)]
    for identifier in ended:
        with contextlib.suppress(BadInput, UnknownFormat):
            if Transaction(host, identifier).load().state in ("confirmed", "rolled_back"):
                forget_copies(host.state("txn", identifier))
    for identifier in ended[: max(0, len(ended) - KEPT_TRANSACTIONS)]:
        with contextlib.suppress(BadInput, UnknownFormat):
            if Transaction(host, identifier).load().state != "rollback_failed":
                discard(host, identifier)
