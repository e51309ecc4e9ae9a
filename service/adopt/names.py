"""dnsmasq's files and the guests that they name."""

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic_core import PydanticCustomError

from service.adopt.material import HOSTS_FILE, Material
from service.adopt.sketch import Sketch
from service.formats import dnsmasq, lxc_guests, pve_guests
from service.formats.dnsmasq import Directive, DnsmasqFile
from service.kinds.dnsmasq.options import OPTIONS
from service.kinds.dnsmasq.section import DnsmasqSection, check_lease_file, check_log_facility
from service.model.states import Json
from service.resources.dnsmasq_config import FILES
from service.resources.guest_configs import rows_of
from service.resources.guest_names import SOURCES, KnownGuest, known_guests
from service.spec.findings import Path

SECTION = "dnsmasq"
_FLAGS = {
    name.replace("_", "-"): name
    for name, declared in DnsmasqSection.model_fields.items()
    if declared.annotation is bool
}
_NUMBERS = ("cache-size", "dns-forward-max", "dhcp-lease-max", "local-ttl", "neg-ttl", "max-ttl", "max-cache-ttl",
            "min-cache-ttl")  # fmt: skip
_LISTS = ("interface", "except-interface", "no-dhcp-interface", "listen-address")
_PLACES: Mapping[str, Callable[[str], str]] = {
    "dhcp-leasefile": check_lease_file,
    "log-facility": check_log_facility,
}
_TAKEN_ELSEWHERE = ("dhcp-host", "read-ethers", "dhcp-hostsdir")


def fits(check: Callable[[str], str], value: str) -> bool:
    """Whether a value is one that a spec may have."""
    try:
        check(value)
    except PydanticCustomError:
        return False
    return True


