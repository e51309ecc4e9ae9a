"""Links in the kernel: bridges and VLANs are made and removed, other interfaces are only brought up and tuned."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from service.model.changes import Difference
from service.model.facts import Step
from service.model.observed import HostObserved, Watch
from service.model.plans import Left, Refusal
from service.model.states import Absent, Json, Observed, Seen
from service.observe.cards import pinned_at_boot, pinned_from
from service.resources.desired import Desired, LastApplied
from service.resources.generated import made_by_sdn
from service.resources.resource import Compared, Contribution, Phase, Wishes, field_difference, field_of


@dataclass(frozen=True, slots=True)
class Link:
    """A link as it should be now. Neither `bridge` nor `vlan` = an interface that the host has on its own; `gone` =
    wanted removed.

    `ports` are those the spec declares: a bridge's other ports are its guests and are never touched. `vlan` is the link
    below and the VLAN's number; `on_bridge`: that link is a bridge of the spec.
    """

    kind: str = field(compare=False)
    name: str
    mtu: int | None = None
    bridge: bool = False
    stp: bool = False
    forward_delay_s: float = 0
    ports: tuple[str, ...] = ()
    vlan: tuple[str, int] | None = None
    on_bridge: bool = field(default=False, compare=False)
    gone: bool = False

    @property
    def id(self) -> str:
        return f"link:{self.name}"

    @property
    def sort(self) -> str:
        """The word for it in what was applied: `other` is one that passerelle never makes."""
        return "bridge" if self.bridge else "vlan" if self.vlan is not None else "other"

    @property
    def phase(self) -> int:
        """Its place in a plan: what is below another link comes before it. Of two VLANs with one number on one link the
        kernel takes the second only after the first went."""
        if self.gone:
            return Phase.LINK_DOWN if self.vlan is not None else Phase.BRIDGE
        if self.vlan is not None:
            return Phase.VLAN_ON_BRIDGE if self.on_bridge else Phase.VLAN
        return Phase.BRIDGE if self.bridge else Phase.LINK

    def fields(self) -> dict[str, Json]:
        """The wanted fields in the fact's own words."""
        wanted: dict[str, Json] = {"up": True}
        if self.mtu is not None:
            wanted["mtu"] = self.mtu
        if self.bridge:
            wanted |= {"type": "bridge", "stp": self.stp, "forward_delay_s": self.forward_delay_s}
        if self.vlan is not None:
            wanted |= {"type": "vlan", "parent": self.vlan[0], "id": self.vlan[1]}
        return wanted

    def wishes(self) -> Wishes:
        if self.gone:
            return {}
        fields = self.fields() | {"link": self.sort}
        if self.bridge:
            fields["ports"] = [*self.ports]
        return {(self.name, name, "live"): want for name, want in fields.items()}

    def watch(self) -> Watch:
        return Watch()

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        seen = observed.fact(self.id)
        kind_word = self.sort
        if self.gone:
            if not isinstance(seen, Absent) and self.name not in made_by_sdn(observed):
                have: Observed[Json] = Seen(kind_word) if isinstance(seen, Seen) else seen
                yield from field_difference(self, self.name, "link", "live", None, have)
            return
        if not isinstance(seen, Seen):
            yield from field_difference(self, self.name, "link", "live", kind_word, seen)
            return
        for name, want in self.fields().items():
            is_missing = name in ("parent", "id") and field_of(seen, "type") != Seen("vlan")
            have = Seen(None) if is_missing else field_of(seen, name)
            yield from field_difference(self, self.name, name, "live", want, have)
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
            if isinstance(seen, Absent) and link.sort == "other":
                refusals.append(no_such_interface(link.name, observed))
                continue
            if why := link.another(observed, {other.name for other, _ in compared if other.gone}):
                refusals.append(why)
                continue
            steps.append((link.phase, link.step(observed, [d.field for d in different])))
            cut += port_names(field_of(seen, "ports")) if link.gone else []
        return Contribution(steps=tuple(steps), refusals=tuple(refusals), cut=tuple(cut))

    @classmethod
    def retired(cls, wanted: Sequence[Self], base: LastApplied) -> Iterator[Self]:
        """Bridges and VLANs of the last apply that nobody wants now: passerelle made them, or took them over."""
        names = {link.name for link in wanted}
        for (kind, name, field_name, _), want in sorted(base.wishes.items(), key=lambda item: item[0]):
            if field_name == "link" and want in ("bridge", "vlan") and name not in names:
                yield cls(kind, name, bridge=want == "bridge", vlan=("", 0) if want == "vlan" else None, gone=True)

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

    def another(self, observed: HostObserved, leaving: Collection[str]) -> Refusal | None:
        """What is in the way under this name, or on top of it; None where nothing is. `leaving` are links that go."""
        seen = observed.fact(self.id)
        have = seen.value if isinstance(seen, Seen) and isinstance(seen.value, dict) else {}
        if self.gone:
            above = sorted({*vlans_on(self.name, observed)} - {*leaving})
            if have.get("type") != "bridge" or not above:
                return None
            return Refusal(
                "no-way",
                f"the VLAN{'s' * (len(above) > 1)} {', '.join(above)} on {observed.host} would go with {self.name}",
                hint=f"remove it there with `ip link del {above[0]}`, or keep {self.name} in the spec",
            )
        if self.vlan is None or not have:
            return None
        there = f"VLAN {have.get('id')} of {have.get('parent')}" if have.get("type") == "vlan" else "not a VLAN"
        if have.get("type") == "vlan" and (have.get("parent"), have.get("id")) == self.vlan:
            return None
        return Refusal(
            "no-way",
            f"{self.name} on {observed.host} is {there}, and the spec wants VLAN {self.vlan[1]} of {self.vlan[0]}. "
            "The kernel cannot change that",
            hint=f"give the VLAN another name in the spec: then the new one is made, and {self.name} goes",
        )

    def step(self, observed: HostObserved, fields: Sequence[str]) -> Step:
        """The step that makes this link as wanted."""
        seen = observed.fact(self.id)
        if self.gone:
            number = len(port_names(field_of(seen, "ports")))
            return Step(
                self.id,
                {"type": self.sort},
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


def vlans_on(name: str, observed: HostObserved) -> Iterator[str]:
    """The VLANs that a host has on a link."""
    for fact, seen in observed.facts.items():
        link = seen.value if fact.startswith("link:") and isinstance(seen, Seen) else None
        if isinstance(link, dict) and link.get("parent") == name:
            yield fact.removeprefix("link:")


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
    if now := pinned_from(observed, name):
        return Refusal(
            "no-way",
            f"{name} does not exist on {observed.host} yet: the next boot renames {now} to {name} "
            f"({pinned_at_boot(observed)[now].path})",
            hint=f"reboot {observed.host}",
        )
    if "." in name:
        below, _, number = name.rpartition(".")
        return Refusal(
            "no-way",
            f"{name} does not exist on {observed.host}, and passerelle makes no VLAN that is under `interfaces`",
            hint=f"move {name} to `vlans`: then it is made (VLAN {number} of {below})",
        )
    return Refusal(
        "no-way",
        f"{name} does not exist on {observed.host}; it has {', '.join(there[:12]) or 'no links'}",
        hint="name an interface that the host has, or remove it from the spec",
    )
