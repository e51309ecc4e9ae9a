"""The verbs that look, extend, undo and release."""

from __future__ import annotations

import contextlib
import re

from service.hostside.arming import disarm
from service.hostside.capture import capture
from service.hostside.carriers import Carriers
from service.hostside.commands import run_command, safe_line
from service.hostside.deadline import rescue
from service.hostside.errors import BadInput, Json, Refused, Trouble, UnknownFormat, need
from service.hostside.host import Host, boottime_s, read_json
from service.hostside.journal import ENDED, KEPT_TRANSACTIONS, Transaction, armed_id, find, quarantined, transactions
from service.hostside.lines import read_input
from service.hostside.lock import RESCUE_PATIENCE_S, locked
from service.hostside.policy import finish_packages
from service.hostside.restore import restore
from service.hostside.verify import not_restored
from service.hostside.wakers import start_timer, timer_name


def verb_rollback(host: Host, identifier: str, reason: str) -> dict[str, Json]:
    transaction = find(host, identifier)
    if transaction.state in ("confirmed", "released", "refused"):
        raise Refused(transaction.state, f"{identifier} is {transaction.state}, so there is nothing to roll back")
    return rescue(transaction, "asked" + (": " + safe_line(reason, 200) if reason else ""))


def verb_extend(host: Host, identifier: str, seconds: str, generation: str) -> dict[str, Json]:
    """Move the deadline of a change that nobody undid yet. With a generation: only if the change was begun with it."""
    need(bool(re.fullmatch("[0-9]{1,4}", seconds)) and 1 <= int(seconds) <= 3600, "extend: 1 to 3600 seconds")
    with locked(host):
        transaction = find(host, identifier)
        if generation and generation != str(transaction.journal.get("generation")):
            raise Refused(
                "holder", f"{identifier} has another generation; only the one that started it can extend its deadline"
            )
        if transaction.state not in ("armed", "applying", "applied") or transaction.past_deadline():
            raise Refused("ended", f"{identifier} is {transaction.state}; its deadline cannot be extended any more")
        old = timer_name(transaction)
        transaction.journal["timers"] += 1
        deadline_s = round(boottime_s() + int(seconds), 3)
        try:
            start_timer(transaction, deadline_s)  # first the new one: there is never none
            transaction.save(deadline_boottime_s=deadline_s)  # the watcher reads it from there
        except (Trouble, OSError) as error:
            raise Refused("arm", f"the old deadline stays: {error}") from None
        with contextlib.suppress(Trouble):
            run_command(host, ["systemctl", "stop", old + ".timer"])
        return transaction.answer(deadline_boottime_s=transaction.journal["deadline_boottime_s"])


def verb_boot(host: Host) -> dict[str, Json]:
    """Before networking starts: the files of an armed change go back. The kernel is fresh, so nothing else is to do."""
    with locked(host, RESCUE_PATIENCE_S, rescue=True):
        with contextlib.suppress(OSError, Trouble):
            finish_packages(host)
        armed = armed_id(host)
        if not armed:
            return {"state": "nothing"}
        transaction = find(host, armed)
        if transaction.state in ENDED and transaction.state != "rollback_failed":
            disarm(host, armed)
            return transaction.answer()
        return restore(transaction, "boot", at_boot=transaction.journal.get("boot_id") != host.boot_id())


def verb_status(host: Host, identifier: str, verify: bool) -> dict[str, Json]:
    if identifier and verify:
        with locked(host):
            transaction = find(host, identifier)
            if transaction.state == "rolled_back" and not transaction.journal.get("verified_old"):
                facts = transaction.snapshot()["facts"]
                left = not_restored(host, facts, at_boot=False)
                transaction.save(verified_old=not left)
                return transaction.answer(differs=[item["fact"] for item in left])
    journals: list[Json] = []
    for name in [identifier] if identifier else reversed(transactions(host)[-KEPT_TRANSACTIONS:]):
        try:
            journals.append((find(host, name) if identifier else Transaction(host, name).load()).journal)
        except UnknownFormat as error:
            journals.append({"id": name, "state": "unknown", "error": str(error)})
        except BadInput:
            if identifier:
                raise
    try:
        stored = read_json(host.state("generation")) or {}
    except ValueError:
        stored = {"generation": None, "controller": None}
    return {
        "state": journals[0]["state"] if identifier else "ok",
        "generation": stored.get("generation", 0),
        "controller": stored.get("controller"),
        "armed": armed_id(host) or None,
        "quarantined": quarantined(host) or None,
        "boottime_s": round(boottime_s(), 3),
        "boot_id": host.boot_id(),
        "journals": journals,
    }


def verb_capture(host: Host) -> dict[str, Json]:
    facts = read_input()
    need(isinstance(facts, list) and len(facts) <= 5000, 'stdin: a list of facts, like ["link:vmbr0"]')
    return {"state": "ok", "facts": capture(host, facts)}


def verb_release(host: Host, identifier: str, reason: str) -> dict[str, Json]:
    need(bool(reason.strip()), "release: say why, it is kept in the journal")
    with locked(host):
        transaction = find(host, identifier)
        if transaction.state not in ("rollback_failed", "released"):
            raise Refused("state", f"{identifier} is {transaction.state}, not rollback_failed")
        transaction.save(state="released", released=safe_line(reason))
        disarm(host, identifier)
        return transaction.answer()


def verb_prove(host: Host, identifier: str) -> dict[str, Json]:
    """What would roll this armed transaction back, piece by piece: [{`name`, `ok`, `told`}]. Nothing is changed."""
    transaction = find(host, identifier)
    return {"state": transaction.state, "proofs": Carriers(transaction).proofs()}
