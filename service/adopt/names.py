"""dnsmasq's files and the guests that they name."""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic_core import PydanticCustomError

from service.adopt.guests import is_in, read_guests_of_dnsmasq, register_guest_files
from service.adopt.interfaces_read import significant
from service.adopt.material import Material
from service.adopt.ranges6 import take_range6
from service.adopt.sketch import Sketch
from service.formats import dnsmasq, lxc_guests, pve_guests
from service.formats.dnsmasq import Directive, DnsmasqFile
from service.kinds.dnsmasq import ORDER_FILE, ORDER_TEXT
from service.kinds.dnsmasq.options import OPTIONS
from service.kinds.dnsmasq.section import DnsmasqSection
from service.kinds.dnsmasq.values import check_lease_file, check_log_facility
from service.model.states import Json
from service.resources.dnsmasq_config import FILES
from service.resources.guest_configs import rows_of
from service.resources.guest_names import PROTECTION
from service.spec.findings import Path

SECTION = "dnsmasq"
_FLAGS = {
    name.replace("_", "-"): name
    for name, declared in DnsmasqSection.model_fields.items()
    if declared.annotation is bool
}
_NUMBERS = ("cache-size", "dns-forward-max", "dhcp-lease-max", "local-ttl", "neg-ttl", "max-ttl", "max-cache-ttl",
            "min-cache-ttl")  # fmt: skip
_OPTIONS = ("dhcp-option", "dhcp-option-force")
_LISTS = ("interface", "except-interface", "no-dhcp-interface", "listen-address")
_PLACES: Mapping[str, Callable[[str], str]] = {
    "dhcp-leasefile": check_lease_file,
    "log-facility": check_log_facility,
}
_TAKEN_ELSEWHERE = ("dhcp-host", "read-ethers", "dhcp-hostsdir", "dhcp-hostsfile")
STARTS_TOO_EARLY = (
    "with bind-interfaces dnsmasq ends at boot when one of its interfaces is not there yet, and Debian starts it "
    "before ifupdown2 is done. Fix: write bind-dynamic instead on the host, or `bind_interfaces: true` in the spec: "
    f"then passerelle also writes {ORDER_FILE}, which starts it later"
)
SERVES_ALL = "dnsmasq serves every interface. Fix: name those that it serves (`interface=`), and adopt again"


def fits(check: Callable[[str], str], value: str) -> bool:
    """Whether a value is one that a spec may have."""
    try:
        check(value)
    except PydanticCustomError:
        return False
    return True


