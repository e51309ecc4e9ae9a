"""All of it: material in, the spec's text and the report out."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from service.adopt.forwarding import tell_missing_forwarding
from service.adopt.material import HOSTNAME_FILE, KEY_FILE, Material
from service.adopt.names import read_names
from service.adopt.names_shortened import shortened
from service.adopt.nat import read_nat
from service.adopt.network import SECTIONS, read_network
from service.adopt.next_plan import first_plan, seen_in, watch_of
from service.adopt.own import OwnThing, read_own
from service.adopt.pve import is_proxmox, read_guests, refusal
from service.adopt.pve_firewall import Taken, read_pve_firewall
from service.adopt.pve_live import FLEET_TEXT, Found
from service.adopt.pve_sections import KEY
from service.adopt.refused import lint, without_errors
from service.adopt.report import Report
from service.adopt.runner import read_runner
from service.adopt.sdn import read_zones
from service.adopt.sketch import Sketch
from service.adopt.system import read_system
from service.adopt.unreached import why_unreached
from service.adopt.writing import write
from service.errors import InputError
from service.model.observed import Watch
from service.model.states import Json
from service.spec.reading import FLEET_FILE

STAND_IN = f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{'A' * 43}"
"""Nobody's key, for the look at the rest of a spec whose host's key is not known."""
NO_KEY = "# host_keys: [ssh-ed25519 AAAA...]  <- compare what ssh-keyscan says with the host's console, and put it here"

_HOST = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_KEY = re.compile(r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)) [A-Za-z0-9+/]{40,2000}={0,3}")
_CARRIED = ("connection.no-console", "connection.allow-management-change")
"""Warnings that are about the spec and not about the host."""


@dataclass(frozen=True, slots=True)
class ConnectionGiven:
    """What a person or a connection said of how the host is reached; empty: taken from its files."""

    name: str = ""
    address: str = ""
    user: str = "root"
    port: int = 22
    host_keys: tuple[str, ...] = ()
    jump: str = ""


@dataclass(frozen=True, slots=True)
class Adopted:
    """The result. `values` are the sections by key as they are in `text`; `path` is where it belongs.

    `fleet_text` is for a repository without a fleet.yaml, as are `groups`, files of groups/ by path. `firewall` is what
    was found of Proxmox's; `own` is what passerelle made before and `text` does not say: only a spec that has these
    sections may be put into force. `host_keys` are those of `text`, `given_keys` those that a person gave or confirmed.
    `also` is what the host has, by section and key, and `text` does not say. `watch` is what a plan of `text` needs.
    """

    host: str
    text: str
    report: Report
    values: Mapping[str, Json] = field(default_factory=dict)
    fleet_text: str = FLEET_TEXT
    groups: Mapping[str, str] = field(default_factory=dict)
    firewall: Found = field(default_factory=Found)
    own: tuple[OwnThing, ...] = ()
    host_keys: tuple[str, ...] = ()
    given_keys: tuple[str, ...] = ()
    also: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    watch: Watch = field(default_factory=Watch)

    @property
    def path(self) -> str:
        """The file's place in the repository."""
        return f"hosts/{self.host}.yaml"


