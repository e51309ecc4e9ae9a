"""What is wrong or doubtful in a `dnsmasq` section beyond types."""

import ipaddress
from collections.abc import Iterator, Sequence

from service.kinds.claims import AddressClaim, Claim, DefaultRoute, Named, PackageState, Reservation
from service.kinds.dnsmasq.lint_addresses import LISTEN_NOT_OWN, SERVER_IS_ITSELF, lint_addresses
from service.kinds.dnsmasq.options import misfit, number_of
from service.kinds.dnsmasq.range6 import RULES6, lint_ranges6
from service.kinds.dnsmasq.section import DhcpRange, DnsmasqSection
from service.spec.findings import Hit, LintRule, Path

UNKNOWN_INTERFACE = LintRule("dnsmasq.unknown-interface", "error", "interfaces are in the spec", by_absence=True)
NO_ADDRESS = LintRule(
    "dnsmasq.no-address", "error", "DHCP is served on an interface with an IPv4 address", by_absence=True
)
OUTSIDE = LintRule("dnsmasq.range-outside-subnet", "error", "a range lies in its interface's subnet", by_absence=True)
REVERSED = LintRule("dnsmasq.range-reversed", "error", "a range starts before it ends")
OWN_ADDRESS = LintRule("dnsmasq.range-over-own-address", "error", "a range leaves out the host's own addresses")
OVERLAP = LintRule("dnsmasq.ranges-overlap", "error", "two ranges have no address in common")
NETMASK = LintRule("dnsmasq.netmask", "error", "the netmask is that of the interface's subnet", by_absence=True)
DISAGREE = LintRule("dnsmasq.ranges-disagree", "error", "settings that dnsmasq has once are the same in all ranges")
ROUTER_OUTSIDE = LintRule(
    "dnsmasq.router-outside-subnet", "error", "the guests' router lies in their subnet", by_absence=True
)
OPTION_VALUE = LintRule("dnsmasq.option-value", "error", "an option's value fits the option")
OPTION_TWICE = LintRule("dnsmasq.option-twice", "error", "an option is set once in a range")
NOT_SERVED = LintRule("dnsmasq.range-not-served", "error", "a range's interface is served and not excluded")
BIND_BOTH = LintRule("dnsmasq.bind-both", "error", "bind_interfaces and bind_dynamic exclude each other")
SERVES_ALL = LintRule("dnsmasq.serves-all", "error", "the served interfaces are named", by_absence=True)
SERVES_UPLINK = LintRule("dnsmasq.serves-uplink", "warning", "nothing is served towards the internet")
LEASE_FILE_LOST = LintRule("dnsmasq.lease-file-lost", "warning", "leases survive a reboot")
OPTION_19 = LintRule("dnsmasq.option-19", "warning", "no option makes guests forward packets")
NO_DHCP_REDUNDANT = LintRule("dnsmasq.no-dhcp-redundant", "warning", "an interface without DHCP needs no exclusion")
DOMAIN_NOT_LOCAL = LintRule("dnsmasq.domain-not-local", "warning", "the guests' domain is answered only from here")
NAMES_OF_ANYONE = LintRule("dnsmasq.names-of-anyone", "warning", "names are those that `guests` declares")
PACKAGE_NOT_NAMED = LintRule(
    "dnsmasq.package-not-named", "warning", "the package is named in `packages`", by_absence=True
)

RULES = (
    UNKNOWN_INTERFACE,
    NO_ADDRESS,
    OUTSIDE,
    REVERSED,
    OWN_ADDRESS,
    OVERLAP,
    NETMASK,
    DISAGREE,
    ROUTER_OUTSIDE,
    OPTION_VALUE,
    OPTION_TWICE,
    NOT_SERVED,
    BIND_BOTH,
    SERVES_ALL,
    SERVES_UPLINK,
    LEASE_FILE_LOST,
    OPTION_19,
    NO_DHCP_REDUNDANT,
    DOMAIN_NOT_LOCAL,
    NAMES_OF_ANYONE,
    PACKAGE_NOT_NAMED,
    LISTEN_NOT_OWN,
    SERVER_IS_ITSELF,
    *RULES6,
)

_LOST_AT_REBOOT = ("/tmp/", "/var/tmp/", "/run/", "/var/run/", "/dev/shm/")  # noqa: S108


