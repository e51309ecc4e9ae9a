"""Links in the kernel: bridges are made and removed, other interfaces are only brought up and tuned."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from service.model.changes import Difference
from service.model.facts import Step
from service.model.observed import HostObserved, Watch
from service.model.plans import Left, Refusal
from service.model.states import Absent, Json, Observed, Seen
from service.resources.desired import Desired, LastApplied
from service.resources.generated import made_by_sdn
from service.resources.resource import Compared, Contribution, Phase, Wishes, field_difference, field_of


@dataclass(frozen=True, slots=True)
class Link:
    """A link as it should be now. `bridge` None = an interface that the host has on its own; `gone` = wanted removed.

    `ports` are those the spec declares: a bridge's other ports are its guests and are never touched.
    """

    kind: str = field(compare=False)
    name: str
    mtu: int | None = None
    bridge: bool = False
    stp: bool = False
    forward_delay_s: float = 0
    ports: tuple[str, ...] = ()
    gone: bool = False

    @property
    def id(self) -> str:
        return f"link:{self.name}"

    def fields(self) -> dict[str, Json]:
        """The wanted fields in the fact's own words."""
        wanted: dict[str, Json] = {"up": True}
        if self.mtu is not None:
            wanted["mtu"] = self.mtu
        if self.bridge:
            wanted |= {"type": "bridge", "stp": self.stp, "forward_delay_s": self.forward_delay_s}
        return wanted

    def wishes(self) -> Wishes:
        if self.gone:
            return {}
        fields = self.fields() | {"link": "bridge" if self.bridge else "other"}
        if self.bridge:
            fields["ports"] = [*self.ports]
        return {(self.name, name, "live"): want for name, want in fields.items()}

    def watch(self) -> Watch:
        return Watch()

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        seen = observed.fact(self.id)
        kind_word = "bridge" if self.bridge else "other"
        if self.gone:
            if not isinstance(seen, Absent) and self.name not in made_by_sdn(observed):
                have: Observed[Json] = Seen(kind_word) if isinstance(seen, Seen) else seen
                yield from field_difference(self, self.name, "link", "live", None, have)
            return
        if not isinstance(seen, Seen):
            yield from field_difference(self, self.name, "link", "live", kind_word, seen)
            return
        for name, want in self.fields().items():
            yield from field_difference(self, self.name, name, "live", want, field_of(seen, name))
        if self.bridge:
            attached = attached_ports(field_of(seen, "ports"), self.ports)
            yield from field_difference(self, self.name, "ports", "live", list(self.ports), attached)

    @classmethod
    def steps(cls, compared: Sequence[Compared[Self]], observed: HostObserved) -> Contribution:
        steps: list[tuple[int, Step]] = []
        refusals: list[Refusal] = []
        cut: list[str] = []
        for link, different in compared:
            if not different or any(d.unknown for d in different):
                continue
            seen = observed.fact(link.id)
            if isinstance(seen, Absent) and not link.bridge:
                refusals.append(no_such_interface(link.name, observed))
                continue
            steps.append((Phase.LINK, link.step(observed, [d.field for d in different])))
            cut += port_names(field_of(seen, "ports")) if link.gone else []
        return Contribution(steps=tuple(steps), refusals=tuple(refusals), cut=tuple(cut))

    @classmethod
    def retired(cls, wanted: Sequence[Self], base: LastApplied) -> Iterator[Self]:
        """Bridges of the last apply that nobody wants now: passerelle made them, or took them over as bridges."""
        names = {link.name for link in wanted}
        for (kind, name, field_name, _), want in sorted(base.wishes.items(), key=lambda item: item[0]):
            if (field_name, want) == ("link", "bridge") and name not in names:
                yield cls(kind, name, bridge=True, gone=True)

    @classmethod
    def left_behind(cls, desired: Desired, base: LastApplied, observed: HostObserved) -> Iterator[Left]:
        """Cards of the host: they were there before us, and stay up."""
        for name, want in desired.no_longer(base, "link", "live").items():
            if want == "other" and isinstance(observed.fact(f"link:{name}"), Seen):
                yield Left(
                    f"link:{name}",
                    f"{name} stays as it is: up, with its MTU",
                    f"if nothing needs it, set it down on {observed.host} with `ip link set {name} down`",
                )

    def step(self, observed: HostObserved, fields: Sequence[str]) -> Step:
        """The step that makes this link as wanted."""
        seen = observed.fact(self.id)
        if self.gone:
            number = len(port_names(field_of(seen, "ports")))
            return Step(
                self.id,
                {"type": "bridge"},
                None,
                f"{self.kind}: {self.name} is no longer in the spec",
                risk=f"whoever is behind its {number} port{'s' * (number > 1)} loses the link" if number else "",
            )
        after = self.fields()
        if self.bridge:
            after["ports"] = [{"name": port, "up": True} for port in self.ports]
        if isinstance(seen, Absent):
            return Step(self.id, None, after, f"{self.kind}: {self.name} does not exist")
        captured = seen.value if isinstance(seen, Seen) and isinstance(seen.value, dict) else {}
        before = {name: captured[name] for name in after if name in captured and name != "ports"}
        return Step(self.id, before, after, f"{self.kind}: {self.name} differs in {', '.join(fields)}")


def attached_ports(seen: Observed[Json], declared: Sequence[str]) -> Observed[Json]:
    """Which of the declared ports are attached; the guests' own ports are none of our business."""
    if not isinstance(seen, Seen) or not isinstance(seen.value, list):
        return seen
    names = port_names(seen)
    attached: list[Json] = [port for port in declared if port in names]
    return Seen(attached)


def port_names(seen: Observed[Json]) -> list[str]:
    """The ports of a bridge; none where it has none or was not seen."""
    ports = seen.value if isinstance(seen, Seen) and isinstance(seen.value, list) else []
    return [str(port.get("name")) for port in ports if isinstance(port, dict)]


def no_such_interface(name: str, observed: HostObserved) -> Refusal:
    """The spec names a card that the host does not have."""
    there = sorted(
        fact.removeprefix("link:")
        for fact, seen in observed.facts.items()
        if fact.startswith("link:") and isinstance(seen, Seen)
    )
    if name in observed.altnames:
        kernel = observed.altnames[name]
        return Refusal(
            "no-way",
            f"{name} is another name of {kernel} on {observed.host} (ip-link(8), altname)",
            hint=f"write {kernel} in the spec, as the kernel calls it",
        )
    if "." in name:
        below, _, number = name.rpartition(".")
        return Refusal(
            "no-way",
            f"{name} does not exist on {observed.host}, and passerelle does not make VLANs in a running kernel yet",
            hint=f"Fix: run `ip link add link {below} name {name} type vlan id {number}` on {observed.host}. At boot "
            "its stanza makes it",
        )
    return Refusal(
        "no-way",
        f"{name} does not exist on {observed.host}; it has {', '.join(there[:12]) or 'no links'}",
        hint="name an interface that the host has, or remove it from the spec",
    )
