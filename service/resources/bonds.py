"""Bonds in the kernel: made, changed and removed. Their ports are exactly those of the spec."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from service.formats.interfaces.bonding import BondMeaning, bond_fields
from service.model.changes import Difference
from service.model.facts import Step
from service.model.observed import HostObserved, Watch
from service.model.plans import Refusal
from service.model.states import Absent, Json, Observed, Seen
from service.resources.desired import LastApplied
from service.resources.generated import made_by_sdn
from service.resources.links import no_such_interface, port_names, vlans_on
from service.resources.resource import Compared, Contribution, Phase, Wishes, field_difference, field_of

MADE = ("bridge", "bond")
"""Links that passerelle makes, and removes when they leave the spec."""
NEED_DOWN = ("mode", "lacp_rate")
"""Settings that the kernel takes only while the bond is down (bonding.rst)."""


@dataclass(frozen=True, slots=True)
class BondLink:
    """A bond as it should be now; `gone` = wanted removed."""

    kind: str = field(compare=False)
    name: str
    bond: BondMeaning = field(default_factory=BondMeaning)
    mtu: int | None = None
    gone: bool = False

    @property
    def id(self) -> str:
        return f"link:{self.name}"

    def fields(self) -> dict[str, Json]:
        """The wanted fields in the fact's own words, without the ports."""
        fields = bond_fields(self.bond)
        wanted: dict[str, Json] = {"up": True}
        wanted |= {
            name: str(want) if isinstance(want, tuple) else want for name, want in fields.items() if name != "ports"
        }
        if self.mtu is not None:
            wanted["mtu"] = self.mtu
        return wanted | {"type": "bond"}

    def wishes(self) -> Wishes:
        if self.gone:
            return {}
        fields = self.fields() | {"link": "bond", "ports": [*self.bond.ports]}
        return {(self.name, name, "live"): want for name, want in fields.items()}

    def watch(self) -> Watch:
        return Watch()

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        seen = observed.fact(self.id)
        if self.gone:
            if not isinstance(seen, Absent) and self.name not in made_by_sdn(observed):
                have: Observed[Json] = Seen("bond") if isinstance(seen, Seen) else seen
                yield from field_difference(self, self.name, "link", "live", None, have)
            return
        if not isinstance(seen, Seen):
            yield from field_difference(self, self.name, "link", "live", "bond", seen)
            return
        there = seen.value if isinstance(seen.value, dict) else {}
        for name, want in self.fields().items():
            has_it = name in there or there.get("mode") == self.bond.mode
            known = field_of(seen, name) if has_it or name in ("type", "up", "mtu") else Absent()
            yield from field_difference(self, self.name, name, "live", want, known)
        ports: list[Json] = [*sorted(port_names(field_of(seen, "ports")))]
        yield from field_difference(self, self.name, "ports", "live", [*self.bond.ports], Seen(ports))

    @classmethod
    def steps(cls, compared: Sequence[Compared[Self]], observed: HostObserved) -> Contribution:
        steps: list[tuple[int, Step]] = []
        keep: list[Step] = []
        refusals: list[Refusal] = []
        for link, different in compared:
            if not different or any(d.unknown for d in different):
                continue
            there = observed.fact(link.id)
            value = there.value if isinstance(there, Seen) and isinstance(there.value, dict) else {}
            missing = [p for p in link.bond.ports if isinstance(observed.fact(f"link:{p}"), Absent)]
            if missing and not link.gone:
                refusals += [no_such_interface(port, observed) for port in missing]
                continue
            if value and value.get("type") != "bond":
                what = f"{link.name} is there on {observed.host}, and it is not a bond"
                refusals.append(Refusal("not-ours", what, hint="give the bond another name, such as bond1"))
                continue
            steps.append((Phase.LINK, link.step(value, [d.field for d in different])))
            for name in link.going_down({d.field for d in different}, observed):
                held = observed.fact(f"addresses:{name}")
                if isinstance(held, Seen) and held.value:  # IPv6 ones go when a link goes down
                    keep.append(Step(f"addresses:{name}", held.value, held.value, "the addresses stay"))
        return Contribution(steps=tuple(steps), keep=tuple(keep), refusals=tuple(refusals))

    def going_down(self, fields: set[str], observed: HostObserved) -> Iterator[str]:
        """What goes down for a moment and comes up again: the bond and the VLANs on it, and those on a new port."""
        if self.gone:
            return
        if fields & {*NEED_DOWN}:
            yield from (self.name, *vlans_on(self.name, observed))
        there = port_names(field_of(observed.fact(self.id), "ports"))
        for port in self.bond.ports:
            if port not in there:
                yield from vlans_on(port, observed)

    @classmethod
    def retired(cls, wanted: Sequence[Self], base: LastApplied) -> Iterator[Self]:
        """Bonds of the last apply that nobody wants now: passerelle made them, or took them over as bonds."""
        names = {link.name for link in wanted}
        for (kind, name, field_name, _), want in sorted(base.wishes.items(), key=lambda item: item[0]):
            if (field_name, want) == ("link", "bond") and name not in names:
                yield cls(kind, name, gone=True)

    def step(self, there: Mapping[str, Json], fields: Sequence[str]) -> Step:
        """The step that makes this bond as wanted."""
        if self.gone:
            why = f"{self.kind}: {self.name} is no longer in the spec"
            return Step(self.id, {"type": "bond"}, None, why, risk="its ports lose it, and whatever is above it")
        after = self.fields() | {"ports": [{"name": port, "up": True} for port in self.bond.ports]}
        if not there:
            return Step(self.id, None, after, f"{self.kind}: {self.name} does not exist")
        before = {name: there[name] for name in after if name in there}
        down = [name for name in NEED_DOWN if name in fields]
        risk = f"{self.name} is down for a moment: the kernel changes {' and '.join(down)} only then" if down else ""
        return Step(self.id, before, after, f"{self.kind}: {self.name} differs in {', '.join(fields)}", risk=risk)