@dataclass(slots=True)
class _Reading:
    """The section while it is put together. `ranges` are by the tag that they set, where they set one."""

    sketch: Sketch
    value: dict[str, Json] = field(default_factory=dict)
    ranges: list[dict[str, Json]] = field(default_factory=list)
    tags: dict[str, int] = field(default_factory=dict)
    is_authoritative: bool = False
    lease_file: str = ""
    pending: list[tuple[str, Directive]] = field(default_factory=list)
    owners: dict[tuple[str, int], Path] = field(default_factory=dict)

    def unmanaged(self, path: str, directive: Directive, why: str = "") -> None:
        text = f"{directive.key}={directive.value}" if directive.value else directive.key
        self.sketch.notes.add("unmanaged", SECTION, f"{path}:{directive.line}", f"{text}{f' ({why})' if why else ''}")

    def elsewhere(self, path: str, directive: Directive) -> None:
        """A file where no spec lets root write: it stays where it is, and the spec does not name it."""
        self.unmanaged(path, directive, "a spec names no file there; it stays where it is")

    def took(self, path: str, directive: Directive, *keys: str | int) -> None:
        self.owners[path, directive.line] = (SECTION, *keys)
        text = f"{directive.key}={directive.value}" if directive.value else directive.key
        self.sketch.notes.add("understood", SECTION, f"{path}:{directive.line}", text)

    def take(self, path: str, directive: Directive) -> None:
        """One directive into the section, or into the report."""
        key, value = directive.key, directive.value
        name = key.replace("-", "_")
        if key in _FLAGS and not value:
            self.value[name] = True
            self.took(path, directive, name)
        elif key in _NUMBERS and re.fullmatch(r"[0-9]{1,6}", value) and name not in self.value:
            self.value[name] = int(value)
            self.took(path, directive, name)
        elif key in _PLACES and not fits(_PLACES[key], value):
            self.elsewhere(path, directive)
        elif key in ("domain", "log-facility") and value and "," not in value and name not in self.value:
            self.value[name] = value.lower() if key == "domain" else value
            self.took(path, directive, name)
        elif key in (*_LISTS, "server", "local") and value:
            self.list(path, directive)
        elif (key, value) == ("dhcp-ignore-names", "tag:!known"):
            self.value["names"] = "declared"
            self.took(path, directive, "names")
        elif key == "dhcp-authoritative":
            self.is_authoritative = True
            self.took(path, directive, "dhcp", 0)
        elif key == "dhcp-leasefile" and value:
            self.lease_file = value
            self.took(path, directive, "dhcp", 0)
        elif key in ("dhcp-range", "dhcp-option"):
            self.pending.append((path, directive))
        elif key not in _TAKEN_ELSEWHERE:
            self.unmanaged(path, directive)

    def list(self, path: str, directive: Directive) -> None:
        key = directive.key.replace("-", "_")
        items = [item.strip() for item in directive.value.split(",")] if directive.key in _LISTS else [directive.value]
        if directive.key == "local" and (inner := re.fullmatch(r"/([^/]+)/", directive.value)):
            items = [inner[1].lower()]
        elif directive.key == "local":
            self.unmanaged(path, directive)
            return
        known = self.value.setdefault(key, [])
        kept = [item for item in items if item != "lo"]
        if not kept or not isinstance(known, list):
            self.unmanaged(path, directive)
            if not known:
                del self.value[key]
            return
        known += [item for item in kept if item not in known]
        self.took(path, directive, key)

    def range(self, path: str, directive: Directive, networks: Mapping[str, Sequence[str]]) -> None:
        """A `dhcp-range` of addresses in a network of the host."""
        parts = [part.strip() for part in directive.value.split(",")]
        tags = [part for part in parts if part.startswith(("tag:", "set:", "net:"))]
        rest = [part for part in parts if part not in tags]
        lease = rest.pop() if len(rest) > 2 and "." not in rest[-1] else ""
        if len(rest) not in (2, 3) or not all(_is_address(part) for part in rest) or len(tags) > 1:
            self.unmanaged(path, directive, "not a plain range of IPv4 addresses")
            return
        home = next(
            ((name, n) for name, held in networks.items() for n in held if _is_in(rest[0], n)), None
        )  # fmt: skip
        if home is None or (tags and not tags[0].startswith("set:")):
            self.unmanaged(path, directive, "in no network of this host" if home is None else "tied to a tag")
            return
        value: dict[str, Json] = {"interface": home[0], "start": rest[0], "end": rest[1]}
        if len(rest) == 3 and rest[2] != str(ipaddress.IPv4Interface(home[1]).netmask):
            value["netmask"] = rest[2]
        if lease:
            value["lease_time"] = f"{lease}s" if lease.isdecimal() else lease.lower()
        if tags:
            self.tags[tags[0].removeprefix("set:")] = len(self.ranges)
        self.took(path, directive, "dhcp", len(self.ranges))
        self.ranges.append(value)

    def option(self, path: str, directive: Directive) -> None:
        """A `dhcp-option` that belongs to one range."""
        parts = [part.strip() for part in directive.value.split(",")]
        tags = [part for part in parts if part.startswith("tag:")]
        parts = [part for part in parts if part not in tags]
        name = parts[0].lower().removeprefix("option:") if parts else ""
        number = int(name) if name.isdecimal() and len(name) < 4 else dnsmasq.OPTION_NUMBERS.get(name, 0)
        index = 0 if not tags and len(self.ranges) == 1 else None
        if len(tags) == 1:
            index = self.tags.get(tags[0].removeprefix("tag:"))
        if index is None or number not in OPTIONS or len(parts) < 2 or len(tags) > 1:
            why = "belongs to all ranges" if not tags and len(self.ranges) > 1 else ""
            self.unmanaged(path, directive, why)
            return
        options = self.ranges[index].setdefault("options", {})
        if isinstance(options, dict) and str(number) not in options:
            values: list[Json] = [int(part) if _is_number(part) else part for part in parts[1:]]
            options[str(number)] = values[0] if len(values) == 1 else values
            self.took(path, directive, "dhcp", index)
        else:
            self.unmanaged(path, directive, "said twice")


def read_names(material: Material, networks: Mapping[str, Sequence[str]], sketch: Sketch) -> None:
    """Write the section `dnsmasq` and the guests that it names. `networks` are the host's own by interface."""
    files = _files(material)
    used = [file for file in files if file.directives]
    for file in files:
        for problem in file.problems:
            where, _, what = problem.partition(": ")
            sketch.notes.add("danger", SECTION, where, f"dnsmasq refuses to start: {what}")
    if not used:
        return
    if material.packages.get("dnsmasq") is False or material.is_off("dnsmasq.service"):
        what = "is not in force: dnsmasq " + (
            "is not installed" if material.packages.get("dnsmasq") is False else "does not start at boot"
        )
        for file in used:
            sketch.notes.add("unmanaged", SECTION, f"{file.path}:1", what)
        return
    reading = _Reading(sketch)
    for file in used:
        for directive in file.directives:
            reading.take(file.path, directive)
    for path, directive in reading.pending:
        if directive.key == "dhcp-range":
            reading.range(path, directive, networks)
    for path, directive in reading.pending:
        if directive.key == "dhcp-option":
            reading.option(path, directive)
    _finish(reading, used, sketch)
    _guests(material, reading, sketch)
    for file in used:
        _comments(file.path, material.files[file.path], reading)


