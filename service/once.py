"""What a command does with a host on its own, without a service: it needs neither database nor API, and loads none."""

from pathlib import Path

from service.apply.fleet import FleetHosts, target_of
from service.apply.handover import Proxy, carry
from service.apply.retiring import Retired, retire
from service.clock import SystemClock
from service.model.observed import HostObserved, Watch
from service.observe.collect import Collector
from service.spec.host import HostSpec
from service.ssh.connection import SshDialer
from service.ssh.keys import load_client_key
from service.ssh.pool import Connections
from service.ssh.shown_key import ShownKey, shown_key
from service.work import InPlace


async def observe_once(spec: HostSpec, watch: Watch, key: Path) -> HostObserved:
    """Look at one host without a service. Raises HostError."""
    clock = SystemClock()
    connections = Connections(SshDialer(load_client_key(key)))
    try:
        hosts = FleetHosts(connections, Collector(clock, InPlace()), clock, controller="passerelle")
        return await hosts.observe(spec, watch, [spec.connection.address])
    finally:
        await connections.close()


async def retire_once(spec: HostSpec, key: Path, gone: Path | None) -> Retired:
    """Remove passerelle from a host without a service, with the key of the file `gone`. Raises HostError."""
    public = "" if gone is None else " ".join(load_client_key(gone).export_public_key().decode().split()[:2])
    host = await SshDialer(load_client_key(key)).connect(target_of(spec))
    try:
        return await retire(host, spec.connection.user, public)
    finally:
        await host.close()


async def carry_once(giver: HostSpec, taker: HostSpec, keys: tuple[str, str], key: Path) -> tuple[str, ...]:
    """Carry the certificates of a proxy to that of another host, without a service. `keys` name the two guests for
    what runs on the hosts. Raises HostError."""
    dialer = SshDialer(load_client_key(key))
    first = await dialer.connect(target_of(giver))
    try:
        second = await dialer.connect(target_of(taker))
        try:
            return await carry(Proxy(first, giver.name, keys[0]), Proxy(second, taker.name, keys[1]))
        finally:
            await second.close()
    finally:
        await first.close()


async def key_shown_by(address: str, port: int) -> ShownKey:
    """The host key that a host shows to whoever asks. Raises Unreachable."""
    return await shown_key(address, port)
