"""The key `dnsmasq`: dnsmasq(8)'s directives under their own names, `_` for `-`, each value with its grammar.

`dnsmasq --test` takes reversed ranges, unknown interfaces and a smuggled `dhcp-script=`; nothing is left to it.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from service.kinds.dnsmasq.options import OptionKey, OptionValues, number_of
from service.spec import grammar
from service.spec.grammar import Address, Address4, DomainName, InterfaceName, quoted, text, wrong

_LEASE_TIME = re.compile(r"([1-9][0-9]{0,8})([smhdw])")
_LEASE_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
# What dnsmasq writes as root, by a spec's word: in folders for it, under names that belong to nobody else.
_LEASE_FILE = re.compile(
    r"/(?:var/lib/misc|var/lib|var/tmp|tmp|run|var/run|dev/shm)(?:/dnsmasq)?/"
    r"(?:leases|[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.leases)"
)
_LOG_FILE = re.compile(r"/var/log/(?:dnsmasq/)?(?:dnsmasq|dhcp|dns)(?:[_-][A-Za-z0-9_-]+)?(?:\.[A-Za-z0-9_-]+)*")
_FACILITIES = (
    *("auth", "authpriv", "cron", "daemon", "kern", "lpr", "mail", "news", "syslog", "user", "uucp"),
    *(f"local{n}" for n in range(8)),
)
_SERVER = re.compile(r"(?:/([^/#]*)/)?([0-9A-Fa-f.:]+)(?:#([0-9]{1,5}))?")

MIN_LEASE_S = 120
"""dnsmasq raises shorter leases to two minutes."""


def check_lease_time(value: str) -> str:
    """How long a lease lasts: a number with s, m, h, d or w, or `infinite`."""
    if value == "infinite":
        return value
    match = _LEASE_TIME.fullmatch(value)
    if not match:
        wrong(f"{quoted(value)} is not a lease time", "write a time such as 12h or 45m, or infinite")
    seconds = int(match[1]) * _LEASE_UNITS[match[2]]
    if not MIN_LEASE_S <= seconds < 2**32:
        wrong(f"{quoted(value)} is out of range", "write 2m or more, or infinite")
    return value


def check_lease_file(value: str) -> str:
    """A file that dnsmasq, as root, creates and writes: only where lease files are kept, and named as one."""
    if not _LEASE_FILE.fullmatch(value):
        wrong(
            f"{quoted(value)} is not allowed as a lease file",
            "write /var/lib/misc/dnsmasq.leases, or another name that ends with .leases in /var/lib/misc or "
            "/var/lib/dnsmasq",
        )
    return value


def check_log_facility(value: str) -> str:
    """A syslog facility, or dnsmasq's own file in /var/log. Root appends to it, so other files are not allowed."""
    if value.lower() in _FACILITIES:
        return value.lower()
    if not _LOG_FILE.fullmatch(value):
        wrong(
            f"{quoted(value)} is not allowed as dnsmasq's log",
            "write /var/log/dnsmasq.log, /var/log/dnsmasq-NAME.log, or a facility such as daemon",
        )
    return value


def check_local(value: str) -> str:
    """A domain answered only from here, `/lan/` or `lan`; canonical form is without slashes."""
    inner = value[1:-1] if len(value) > 2 and value[0] == value[-1] == "/" else value
    return grammar.check_domain(inner)


def check_server(value: str) -> str:
    """An upstream DNS server: `1.1.1.1`, `1.1.1.1#5353`, or for one domain `/example.org/192.0.2.53`."""
    match = _SERVER.fullmatch(value)
    if not match:
        wrong(
            f"{quoted(value)} is not a DNS server",
            "write a server such as 1.1.1.1, 1.1.1.1#53 or /example.org/192.0.2.53",
        )
    domain, address, port = match.groups()
    if domain is not None:
        grammar.check_domain(domain)
    if port is not None and not 1 <= int(port) <= 65535:
        wrong(f"{quoted(value)} has no valid port", "write a port from 1 to 65535 after #")
    # A resolver on this host itself (127.0.0.1#5353) is a usual upstream.
    if not re.fullmatch(r"127(?:\.[0-9]{1,3}){3}", address) and address != "::1":
        grammar.check_address(address)
    return value


