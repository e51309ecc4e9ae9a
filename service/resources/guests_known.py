"""The guests that dnsmasq knows from any file, line by line, and which line counts.

guest_lines(texts) -> tuple[GuestLine, …]    out of dnsmasq's files, hosts folders, /etc/ethers, in its order
known_guests(texts) -> {mac: GuestLine}      the line that counts: of several for one MAC the last
counting_lines(lines) -> {mac: GuestLine}    the same of lines, with those that say `ignore`
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from service.formats import dnsmasq, ethers

HOSTS_FOLDER = "/etc/passerelle/dhcp-hosts.d"
"""dnsmasq watches it: a new line names an existing lease at once (dnsmasq(8), dhcp-hostsdir). Only host specs count."""

GUESTS_FILE = f"{HOSTS_FOLDER}/guests"
CONFIGURATION = (dnsmasq.MAIN_FILE, "/etc/dnsmasq.d/*")
HOSTS_FILE = "/etc/hosts"
SOURCES = (*CONFIGURATION, ethers.PATH, HOSTS_FILE, f"{HOSTS_FOLDER}/*")


@dataclass(frozen=True, slots=True)
class GuestLine:
    """What one line says of one MAC, and its place (`path:line`).

    `extra` is what no key of a spec's `guests` says: further MACs, tags, a lease time, an IPv6 address, a domain.
    `hides` is the place of an earlier line that says more of the same MAC, and would count if this one went.
    """

    mac: str
    name: str
    address: str
    where: str
    extra: tuple[str, ...] = ()
    hides: str = field(default="", compare=False)

    @property
    def path(self) -> str:
        """The file."""
        return self.where.rpartition(":")[0]

    @property
    def line(self) -> int:
        """The number of the line."""
        return int(self.where.rpartition(":")[2])

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags that a request must have for this line to count; `set:` is another thing."""
        return tuple(part[4:] for part in self.extra if part.startswith("tag:"))

    @property
    def may_move(self) -> bool:
        """Whether our own file can say the same, and the line may go."""
        return not self.extra and not self.hides and not self.path.startswith(f"{HOSTS_FOLDER}/")


def guest_lines(texts: Mapping[str, bytes], *, own: bool = True) -> tuple[GuestLine, ...]:
    """Every line that names a MAC, in dnsmasq's order. `own`: our own file counts too, if dnsmasq reads it."""
    flags: set[str] = set()
    folders: set[str] = set()
    found: list[GuestLine] = []
    for path in dnsmasq.read_order(texts):
        for directive in dnsmasq.parse(texts[path], path).directives:
            flags.add(directive.key)
            if directive.key == "dhcp-host":
                found += _of_line(directive.value, f"{path}:{directive.line}")
            elif directive.key == "dhcp-hostsdir":
                folders.add(directive.value.rstrip("/"))
    for path in sorted(texts):
        if path.rpartition("/")[0] in folders and (own or path != GUESTS_FILE):
            for number, line in enumerate(texts[path].decode("utf-8", "replace").split("\n"), 1):
                if line.strip() and not line.lstrip().startswith("#"):
                    found += _of_line(line, f"{path}:{number}")
    if "read-ethers" in flags and ethers.PATH in texts:
        found += _of_ethers(texts, flags)
    return tuple(found)


def known_guests(texts: Mapping[str, bytes], *, own: bool = True) -> dict[str, GuestLine]:
    """What dnsmasq knows of each MAC: the line that counts. One that is to be ignored is not known."""
    known = counting_lines(guest_lines(texts, own=own))
    return {mac: line for mac, line in known.items() if "ignore" not in line.extra}


def counting_lines(lines: Iterable[GuestLine]) -> dict[str, GuestLine]:
    """Of the lines for each MAC the last (seen with 2.90), that of /etc/ethers where no other names it.

    A line with `tag:` is for requests with this tag, so it replaces none without (dnsmasq(8), `dhcp-host`).
    """
    known: dict[str, GuestLine] = {}
    for line in lines:
        before = known.get(line.mac)
        if before is not None and (line.path == ethers.PATH or (line.tags and not before.tags)):
            continue
        stays = before is not None and not before.may_move and before.where != line.where
        known[line.mac] = replace(line, hides=before.where) if before is not None and stays else line
    return known


def _of_line(value: str, where: str) -> Iterator[GuestLine]:
    """One `dhcp-host`, for each MAC that it names."""
    for entry in dnsmasq.parse_hosts(value.encode("utf-8", "replace")).entries:
        name, _, domain = entry.name.partition(".")
        others = [dnsmasq.mac_of(part) for part in entry.other]
        macs = [entry.mac, *(mac for mac in others if mac)]
        more = [part for part, mac in zip(entry.other, others, strict=True) if not mac]
        more += [f"the domain {domain}"] if domain else []
        for mac in macs:
            beside = [f"another MAC, {other}" for other in macs if other != mac]
            yield GuestLine(mac, name, entry.address, where, (*beside, *more))


def _of_ethers(texts: Mapping[str, bytes], flags: set[str]) -> Iterator[GuestLine]:
    names = {} if "no-hosts" in flags else _hosts(texts.get(HOSTS_FILE, b""))
    for entry in ethers.parse(texts[ethers.PATH]).entries:
        address = entry.address or next((a for a, n in names.items() if n == entry.name), "")
        name = entry.name or names.get(entry.address, "")
        yield GuestLine(entry.mac, name.split(".")[0], address, f"{ethers.PATH}:{entry.line}")


def _hosts(data: bytes) -> dict[str, str]:
    """hosts(5): the first name of each address."""
    names: dict[str, str] = {}
    for line in data[: 1 << 20].decode("utf-8", "replace").split("\n"):
        words = line.partition("#")[0].split()
        if len(words) > 1:
            names.setdefault(words[0], words[1].lower())
    return names