def _files(material: Material) -> list[DnsmasqFile]:
    """dnsmasq's files in the order in which it reads them."""
    found = material.below(*FILES)
    paths = [p for p in FILES if p in found] + list(dnsmasq.taken(p for p in found if p not in FILES))
    return [dnsmasq.parse(found[path], path) for path in paths]


def _finish(reading: _Reading, used: Sequence[DnsmasqFile], sketch: Sketch) -> None:
    """The ranges into the section, or no section where what is served cannot be said."""
    value, ranges = reading.value, reading.ranges
    if not value.get("interface") and not value.get("listen_address"):
        what = "serves every interface: name those that it serves (`interface=`), and adopt again"
        sketch.notes.add("danger", SECTION, f"{used[0].path}:1", what)
        for note in [n for n in sketch.notes.made if (n.sort, n.section) == ("understood", SECTION)]:
            sketch.notes.made.remove(note)
            sketch.notes.add("unmanaged", SECTION, note.where, note.what)
        return
    for index, entry in enumerate(ranges):
        if index == 0 and reading.lease_file:
            entry["lease_file"] = reading.lease_file
        if reading.is_authoritative:
            entry["authoritative"] = True
        if "options" in entry:
            entry["options"] = entry.pop("options")
    if list(dict.fromkeys(entry["interface"] for entry in ranges)) == value.get("interface"):
        del value["interface"]
    if ranges:
        value["dhcp"] = [*ranges]
    sketch.values[SECTION] = {key: _one(item) for key, item in value.items()}


def _one(item: Json) -> Json:
    """A list of one text is written as the text."""
    return item[0] if isinstance(item, list) and len(item) == 1 and isinstance(item[0], str) else item


def _guests(material: Material, reading: _Reading, sketch: Sketch) -> None:
    """Guests that dnsmasq's own files, a hosts folder or /etc/ethers name."""
    if SECTION not in sketch.values:
        return
    section: dict[str, Json] = {}
    for guest in known_guests(material.below(*SOURCES, *FILES, HOSTS_FILE)).values():
        path, _, line = guest.where.rpartition(":")
        if not guest.name:
            sketch.notes.add("unmanaged", "guests", guest.where, f"{guest.mac} {guest.address} has no name".strip())
            continue
        if guest.name in section:
            sketch.notes.add("danger", "guests", guest.where, f"{guest.name} is named twice: {guest.mac} too")
            continue
        entry: dict[str, Json] = {"mac": guest.mac}
        if guest.address:
            entry["address"] = guest.address
        section[guest.name] = entry
        reading.owners[path, int(line)] = ("guests", guest.name)
        sketch.notes.add("understood", "guests", guest.where, _guest(guest))
    if section:
        sketch.values["guests"] = section
        _others(material, reading, section, sketch)


def _others(material: Material, reading: _Reading, section: Mapping[str, Json], sketch: Sketch) -> None:
    """Guests that dnsmasq does not know are not named by adopting: whoever wants that takes the key away."""
    named = {str(entry.get("mac")) for entry in section.values() if isinstance(entry, dict)}
    bridges = [str(entry.get("interface")) for entry in reading.ranges]
    for path in sorted(material.files):
        if not (pve_guests.is_guest_file(path) or lxc_guests.is_guest_file(path)):
            continue
        for name, mac, _ in rows_of(path, material.files[path], bridges):
            known = sketch.values[SECTION]
            if mac not in named and isinstance(known, dict):
                known["guest_configs"] = False
                what = f"dnsmasq does not know {name} ({mac}): without `guest_configs: false` it would be named, too"
                sketch.notes.add("unmanaged", "guests", f"{path}:1", what)


def _guest(guest: KnownGuest) -> str:
    return " ".join(word for word in (guest.name, guest.mac, guest.address) if word)


def _comments(path: str, data: bytes, reading: _Reading) -> None:
    """Each comment goes above the key of the next directive that the spec has; what is left, above the section."""
    sketch = reading.sketch
    lines = data.decode("utf-8", "replace").split("\n")
    owners = sorted((line, owner) for (where, line), owner in reading.owners.items() if where == path)
    for number, raw in enumerate(lines, 1):
        text = raw.strip()
        if not text.startswith("#") or not text.lstrip("#").strip():
            continue
        owner = next((owner for line, owner in owners if line >= number and sketch.has(owner)), None)
        owner = owner or next((owner for _, owner in reversed(owners) if sketch.has(owner)), None)
        owner = owner or ((SECTION,) if sketch.has((SECTION,)) else ())
        sketch.comment(owner, [text.lstrip("#").strip()])


def _is_address(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}", text) is not None


def _is_in(address: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_interface(network).network
    except ValueError:
        return False


def _is_number(text: str) -> bool:
    return re.fullmatch(r"0|[1-9][0-9]{0,8}", text) is not None
