"""The interface of a resource: one thing wanted on a host, and the closed set of ways to compare and change it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self, TypeVar

from service.model.changes import Difference, Op, Where
from service.model.facts import Step
from service.model.observed import HostObserved, Watch
from service.model.plans import GuestChange, PackageChange, Refusal
from service.model.secret import Secret
from service.model.states import Absent, Json, Observed, Seen, Unknown

Wishes = Mapping[tuple[str, str, Where], Json]
"""What a resource asks for: {(resource, field, where): want}, the words of its differences. Stored after an apply, it
is the base of the next diff."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """What resources of one type contribute to a plan.

    `steps` carry the phase they belong to; `keep` are facts that a step may remove as a side effect and that must exist
    again after it. `blobs` are file contents by SHA-256; `checks` are (program, subject) for the host's native syntax
    checks. `secrets` are contents that nobody may see, those that are there and those to write, by their mark. `cut`
    are the ports, by name, that lose their bridge.
    """

    steps: tuple[tuple[int, Step], ...] = ()
    keep: tuple[Step, ...] = ()
    packages: tuple[PackageChange, ...] = ()
    blobs: Mapping[str, bytes] = field(default_factory=dict)
    checks: tuple[tuple[str, str], ...] = ()
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    guests: tuple[GuestChange, ...] = ()


class Phase:
    """The order of a plan: files that matter at boot, then the network, open before close, daemons, guests'."""

    FILE = 10
    FORWARDING = 20
    LINK_DOWN = 29
    LINK = 30
    VLAN = 31
    BRIDGE = 32
    VLAN_ON_BRIDGE = 33
    LINK_SETTING = 35
    ADDRESS = 40
    ROUTE = 50
    NAT = 60
    UNIT_DOWN = 70
    DAEMON_FILE = 80
    LEASES = 85
    UNIT_UP = 90
    PROXY = 92
    PACKAGE_DOWN = 95
    ON_CONFIRM = 100


R = TypeVar("R", bound="Resource")
Compared = tuple[R, tuple[Difference, ...]]
"""A resource with its differences."""


class Resource(Protocol):
    """One thing wanted on a host. A frozen value; equal wishes are equal values.

    Laws (tests/test_laws.py runs them over every kind). Comparing is pure and deterministic. No difference means no
    step. After its steps there is no difference. The reverse steps give the host as it was. Unknown never yields a step
    that overwrites or deletes.
    """

    @property
    def id(self) -> str:
        """`type:name`, unique on a host; two kinds that want the same id must want the same value."""
        ...

    @property
    def kind(self) -> str:
        """The section of the spec that asks for it."""
        ...

    def wishes(self) -> Wishes:
        """The fields requested, as they are stored for the next three-way diff."""
        ...

    def watch(self) -> Watch:
        """What must be observed to compare it."""
        ...

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        """Where the host is not as wanted, by meaning, in any file."""
        ...

    @classmethod
    def steps(cls, compared: Sequence[Compared[Self]], observed: HostObserved) -> Contribution:
        """What to do about all wanted resources of this type, given their differences; empty when nothing differs."""
        ...


def compare(resources: Iterable[R], observed: HostObserved) -> list[Compared[R]]:
    """Each with where the host is not as it wants: worked out here, once, for all that follows."""
    return [(resource, tuple(resource.differences(observed))) for resource in resources]


def part_steps(parts: Iterable[Resource], observed: HostObserved) -> list[Contribution]:
    """What the parts of a resource contribute, one by one."""
    return [type(part).steps([(part, different)], observed) for part, different in compare(parts, observed)]


def op_of(want: Json, have: Json) -> Op:
    """missing, extra or changed, from the two values; None and the empty list are "not there"."""
    if have in (None, []):
        return "missing"
    if want in (None, []):
        return "extra"
    return "changed"


def field_difference(
    resource: Resource,
    name: str,
    field_name: str,
    where: Where,
    want: Json,
    seen: Observed[Json],
    *,
    cause: str = "",
) -> Iterator[Difference]:
    """The difference of one field, if there is one. Unknown is one of its own kind: nothing may be done about it."""
    if isinstance(seen, Unknown):
        yield Difference(resource.kind, name, field_name, where, "changed", want, None, unknown=seen.why, cause=cause)
        return
    have = seen.value if isinstance(seen, Seen) else None
    if have != want:
        yield Difference(resource.kind, name, field_name, where, op_of(want, have), want, have, cause=cause)


def field_of(seen: Observed[Json], name: str) -> Observed[Json]:
    """One field of a captured fact."""
    if isinstance(seen, Seen):
        if isinstance(seen.value, dict) and name in seen.value:
            return Seen(seen.value[name], seen.where)
        return Unknown(f"the host's answer has no field {name}")
    return seen


def value_or_none(seen: Observed[Json]) -> Json:
    """The captured value, None where it is absent. Never call it on Unknown: that is a bug of ours."""
    if isinstance(seen, Unknown):
        raise AssertionError(f"the value of something unknown was requested: {seen.why}")
    return seen.value if isinstance(seen, Seen) else None


__all__ = [
    "Absent",
    "Compared",
    "Contribution",
    "Phase",
    "Resource",
    "Wishes",
    "compare",
    "field_difference",
    "field_of",
    "op_of",
    "part_steps",
    "value_or_none",
]