def lint_dnsmasq(section: DnsmasqSection, claims: Sequence[Claim]) -> Iterator[Hit]:
    """All hits, in the order of the section."""
    yield from _interfaces(section, claims)
    yield from _whole(section, claims)
    yield from lint_addresses(section, claims)
    yield from lint_ranges6(section, claims)
    for index, entry in enumerate(section.dhcp):
        yield from _range(("dhcp", index), entry, claims)
        yield from _options(("dhcp", index), entry)
        yield from _served(("dhcp", index), entry, section)
        yield from _other_ranges(("dhcp", index), entry, section.dhcp[:index])


def _interfaces(section: DnsmasqSection, claims: Sequence[Claim]) -> Iterator[Hit]:
    known = sorted({claim.interface for claim in claims if isinstance(claim, Named)})
    uplinks = {claim.interface for claim in claims if isinstance(claim, DefaultRoute)}
    named: list[tuple[Path, str]] = [
        ((key, index), name)
        for key in ("interface", "except_interface", "no_dhcp_interface")
        for index, name in enumerate(getattr(section, key))
    ]
    named.extend((("dhcp", index, "interface"), entry.interface) for index, entry in enumerate(section.dhcp))
    for path, name in named:
        if name not in known and name != "lo":
            right = f"name one of {', '.join(known)}" if known else "add it to `bridges`"
            yield UNKNOWN_INTERFACE.hit(path, f"the spec has no interface or bridge {name}", right)
    for index, name in enumerate(section.interface):
        if name in uplinks:
            yield SERVES_UPLINK.hit(
                ("interface", index),
                f"{name} has the default route, so dnsmasq would answer DNS queries from the internet",
                "name the bridges only",
            )
    served = section.served_interfaces()
    if served:
        for index, name in enumerate(section.no_dhcp_interface):
            if name in known and name not in served:
                yield NO_DHCP_REDUNDANT.hit(
                    ("no_dhcp_interface", index), f"dnsmasq does not serve {name} at all", "remove this entry"
                )


def _whole(section: DnsmasqSection, claims: Sequence[Claim]) -> Iterator[Hit]:
    if section.bind_interfaces and section.bind_dynamic:
        yield BIND_BOTH.hit(
            ("bind_interfaces",), "bind_interfaces and bind_dynamic exclude each other", "remove bind_interfaces"
        )
    if not section.served_interfaces() and not section.listen_address:
        yield SERVES_ALL.hit(
            (), "no interface is named, so dnsmasq would serve every one", "add `dhcp` or `interface: BRIDGE`"
        )
    if section.domain and section.domain not in section.local:
        yield DOMAIN_NOT_LOCAL.hit(
            ("domain",),
            f"dnsmasq forwards queries for unknown names in {section.domain} to the upstream servers",
            f"add `local: [/{section.domain}/]`",
        )
    if section.names == "anyone" and section.dhcp and any(isinstance(claim, Reservation) for claim in claims):
        yield NAMES_OF_ANYONE.hit(
            (),
            "dnsmasq accepts any name that a guest sends. If two guests send the same undeclared name, the last one "
            "gets it, and also the traffic that is meant for the other",
            "add `names: declared`",
        )
    if not any(isinstance(claim, PackageState) and claim.package == "dnsmasq" for claim in claims):
        yield PACKAGE_NOT_NAMED.hit(
            (), "the host uses dnsmasq, but `packages` does not name it", "add `packages: {dnsmasq: present}`"
        )


def _range(path: Path, entry: DhcpRange, claims: Sequence[Claim]) -> Iterator[Hit]:
    start, end = ipaddress.IPv4Address(entry.start), ipaddress.IPv4Address(entry.end)
    if start > end:
        yield REVERSED.hit((*path, "start"), f"the range starts at {start}, after its end {end}", "swap start and end")
    claimed = [(claim.interface, claim.own) for claim in claims if isinstance(claim, AddressClaim)]
    networks = [(name, own) for name, own in claimed if isinstance(own, ipaddress.IPv4Interface)]
    for name, own in networks:
        address = own.ip
        if start <= address <= end:
            yield OWN_ADDRESS.hit(
                (*path, "start"),
                f"the range {start} to {end} contains {address}, the host's own address on {name}",
                "leave it out of the range",
            )
    subnets = [own.network for name, own in networks if name == entry.interface]
    if subnets:
        yield from _in_subnet(path, entry, subnets)
    elif any(isinstance(claim, Named) and claim.interface == entry.interface for claim in claims):
        yield NO_ADDRESS.hit(
            (*path, "interface"), f"{entry.interface} has no IPv4 address", "give it an address in the range's subnet"
        )
    if entry.lease_file and entry.lease_file.startswith(_LOST_AT_REBOOT):
        yield LEASE_FILE_LOST.hit(
            (*path, "lease_file"),
            f"{entry.lease_file} is lost at a reboot, and then guests get other addresses",
            "write /var/lib/misc/dnsmasq.leases, or remove the line",
        )


