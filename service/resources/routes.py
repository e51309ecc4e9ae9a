"""Default routes: the kernel's now, and what the interfaces files would make at the next boot."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from service.model.changes import Difference
from service.model.facts import Step
from service.model.observed import HostObserved, Watch
from service.model.plans import Left
from service.model.states import Json, Observed, Seen
from service.resources.desired import Desired, LastApplied
from service.resources.resource import Compared, Contribution, Phase, Wishes, field_difference


@dataclass(frozen=True, slots=True)
class DefaultRoutes:
    """All default routes of the main table, per family that the spec gives a gateway for; nothing else may be there.

    `gateways` are (family, via, dev). A family without a declared gateway is not ours and is left alone. `on_link` are
    (via, dev) of those outside the subnets of their interface. The host sets every gateway with the flag `onlink`, as
    ifupdown2 does. If the kernel has such a route without the flag, it has another route to the gateway, which is
    enough.
    """

    kind: str = field(compare=False)
    gateways: tuple[tuple[int, str, str], ...]
    on_link: tuple[tuple[str, str], ...] = ()

    @property
    def id(self) -> str:
        return "routes:default"

    def beyond_subnets(self) -> Iterator[tuple[str, str]]:
        """(via, dev) of the gateways outside the subnets of their interface."""
        yield from self.on_link

    def families(self) -> list[int]:
        """The address families that the spec gives a gateway for."""
        return sorted({family for family, _, _ in self.gateways})

    def wanted(self, family: int) -> list[Json]:
        """The routes of one family in the fact's words."""
        return [route(f, via, dev) for f, via, dev in sorted(self.gateways) if f == family]

    def wishes(self) -> Wishes:
        return {("default", f"routes{suffix(family)}", "live"): [*self.wanted(family)] for family in self.families()}

    def watch(self) -> Watch:
        return Watch()

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        seen = observed.fact(self.id)
        for family in self.families():
            have: Observed[Json] = Seen(of_family(seen.value, family)) if isinstance(seen, Seen) else seen
            for difference in field_difference(
                self, "default", f"routes{suffix(family)}", "live", self.wanted(family), have
            ):
                yield with_op(difference)

    @classmethod
    def left_behind(cls, desired: Desired, base: LastApplied, observed: HostObserved) -> Iterator[Left]:
        """Default routes of a family for which the spec names no gateway any more: a host is not cut off for that."""
        seen = observed.fact("routes:default")
        for family in (4, 6):
            routes = of_family(seen.value, family) if isinstance(seen, Seen) else []
            if routes and desired.no_longer(base, f"routes{suffix(family)}", "live"):
                yield Left(
                    "routes:default",
                    f"the IPv{family} default route stays as it is",
                    f"if nothing needs it, remove it on {observed.host} with `ip -{family} route del default`",
                )

    @classmethod
    def steps(cls, compared: Sequence[Compared[Self]], observed: HostObserved) -> Contribution:
        for resource, different in compared:
            seen = observed.fact(resource.id)
            if not isinstance(seen, Seen):
                continue
            ours = resource.families()
            after: list[Json] = [
                entry
                for family in (4, 6)
                for entry in (resource.wanted(family) if family in ours else of_family(seen.value, family))
            ]
            if different:
                why = "; ".join(f"default route: has {d.have}, should be {d.want}" for d in different)
                return Contribution(steps=((Phase.ROUTE, Step(resource.id, seen.value, after, why)),))
            return Contribution(keep=(Step(resource.id, seen.value, after, "the default route stays"),))
        return Contribution()


def route(family: int, via: str, dev: str) -> dict[str, Json]:
    """A default route in the fact's words."""
    return {"family": family, "via": via, "dev": dev}


def of_family(routes: Json, family: int) -> list[Json]:
    """The routes of one family out of a captured list."""
    return [r for r in routes if isinstance(r, dict) and r.get("family") == family] if isinstance(routes, list) else []


def suffix(family: int) -> str:
    """Field names carry the family only where it is not the usual one."""
    return "" if family == 4 else "6"


def with_op(difference: Difference) -> Difference:
    """One more route than wanted is `extra`, not `changed`: the wanted one is there."""
    want, have = difference.want, difference.have
    if isinstance(want, list) and isinstance(have, list) and want and all(w in have for w in want):
        return Difference(
            difference.kind, difference.resource, difference.field, difference.where, "extra", want, have,
            unknown=difference.unknown, cause=difference.cause,
        )  # fmt: skip
    return difference
