"""Changes pushed to a host that something is wrong with, or goes wrong with in the middle: what came of each.

Several hosts are tried side by side, each with one fault after the other. Which side a host is on is read at its
console, from files, kernel and units; the service has no say in that.
"""

import json
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal

from service.lab import Host
from service.lab.field import Field
from tests.safety.lab_bench import MARK, REACHED, STATE, Bench, now_s, wait_for
from tests.safety.lab_world import World, difference, read_world

CONFIRM_S, PATIENT_S = 5, 60
OVER = ("Succeeded", "RolledBack", "RollbackFailed", "Refused", "Failed", "Conflict")
SPEC = """\
host: {name}
platform: debian
sync: auto
connection:
  address: {address}
  host_keys: [{host_key}]
  confirm_timeout: {confirm_s}s
interfaces:
  enp1s0: {{addresses: [{address}/24], gateway: 198.51.100.1}}
bridges:
  vmbr0: {{addresses: [10.10.{net}.1/24], ports: []}}
nat:
  - {{source: 10.10.{net}.0/24, out: enp1s0}}
{more}"""
OLD, NEW = 10, 20


@dataclass(frozen=True)
class Fault:
    """`when`: the fault is there before the push. Or it comes when the steps begin, and stays for `hold_s` beyond the
    deadline. Or it is there from before the push until the apply has ended. `more` is added to the new spec.
    """

    name: str
    block: Callable[[Host], AbstractContextManager[None]]
    when: Literal["before", "midway", "throughout"]
    words: str = ""  # that the status must say while the fault is there
    more: str = ""
    hold_s: float = 0.0


@dataclass
class Outcome:
    """What came of one. `told`: every message of the status, in order. `journal`: the host's own record, "" if it has
    none of that apply. `sides`: the host's state during the fault, and in the end.
    """

    commit: str
    applies_before: set[str]
    told: list[str] = field(default_factory=list)
    sides: list[str] = field(default_factory=list)
    apply: dict[str, Any] = field(default_factory=dict)
    journal: dict[str, Any] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    is_synced: bool = False


class Trials:
    """One service and its hosts; `outcome` waits for what a fault came to."""

    def __init__(self, opened: Field, plan: Mapping[Host, list[Fault]]) -> None:
        self.field = opened
        self.pushing = threading.Lock()
        self.commits: list[str] = []  # of all hosts, oldest first
        self.outcomes: dict[str, Outcome | BaseException] = {}
        self.threads = {host: threading.Thread(target=self._try, args=(host, faults)) for host, faults in plan.items()}
        for thread in self.threads.values():
            thread.start()

    def join(self) -> None:
        for thread in self.threads.values():
            thread.join()

    def _try(self, host: Host, faults: list[Fault]) -> None:
        trial = Trial(self, host)
        for fault in faults:
            try:
                trial.lay_out()
                self.outcomes[fault.name] = trial.run(fault)
            except Exception as error:  # reported by the test of this fault
                self.outcomes[fault.name] = error


