"""IPv6 on a bridge: router advertisements, SLAAC and DHCPv6, with the prefix that the bridge's own address has."""

import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv6Address, IPv6Interface
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from service.formats.dnsmasq_range6 import DEFAULT_LEASE, HOST_PART, Range6
from service.kinds.claims import AddressClaim, Claim, Named
from service.kinds.dnsmasq.values import LeaseTime
from service.model.states import Json
from service.model.trees import quoted
from service.spec.findings import Hit, LintRule, Path
from service.spec.grammar import InterfaceName, text, wrong
from service.spec.patterns import whole

NO_PREFIX = LintRule(
    "dnsmasq.no-ipv6-prefix", "error", "IPv6 is offered on an interface with an IPv6 address", by_absence=True
)
NOT_64 = LintRule("dnsmasq.ipv6-prefix-not-64", "error", "SLAAC has a prefix of 64 bits")
RANGE = LintRule("dnsmasq.range6", "error", "a mode with leases has a range, and the others have none")
RANGE_OWN = LintRule("dnsmasq.range6-over-own-address", "error", "a range leaves out the host's own addresses")
NAMES = LintRule("dnsmasq.range6-names", "error", "names of SLAAC addresses are with a mode that has SLAAC")
TWICE = LintRule("dnsmasq.range6-twice", "error", "an interface is once in `dhcp6`")
NO_RA = LintRule("dnsmasq.range6-without-ra", "error", "guests learn from router advertisements to ask by DHCPv6")
RA_ALONE = LintRule("dnsmasq.ra-without-range6", "warning", "`enable_ra` has something to advertise")
NOT_SERVED = LintRule("dnsmasq.range6-not-served", "error", "an interface with IPv6 is served and not excluded")
UNKNOWN = LintRule("dnsmasq.range6-unknown-interface", "error", "interfaces are in the spec", by_absence=True)
RULES6 = (NO_PREFIX, NOT_64, RANGE, RANGE_OWN, NAMES, TWICE, NO_RA, RA_ALONE, NOT_SERVED, UNKNOWN)

LEASING = ("stateful", "both")


def check_host_part(value: str) -> str:
    """The last 64 bits of an address, as `::100`; canonical form is the short one."""
    if not re.fullmatch(HOST_PART, value, re.ASCII) or value == "::":
        wrong(f"{quoted(value)} is not the last half of an IPv6 address", "write it such as ::100, without the prefix")
    return str(IPv6Address(value))


HostPart = Annotated[str, *text(check_host_part, whole(f"(?!::$){HOST_PART}", "the last half of an address, as ::100"))]


