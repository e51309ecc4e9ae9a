"""One lab host on which transactions are begun, stopped at a point, struck, and looked at."""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from service.apply.document import fence
from service.apply.switch import Switch
from service.errors import HostError, LabError
from service.lab import Host, Lab, cgroups
from service.lab.waiting import grown_s
from service.model.plans import Plan
from service.model.telling import Fence
from tests.safety import lab_driver
from tests.safety.lab_driver import dialer, order, target
from tests.safety.lab_world import World, host_path

STATE = "/var/lib/passerelle"
MARK, REACHED = "/run/passerelle-test", "/run/passerelle-point"
ONCE = STATE + "/test-stop-at"
STORM, BLOWING = "/run/passerelle-storm", "/run/passerelle-blowing"
STORM_SCRIPTS = {
    "reload": "while test -e {flag}; do systemctl daemon-reload; sleep 1; done",
    "reexec": "while test -e {flag}; do systemctl daemon-reexec; sleep 1; done",
    # systemd counts its timers again as it does when the clock is set (timer_timezone_change, timer_time_change)
    "zone": "was=$(readlink /etc/localtime); while test -e {flag}; do for zone in Asia/Tokyo America/Lima; do "
    "ln -sfn /usr/share/zoneinfo/$zone /etc/localtime; sleep 0.4; done; done; "
    'if test -n "$was"; then ln -sfn "$was" /etc/localtime; else rm /etc/localtime; fi',
}
STORM_ENDS_S = 15.0
DEADLINE_S = 5
GRACE_S = 10.0
POLL_S = 0.05
_numbers = itertools.count(time.time_ns() // 1_000_000)


def now_s() -> float:
    """The boot clock: hosts of the lab and this machine share it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def wait_for(condition: Callable[[], Any], until_s: float) -> Any:
    """The first true answer, or the last one when it is `until_s` on the boot clock."""
    while True:
        answer = condition()
        if answer or now_s() > until_s:
            return answer
        time.sleep(POLL_S)


@dataclass
class Driver:
    """The process that drives a transaction, and its transaction."""

    process: BaseProcess
    answer: Connection
    apply_id: str
    killed: bool = False
    told: tuple[dict[str, str], str] | None = None

    def is_over(self) -> bool:
        return not self.process.is_alive()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.killed = True

    def result(self, timeout_s: float) -> tuple[dict[str, str], str]:
        """(what the service says, what is wrong with the reporting)."""
        if self.told is None:
            self.told = ({}, "") if self.killed else self._receive(timeout_s)
        return self.told

    def _receive(self, timeout_s: float) -> tuple[dict[str, str], str]:
        try:
            if not self.answer.poll(timeout_s):
                self.kill()
                return {}, f"the driver did not end within {timeout_s:.0f} s"
            told = self.answer.recv()
        except EOFError:
            told = ["it ended without a word"]
        self.process.join(timeout_s)
        if not isinstance(told, dict):
            return {}, "the driver crashed: " + " | ".join(map(str, told))
        return told, ""


@dataclass
class Bench:
    """A host, and the worlds it is to be in."""

    host: Host
    addresses: list[str]
    old: World | None = None
    new: World | None = None
    drivers: list[Driver] = field(default_factory=list)
    file: str = ""  # the host-side file that drivers bring; "" for the one that is shipped

    @property
    def lab(self) -> Lab:
        return self.host.lab

    def start(self, plan: Plan, **more: Any) -> Driver:
        """Start a driver of this plan."""
        number = next(_numbers)
        more = {"apply_id": f"01{number:024d}", "generation": number, "confirm_timeout_s": DEADLINE_S, **more}
        more["file"] = more.get("file") or self.file
        process, answer = lab_driver.start(order(self.host, plan, addresses=self.addresses, **more))
        driver = Driver(process, answer, more["apply_id"])
        self.drivers.append(driver)
        return driver

    def put(self, path: str, text: str) -> None:
        host_path(self.host, path).write_text(text)

    def forget(self, *paths: str) -> None:
        for path in paths:
            with contextlib.suppress(OSError, LabError):
                host_path(self.host, path).unlink()

    def look(self, path: str) -> str:
        """A small file of the host; "" when it is not there or the host is off."""
        try:
            return host_path(self.host, path).read_text().strip()
        except (OSError, LabError):
            return ""

    def processes(self) -> dict[int, str]:
        """The host-side file's processes on the host: pid as this machine numbers it, and state (proc(5))."""
        found = {}
        for pid in cgroups.pids(self.host.cgroup):
            with contextlib.suppress(OSError, IndexError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if words[0].endswith(b"python3") and any(w.startswith(STATE.encode()) for w in words):
                    found[pid] = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return found

    def stopped(self) -> list[int]:
        return [pid for pid, state in self.processes().items() if state == "T"]

    def wait_stopped(self, point: str, until_s: float, is_over: Callable[[], bool] = lambda: False) -> int:
        """The process that stopped itself at the point; 0 when none did in time, or before it was over.

        It is not over while the host is still at work: the service may have read the end before its last point.
        """

        def reached() -> int:
            over = is_over() and not self.processes()
            if self.look(REACHED) == point and (pid := next(iter(self.stopped()), 0)):
                return pid
            return -over

        return max(0, int(wait_for(reached, until_s)))

    def go_on(self, pid: int) -> None:
        self._signal(pid, signal.SIGCONT)

    def kill(self, pid: int) -> None:
        self._signal(pid, signal.SIGKILL)

    def _signal(self, pid: int, number: signal.Signals) -> None:
        if pid > 0:  # 0 and below are not processes but groups of them (kill(2))
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def journal(self, apply_id: str) -> dict[str, Any]:
        """The host's own record of a transaction, {} when there is none."""
        try:
            return dict(json.loads(self.look(f"{STATE}/txn/{apply_id}/journal.json") or "{}"))
        except ValueError:
            return {}

    @contextlib.contextmanager
    def black_hole(self, direction: str = "both") -> Iterator[None]:
        """Every packet of the host vanishes at the router, whatever its addresses; ARP still works."""
        uplink, table = f"vb-{self.host.name}", f"hole_{self.host.name}"
        ways = {"to_host": "o", "from_host": "i"}
        rules = "\n".join(f'{way}ifname "{uplink}" drop' for name, way in ways.items() if direction in ("both", name))
        chain = f"chain forward {{ type filter hook forward priority -5;\n{rules}\n}}"
        self.lab.run_in("provider", ["nft", "-f", "-"], input=f"table inet {table} {{\n{chain}\n}}\n", check=True)
        try:
            yield
        finally:
            self.lab.run_in("provider", ["nft", "delete", "table", "inet", table], check=True)

    @contextlib.contextmanager
    def storm(self, kind: str) -> Iterator[None]:
        """Let systemd reload, execute itself again, or count all its timers again, again and again."""
        self.put(STORM, "")
        self.put(BLOWING, "x")
        script = STORM_SCRIPTS[kind].format(flag=STORM) + f"; rm {BLOWING}"
        self.host.exec(["setsid", "-f", "sh", "-c", f"exec >/dev/null 2>&1 </dev/null; {script}"], check=True)
        try:
            yield
        finally:
            self.forget(STORM)
            if not wait_for(lambda: not self.look(BLOWING), now_s() + grown_s(STORM_ENDS_S)):
                raise LabError(f"{self.host.name}: the storm of {kind} does not end")

    def answers(self, timeout_s: float = 1.0) -> str:
        """The address at which a new connection from the controller's network is greeted by sshd; "" for none."""
        for address in self.addresses:
            try:
                with self.lab.dial(address, timeout_s=timeout_s) as connection:
                    connection.settimeout(timeout_s)
                    if connection.recv(8) == b"SSH-2.0-":
                        return address
            except (OSError, LabError):
                continue
        return ""

    def session(self, timeout_s: float) -> str:
        """Why no command can be run over a new connection; "" when one could."""

        async def run() -> str:
            connection = await dialer(self.lab, timeout_s).connect(
                target(self.host.name, self.host.address, self.host.host_key)
            )
            try:
                answer = await connection.run(["echo", "here"], timeout_s=timeout_s)
            finally:
                await connection.close()
            return "" if answer.stdout == b"here\n" else f"echo ended with {answer.exit_status}"

        try:
            return asyncio.run(run())
        except HostError as error:
            return str(error)

    def record(self, address: str) -> Fence:
        """What a service that has just started reads from the host over a new connection. HostError."""

        async def read() -> Fence:
            connection = await dialer(self.lab).connect(target(self.host.name, address, self.host.host_key))
            try:
                return fence(await Switch(connection).ask("status"))
            finally:
                await connection.close()

        return asyncio.run(read())

    def patient_record(self, until_s: float) -> Fence | str:
        """The record, or why it could not be read until then."""
        trouble = "not reachable"
        while True:
            try:
                if address := self.answers():
                    return self.record(address)
            except HostError as error:
                trouble = str(error)
            if now_s() > until_s:
                return trouble

    def clear(self) -> None:
        """Take away what a run may have left: marks, stopped processes, the driver."""
        for driver in self.drivers:
            if not driver.is_over():
                driver.kill()
            driver.answer.close()
        self.drivers.clear()
        self.forget(MARK, REACHED, ONCE, STORM)
        for pid in self.stopped():
            self.kill(pid)

    def left_units(self) -> str:
        """Timers and units of a transaction that are still there."""
        return self.host.sh("systemctl list-units --all --plain --no-legend 'passerelle-[aew]*'", check=False).strip()
