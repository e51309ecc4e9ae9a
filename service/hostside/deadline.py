"""The end of the time to confirm: the timer's verb, the watcher's, and the rollback that both come to."""

from __future__ import annotations

import contextlib
import os
import time

from service.hostside.arming import disarm
from service.hostside.durable import write_new
from service.hostside.errors import Json, Refused, Trouble, UnknownFormat
from service.hostside.host import Host, boottime_s, start_time
from service.hostside.journal import ENDED, Transaction, armed_id, find
from service.hostside.lock import RESCUE_PATIENCE_S, locked
from service.hostside.restore import restore

WATCH_EVERY_S = 1.0  # how often the watcher reads the journal: its deadline may have been extended, or it has ended


def rescue(transaction: Transaction, cause: str) -> dict[str, Json]:
    """Restore now, whoever holds the lock, unless the transaction has ended. A waker notes that it has woken."""
    waker, woke_s = transaction.host.verb, round(boottime_s(), 3)
    with locked(transaction.host, RESCUE_PATIENCE_S, rescue=True):
        transaction.load()
        if waker in ("watch", "expire") and transaction.state not in ("confirmed", "released", "refused"):
            transaction.try_save(woke={waker: woke_s, **transaction.journal.get("woke", {})})
        if transaction.state in ENDED and transaction.state != "rollback_failed":
            if armed_id(transaction.host) == transaction.id:
                disarm(transaction.host, transaction.id)
            return transaction.answer()
        return restore(transaction, cause)


def verb_expire(host: Host, identifier: str) -> dict[str, Json]:
    """The timer's verb."""
    transaction = find(host, identifier)
    if transaction.state not in ENDED and not transaction.past_deadline():
        return transaction.answer()  # extended: a later timer is running
    return expire(transaction)


def verb_watch(host: Host, identifier: str) -> dict[str, Json]:
    """The watcher: waits for the deadline in the journal, on the boot clock, and then does what the timer does.

    It uses nothing but the kernel: neither a reload of systemd nor a step of the wall clock changes it. An extended
    deadline (`extend`) is read from the journal. Ends when the transaction does.
    """
    transaction = find(host, identifier)
    noted_s = None
    while transaction.state not in ENDED:
        left_s = transaction.deadline_s - boottime_s()
        if left_s <= 0 or transaction.past_deadline():
            return expire(transaction)
        if transaction.deadline_s != noted_s:
            noted_s = transaction.deadline_s
            note = f"{os.getpid()} {start_time(os.getpid())} {noted_s}"
            with contextlib.suppress(OSError):  # unproven, so nothing is confirmed; it still watches
                write_new(os.path.join(transaction.folder, "watch.new"), note.encode())
                os.rename(os.path.join(transaction.folder, "watch.new"), os.path.join(transaction.folder, "watch"))
        time.sleep(min(left_s, WATCH_EVERY_S))
        with contextlib.suppress(OSError, UnknownFormat):  # then it goes by what it has read before
            transaction.load()
    return transaction.answer()


def expire(transaction: Transaction) -> dict[str, Json]:
    """The deadline has passed. Maybe nobody comes after us before the next boot: not given up at the first trouble."""
    for pause_s in (0.5, 1, 2, 4, 8):
        try:
            return rescue(transaction, "deadline")
        except (Refused, Trouble, OSError) as error:
            if isinstance(error, UnknownFormat):
                raise
            time.sleep(pause_s)
    return rescue(transaction, "deadline")
