"""Proxmox's firewall files as live sections: written where the spec would make files that mean the same, else not.

    live(place) -> Live             nothing_live(place, why) -> Live

Nothing is guessed. The spec is written and read, and its files are built. Each of them is compared with the existing
file, as a plan would compare them. Anything else that it would want is a difference.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from service.adopt.alone import read_alone
from service.adopt.pve_sections import KEY, FleetSketch, add_guest, add_host, fleet_of
from service.adopt.sketch import Sketch
from service.adopt.writing import write
from service.firewall.terms.model import Level
from service.kinds import KINDS
from service.kinds.desire import desire
from service.model.states import Json
from service.resources.desired import Desired
from service.resources.pve_firewall import FOLDER, PveFirewallFile
from service.spec.findings import Path
from service.spec.host import HostSpec
from service.spec.jumps import UNKNOWN as UNKNOWN_JUMP
from service.spec.layers import UNKNOWN_HOST
from service.spec.reading import FLEET_FILE

FLEET_TEXT = "passerelle: 1\n"
CLUSTER_PATH = f"{FOLDER}/cluster.fw"
DERIVES: tuple[Mapping[str, Json], ...] = ({}, {"dnsmasq": False}, {"nat": "open"}, {"dnsmasq": False, "nat": "open"})
"""What does not follow on its own, tried in this order."""
_WHY: Mapping[str, str] = {
    "dnsmasq": "the host's own rules accept DHCP and DNS",
    "nat": "neighbours of the uplink may route into the networks behind it, as now; without `nat` they may not",
}
MAX_ROUNDS = 5
OF_OTHERS = (UNKNOWN_HOST.id, UNKNOWN_JUMP.id)


@dataclass(frozen=True, slots=True)
class PveNode:
    """What was found on a node, and the spec without a firewall. `shared` are the fleet.yaml and the groups/ that are
    there already, by path; empty: they are to be written. `guests` are levels by (name in the spec, file's path)."""

    host: str
    head: Mapping[str, Json]
    sketch: Sketch
    shared: Mapping[str, str]
    cluster: Level
    node: Level
    guests: Mapping[tuple[str, str], Level]
    found: Mapping[str, bytes]

    @property
    def host_path(self) -> str:
        """Where host.fw belongs."""
        return f"/etc/pve/nodes/{self.host}/host.fw"


@dataclass(frozen=True, slots=True)
class Found:
    """Firewall files by the path where they are written, and what is next to the host's own spec, by path."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    shared: Mapping[str, str] = field(default_factory=dict)

    def is_said_by(self, host: str, text: str) -> bool:
        """Whether a host's spec would make files that mean the same, in whatever words."""
        try:
            desired = desire(_read(host, text, self.shared), KINDS)
        except _Wrong:
            return False
        files = [file for file in desired.resources if isinstance(file, PveFirewallFile)]
        return bool(files) and all(_is_met(file, self.files) for file in files)


@dataclass(frozen=True, slots=True)
class LiveSections:
    """`sketch` has the live sections, `shared` are the files next to the host's own. `left` says why a file is left to
    Proxmox, by its path; a node whose own files are left has no live section at all."""

    sketch: Sketch
    shared: Mapping[str, str]
    left: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Wrong(Exception):  # noqa: N818 (an answer, not a fault)
    """Lint has an error."""

    path: Path
    what: str


def live(place: PveNode) -> LiveSections:
    """The node's files first, then those of the guests, each of which may be left."""
    if place.cluster.options.get("enable") != 1:
        return nothing_live(
            place, "the datacenter's firewall is not on (`enable: 1` in cluster.fw), a section would be"
        )
    fleet = FleetSketch() if place.shared else fleet_of(place.cluster, place.found.get(CLUSTER_PATH, b""))
    shared = place.shared or fleet.texts(FLEET_TEXT)
    try:
        before = desire(_spec(place, place.sketch, {FLEET_FILE: FLEET_TEXT}), KINDS)
    except _Wrong as error:
        return nothing_live(place, error.what)
    why = ""
    for derive in DERIVES:
        sketch = place.sketch.copy()
        add_host(place.node, place.found.get(place.host_path, b""), sketch)
        _add_derive(derive, sketch)
        try:
            wrong = dict(_wrong(place, desire(_spec(place, sketch, shared), KINDS), before))
        except _Wrong as error:
            wrong = {"": error.what}
        if not wrong:
            return _with_guests(place, LiveSections(sketch, shared), before)
        why = next(iter(wrong.values()))
    return nothing_live(place, f"with the fleet.yaml that is there: {why}" if place.shared else why)


def nothing_live(place: PveNode, why: str) -> LiveSections:
    """All files are left to Proxmox."""
    behind = {path: "a guest's firewall needs that of its host, which is left, too" for _, path in place.guests}
    shared = place.shared or {FLEET_FILE: FLEET_TEXT}
    return LiveSections(place.sketch, shared, {CLUSTER_PATH: why, place.host_path: why, **behind})


def _add_derive(derive: Mapping[str, Json], sketch: Sketch) -> None:
    if derive:
        section = sketch.mapping(KEY)
        said: dict[str, Json] = dict(derive)
        sketch.values[KEY] = {"derive": said, **section}
        sketch.comment((KEY, "derive"), [f"{name}: {_WHY[name]}" for name in derive])


def _with_guests(place: PveNode, made: LiveSections, before: Desired) -> LiveSections:
    """With those guests whose files would mean the same."""
    candidates, left = dict(place.guests), dict(made.left)
    for _ in range(MAX_ROUNDS):
        sketch = made.sketch.copy()
        for (name, path), level in candidates.items():
            add_guest(level, place.found[path], name, sketch)
        try:
            wrong = dict(_wrong(place, desire(_spec(place, sketch, made.shared), KINDS), before))
        except _Wrong as error:
            named = {path for name, path in candidates if ("guests", name) == error.path[:2]}
            wrong = dict.fromkeys(named or {path for _, path in candidates}, error.what)
        if not wrong:
            return LiveSections(sketch, made.shared, left)
        gone = {key for key in candidates if key[1] in wrong} or set(candidates)
        left |= {path: wrong.get(path, next(iter(wrong.values()))) for _, path in gone}
        candidates = {key: level for key, level in candidates.items() if key not in gone}
    left |= {path: "too many other guests' files are left to Proxmox" for _, path in candidates}
    return LiveSections(made.sketch, made.shared, left)


def _spec(place: PveNode, sketch: Sketch, shared: Mapping[str, str]) -> HostSpec:
    return _read(place.host, write(sketch, place.head, place.host), shared)


def _read(host: str, text: str, shared: Mapping[str, str]) -> HostSpec:
    """The spec as it would be read. Raises _Wrong."""
    fleet = read_alone(host, text, shared)
    errors = (found for found in fleet.findings if found.severity == "error" and found.rule not in OF_OTHERS)
    wrong = next(errors, None)
    if wrong is not None:
        raise _Wrong(wrong.path, wrong.message)
    return fleet.hosts[host]


def _is_met(file: PveFirewallFile, found: Mapping[str, bytes]) -> bool:
    return file.meaning(file.content or b"") == file.meaning(found.get(file.path, b""))


def _wrong(place: PveNode, desired: Desired, before: Desired) -> Iterator[tuple[str, str]]:
    """(path, why) of what would not mean the same; anything that is not a firewall file is at the path ""."""
    files = {file.path: file for file in desired.resources if isinstance(file, PveFirewallFile)}
    for path, file in files.items():
        if not _is_met(file, place.found):
            want, have = file.meaning(file.content or b""), file.meaning(place.found.get(path, b""))
            yield path, f"{path.rpartition('/')[2]}: {_difference(want, have)}"
    known = before.wishes
    for key, wish in desired.wishes.items():
        if key[1] not in files and known.get(key) != wish:
            yield "", f"a section would make {key[1]}, too ({key[2]})"


def _difference(want: Mapping[str, Json], have: Mapping[str, Json]) -> str:
    """The first thing in which two files differ, in words."""
    for name in [*(n for n in have if n == "ignored"), *have, *want]:
        there, wanted = have.get(name), want.get(name)
        if there == wanted:
            continue
        if name == "ignored" and isinstance(there, list):
            return f"Proxmox skips `{there[0]}`"
        if isinstance(there, list) or isinstance(wanted, list):
            return _first(name, there if isinstance(there, list) else [], wanted if isinstance(wanted, list) else [])
        if wanted is None:
            return f"no key of the spec says `{name.removeprefix('option ')}: {there}`"
        return f"`{name}` would be {wanted}" if there is None else f"`{name} {there}` would be {wanted}"
    return "it would say something else"


def _first(name: str, there: Sequence[Json], wanted: Sequence[Json]) -> str:
    gone = [line for line in there if line not in wanted]
    added = [line for line in wanted if line not in there]
    if gone:
        instead = f"`{added[0]}` would stand" if added else "it would be missing"
        return f"of {name}, in place of `{gone[0]}` {instead}" if added else f"of {name}, `{gone[0]}`: {instead}"
    return f"`{added[0]}` would be added to {name}" if added else f"the order of {name} would be another"