def adopt(
    material: Material,
    given: ConnectionGiven = ConnectionGiven(),
    shared: Mapping[str, str] = MappingProxyType({}),
) -> Adopted:
    """Read a host into its spec. InputError where not even its name or address can be reported.

    `shared` are the fleet.yaml and the files of groups/ of a repository that has them, by path. Where the report has a
    refusal there is no text.
    """
    host = given.name or _host_name(material)
    if stopped := refusal(material):
        return Adopted(host, "", Report(host, refusal=stopped))
    sketch = Sketch()
    is_pve = is_proxmox(material)
    config = read_network(material, sketch, is_pve=is_pve)
    read_runner(material, sketch)
    networks = _networks(sketch)
    read_nat(material, config, sketch)
    tagged = read_names(material, networks, sketch)
    read_zones(material, sketch.notes)
    guests = read_guests(material, sketch)
    read_system(material, sketch)
    if not (given.address or _management_address(sketch)):
        what = f"the files of {host} do not say by which address it is reached: {why_unreached(config, material)}"
        raise InputError(what, hint="correct that, or give the address: --address 198.51.100.11")
    head = _head(host, material, given, sketch, is_pve=is_pve)
    without_errors(host, head, sketch)
    if tagged.without_lone_one(sketch):
        without_errors(host, head, sketch)
    tell_missing_forwarding(material, sketch)
    if "dnsmasq" not in sketch.values:
        sketch.drop(("guests",), "the spec has no `dnsmasq`, and without it nothing serves the guests")
    shortened(sketch)
    taken = read_pve_firewall(material, host, head, sketch, shared) if is_pve else Taken({})
    own = read_own(material, sketch)
    beside = {FLEET_FILE: taken.fleet_text, **taken.groups}
    beside = dict(shared) if KEY in sketch.values and shared else beside
    text = _written(host, {**head, **taken.head}, sketch, beside)
    around = shared or beside
    plan, watch = first_plan(host, text, around, seen_in(material)), watch_of(host, text, around)
    text = text.replace(f"  host_keys: [{STAND_IN}]\n", f"  {NO_KEY}\n")
    report = Report(host, sketch.notes.settled(sketch.has), guests, plan=plan)
    keys = given.host_keys or _keys_in(material)
    return Adopted(
        host, text, report, dict(sketch.values), taken.fleet_text, taken.groups, taken.found, own, keys,
        given.host_keys, sketch.also, watch,
    )  # fmt: skip


def _host_name(material: Material) -> str:
    said = material.files.get(HOSTNAME_FILE, b"")[:300].decode("utf-8", "replace").strip().split(".")[0].lower()
    if not _HOST.fullmatch(said):
        raise InputError(f"{HOSTNAME_FILE} names no host", hint="name it: --name pve1")
    return said


def _networks(sketch: Sketch) -> dict[str, Sequence[str]]:
    """The addresses of the sketch's links by name, bridges first."""
    found: dict[str, Sequence[str]] = {}
    for section in reversed(SECTIONS):
        links = sketch.values.get(section)
        for name, link in (links if isinstance(links, dict) else {}).items():
            addresses = link.get("addresses") if isinstance(link, dict) else None
            found[name] = [str(a) for a in addresses if ":" not in str(a)] if isinstance(addresses, list) else []
    return found


def _head(host: str, material: Material, given: ConnectionGiven, sketch: Sketch, *, is_pve: bool) -> dict[str, Json]:
    """The keys that belong to no section."""
    address = given.address or _management_address(sketch)
    keys = given.host_keys or _keys_in(material)
    if not keys:
        what = "no host key is among the files: the spec is not whole without `connection.host_keys`"
        sketch.notes.add("danger", "connection", KEY_FILE, what)
        keys = (STAND_IN,)
    connection: dict[str, Json] = {"address": address, "host_keys": [*keys]}
    if given.user != "root":
        connection["user"] = given.user
    if given.port != 22:
        connection["port"] = given.port
    if given.jump:
        connection["jump"] = given.jump
    platform = "proxmox" if is_pve else "debian"
    return {"host": host, "platform": platform, "sync": "approve", "connection": connection}


def _keys_in(material: Material) -> tuple[str, ...]:
    """The host key among the files."""
    line = _KEY.match(material.files.get(KEY_FILE, b"").decode("utf-8", "replace"))
    return (line[0],) if line else ()


def _management_address(sketch: Sketch) -> str:
    for section in SECTIONS:
        links = sketch.values.get(section)
        for link in (links if isinstance(links, dict) else {}).values():
            held = link.get("addresses") if isinstance(link, dict) and "gateway" in link else None
            addresses = [str(a).partition("/")[0] for a in held if ":" not in str(a)] if isinstance(held, list) else []
            if addresses:
                return addresses[0]
    return ""


def _written(host: str, head: Mapping[str, Json], sketch: Sketch, shared: Mapping[str, str]) -> str:
    """The text; what lint warns of is reported as dangerous."""
    for last in ("packages", "services"):
        if last in sketch.values:
            sketch.values[last] = sketch.values.pop(last)
    text = write(sketch, head, f"{host} as it was found; what is not here stays as it is on the host")
    for found in lint(host, text, shared):
        if found.rule not in _CARRIED:
            section = str(found.path[0]) if found.path else "host"
            sketch.notes.add("danger", section, f"{found.file}:{found.line}", found.message)
    return text