@dataclass(slots=True)
class _Reading:
    """The section while it is put together. `ranges` are by the tag that they set, where they set one. `taken_back`
    are options of ranges (index, number) whose last line no spec can say."""

    sketch: Sketch
    value: dict[str, Json] = field(default_factory=dict)
    ranges: list[dict[str, Json]] = field(default_factory=list)
    tags: dict[str, int] = field(default_factory=dict)
    is_authoritative: bool = False
    lease_file: str = ""
    is_ordered: bool = False
    last_domain: tuple[str, int] | None = None
    tag_counts: Counter[str] = field(default_factory=Counter)
    taken_back: set[tuple[int, int]] = field(default_factory=set)
    pending: list[tuple[str, Directive]] = field(default_factory=list)
    owners: dict[tuple[str, int], Path] = field(default_factory=dict)

    def unmanaged(self, path: str, directive: Directive, why: str = "") -> None:
        text = f"{words_of(directive)}{f' ({why})' if why else ''}"
        self.sketch.notes.add("unmanaged", SECTION, f"{path}:{directive.line}", text)

    def took(self, path: str, directive: Directive, *places: Path, owner: Path = ()) -> None:
        """A directive that the section says at these places; comments above it go to `owner`, or the first place."""
        self.owners[path, directive.line] = (SECTION, *(owner or places[0]))
        for place in places:
            self.sketch.notes.add(
                "understood", SECTION, f"{path}:{directive.line}", words_of(directive), (SECTION, *place)
            )

    def take(self, path: str, directive: Directive) -> None:
        """One directive into the section, or into the report."""
        key, value = directive.key, directive.value
        name = key.replace("-", "_")
        if key == "bind-interfaces" and not self.is_ordered:
            self.unmanaged(path, directive)
            self.sketch.notes.add("danger", SECTION, f"{path}:{directive.line}", STARTS_TOO_EARLY)
            self.sketch.also.setdefault(SECTION, {})["bind_interfaces"] = True
        elif key in _FLAGS and not value:
            self.value[name] = True
            self.took(path, directive, (name,))
        elif key in _NUMBERS and re.fullmatch(r"[0-9]{1,6}", value) and name not in self.value:
            self.value[name] = int(value)
            self.took(path, directive, (name,))
        elif key in _PLACES and not fits(_PLACES[key], value):
            self.unmanaged(path, directive, "a spec names no file there; it stays where it is")
        elif key == "domain" and self.last_domain not in (None, (path, directive.line)) and "," not in value:
            self.unmanaged(path, directive, "without effect, because dnsmasq takes the last domain")
        elif key in ("domain", "log-facility") and value and "," not in value and name not in self.value:
            self.value[name] = value.lower() if key == "domain" else value
            self.took(path, directive, (name,))
        elif key in (*_LISTS, "server", "local") and value:
            self.list(path, directive)
        elif (key, value) == ("dhcp-ignore-names", "tag:!known"):
            self.value["names"] = "declared"
            self.took(path, directive, ("names",))
        elif key == "dhcp-authoritative":
            self.is_authoritative = True
            self.took(path, directive, ("dhcp",), owner=("dhcp", 0))
        elif key == "dhcp-leasefile" and value:
            self.lease_file = value
            self.took(path, directive, ("dhcp", 0, "lease_file"), owner=("dhcp", 0))
        elif key in ("dhcp-range", *_OPTIONS):
            self.pending.append((path, directive))
        elif key not in _TAKEN_ELSEWHERE and (key, value) != PROTECTION:
            self.unmanaged(path, directive)

    def list(self, path: str, directive: Directive) -> None:
        """A directive with values of which the section has a list."""
        key = directive.key.replace("-", "_")
        items = [item.strip() for item in directive.value.split(",")] if directive.key in _LISTS else [directive.value]
        if directive.key == "local" and (inner := re.fullmatch(r"/([^/]+)/", directive.value)):
            items = [inner[1].lower()]
        elif directive.key == "local":
            self.unmanaged(path, directive)
            return
        kept = [item for item in items if item != "lo"]
        if not kept:
            self.unmanaged(path, directive, "no spec names lo")
            return
        known = self.value.setdefault(key, [])
        if isinstance(known, list):
            known += [item for item in kept if item not in known]
            self.took(path, directive, *((key, known.index(item)) for item in kept), owner=(key,))

    def range(self, path: str, directive: Directive, networks: Mapping[str, Sequence[str]]) -> None:
        """A `dhcp-range` of addresses in a network of the host."""
        if "constructor:" in directive.value:
            index, why = take_range6(directive.value, self.value, self.sketch.values)
            self.unmanaged(path, directive, why) if why else self.took(path, directive, ("dhcp6", index))
            return
        parts = [part.strip() for part in directive.value.split(",")]
        tags = [part for part in parts if part.startswith(("tag:", "set:", "net:"))]
        rest = [part for part in parts if part not in tags]
        lease = rest.pop() if len(rest) > 2 and "." not in rest[-1] else ""
        if len(rest) not in (2, 3) or not all(_is_address(part) for part in rest) or len(tags) > 1:
            self.unmanaged(path, directive, "not a plain range of IPv4 addresses")
            return
        home = next(
            ((name, n) for name, held in networks.items() for n in held if is_in(rest[0], n)), None
        )  # fmt: skip
        if tags and self.tag_counts[tags[0].removeprefix("set:")] > 1:
            self.unmanaged(path, directive, "several ranges set the same tag")
            return
        if home is None or (tags and not tags[0].startswith("set:")):
            self.unmanaged(path, directive, "in no network of this host" if home is None else "tied to a tag")
            return
        served = self.value.get("interface")
        if isinstance(served, list) and home[0] not in served:
            self.unmanaged(path, directive, f"{home[0]} is not among the interfaces that dnsmasq serves")
            return
        value: dict[str, Json] = {"interface": home[0], "start": rest[0], "end": rest[1]}
        if len(rest) == 3 and rest[2] != str(ipaddress.IPv4Interface(home[1]).netmask):
            value["netmask"] = rest[2]
        if lease:
            value["lease_time"] = f"{lease}s" if lease.isdecimal() else lease.lower()
        if value in self.ranges:  # the same line again
            self.took(path, directive, ("dhcp", self.ranges.index(value)))
            return
        if tags:
            self.tags[tags[0].removeprefix("set:")] = len(self.ranges)
        self.took(path, directive, ("dhcp", len(self.ranges)))
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
        is_forced = directive.key != "dhcp-option"
        if index is None or number not in OPTIONS or len(parts) < 2 or len(tags) > 1 or is_forced:
            if index is not None:
                self.taken_back.add((index, number))
            why = "belongs to all ranges" if not tags and len(self.ranges) > 1 else ""
            self.unmanaged(path, directive, why)
            return
        options = self.ranges[index].get("options", {})
        is_last = (index, number) not in self.taken_back
        if is_last and isinstance(options, dict) and str(number) not in options:
            self.ranges[index]["options"] = options
            values: list[Json] = [int(part) if _is_number(part) else part for part in parts[1:]]
            options[str(number)] = values[0] if len(values) == 1 else values
            self.took(path, directive, ("dhcp", index, "options", str(number)), owner=("dhcp", index))
        else:
            self.unmanaged(path, directive, "without effect, because a later line has the same option")


