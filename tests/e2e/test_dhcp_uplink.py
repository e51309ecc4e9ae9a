"""An uplink whose address a provider's DHCP server gives: it changes while the service runs, and in mid-apply."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.lab import Host, Lab
from service.lab.field import Field
from tests.e2e.story import Story

pytestmark = pytest.mark.lab(minutes=2)

NAME = "pve1.example.net"
FIRST, SECOND, THIRD = "198.51.100.11", "198.51.100.77", "198.51.100.88"
INTERFACES = "auto lo\niface lo inet loopback\n\nauto enp1s0\niface enp1s0 inet dhcp\n"
SERVER = """\
interface prov0
start {address}
end {address}
max_leases 1
min_lease 10
lease_file {folder}/leases
pidfile {folder}/pid
option subnet 255.255.255.0
option router 198.51.100.1
option lease {lease_s}
"""
SPEC = """\
host: pve1
sync: auto
connection:
  address: {name}
  host_keys: [{host_key}]
  confirm_timeout: 60s
interfaces:
  enp1s0: {{dhcp: true}}
"""
BRIDGE = "bridges:\n  vmbr0: {addresses: [10.10.10.1/24]}\nnat:\n  - {source: 10.10.10.0/24, out: enp1s0}\n"
WIDER = BRIDGE.replace("\nnat:", "\n  vmbr1: {addresses: [10.20.20.1/24]}\nnat:")
MOVER = (
    "while [ ! -e /var/lib/passerelle/armed ]; do sleep 0.05; done; "
    "dhclient -r enp1s0; dhclient enp1s0; touch /run/moved"
)


class Provider:
    """A DHCP server on the provider's router that gives one address, and the name that follows the host."""

    def __init__(self, lab: Lab, folder: Path, names: Path) -> None:
        self._lab, self._folder, self._names = lab, folder, names

    def gives(self, address: str, lease_s: int = 20) -> None:
        """From now on it gives this one."""
        self.stop()
        (self._folder / "leases").write_bytes(b"")
        config = self._folder / "udhcpd.conf"
        config.write_text(SERVER.format(address=address, folder=self._folder, lease_s=lease_s))
        self._lab.run_in("provider", ["busybox", "udhcpd", "-S", str(config)], check=True)

    def names(self, address: str) -> None:
        """The name leads there."""
        self._names.write_text(f"127.0.0.1 localhost\n{address} {NAME}\n")

    def stop(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._lab.run_in("provider", ["kill", (self._folder / "pid").read_text().strip()])
            (self._folder / "pid").unlink(missing_ok=True)


@pytest.fixture
def leased(lab: Lab, tmp_path: Path) -> Iterator[tuple[Story, Provider]]:
    """pve1 as a provider with DHCP hands it over, and a service that knows it by its name."""
    room = tmp_path / "room"
    room.mkdir()
    provider = Provider(lab, tmp_path, room / "names")
    provider.names(FIRST)
    provider.gives(FIRST)
    host = lab.host("pve1")
    try:
        host.fresh(files={"/etc/network/interfaces": INTERFACES})
        with Field.open(lab, room=room, poll_s="1", observe_s="1") as field:
            yield Story(host, field), provider
    finally:
        provider.stop()
        host.fresh()


def has(story: Story, address: str) -> bool:
    return story.addresses("enp1s0") == [f"{address}/24"]


def spec_of(host: Host, sections: str) -> str:
    return SPEC.format(name=NAME, host_key=host.host_key) + sections


def test_the_host_is_found_again_whenever_its_lease_changes(leased: tuple[Story, Provider]) -> None:
    story, provider = leased
    host, field = story.host, story.field
    commit = story.apply(spec_of(host, BRIDGE), "as it is, and a bridge")
    assert has(story, FIRST)

    provider.gives(SECOND)
    field.wait_for(lambda: has(story, SECOND), "the lease changes", timeout_s=60)
    provider.names(SECOND)
    story.wait_status(reachability="Reachable", address=SECOND)
    story.wait_synced(commit)
    assert story.drift() == []
    assert story.masquerades() == 1

    provider.gives(THIRD, lease_s=600)
    host.sh(f"systemd-run --quiet --collect --unit=mover sh -c '{MOVER}'")
    commit = story.push(spec_of(host, WIDER), "another bridge")
    field.wait_for(lambda: has(story, THIRD), "the lease changes in mid-apply", timeout_s=60)
    provider.names(THIRD)
    story.wait_synced(commit)
    assert host.sh("ls /run/moved")
    story.wait_status(reachability="Reachable", address=THIRD)
    assert story.addresses("vmbr1") == ["10.20.20.1/24"]
    assert story.drift() == []
