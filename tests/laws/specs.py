"""The specs that the laws run over: every host file in tests/laws/hosts, read by the real loader."""

import hashlib
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


def head(sync: str = "auto", extra: str = "") -> str:
    return (
        f"host: pve1\nplatform: debian\nsync: {sync}\nconnection:\n  address: 198.51.100.11\n"
        f"  host_keys: [{KEY}]\n{extra}"
    )


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
    fewer = {"everything": {}} | {gone: {k: v for k, v in sections.items() if k != gone} for gone in sections}
    if any("firewall" in guest for guest in sections.get("guests", {}).values()):
        guests = {n: {k: v for k, v in guest.items() if k != "firewall"} for n, guest in sections["guests"].items()}
        fewer["the guests' firewalls"] = sections | {"guests": guests}
    texts = {gone: yaml.safe_dump(left, sort_keys=False) if left else "" for gone, left in fewer.items()}
    return [(gone, text) for gone, text in texts.items() if not fleet_of(head() + text).has_errors]


def desired_from(text: str) -> Desired:
    """What a spec's sections want."""
    return desire(spec_of(head() + text), KINDS)


def desired_of(name: str) -> Desired:
    return desire(spec_of(head() + (FOLDER / f"{name}.yaml").read_text()), KINDS)