@dataclass(frozen=True, slots=True)
class TaggedRanges:
    """How many IPv4 ranges dnsmasq gives out, and the first addresses of those that options of their own have."""

    total: int = 0
    starts: frozenset[str] = frozenset()

    def without_lone_one(self, sketch: Sketch) -> bool:
        """Take out a range that is the only one of the spec, but not of the host. A spec with one range gives its
        options to all ranges. Returns whether there was such a range."""
        section = sketch.values.get(SECTION)
        ranges = section.get("dhcp") if isinstance(section, dict) else None
        first = ranges[0] if isinstance(ranges, list) and len(ranges) == 1 else None
        if self.total < 2 or not isinstance(first, dict) or first.get("start") not in self.starts:
            return False
        why = "its options are for this range only, and a spec with one range gives them to every range of the host"
        sketch.drop((SECTION, "dhcp", 0), why)
        return True


def read_names(material: Material, networks: Mapping[str, Sequence[str]], sketch: Sketch) -> TaggedRanges:
    """Write the section `dnsmasq` and the guests that it names. `networks` are the host's own by interface."""
    files = _files(material)
    _register(files, material, sketch)
    register_guest_files(material, sketch)
    used = [file for file in files if file.directives]
    _problems(files, sketch)
    if not used or _is_not_in_force(material, used, sketch):
        return TaggedRanges()
    domains = [(f.path, d.line) for f in used for d in f.directives if d.key == "domain" and "," not in d.value]
    reading = _Reading(sketch, is_ordered=material.files.get(ORDER_FILE) == ORDER_TEXT)
    reading.last_domain = domains[-1] if domains else None
    for file in used:
        for directive in file.directives:
            reading.take(file.path, directive)
    ranges = [directive.value.split(",") for _, directive in reading.pending if directive.key == "dhcp-range"]
    reading.tag_counts.update(part.strip()[4:] for parts in ranges for part in parts if part.strip()[:4] == "set:")
    for path, directive in reading.pending:
        if directive.key == "dhcp-range":
            reading.range(path, directive, networks)
    for path, directive in reversed(reading.pending):  # of one option given twice dnsmasq sends the last
        if directive.key in _OPTIONS:
            reading.option(path, directive)
    _finish(reading, sketch)
    is_there = SECTION in sketch.values
    section = read_guests_of_dnsmasq(material, networks, reading.owners, sketch) if is_there else {}
    if section:
        _others(material, reading, section, sketch)
    for file in used:
        _comments(file.path, material.files[file.path], reading)
    starts = [str(reading.ranges[n].get("start")) for n in reading.tags.values() if "options" in reading.ranges[n]]
    total = sum(d.key == "dhcp-range" and ":" not in re.sub("(set|tag|net):", "", d.value) for _, d in reading.pending)
    return TaggedRanges(total, frozenset(starts))


