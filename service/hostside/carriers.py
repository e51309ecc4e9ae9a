"""What would bring an armed transaction back: each piece proven as it is now."""

from __future__ import annotations

import os
import time
from typing import Callable

from service.hostside.boot_unit import RECOVER_TEXT, RECOVER_UNIT
from service.hostside.canonical import STATE, show_properties
from service.hostside.commands import must, run_command
from service.hostside.durable import read_file
from service.hostside.errors import Json, Trouble
from service.hostside.host import UNITS, boottime_s
from service.hostside.journal import KEPT_COPY, Transaction, armed_id
from service.hostside.wakers import span_s, suspended_s, timer_name, watcher

STILL_THERE_S = 5.0  # and to be started again by systemd, when something has killed it
PROOF_PAUSES_S = (0.0, 0.3, 1.0, 2.0)  # before each look at what carries the switch, once the change is made
OFF_S = 1.0  # a timer that would fire so much before or after the deadline is not the one that was armed
WAYS_IN = ("ssh.service", "sshd.service", "ssh.socket")


class Carriers:
    """What would bring an armed transaction back, as it is now. Each proof returns what it has seen, or is Trouble."""

    def __init__(self, transaction: Transaction) -> None:
        self.transaction = transaction
        self.host = transaction.host
        self.timer_unit = timer_name(transaction) + ".timer"
        names = (self.timer_unit, RECOVER_UNIT, *WAYS_IN)
        shown = "LoadState,UnitFileState,ActiveState,NeedDaemonReload,Before,DropInPaths,NextElapseUSecMonotonic"
        rows = show_properties(must(self.host, ["systemctl", "show", "-p", shown, "--", *names]))
        if len(rows) != len(names):
            raise Trouble("systemd did not report all units")
        self.units = {name: rows[number] for number, name in enumerate(names)}

    def timer(self) -> str:
        """Runs, and fires at the deadline."""
        unit = self.units[self.timer_unit]
        at_s = span_s(unit.get("NextElapseUSecMonotonic", ""))
        if unit.get("ActiveState") != "active" or not at_s:
            raise Trouble("the timer is not running")
        off_s = at_s + suspended_s() - self.transaction.deadline_s
        if self.transaction.journal.get("watched") and abs(off_s) > OFF_S:
            raise Trouble(f"the timer would fire {abs(off_s):.0f} s {'after' if off_s > 0 else 'before'} the deadline")
        return f"{self.timer_unit} runs"

    def watch(self, patience_s: float = STILL_THERE_S) -> str:
        """A process of ours waits for this very deadline, on the boot clock."""
        if not self.transaction.journal.get("watched"):
            return "armed by an earlier version, which had none"
        deadline_s = self.transaction.deadline_s
        ends_s = min(boottime_s() + patience_s, deadline_s)
        while True:
            pid, until_s = watcher(self.transaction)
            if pid and until_s == deadline_s:
                return f"process {pid} waits for the deadline"
            if boottime_s() > ends_s:
                raise Trouble("the watcher waits for another deadline" if pid else "the watcher is not running")
            time.sleep(0.02)

    def boot_unit(self) -> str:
        """As written, read by systemd, enabled, ordered before whatever sets up the network, with what it runs."""
        host, unit = self.host, self.units[RECOVER_UNIT]
        if read_file(host.path(f"{UNITS}/{RECOVER_UNIT}"))[1] != RECOVER_TEXT.encode():
            raise Trouble(f"{UNITS}/{RECOVER_UNIT} is not as it was written")
        wanted = {"LoadState": "loaded", "UnitFileState": "enabled", "NeedDaemonReload": "no"}
        for name, value in wanted.items():
            if unit.get(name) != value:
                raise Trouble(f"{RECOVER_UNIT}: {name} is {unit.get(name) or 'not told'}, not {value}")
        if not os.path.islink(host.path(f"{UNITS}/sysinit.target.wants/{RECOVER_UNIT}")):
            raise Trouble(f"{RECOVER_UNIT} is not enabled on the disk")
        for path in unit.get("DropInPaths", "").split():
            if f"/{RECOVER_UNIT}.d/" in path:
                raise Trouble(f"{path} changes {RECOVER_UNIT}")
        late = {"network-pre.target", "networking.service", "sysinit.target"} - set(unit.get("Before", "").split())
        if late:
            raise Trouble(f"{RECOVER_UNIT} is not ordered before {', '.join(sorted(late))}")
        for program in ("/usr/bin/python3", "/usr/bin/timeout"):
            if not os.access(host.path(program), os.X_OK):
                raise Trouble(f"{program} is gone: {RECOVER_UNIT} runs it")
        with open(os.path.join(self.transaction.folder, KEPT_COPY), "rb") as own:
            if read_file(host.state("boot.py"))[1] != own.read():
                raise Trouble(f"{STATE}/boot.py is another file than the one that armed this")
        if armed_id(host) != self.transaction.id:
            raise Trouble(f"{STATE}/armed does not name {self.transaction.id}")
        return f"{RECOVER_UNIT} is enabled and comes before networking"

    def sshd(self) -> dict[str, Json]:
        """What logins need, to be compared later: the units of sshd, and whether sshd would start."""
        units = {name: [self.units[name].get(key, "") for key in ("ActiveState", "UnitFileState")] for name in WAYS_IN}
        path = self.host.bin_dir + "/sshd" if self.host.bin_dir else "/usr/sbin/sshd"
        try:
            starts = run_command(self.host, [path, "-t"]).code == 0
        except Trouble:
            starts = False
        return {"units": units, "starts": starts}

    def way_in(self) -> str:
        """The SSH server runs, starts and is enabled as far as it was when this was armed."""
        before = self.transaction.journal.get("way_in")
        if before is None:
            return "armed by an earlier version, which did not look"
        now = self.sshd()
        for name, (active, enabled) in before["units"].items():
            now_active, now_enabled = now["units"][name]
            if active == "active" and now_active not in ("active", "reloading", "activating"):
                raise Trouble(f"{name} does not run any more: nobody could log in")
            if enabled in ("enabled", "alias", "static") and now_enabled != enabled:
                raise Trouble(f"{name} is {now_enabled or 'gone'}, it was {enabled}: nobody could log in after a boot")
        if before["starts"] and not now["starts"]:
            raise Trouble("sshd would not start any more: `sshd -t` fails")
        return "sshd as before"

    def proofs(self) -> list[dict[str, Json]]:
        """[{`name`, `ok`, `told`}] of all pieces."""
        found: list[dict[str, Json]] = []
        pieces: dict[str, Callable[[], str]] = {
            "timer": self.timer,
            "watcher": self.watch,
            "boot unit": self.boot_unit,
            "way in": self.way_in,
        }
        for name, prove in pieces.items():
            try:
                found.append({"name": name, "ok": True, "told": prove()})
            except (Trouble, OSError) as error:
                found.append({"name": name, "ok": False, "told": str(error)[:300]})
        return found


def prove_switch(transaction: Transaction) -> None:
    """Trouble, with all that is missing, unless everything that would bring this back is in place.

    Checked again for a few seconds: others may be restarting sshd or reloading systemd at this moment.
    """
    lost: list[str] = []
    for pause_s in PROOF_PAUSES_S:
        time.sleep(pause_s)
        lost = [proof["told"] for proof in Carriers(transaction).proofs() if not proof["ok"]]
        if not lost:
            return
    raise Trouble("; ".join(lost))