def _in_subnet(path: Path, entry: DhcpRange, subnets: list[ipaddress.IPv4Network]) -> Iterator[Hit]:
    start, end = ipaddress.IPv4Address(entry.start), ipaddress.IPv4Address(entry.end)
    subnet = next((network for network in subnets if start in network or end in network), None)
    shown = ", ".join(str(network) for network in subnets)
    for key, address in (("start", start), ("end", end)):
        if subnet is None or address not in subnet:
            yield OUTSIDE.hit(
                (*path, key), f"{address} is outside {shown} on {entry.interface}", "write an address of that subnet"
            )
        elif subnet.num_addresses > 2 and address in (subnet.network_address, subnet.broadcast_address):
            yield OUTSIDE.hit(
                (*path, key), f"{address} is the network or broadcast address of {subnet}", "leave it out of the range"
            )
    if subnet and entry.netmask and entry.netmask != str(subnet.netmask):
        yield NETMASK.hit(
            (*path, "netmask"),
            f"{entry.netmask} is not the netmask of {subnet}",
            f"write {subnet.netmask}, or remove the key",
        )
    yield from _routers(path, entry, subnet)


def _options(path: Path, entry: DhcpRange) -> Iterator[Hit]:
    first_seen: dict[int, str] = {}
    for key, values in entry.options.items():
        number = number_of(key)
        first = first_seen.setdefault(number, key)
        if first != key:
            yield OPTION_TWICE.hit(
                (*path, "options", key), f"option {number} is already set as `{first}`", "keep one of the two"
            )
        if problem := misfit(key, values):
            yield OPTION_VALUE.hit((*path, "options", key), *problem)
        elif number == 19 and values == ("1",):
            yield OPTION_19.hit(
                (*path, "options", key), "this option makes guests forward packets", "remove it, or write 0"
            )


def _routers(path: Path, entry: DhcpRange, subnet: ipaddress.IPv4Network | None) -> Iterator[Hit]:
    for key, values in entry.options.items():
        if number_of(key) != 3 or misfit(key, values):
            continue
        for router in values:
            address = ipaddress.IPv4Address(router)
            # 0.0.0.0 stands for the address of the host itself (dnsmasq(8), dhcp-option).
            if subnet and address not in subnet and not address.is_unspecified:
                yield ROUTER_OUTSIDE.hit(
                    (*path, "options", key), f"{router} is outside {subnet}", "write the bridge's address"
                )


def _served(path: Path, entry: DhcpRange, section: DnsmasqSection) -> Iterator[Hit]:
    name = entry.interface
    for key in ("except_interface", "no_dhcp_interface"):
        if name in getattr(section, key):
            yield NOT_SERVED.hit((*path, "interface"), f"`{key}` excludes {name}", f"remove it from `{key}`")
    if section.interface and name not in section.interface:
        yield NOT_SERVED.hit(
            (*path, "interface"),
            f"`interface` does not list {name}",
            f"add {name} to `interface`, or remove `interface`",
        )


def _other_ranges(path: Path, entry: DhcpRange, earlier: Sequence[DhcpRange]) -> Iterator[Hit]:
    start, end = ipaddress.IPv4Address(entry.start), ipaddress.IPv4Address(entry.end)
    for other in earlier:
        if ipaddress.IPv4Address(other.start) <= end and start <= ipaddress.IPv4Address(other.end):
            yield OVERLAP.hit(
                (*path, "start"), f"the range overlaps the range {other.start} to {other.end}", "keep the ranges apart"
            )
    for key in ("authoritative", "lease_file"):
        mine = getattr(entry, key)
        said = next((value for other in earlier if (value := getattr(other, key)) is not None), None)
        if mine is not None and said is not None and mine != said:
            yield DISAGREE.hit(
                (*path, key), f"`{key}` differs from another range, and dnsmasq has only one", "write the same in both"
            )
