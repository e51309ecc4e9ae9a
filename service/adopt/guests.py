"""The guests that dnsmasq's own files, a hosts folder or /etc/ethers name."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_interface

from service.adopt.interfaces_read import significant
from service.adopt.material import HOSTS_FILE, Material
from service.adopt.sketch import Sketch
from service.formats import dnsmasq, ethers
from service.model.states import Json
from service.resources.dnsmasq_config import FILES
from service.resources.guest_names import PROTECTION
from service.resources.guests_known import GUESTS_FILE, SOURCES, GuestLine, counting_lines, guest_lines
from service.spec.findings import Path

SECTION = "guests"
IN_EACH_NETWORK = "this MAC has addresses in several networks, and `guests` has one address for a MAC"


def read_guests_of_dnsmasq(
    material: Material, networks: Mapping[str, Sequence[str]], owners: dict[tuple[str, int], Path], sketch: Sketch
) -> Mapping[str, Json]:
    """Write the section; the report has each line that names a guest, whether it counts or not. `networks` are the
    host's own by interface. `owners` gets the lines whose comments belong to a guest."""
    texts = material.below(*SOURCES, *FILES, HOSTS_FILE)
    lines = guest_lines(texts)
    known = counting_lines(lines)
    twice = dict(_addresses_twice(lines))
    spread = _in_several_networks(lines, networks)
    section: dict[str, Json] = {}
    # one MAC speaks for all of its line: one for which the line counts, where there is one
    several = {line.where: line for line in reversed(lines)}
    several |= {line.where: line for line in reversed(list(known.values()))}
    for line in sorted(lines, key=lambda line: line.path != GUESTS_FILE):  # what is ours already goes first
        why = twice.get(line.where, "")
        if why:
            sketch.notes.add("danger", SECTION, line.where, why)
        last = known.get(line.mac)
        if several[line.where] != line:
            continue
        if line.mac in spread:
            sketch.notes.add("unmanaged", SECTION, line.where, f"{_words(line)}: {IN_EACH_NETWORK}")
        elif last != line or line.extra:
            sketch.notes.add("unmanaged", SECTION, line.where, _left(line, last))
            if last == line and line.name and "ignore" not in line.extra:
                sketch.also.setdefault(SECTION, {})[line.name] = _entry(line)
        elif not line.name:
            sketch.notes.add("unmanaged", SECTION, line.where, f"{line.mac} {line.address} has no name".strip())
        elif line.name in section:
            sketch.notes.add("danger", SECTION, line.where, f"{line.name} is named twice: {line.mac} too")
        elif why:
            sketch.notes.add("unmanaged", SECTION, line.where, _words(line))
        else:
            section[line.name] = _entry(line)
            owners[line.path, line.line] = (SECTION, line.name)
            sketch.notes.add("understood", SECTION, line.where, _words(line), (SECTION, line.name))
    if section:
        sketch.values[SECTION] = section
    _told(material, lines, sketch)
    return section


def register_guest_files(material: Material, sketch: Sketch) -> None:
    """The lines of the files that are only about guests, whether dnsmasq reads them or not."""
    account = sketch.notes
    said = [
        d for path in dnsmasq.read_order(material.files) for d in dnsmasq.parse(material.files[path], path).directives
    ]
    folders = {d.value.rstrip("/") for d in said if d.key == "dhcp-hostsdir"}
    for path, data in material.below(*SOURCES).items():
        if path.rpartition("/")[0] in folders:
            for number in significant(data):
                text = data.decode("utf-8", "replace").split("\n")[number - 1]
                account.read(SECTION, path, [number], text)
        elif path == ethers.PATH:
            is_read = any(d.key == "read-ethers" for d in said)
            why = "dnsmasq takes nothing from this line" if is_read else "dnsmasq does not read it (no `read-ethers`)"
            for number in significant(data) if is_read else ():
                account.read(SECTION, path, [number], why)
            account.read(SECTION, path, significant(data), why)