def check_netmask(value: str) -> str:
    """A dotted netmask."""
    parts = re.fullmatch(r"([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})", value)
    numbers = [int(part) for part in parts.groups()] if parts else [256]
    bits = "".join(f"{number:08b}" for number in numbers)
    if max(numbers) > 255 or "01" in bits or "1" not in bits:
        wrong(f"{quoted(value)} is not a netmask", "write a netmask such as 255.255.255.0")
    return ".".join(str(number) for number in numbers)


_INTERFACE = {"type": "string", "maxLength": 15, "pattern": "^[A-Za-z][A-Za-z0-9_-]*$"}
_LEASE_TIME_PATTERN = "^([1-9][0-9]*[smhdw]|infinite)$"
_LEASE_FILE_WORDS = "a file that ends with .leases, in /var/lib/misc or a folder of dnsmasq"
_SERVER_WORDS = "an address, with #PORT behind it or /DOMAIN/ before it where needed"


def _many(schema: dict[str, Any]) -> Any:
    """One text or a list of them."""
    return (
        Field(max_length=256),
        BeforeValidator(grammar.one_or_many),
        WithJsonSchema({"anyOf": [schema, {"type": "array", "items": schema}]}),
    )


Interfaces = Annotated[tuple[InterfaceName, ...], *_many({**_INTERFACE, "$comment": "an interface name"})]
Addresses = Annotated[
    tuple[Address, ...], *_many({"type": "string", "pattern": "^[0-9A-Fa-f:.]+$", "$comment": "an address"})
]
LocalDomains = Annotated[
    tuple[Annotated[str, AfterValidator(check_local)], ...],
    *_many({"type": "string", "pattern": "^/?[a-z0-9.-]+/?$", "$comment": "a DNS name"}),
]
Servers = Annotated[
    tuple[Annotated[str, AfterValidator(check_server)], ...],
    *_many({"type": "string", "pattern": "^(/[a-z0-9.-]+/)?[0-9A-Fa-f:.]+(#[0-9]+)?$", "$comment": _SERVER_WORDS}),
]


