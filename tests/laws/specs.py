"""The specs that the laws run over: every host file in tests/laws/hosts, read by the real loader."""

import hashlib
from pathlib import Path

from service.kinds import KINDS
from service.kinds.desire import desire
from service.model.trees import BlobEntry, Tree
from service.resources.desired import Desired
from service.spec.fleet import read_fleet
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


def spec_of(text: str) -> HostSpec:
    """One host's spec; a finding that blocks fails the test."""
    files = {"fleet.yaml": b"passerelle: 1\n", "hosts/pve1.yaml": text.encode()}
    tree = Tree({path: BlobEntry(path, hashlib.sha1(data).hexdigest(), data) for path, data in files.items()})
    fleet = read_fleet(tree, KINDS)
    assert not fleet.has_errors, "\n".join(map(str, fleet.findings))
    return fleet.hosts["pve1"]


def desired_of(name: str) -> Desired:
    return desire(spec_of(head() + (FOLDER / f"{name}.yaml").read_text()), KINDS)
