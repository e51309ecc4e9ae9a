"""Addresses in the kernel, one resource an interface: all static global ones, exactly."""

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from service.formats.read_once import word_once
from service.model.changes import Difference
from service.model.facts import Step
from service.model.observed import HostObserved, Watch
from service.model.plans import Left
from service.model.states import Absent, Json, Observed, Seen
from service.resources.desired import Desired, LastApplied
from service.resources.resource import Compared, Contribution, Phase, Wishes, field_difference


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses that an interface should have now, in CIDR form with host bits.

    `free` are the families (4, 6) whose addresses come from elsewhere: those that the host has are right.
    """

    kind: str = field(compare=False)
    interface: str
    addresses: tuple[str, ...]
    free: tuple[int, ...] = ()

    @property
    def id(self) -> str:
        return f"addresses:{self.interface}"

    def wishes(self) -> Wishes:
        return {(self.interface, "addresses", "live"): self.wanted()}

    def wanted(self) -> list[Json]:
        """The canonical list, as the host-side file captures it."""
        return sorted_addresses(self.addresses)

    def watch(self) -> Watch:
        return Watch()

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        seen = observed.fact(self.id)
        if isinstance(observed.fact(f"link:{self.interface}"), Absent):
            seen = Seen([])
        elif isinstance(seen, Seen):
            there: list[Json] = [*sorted({*map(str, self.counting(seen.value)), *self.given(observed)})]
            seen = Seen(there)
        cause = self.why_lost(observed)
        yield from field_difference(self, self.interface, "addresses", "live", self.wanted(), seen, cause=cause)

    def counting(self, addresses: Json) -> list[Json]:
        """Those of captured addresses that are compared."""
        found = addresses if isinstance(addresses, list) else []
        return [address for address in found if (6 if ":" in str(address) else 4) not in self.free]

    def given(self, observed: HostObserved) -> set[str]:
        """Wanted addresses that the host has from a DHCP server or a router. They are there, and stay as they are: made
        static now, a rollback would remove them from under the client."""
        return {*map(str, self.wanted())} & {*observed.dynamic.get(self.interface, ())}

    def after(self, seen: Observed[Json], given: set[str]) -> list[Json]:
        """All static addresses of the interface as the step leaves them, in the fact's order."""
        found = seen.value if isinstance(seen, Seen) and isinstance(seen.value, list) else []
        kept = [address for address in found if address not in self.counting(found)]
        return [*sorted(({*map(str, self.wanted())} - given) | {*map(str, kept)})]

    def why_lost(self, observed: HostObserved) -> str:
        """Which wanted addresses the kernel does not use because another machine has them; empty: none."""
        taken = sorted({*map(str, self.wanted())} & {*observed.duplicates.get(self.interface, ())})
        if not taken:
            return ""
        return (
            f"another machine on the network of {self.interface} has {', '.join(taken)} (duplicate address detection "
            "failed). Fix: remove the address from one of the two"
        )

    @classmethod
    def left_behind(cls, desired: Desired, base: LastApplied, observed: HostObserved) -> Iterator[Left]:
        """Addresses of interfaces that the spec names no more and that stay: the host may be reached by them."""
        bridges = {name for name, want in base.of_field("link", "live").items() if want in ("bridge", "bond")}
        for name in desired.no_longer(base, "addresses", "live"):
            seen = observed.fact(f"addresses:{name}")
            if name not in bridges and isinstance(seen, Seen) and seen.value:
                remove = f"if nothing needs them, remove them on {observed.host} with `ip address del`"
                yield Left(f"addresses:{name}", f"{name} keeps {words(seen.value)}", remove)

    @classmethod
    def steps(cls, compared: Sequence[Compared[Self]], observed: HostObserved) -> Contribution:
        steps = []
        for resource, different in compared:
            if not different or any(d.unknown for d in different):
                continue
            have = different[0].have
            # None: the link does not exist yet, so the host has no such fact before the link's own step
            seen = observed.fact(resource.id)
            have = seen.value if isinstance(seen, Seen) else have
            before = None if isinstance(observed.fact(f"link:{resource.interface}"), Absent) else have
            why = f"{resource.kind}: {resource.interface} has {words(have)} and should have {words(different[0].want)}"
            why += f" ({different[0].cause})" if different[0].cause else ""
            steps.append(
                (Phase.ADDRESS, Step(resource.id, before, resource.after(seen, resource.given(observed)), why))
            )
        return Contribution(steps=tuple(steps))


def sorted_addresses(addresses: Sequence[str]) -> list[Json]:
    """Canonical text, sorted as text: the order of the host-side file."""
    return [*sorted(map(_canonical, addresses))]


@word_once
def _canonical(address: str) -> str:
    return str(ipaddress.ip_interface(address))


def words(addresses: Json) -> str:
    """A list of addresses for people."""
    return ", ".join(str(a) for a in addresses) if isinstance(addresses, list) and addresses else "none"
