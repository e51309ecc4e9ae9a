"""The specs that the laws run over: every host file in tests/laws/hosts, read by the real loader."""

import copy
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from service.kinds import KINDS
from service.kinds.desire import desire
from service.model.trees import BlobEntry, Tree
from service.resources.desired import Desired
from service.spec.fleet import Fleet, read_fleet
from service.spec.host import HostSpec

FOLDER = Path(__file__).parent / "hosts"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPJ0d4IQ8PmyrgdZoD3WiFkvdLBD6ZfSzLw0mZ2mJ0N"


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def debian_names() -> list[str]:
    """Those that say no platform."""
    return [name for name in names() if "platform: " not in (FOLDER / f"{name}.yaml").read_text()]


def head(sync: str = "auto", extra: str = "") -> str:
    return (
        f"host: pve1\nplatform: debian\nsync: {sync}\nconnection:\n  address: 198.51.100.11\n"
        f"  host_keys: [{KEY}]\n{extra}"
    )


def whole(sections: str) -> str:
    """A host's file with these sections; one that says its platform itself keeps it."""
    start = head()
    return (start.replace("platform: debian\n", "") if "platform: " in sections else start) + sections


def fleet_of(text: str) -> Fleet:
    """A fleet of one host."""
    files = {"fleet.yaml": b"passerelle: 1\n", "hosts/pve1.yaml": text.encode()}
    tree = Tree({path: BlobEntry(path, hashlib.sha1(data).hexdigest(), data) for path, data in files.items()})
    return read_fleet(tree, KINDS)


def spec_of(text: str) -> HostSpec:
    """One host's spec; a finding that blocks fails the test."""
    fleet = fleet_of(text)
    assert not fleet.has_errors, "\n".join(map(str, fleet.findings))
    return fleet.hosts["pve1"]


def without(name: str) -> list[tuple[str, str]]:
    """What is left of a spec when a section leaves it, or all of them do: (what left, text). Where another section
    still needs the one that leaves, lint stops the commit, and it is not among them."""
    sections: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    kept = {key: value for key, value in sections.items() if key == "platform"}
    gone_one = {gone: {k: v for k, v in sections.items() if k != gone} for gone in sections if gone not in kept}
    fewer = {"everything": kept, **gone_one}
    if any("firewall" in guest for guest in sections.get("guests", {}).values()):
        guests = {n: {k: v for k, v in guest.items() if k != "firewall"} for n, guest in sections["guests"].items()}
        fewer["the guests' firewalls"] = sections | {"guests": guests}
    texts = {gone: yaml.safe_dump(left, sort_keys=False) if left else "" for gone, left in fewer.items()}
    return [(gone, text) for gone, text in texts.items() if not fleet_of(whole(text)).has_errors]


def changed(name: str, most: int | None = None) -> Iterator[tuple[str, str]]:
    """What a spec becomes by each small change that lint takes, one at a time: (what changes, text).

    A key or an element of a list goes, a list is turned round, a value is another one. `most`: some of these only."""
    sections: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    every = [*_changes({key: value for key, value in sections.items() if key != "platform"}, ())]
    for path, value in every if most is None else every[:: len(every) // most + 1]:
        other = copy.deepcopy(sections)
        at: Any = other
        for part in path[:-1]:
            at = at[part]
        if value is GONE:
            del at[path[-1]]
        else:
            at[path[-1]] = value
        text = yaml.safe_dump(other, sort_keys=False) if other else ""
        if not fleet_of(whole(text)).has_errors:
            yield f"{'.'.join(map(str, path))}: {'gone' if value is GONE else value}", text


GONE = object()
OTHER_WORDS = {
    "drop": "accept", "accept": "reject", "reject": "drop", "10.10.10.": "10.10.11.", "80": "81", ".lan": ".net",
    "disabled": "masked", "present": "absent", "12h": "13h", "2d": "3d", "203.0.113.7": "203.0.113.8",
}  # fmt: skip


def _changes(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside:
        yield (*path, key), GONE
        yield from _changes(inner, (*path, key))
    if isinstance(value, list) and len(value) > 1:
        yield path, value[::-1]
    elif isinstance(value, bool):
        yield path, not value
    elif isinstance(value, int):
        yield path, value + 1
    elif isinstance(value, str):
        yield from ((path, value.replace(old, new)) for old, new in OTHER_WORDS.items() if old in value)


def desired_from(text: str) -> Desired:
    """What a spec's sections want."""
    return desire(spec_of(whole(text)), KINDS)


def desired_of(name: str) -> Desired:
    return desire(spec_of(whole((FOLDER / f"{name}.yaml").read_text())), KINDS)
