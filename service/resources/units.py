"""systemd units: running or not now, enabled or not at the next boot."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Self

from service.hostside.vital import power_unit, unit_objections, way_in_unit
from service.model.changes import Difference
from service.model.facts import Step
from service.model.observed import HostObserved, Watch
from service.model.plans import Left, Refusal
from service.model.states import Absent, Json, Seen, Unknown
from service.resources.desired import Desired, LastApplied
from service.resources.resource import Compared, Contribution, Phase, Wishes, field_difference, field_of

STARTED = "after its files changed"
HINT = "remove the line from `services`, or do it by hand on the console"
STALE_SLACK_S = 1.0
"""A daemon counts as started before its file changed only beyond this: the two clocks are read apart."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as it should be. `reads` are the files that it reads only at its start: a later change makes it stale.

    `reads_below` are folders whose files it reads, too: a step that changes one of them restarts it.
    `free`: a spec names it and no kind of ours needs it, so the host says first what depends on it.
    `boot_only`: what counts is that it starts at boot; whether it is active now says nothing (a loader that ran).
    `absent`: its file is ours and goes later in the plan. What `systemctl enable` made goes first: once the file is
    gone, systemctl knows no such unit any more, and a link to nothing would stay.
    """

    kind: str = field(compare=False)
    name: str
    state: Literal["enabled", "disabled", "masked", "absent"]
    cause: str = field(default="", compare=False)
    reads: tuple[str, ...] = ()
    boot_only: bool = False
    package: str = ""
    reads_below: tuple[str, ...] = ()
    free: bool = False

    @property
    def id(self) -> str:
        return f"unit:{self.name}"

    @property
    def active(self) -> bool:
        """Whether it should run now."""
        return self.state == "enabled"

    def read_of(self, paths: Iterable[str]) -> set[str]:
        """Those of some files that it reads at its start."""
        return {p for p in paths if p in self.reads or p.rpartition("/")[0] in self.reads_below}

    def wishes(self) -> Wishes:
        if self.state == "absent":
            return {}
        wishes: Wishes = {(self.name, "enabled", "boot"): self.state}
        if not self.boot_only:
            wishes = {**wishes, (self.name, "active", "live"): self.active}
        return {**wishes, (self.name, "started", "live"): STARTED} if self.reads and self.active else wishes

    def watch(self) -> Watch:
        weighed = frozenset({(self.id, self.state)}) if self.free else frozenset[tuple[str, str]]()
        return Watch(units=frozenset({self.name}), files=frozenset(self.reads), weighed=weighed)

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        seen = observed.fact(self.id)
        if isinstance(seen, Absent):
            if self.state == "enabled":
                yield from field_difference(self, self.name, "enabled", "boot", self.state, seen, cause=self.cause)
                if not self.boot_only:
                    yield from field_difference(self, self.name, "active", "live", True, seen, cause=self.cause)
            return
        wanted: Json = None if self.state == "absent" else self.state
        yield from field_difference(
            self, self.name, "enabled", "boot", wanted, field_of(seen, "enabled"), cause=self.cause
        )
        if self.boot_only:
            return
        yield from field_difference(
            self, self.name, "active", "live", self.active, field_of(seen, "active"), cause=self.cause
        )
        if self.active and (stale := self.stale_files(observed)):
            have = f"before {stale[0]} changed"
            yield Difference(self.kind, self.name, "started", "live", "changed", STARTED, have, cause=self.cause)

    def stale_files(self, observed: HostObserved) -> list[str]:
        """Files that changed after the daemon read them."""
        started = observed.started_at_s.get(self.name)
        if started is None:
            return []
        return [path for path in self.reads if observed.changed_at_s.get(path, 0.0) > started + STALE_SLACK_S]

    @classmethod
    def left_behind(cls, desired: Desired, base: LastApplied, observed: HostObserved) -> Iterator[Left]:
        """Units as the spec had them: what they were before is not known. One whose file is ours goes with its file."""
        ours = base.of_field("file", "file")
        for name, want in desired.no_longer(base, "enabled", "boot").items():
            if f"/etc/systemd/system/{name}" not in ours and isinstance(observed.fact(f"unit:{name}"), Seen):
                yield Left(
                    f"unit:{name}",
                    f"{name} stays {want}",
                    f"name it in `services` as it should be, or change it on {observed.host} with `systemctl`",
                )

    @classmethod
    def steps(cls, compared: Sequence[Compared[Self]], observed: HostObserved) -> Contribution:
        steps: list[tuple[int, Step]] = []
        refusals: list[Refusal] = []
        for unit, different in compared:
            if not different or any(d.unknown for d in different):
                continue
            refusals += unit.objections(observed)
            phase = Phase.UNIT_UP if unit.active else Phase.UNIT_DOWN
            steps.append((phase, unit.step(observed, different)))
        return Contribution(steps=tuple(steps), refusals=tuple(refusals))

    def objections(self, observed: HostObserved) -> Iterator[Refusal]:
        """Reasons against a change of a free unit: its name, and the units that depend on it according to the host. One
        that is not there is judged once its package brought it.
        """
        if not self.free or isinstance(observed.fact(self.id), Absent):
            return
        if why := power_unit(self.name) or way_in_unit(self.name):
            yield Refusal("vital", f"{self.name} would be {self.state}: {why}", HINT)
            return
        weighed = observed.weighed
        if not isinstance(weighed, Seen) or not weighed.value.units.get(self.name):
            why = weighed.why if isinstance(weighed, Unknown) else "systemd does not say"
            yield Refusal("unknown", f"what depends on {self.name} is unknown: {why}", HINT)
            return
        said = unit_objections(self.name, self.state, dict(weighed.value.units[self.name]))
        if said:
            yield Refusal("vital", f"{self.name} would be {self.state}, but {'; '.join(said[:3])}", HINT)

    def restarted(self, changed: Collection[str], planned: Step | None, observed: HostObserved) -> Step | None:
        """The step that restarts it where it runs and a file changes that it reads only at its start."""
        if not self.active or not self.read_of(changed) or isinstance(observed.fact(self.id), Unknown):
            return None
        if planned is not None:
            return replace(planned, restart=True)
        read = ", ".join(sorted(self.read_of(changed)))
        why = f"{self.kind}: {self.name} reads {read} only at its start"
        return replace(self.step(observed, ()), why=why, restart=True)

    def step(self, observed: HostObserved, different: Sequence[Difference]) -> Step:
        """The step that makes the unit as wanted; a stale daemon is restarted."""
        seen = observed.fact(self.id)
        before: Json = None
        after: dict[str, Json] = {"enabled": self.state}
        if not self.boot_only:
            after["active"] = self.active
        if isinstance(seen, Seen) and isinstance(seen.value, dict):
            before = {name: seen.value.get(name) for name in after}
        fields = [d.field for d in different]
        why = f"{self.kind}: {self.name} differs in {', '.join(fields)}" + (f" ({self.cause})" if self.cause else "")
        wanted = None if self.state == "absent" else after
        return Step(self.id, before, wanted, why, restart="started" in fields)