def _told(material: Material, lines: Sequence[GuestLine], sketch: Sketch) -> None:
    """The directives that name no guest by its MAC, or where guests are named."""
    known = {line.where for line in lines}
    for path in dnsmasq.read_order(material.files):
        for directive in dnsmasq.parse(material.files[path], path).directives:
            where = f"{path}:{directive.line}"
            text = f"{directive.key}={directive.value}" if directive.value else directive.key
            if directive.key == "dhcp-host" and where not in known:
                what = f"{text}: `guests` has no key for it, because guests are known by their MAC"
                sketch.notes.add("unmanaged", SECTION, where, what)
            elif (directive.key, directive.value) == PROTECTION or directive.value.rstrip("/") == _own_folder():
                sketch.notes.add("understood", SECTION, where, f"{text}, which `guests` needs", (SECTION,))
            elif directive.key in ("dhcp-hostsdir", "dhcp-hostsfile", "read-ethers"):
                sketch.notes.add(
                    "unmanaged", SECTION, where, f"{text}: the line stays, {_whether_read(directive, known)}"
                )
    for number, line in enumerate(material.files.get(GUESTS_FILE, b"").decode("utf-8", "replace").split("\n"), 1):
        if line.startswith("set:"):
            name = line.partition(",")[2]
            sketch.notes.add("understood", SECTION, f"{GUESTS_FILE}:{number}", line, (SECTION, name))


def _whether_read(directive: dnsmasq.Directive, known: Collection[str]) -> str:
    """Whether the guests are known that a directive's files name. `known` are the places of all known ones."""
    folder = directive.value.rstrip("/") + "/"
    if directive.key == "read-ethers" or (
        directive.key == "dhcp-hostsdir" and any(where.startswith(folder) for where in known)
    ):
        return "and the report lists the lines of its files"
    return "and passerelle does not read the guests there. Fix: give those that you want managed `dhcp-host` lines"


def _own_folder() -> str:
    return GUESTS_FILE.rpartition("/")[0]


def _addresses_twice(lines: Sequence[GuestLine]) -> Iterator[tuple[str, str]]:
    """(where, why) of each reservation in dnsmasq's configuration whose address an earlier line has (2.90, --test)."""
    first: dict[str, str] = {}
    for line in lines:
        if line.path != ethers.PATH and not line.path.startswith(f"{_own_folder()}/") and line.address:
            where = first.setdefault(line.address, line.where)
            if where != line.where:
                yield line.where, f"dnsmasq refuses to start: {line.address} is reserved at {where} already"


def _in_several_networks(lines: Sequence[GuestLine], networks: Mapping[str, Sequence[str]]) -> set[str]:
    """The MACs with addresses in several networks: dnsmasq takes the line whose address fits the client's network
    (dnsmasq(8), `dhcp-host`), so more than one line counts."""
    homes: dict[str, set[str]] = {}
    for line in lines:
        if line.address and "ignore" not in line.extra:
            held = (address for addresses in networks.values() for address in addresses)
            home = next((network for network in held if is_in(line.address, network)), "")
            homes.setdefault(line.mac, set()).add(home)
    return {mac for mac, found in homes.items() if len(found) > 1}


def is_in(address: str, network: str) -> bool:
    """Whether an address is in the network of an interface's address (CIDR)."""
    try:
        return ip_address(address) in ip_interface(network).network
    except ValueError:
        return False


def _left(line: GuestLine, last: GuestLine | None) -> str:
    """Why a line is not in the spec."""
    if line.tags and last is not None and last.where != line.where:
        what = f"dnsmasq takes this line for requests with the tag {', '.join(line.tags)}"
        return f"{_words(line)}: {what}, and `guests` has no key for that"
    if last is not None and last.where != line.where:
        return f"{_words(line)}: without effect, of the lines for one MAC dnsmasq takes {last.where}"
    return f"{_words(line)}: `guests` has no key for {', '.join(line.extra)}"


def _entry(line: GuestLine) -> dict[str, Json]:
    """A guest as a spec says it."""
    return {"mac": line.mac, **({"address": line.address} if line.address else {})}


def _words(line: GuestLine) -> str:
    return " ".join(word for word in (line.name, line.mac, line.address) if word)
