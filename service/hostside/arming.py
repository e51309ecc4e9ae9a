"""Arming the switch, and removing it once the journal has ended."""

from __future__ import annotations

import contextlib
import os

from service.hostside.boot_unit import RECOVER_UNIT, install_boot_unit
from service.hostside.carriers import Carriers, prove_switch
from service.hostside.commands import must, run_command
from service.hostside.durable import remove, worded, write_atomic
from service.hostside.errors import Refused, Trouble
from service.hostside.host import Host, boottime_s
from service.hostside.journal import KEPT_COPY, Transaction, armed_id
from service.hostside.points import point
from service.hostside.wakers import start_timer, start_watch, watch_name

WAKING_S = 15.0  # how long a watcher may take to start on a loaded host before the switch counts as not armed


def arm(transaction: Transaction, confirm_timeout_s: float) -> None:
    """Journal, both wakers, armed file, each proven. Refused, and disarmed again, when one of them is missing."""
    host = transaction.host
    try:
        install_boot_unit(host)
        with open(os.path.join(transaction.folder, KEPT_COPY), "rb") as own:
            write_atomic(host.state("boot.py"), own.read(), 0o700)
        deadline_s = round(boottime_s() + confirm_timeout_s, 3)
        transaction.save(state="armed", deadline_boottime_s=deadline_s, watched=True)
        point(host, "journal-armed")
        start_watch(transaction)
        start_timer(transaction, deadline_s)
        write_atomic(host.state("armed"), transaction.id.encode() + b"\n")
        point(host, "armed")
        carriers = Carriers(transaction)
        if carriers.units[RECOVER_UNIT].get("NeedDaemonReload") == "yes":  # somebody has changed a file it goes by
            must(host, ["systemctl", "daemon-reload"], timeout_s=60.0)
            carriers = Carriers(transaction)
        transaction.save(way_in=carriers.sshd())
        carriers.watch(WAKING_S)
        prove_switch(transaction)
        point(host, "proven")
    except (OSError, Trouble) as error:
        transaction.try_save(state="refused", error=f"could not be armed: {worded(host, error)}")
        disarm(host, transaction.id)
        raise Refused("arm", f"nothing was changed, the switch could not be armed: {worded(host, error)}") from None


def disarm(host: Host, identifier: str) -> None:
    """The journal has ended: take the armed file away, then the wakers. Those that wake now find nothing to do."""
    if armed_id(host) == identifier:
        remove(host.state("armed"))
    point(host, "disarmed")
    if host.verb in ("watch", "expire"):
        return  # a waker that is at work has woken on time, and so does the other one: both end on their own
    with contextlib.suppress(Trouble, OSError):
        wakers = [f"passerelle-expire-{identifier}-*.timer", watch_name(identifier) + ".service"]
        run_command(host, ["systemctl", "stop", *wakers])