class Trial:
    """One host."""

    def __init__(self, trials: Trials, host: Host) -> None:
        self.trials, self.field, self.host = trials, trials.field, host
        self.bench = Bench(host, [host.address])
        self.worlds: dict[str, World] = {}

    def lay_out(self) -> None:
        """The host in its old world; the first time both are learnt."""
        for side, net in (("new", NEW), ("old", OLD)) if not self.worlds else (("old", OLD),):
            commit = self.push(net)
            self.field.wait_for(lambda commit=commit: self.is_synced(commit), f"{self.host.name} is {side}")
            self.worlds.setdefault(side, read_world(self.host))
        assert self.side() == "old"

    def run(self, fault: Fault) -> Outcome:
        if fault.when == "midway":
            outcome = self._midway(fault)
        else:
            with fault.block(self.host):
                outcome = self.begin(fault)
                if fault.when == "before":
                    self.wait(outcome, lambda: any(fault.words in told for told in outcome.told), fault.words)
                else:
                    self.wait(outcome, lambda: self.find(outcome), "an end")
                outcome.sides.append(self.side())
        self.wait(outcome, lambda: self.find(outcome), "an end")
        if fault.when == "before":
            self.wait(outcome, lambda: self.is_synced(outcome.commit), "the change is made once the fault is gone")
        self.watch(outcome)
        outcome.is_synced = self.is_synced(outcome.commit)
        outcome.sides.append(self.side())
        outcome.status = self.status()
        return outcome

    def _midway(self, fault: Fault) -> Outcome:
        self.bench.put(MARK, "step-0-before\n")
        outcome = self.begin(fault)
        pid = self.bench.wait_stopped("step-0-before", now_s() + 60)
        assert pid, "the steps did not begin"
        self.bench.forget(MARK, REACHED)
        with fault.block(self.host):
            self.bench.go_on(pid)
            armed = self.bench.look(STATE + "/armed")
            deadline_s = float(self.bench.journal(armed)["deadline_boottime_s"])
            wait_for(lambda: now_s() > deadline_s + fault.hold_s, deadline_s + fault.hold_s + 1)
            self.watch(outcome)
        return outcome

    def wait(self, outcome: Outcome, condition: Callable[[], Any], what: str) -> None:
        def there() -> Any:
            self.watch(outcome)
            return condition()

        self.field.wait_for(there, f"{self.host.name}: {what}", timeout_s=90)

    def watch(self, outcome: Outcome) -> None:
        """Keep what the status says now."""
        message = str(self.status().get("message", ""))
        if outcome.told[-1:] != [message]:
            outcome.told.append(message)

    def begin(self, fault: Fault) -> Outcome:
        before = {str(apply["id"]) for apply in self.applies()}
        return Outcome(self.push(NEW, fault.more, PATIENT_S if fault.when == "before" else CONFIRM_S), before)

    def applies(self) -> list[dict[str, Any]]:
        return self.field.items(f"applies?host={self.host.name}&limit=200")

    def find(self, outcome: Outcome) -> bool:
        """The first apply since the push, when it has ended, with the host's own journal of it."""
        applies = [apply for apply in self.applies() if apply["id"] not in outcome.applies_before]
        if not applies or applies[-1]["phase"] not in OVER:
            return False
        outcome.apply = applies[-1]
        outcome.journal = self.bench.journal(str(applies[-1]["id"]))
        return True

    def push(self, net: int, more: str = "", confirm_s: int = PATIENT_S) -> str:
        host = self.host
        known = {"name": host.name, "address": host.address, "host_key": host.host_key}
        spec = SPEC.format(**known, net=net, more=more, confirm_s=confirm_s)
        with self.trials.pushing:
            files = {"fleet.yaml": "passerelle: 1\n", f"hosts/{host.name}.yaml": spec}
            self.trials.commits.append(self.field.push(files, f"{host.name}: {net}"))
            return self.trials.commits[-1]

    def status(self) -> dict[str, Any]:
        status, found = self.field.ask("GET", "hosts?limit=200")
        rows = {row["host"]: row for row in found["items"]} if status == 200 else {}
        return dict(rows.get(self.host.name, {"message": ""}))

    def is_synced(self, commit: str) -> bool:
        """Is the host as that commit wants it, or as a later one, which may be about another host, does?"""
        now = self.status()
        later = self.trials.commits[self.trials.commits.index(commit) :]
        return now.get("sync") == "Synced" and now.get("observed_commit") in later

    def side(self) -> str:
        """old, new, or in what the host is neither. Packages that came stay, whatever becomes of a change."""
        found = read_world(self.host)
        differs = {side: difference(with_packages_of(found, world), world) for side, world in self.worlds.items()}
        return next((side for side, words in differs.items() if not words), json.dumps(differs))


def with_packages_of(found: World, wanted: World) -> World:
    """What was found, but for packages: those are as in the other."""
    return found._replace(network={**found.network, "packages": wanted.network["packages"]})