def _files(material: Material) -> list[DnsmasqFile]:
    """dnsmasq's files in the order in which it reads them."""
    found = material.below(*FILES)
    return [dnsmasq.parse(found[path], path) for path in dnsmasq.read_order(found)]


def _register(files: Sequence[DnsmasqFile], material: Material, sketch: Sketch) -> None:
    """Every line of dnsmasq's files; those that it does not read as a whole."""
    account = sketch.notes
    for file in files:
        for directive in file.directives:
            account.read(SECTION, file.path, [directive.line], words_of(directive))
        for line in significant(material.files[file.path]):
            account.read(SECTION, file.path, [line], "dnsmasq cannot read this line")
    read = {file.path for file in files}
    for path, data in material.below(*FILES).items():
        if path not in read and (lines := significant(data)):
            account.read(SECTION, path, lines, "Debian's dnsmasq does not read a file of this name", whole=path)
    if ORDER_FILE in material.files:
        lines = significant(material.files[ORDER_FILE])
        what = "an order of passerelle's own, for `bind_interfaces`"
        account.read(SECTION, ORDER_FILE, lines, what, whole=ORDER_FILE)
        if material.files[ORDER_FILE] == ORDER_TEXT:
            account.add("understood", SECTION, ORDER_FILE, what, (SECTION, "bind_interfaces"))


def _is_not_in_force(material: Material, used: Sequence[DnsmasqFile], sketch: Sketch) -> bool:
    """Whether no boot starts dnsmasq: then none of their lines is in force."""
    if material.packages.get("dnsmasq") is not False and not material.is_off("dnsmasq.service"):
        return False
    is_missing = material.packages.get("dnsmasq") is False
    why = f"is not in force: dnsmasq {'is not installed' if is_missing else 'does not start at boot'}"
    for file in used:
        for directive in file.directives:
            what = f"{words_of(directive)} {why}"
            sketch.notes.add("unmanaged", SECTION, f"{file.path}:{directive.line}", what)
    return True


def _problems(files: Sequence[DnsmasqFile], sketch: Sketch) -> None:
    """At what dnsmasq refuses to start: what its reader says of each file, and what two files give that counts once."""
    for file in files:
        for problem in file.problems:
            where, _, what = problem.partition(": ")
            sketch.notes.add("danger", SECTION, where, f"dnsmasq refuses to start: {what}")
    first: dict[str, str] = {}
    for file in files:
        here = {d.key: f"{file.path}:{d.line}" for d in reversed(file.directives) if d.key in dnsmasq.SINGLE}
        for key, where in here.items():
            if key in first:
                what = f"dnsmasq refuses to start: {key} is given twice, first at {first[key]}"
                sketch.notes.add("danger", SECTION, where, what)
        first |= {key: where for key, where in here.items() if key not in first}


def words_of(directive: Directive) -> str:
    """A directive as it is written."""
    return f"{directive.key}={directive.value}" if directive.value else directive.key


def _finish(reading: _Reading, sketch: Sketch) -> None:
    """The ranges into the section, or no section where what is served cannot be said."""
    value, ranges = reading.value, reading.ranges
    if not value.get("interface") and not value.get("listen_address"):
        sketch.notes.add("danger", SECTION, "", SERVES_ALL)
        sketch.notes.taken_out((SECTION,), "dnsmasq serves every interface, and a spec names those that it serves")
        return
    for index, entry in enumerate(ranges):
        if index == 0 and reading.lease_file:
            entry["lease_file"] = reading.lease_file
        if reading.is_authoritative:
            entry["authoritative"] = True
        if "options" in entry:
            options = entry.pop("options")
            entry["options"] = dict(reversed(options.items())) if isinstance(options, dict) else options
    if ranges:
        value["dhcp"] = [*ranges]
    sketch.values[SECTION] = value


def _others(material: Material, reading: _Reading, section: Mapping[str, Json], sketch: Sketch) -> None:
    """Guests that dnsmasq does not know are not named by adopting: to have them named, remove the key."""
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


def _is_number(text: str) -> bool:
    return re.fullmatch(r"0|[1-9][0-9]{0,8}", text) is not None