class DhcpRange(BaseModel):
    """Addresses given to guests on one bridge: `dhcp-range`, and the options sent with them."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    interface: InterfaceName = Field(description="The bridge that the guests are on.")
    start: Address4 = Field(description="First address of the range.")
    end: Address4 = Field(description="Last address of the range.")
    netmask: Annotated[str, *text(check_netmask, {"format": "ipv4"}, "a netmask such as 255.255.255.0")] | None = Field(
        None, description="The subnet's mask; that of the bridge's address when not given."
    )
    lease_time: Annotated[str, *text(check_lease_time, {"pattern": _LEASE_TIME_PATTERN}, "2m or more, or infinite")] = (
        Field("1h", description="How long a lease lasts, as in 12h, 45m or infinite.")
    )
    authoritative: bool | None = Field(
        None, description="Whether this is the only DHCP server on the network: lost leases are taken over at once."
    )
    lease_file: Annotated[str, *text(check_lease_file, {"pattern": "^/.+"}, _LEASE_FILE_WORDS)] | None = Field(
        None, description="Where leases are kept; /var/lib/misc/dnsmasq.leases when not given."
    )
    options: dict[OptionKey, OptionValues] = Field(
        default_factory=dict, description="DHCP options by number or name, each with a value or a list of them."
    )

    def options_by_number(self) -> dict[int, tuple[str, ...]]:
        """The options under their numbers, ascending; values as text."""
        return dict(sorted((number_of(key), values) for key, values in self.options.items()))


def _flag(description: str) -> Any:
    return Field(default=False, description=description)


class DnsmasqSection(BaseModel):
    """DNS and DHCP for the guests."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    domain: DomainName | None = Field(None, description="The guests' domain: a lease named dev is dev.DOMAIN too.")
    names: Literal["declared", "anyone"] = Field(
        "anyone",
        description="Whose names are taken: only those that `guests` declares, or what any guest sends. In both cases "
        "a declared name goes to its guest only.",
    )
    guest_configs: bool = Field(
        default=True,
        description="Where the spec has `guests`: those that it does not name have the name of their own settings "
        "on the host (/etc/pve/lxc, /etc/pve/qemu-server, /var/lib/lxc).",
    )
    local: LocalDomains = Field(
        default=(),
        description="Domains never asked upstream, answered only from here; the guests' domain is one.",
    )
    server: Servers = Field(default=(), description="Upstream DNS servers, as in 1.1.1.1 or /example.org/192.0.2.53.")
    interface: Interfaces = Field(
        default=(), description="Interfaces that DNS and DHCP are served on; those of `dhcp` when not given."
    )
    except_interface: Interfaces = Field(default=(), description="Interfaces that nothing is served on.")
    no_dhcp_interface: Interfaces = Field(default=(), description="Interfaces that DNS but no DHCP is served on.")
    listen_address: Addresses = Field(default=(), description="Own addresses that DNS is served on.")
    bind_interfaces: bool = _flag("Bind only the served interfaces; they must exist when dnsmasq starts.")
    bind_dynamic: bool = _flag("Bind only the served interfaces, and those that come later.")
    domain_needed: bool = _flag("Never ask upstream for names without a dot.")
    bogus_priv: bool = _flag("Never ask upstream for names of private addresses.")
    no_poll: bool = _flag("Do not watch /etc/resolv.conf for changes.")
    no_hosts: bool = _flag("Do not answer from /etc/hosts.")
    no_resolv: bool = _flag("Do not read /etc/resolv.conf; upstream servers are those of `server`.")
    expand_hosts: bool = _flag("Add the domain to names without a dot.")
    strict_order: bool = _flag("Ask the upstream servers in their order.")
    all_servers: bool = _flag("Ask all upstream servers at once.")
    localise_queries: bool = _flag("Answer with the address of the interface that was asked on.")
    stop_dns_rebind: bool = _flag("Refuse private addresses in upstream answers.")
    rebind_localhost_ok: bool = _flag("Take 127.0.0.0/8 in upstream answers all the same.")
    no_negcache: bool = _flag("Do not remember that a name does not exist.")
    no_ping: bool = _flag("Do not ping an address before it is offered; leases come 3 s sooner.")
    log_queries: bool = _flag("Log every DNS query.")
    log_dhcp: bool = _flag("Log DHCP in detail.")
    log_facility: (
        Annotated[
            str, *text(check_log_facility, {"minLength": 1}, "a syslog facility, or a file in /var/log for dnsmasq")
        ]
        | None
    ) = Field(
        None, description="A syslog facility, or a file as in /var/log/dnsmasq.log, which dnsmasq does not rotate."
    )
    cache_size: int | None = Field(None, ge=0, le=100_000, description="Names kept in the DNS cache.")
    dns_forward_max: int | None = Field(None, ge=1, le=100_000, description="DNS queries that may wait at once.")
    dhcp_lease_max: int | None = Field(None, ge=1, le=100_000, description="Leases that may exist at once.")
    local_ttl: int | None = Field(None, ge=0, le=604_800, description="Seconds that local names may be cached.")
    neg_ttl: int | None = Field(None, ge=0, le=604_800, description="Seconds that a missing name is remembered.")
    max_ttl: int | None = Field(None, ge=0, le=604_800, description="Most seconds told to clients.")
    max_cache_ttl: int | None = Field(None, ge=0, le=604_800, description="Most seconds kept in the cache.")
    min_cache_ttl: int | None = Field(None, ge=0, le=3600, description="Least seconds kept in the cache.")
    dhcp: tuple[DhcpRange, ...] = Field(default=(), max_length=64, description="The ranges that DHCP gives out.")

    def served_interfaces(self) -> tuple[str, ...]:
        """The interfaces that DNS and DHCP are served on, without repeats."""
        named = self.interface or tuple(entry.interface for entry in self.dhcp)
        return tuple(dict.fromkeys(name for name in named if name not in self.except_interface))

    @property
    def authoritative(self) -> bool:
        """dnsmasq knows one such switch for all ranges."""
        return any(entry.authoritative for entry in self.dhcp)

    @property
    def lease_file(self) -> str | None:
        """dnsmasq knows one lease file for all ranges."""
        return next((entry.lease_file for entry in self.dhcp if entry.lease_file), None)


def flags_of(section: DnsmasqSection) -> tuple[str, ...]:
    """The switches that are on, as keys of the section."""
    return tuple(
        name
        for name, declared in DnsmasqSection.model_fields.items()
        if declared.annotation is bool and name != "guest_configs" and getattr(section, name)
    )
