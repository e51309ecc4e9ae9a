"""Where nobody waits on a served address although dnsmasq runs, or a line of its configuration keeps it from answering.

With `bind-interfaces` dnsmasq binds the addresses that exist when it starts, and no later ones. `port=0` and
`except-interface` in a file that is not ours keep it from answering on any (dnsmasq(8)). It is not reported where
another difference reports it already: a unit that does not run, an address that is not there, a directive that no file
has yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from service.formats import dnsmasq
from service.model.observed import HostObserved
from service.model.states import Seen, Unknown
from service.observe.at_boot import texts_of
from service.observe.derived import derived
from service.resources.dnsmasq_config import FILES
from service.resources.resource import field_of

UNIT = "dnsmasq.service"
DNS, DHCP = 53, 67
_NOT_THERE = {DNS: ("except-interface",), DHCP: ("except-interface", "no-dhcp-interface", "no-dhcpv4-interface")}
_KEYS = frozenset({"port", "interface", "listen-address", "dhcp-range", *_NOT_THERE[DHCP]})
Said = tuple[str, str, str]
"""(`path:line`, key, value)"""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Nobody answers on an address. `where` (`path:line`) and `text` are the line that keeps dnsmasq from it, empty
    where no line does."""

    where: str = ""
    text: str = ""


def unanswered(
    observed: HostObserved, port: int, interface: str, address: str, *, has_socket: bool
) -> Unanswered | None:
    """Why nobody answers on a UDP port of an address; None where dnsmasq does, or where nobody can know."""
    if not _should_wait(observed, interface, address):
        return None
    found = _said(observed)
    if not _is_asked(found, port, interface, address):
        return None
    kept = next((one for one in found if _keeps_away(one, port, interface)), None)
    if kept is not None:
        return Unanswered(kept[0], f"{kept[1]}={kept[2]}")
    # an IPv6 address is tentative while its link has no carrier, and nobody can bind it then (RFC 4862)
    return None if has_socket or ":" in address else Unanswered()


def _should_wait(observed: HostObserved, interface: str, address: str) -> bool:
    """Whether dnsmasq runs and the address is there. systemd calls the unit active once dnsmasq has its sockets: it
    forks after it bound them (Type=forking, systemd.service(5))."""
    link, addresses = observed.fact(f"link:{interface}"), observed.fact(f"addresses:{interface}")
    there = addresses.value if isinstance(addresses, Seen) and isinstance(addresses.value, list) else []
    return (
        field_of(observed.fact(f"unit:{UNIT}"), "active") == Seen(True)
        and field_of(link, "up") == Seen(True)
        and address in [str(one).partition("/")[0] for one in there]
    )


@derived
def _said(observed: HostObserved) -> tuple[Said, ...]:
    """What dnsmasq's files say about where it waits; a list is one each. Nothing where a file could not be read."""
    files = texts_of(observed, FILES)
    if isinstance(files, Unknown):
        return ()
    return tuple(
        (f"{path}:{one.line}", one.key, value.strip())
        for path in dnsmasq.read_order(files)
        for one in dnsmasq.parse(files[path], path).directives
        if one.key in _KEYS
        for value in (one.value.split(",") if one.key in dnsmasq.LISTS else [one.value])
    )


def _is_asked(found: Sequence[Said], port: int, interface: str, address: str) -> bool:
    """Whether dnsmasq's files serve it at all; where they do not, the missing directive is the difference."""
    if port == DHCP and not any(key == "dhcp-range" for _, key, _ in found):
        return False
    return any(
        (key == "interface" and value == interface) or (key == "listen-address" and value == address)
        for _, key, value in found
    )


def _keeps_away(one: Said, port: int, interface: str) -> bool:
    """Whether a line keeps dnsmasq from answering there. `*` at the end of a name stands for anything."""
    _, key, value = one
    if key == "port":
        return port == DNS and value != str(DNS)
    return key in _NOT_THERE[port] and fnmatchcase(interface, value.replace("[", "[[]").replace("?", "[?]"))