class Dhcp6Range(BaseModel):
    """IPv6 for the guests on one bridge. The prefix is that of the bridge's own addresses, and follows them."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    interface: InterfaceName = Field(description="The bridge that the guests are on.")
    mode: Literal["slaac", "stateless", "stateful", "both"] = Field(
        description="slaac: guests make their own address. stateless: that, and the DNS server by DHCPv6. stateful: "
        "DHCPv6 leases from `start` to `end`. both: leases and SLAAC."
    )
    names: bool = Field(
        default=False,
        description="Also give a guest's name to the address that it made by SLAAC: dnsmasq works it out from the MAC "
        "of the guest's IPv4 lease. Guests with privacy or stable-opaque addresses get no name.",
    )
    start: HostPart | None = Field(None, description="First address of the leases, without the prefix, as ::100.")
    end: HostPart | None = Field(None, description="Last address of the leases, without the prefix, as ::1ff.")
    lease_time: LeaseTime = Field("1h", description="The length of a lease, and for how long a prefix is advertised.")

    def range6(self) -> Range6:
        """As dnsmasq has it."""
        modes = {"ra-stateless"} if self.mode == "stateless" else set()
        modes |= {"ra-names"} if self.names else set()
        if not modes and self.mode != "stateful":
            modes = {"slaac"}
        return Range6(self.interface, frozenset(modes), self.start or "", self.end or "", self.lease_time)


def said_of(found: Range6) -> dict[str, Json]:
    """A range as a spec says it; its lease time in seconds becomes one with a unit."""
    has_slaac, is_leasing = bool(found.modes), bool(found.end)
    mode = "both" if has_slaac and is_leasing else "stateful" if is_leasing else "slaac"
    if "ra-stateless" in found.modes and not is_leasing:
        mode = "stateless"
    said: dict[str, Json] = {"interface": found.interface, "mode": mode}
    said |= {"names": True} if "ra-names" in found.modes else {}
    said |= {"start": found.start, "end": found.end} if is_leasing else {}
    lease = f"{found.lease}s" if found.lease.isdecimal() else found.lease
    return said if lease in (DEFAULT_LEASE, "3600s") else {**said, "lease_time": lease}


class Section(Protocol):
    """What these checks ask of the section."""

    @property
    def enable_ra(self) -> bool: ...
    @property
    def dhcp6(self) -> tuple[Dhcp6Range, ...]: ...
    @property
    def interface(self) -> tuple[str, ...]: ...
    @property
    def except_interface(self) -> tuple[str, ...]: ...
    @property
    def no_dhcp_interface(self) -> tuple[str, ...]: ...


def lint_ranges6(section: Section, claims: Sequence[Claim]) -> Iterator[Hit]:
    """What is wrong in `dhcp6` and `enable_ra`."""
    if section.enable_ra and not section.dhcp6:
        yield RA_ALONE.hit(("enable_ra",), "there is no `dhcp6`, so nothing is advertised", "add `dhcp6`")
    for index, entry in enumerate(section.dhcp6):
        path: Path = ("dhcp6", index)
        yield from _span(path, entry)
        yield from _home(path, entry, claims)
        yield from _served(path, entry, section)
        if entry.interface in (other.interface for other in section.dhcp6[:index]):
            yield TWICE.hit((*path, "interface"), f"{entry.interface} is already in `dhcp6`", "keep one of the two")
        if entry.mode == "stateful" and not section.enable_ra:
            yield NO_RA.hit(
                (*path, "mode"), "without router advertisements guests do not ask for a lease", "add `enable_ra: true`"
            )


def _span(path: Path, entry: Dhcp6Range) -> Iterator[Hit]:
    has = entry.start is not None and entry.end is not None
    if entry.mode in LEASING and not has:
        yield RANGE.hit((*path, "mode"), f"the mode {entry.mode} has leases, but no range", "add `start` and `end`")
    elif entry.mode not in LEASING and (entry.start is not None or entry.end is not None):
        yield RANGE.hit(
            (*path, "mode"),
            f"the mode {entry.mode} has no leases, so a range has no effect",
            "remove `start` and `end`, or write `mode: both`",
        )
    elif has and IPv6Address(entry.start or "") > IPv6Address(entry.end or ""):
        yield RANGE.hit((*path, "start"), f"the range starts at {entry.start}, after its end {entry.end}", "swap them")
    if entry.names and entry.mode == "stateful":
        yield NAMES.hit(
            (*path, "names"), "with `names` dnsmasq also offers SLAAC", "write `mode: both`, or remove `names`"
        )


def _home(path: Path, entry: Dhcp6Range, claims: Sequence[Claim]) -> Iterator[Hit]:
    name = entry.interface
    if not any(isinstance(claim, Named) and claim.interface == name for claim in claims):
        yield UNKNOWN.hit((*path, "interface"), f"the spec has no interface or bridge {name}", "add it to `bridges`")
        return
    held = [claim.own for claim in claims if isinstance(claim, AddressClaim) and claim.interface == name]
    own = [one for one in held if isinstance(one, IPv6Interface) and not one.ip.is_link_local]
    if not own:
        yield NO_PREFIX.hit(
            (*path, "interface"), f"{name} has no IPv6 address, so there is no prefix", "give it one with /64"
        )
    for one in own:
        if one.network.prefixlen != 64:
            yield NOT_64.hit(
                (*path, "interface"),
                f"{one} on {name} has a prefix of {one.network.prefixlen} bits, and guests take only 64",
                f"write {one.ip}/64",
            )
        host = int(one.ip) & (2**64 - 1)
        if entry.start and entry.end and int(IPv6Address(entry.start)) <= host <= int(IPv6Address(entry.end)):
            yield RANGE_OWN.hit(
                (*path, "start"),
                f"the range {entry.start} to {entry.end} contains {one.ip}, the host's own address on {name}",
                "leave it out of the range",
            )


def _served(path: Path, entry: Dhcp6Range, section: Section) -> Iterator[Hit]:
    for key in ("except_interface", "no_dhcp_interface"):
        if entry.interface in getattr(section, key):
            yield NOT_SERVED.hit((*path, "interface"), f"`{key}` excludes {entry.interface}", f"remove it from `{key}`")
    if section.interface and entry.interface not in section.interface:
        yield NOT_SERVED.hit(
            (*path, "interface"),
            f"`interface` does not list {entry.interface}",
            f"add {entry.interface} to `interface`, or remove `interface`",
        )
