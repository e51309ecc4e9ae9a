"""The values of the key `dnsmasq`: each a check, the pattern that editors have of it, and the writer's word.

The writer writes every value that a check accepts: each check ends with `formats.dnsmasq_values.takes`. So lint never
accepts a value that a plan would refuse. Some checks take less than the writer does: dnsmasq writes logs and leases as
root.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from service.formats.dnsmasq_servers import MAX_DOMAIN, MAX_DOMAINS, read_server
from service.formats.dnsmasq_values import takes
from service.model.trees import quoted
from service.spec import grammar, patterns
from service.spec.grammar import InterfaceName, text, wrong
from service.spec.patterns import number, whole

MIN_LEASE_S = 120
"""dnsmasq raises shorter leases to two minutes."""
MAX_LEASE_S = 2**32 - 1

_LEASE_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LEASE_TIME = "|".join(
    f"{number(-(-MIN_LEASE_S // size), MAX_LEASE_S // size)}{unit}" for unit, size in _LEASE_UNITS.items()
)
_A_LEASE_TIME = re.compile(r"([1-9][0-9]{0,9})([smhdw])")
# What dnsmasq writes as root, by a spec's word: in folders for it, under names that belong to nobody else.
_LEASE_FILE = (
    r"/(?:var/lib/misc|var/lib|var/tmp|tmp|run|var/run|dev/shm)(?:/dnsmasq)?/"
    r"(?:leases|[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.leases)"
)
_LOG_FILE = r"/var/log/(?:dnsmasq/)?(?:dnsmasq|dhcp|dns)(?:[_-][A-Za-z0-9_-]+)?(?:\.[A-Za-z0-9_-]+)*"
_FACILITIES = (
    *("auth", "authpriv", "cron", "daemon", "kern", "lpr", "mail", "news", "syslog", "user", "uucp"),
    *(f"local{n}" for n in range(8)),
)
MAX_PATH = 200
_MASKS = tuple(
    ".".join(str((0xFFFFFFFF << (32 - bits) >> shift) & 255) for shift in (24, 16, 8, 0)) for bits in range(1, 33)
)


def check_lease_time(value: str) -> str:
    """How long a lease lasts: a number with s, m, h, d or w, or `infinite`."""
    if value == "infinite":
        return value
    match = _A_LEASE_TIME.fullmatch(value)
    if not match:
        wrong(f"{quoted(value)} is not a lease time", "write a time such as 12h or 45m, or infinite")
    if not MIN_LEASE_S <= int(match[1]) * _LEASE_UNITS[match[2]] <= MAX_LEASE_S:
        wrong(f"{quoted(value)} is out of range", "write 2m or more, or infinite")
    return value


def check_lease_file(value: str) -> str:
    """A file that dnsmasq, as root, creates and writes: only where lease files are kept, and named as one."""
    if not re.fullmatch(_LEASE_FILE, value) or len(value) > MAX_PATH:
        wrong(
            f"{quoted(value)} is not allowed as a lease file",
            "write /var/lib/misc/dnsmasq.leases, or another name that ends with .leases in /var/lib/misc or "
            "/var/lib/dnsmasq",
        )
    return value


def check_log_facility(value: str) -> str:
    """A syslog facility, or dnsmasq's own file in /var/log. Root appends to it, so other files are not allowed."""
    if value in _FACILITIES:
        return value
    if not re.fullmatch(_LOG_FILE, value) or len(value) > MAX_PATH:
        close = value.lower() if value.lower() in _FACILITIES else ""
        right = "write /var/log/dnsmasq.log, /var/log/dnsmasq-NAME.log, or a facility such as daemon"
        wrong(f"{quoted(value)} is not allowed as dnsmasq's log", f"write {close}" if close else right)
    return value


def check_local(value: str) -> str:
    """A domain answered only from here, `/lan/` or `lan`; canonical form is without slashes."""
    inner = value[1:-1] if len(value) > 2 and value[0] == value[-1] == "/" else value
    return grammar.check_domain(inner)


