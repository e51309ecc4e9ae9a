from collections.abc import Callable, Mapping

import pytest

from service.kinds import KINDS
from service.model.trees import BlobEntry, Tree
from service.spec.fleet import Fleet, read_fleet
from service.spec.reading import ParsedFile

FLEET = "passerelle: 1\n"
HOST = """\
host: pve1
platform: debian
sync: auto
connection:
  address: 198.51.100.11
  console: https://console.example.net/pve1
  host_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPnMuRArpXCMB2oMafDHiIjr90HGUiuvwRcPlZ9pAPrT]
interfaces: {enp2s0: {},
  enp1s0: {addresses: [198.51.100.11/24], gateway: 198.51.100.1}}
bridges:
  vmbr0: {addresses: [10.10.10.1/24], ports: [], stp: false, forward_delay: 0}
nat:
  - {source: 10.10.10.0/24, out: enp1s0}
dnsmasq:
  names: declared
  local: [/madyanne.lan/]
  cache_size: 256
  dhcp:
    - {interface: vmbr0, start: 10.10.10.100, end: 10.10.10.200, lease_time: 12h}
guests:
  dev:    {mac: "BC:24:11:00:00:01"}
  proxy:  {mac: "BC:24:11:00:00:02", address: 10.10.10.20}
packages: {dnsmasq: present}
services: {named: disabled}
forwards: [{in: enp1s0, ports: [25, 993], to: proxy}]
web: {proxy: proxy, acme: {directory: letsencrypt}, sites: {}}
fail2ban: {jails: [sshd]}
firewall: {rules: [{type: in, action: accept, macro: SSH}]}
vlans: {enp1s0.30: {}}
bonds: {bond0: {ports: [enp2s0], mode: active-backup}}
"""


def tree_of(files: Mapping[str, str | bytes]) -> Tree:
    """A tree of texts; the content stands for its own id."""
    contents = {path: text if isinstance(text, bytes) else text.encode() for path, text in files.items()}
    return Tree({path: BlobEntry(path, f"id of {data!r}", data) for path, data in contents.items()})


@pytest.fixture
def host() -> str:
    """The file hosts/pve1.yaml of a fleet without a finding."""
    return HOST


@pytest.fixture
def read() -> Callable[..., Fleet]:
    """Read files as a fleet; fleet.yaml is there unless given."""

    def read_files(files: Mapping[str, str | bytes], known: Mapping[str, ParsedFile] | None = None) -> Fleet:
        return read_fleet(tree_of({"fleet.yaml": FLEET, **files}), KINDS, known)

    return read_files