def check_server(value: str) -> str:
    """An upstream DNS server, for all names or for some domains, in dnsmasq's own form."""
    if re.search(r"#(?:0[0-9]*|[1-9][0-9]{5,}|[0-9]*[^0-9@/].*|)(?=@|$)", value) and not value.endswith("/#"):
        wrong(f"{quoted(value)} has no valid port", "write a port from 1 to 65535 after #, without leading zeros")
    server = read_server(value)
    if server is None or not (server.address or server.usual):
        wrong(
            f"{quoted(value)} is not a DNS server",
            "write a server such as 1.1.1.1, 2001:db8::53#5353, 1.1.1.1@vmbr0 or /example.org/192.0.2.53",
        )
    for domain in value.split("/")[1:-1]:
        grammar.check_domain(domain)
    if server.address:
        grammar.check_own_address(server.address)
    if server.source:
        grammar.check_own_address(server.source)
    if server.interface:
        grammar.check_interface(server.interface)
    return str(server)


def check_netmask(value: str) -> str:
    """A dotted netmask."""
    if value not in _MASKS:
        wrong(f"{quoted(value)} is not a netmask", "write a netmask such as 255.255.255.0")
    return value


def written(key: str, check: Callable[[str], str], line: str = "{}") -> Callable[[str], str]:
    """A check whose result dnsmasq's writer takes, too. `line` is the directive's value around it."""

    def checked(value: str) -> str:
        canonical = check(value)
        if not takes(key, line.format(canonical)):
            wrong(f"{quoted(value)} cannot be written into dnsmasq's file", "write it shorter, or plainer")
        return canonical

    return checked


def many(schema: dict[str, Any]) -> Any:
    """One text or a list of them."""
    return (
        Field(max_length=256),
        BeforeValidator(grammar.one_or_many),
        WithJsonSchema({"anyOf": [schema, {"type": "array", "items": schema, "maxItems": 256}]}),
    )


_TEXT = {"type": "string"}
_LEASE_FILE_WORDS = "a file that ends with .leases, in /var/lib/misc or a folder of dnsmasq"
_LOG_WORDS = "a syslog facility, or a file in /var/log for dnsmasq"
_SERVER_WORDS = "an address, with #PORT, @INTERFACE or @SOURCE behind it or /DOMAIN/ before it where needed"
_DOMAIN = grammar.DOMAIN_PATTERN
_DOMAINS = f"/(?:(?=[^/]{{1,{MAX_DOMAIN}}}/){_DOMAIN}/){{1,{MAX_DOMAINS}}}"
_WAYS = "|".join(
    f"{address}(?:#{patterns.PORT})?(?:@{grammar.INTERFACE_PATTERN})?(?:@{address}(?:#{patterns.PORT})?)?"
    for address in (patterns.OWN_IPV4, patterns.OWN_IPV6)
)

Interfaces = Annotated[tuple[InterfaceName, ...], *many(_TEXT | grammar.INTERFACE_SCHEMA)]
Addresses = Annotated[
    tuple[Annotated[str, AfterValidator(written("listen-address", grammar.check_own_address))], ...],
    *many(_TEXT | whole(patterns.OWN_ADDRESS, "an address")),
]
LocalDomains = Annotated[
    tuple[Annotated[str, AfterValidator(written("local", check_local, "/{}/"))], ...],
    *many(_TEXT | whole(rf"/(?=.{{1,{MAX_DOMAIN}}}/$){_DOMAIN}/|(?=.{{1,{MAX_DOMAIN}}}$){_DOMAIN}", "a DNS name")),
]
Servers = Annotated[
    tuple[Annotated[str, AfterValidator(written("server", check_server))], ...],
    *many(_TEXT | whole(f"{_DOMAINS}#|(?:{_DOMAINS})?(?:{_WAYS})", _SERVER_WORDS)),
]
Netmask = Annotated[str, *text(check_netmask, {"enum": [*_MASKS]}, "a netmask such as 255.255.255.0")]
LeaseTime = Annotated[
    str,
    *text(
        written("dhcp-range", check_lease_time, "10.0.0.1,10.0.0.9,{}"),
        whole(f"{_LEASE_TIME}|infinite", "2m or more, or infinite"),
    ),
]
LeaseFile = Annotated[
    str, *text(written("dhcp-leasefile", check_lease_file), whole(_LEASE_FILE, _LEASE_FILE_WORDS, maxLength=MAX_PATH))
]
LogFacility = Annotated[
    str,
    *text(
        written("log-facility", check_log_facility),
        whole(f"{'|'.join(_FACILITIES)}|{_LOG_FILE}", _LOG_WORDS, maxLength=MAX_PATH),
    ),
]
Domain = Annotated[str, *text(written("domain", grammar.check_domain), grammar.DOMAIN_SCHEMA)]
