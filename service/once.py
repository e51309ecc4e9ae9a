"""What a command does with a host on its own, without a service: it needs neither database nor API, and loads none."""

import asyncio
from pathlib import Path

from service.apply.fleet import FleetHosts, target_of
from service.apply.handover import Proxy, carry
from service.apply.retiring import Retired, retire
from service.clock import SystemClock
from service.model.observed import HostObserved, Watch
from service.observe.collect import Collector
from service.observe.hints import Hearing, command, order_of
from service.observe.listening import Hints
from service.spec.host import HostSpec
from service.ssh.connection import SshDialer
from service.ssh.keys import load_client_key
from service.ssh.pool import Connections
from service.ssh.shown_key import ShownKey, shown_key
from service.work import InPlace

READY_S = 30.0
"""How long the program that reports changes may take to begin."""


async def observe_once(spec: HostSpec, watch: Watch, key: Path) -> HostObserved:
    """Look at one host without a service. Raises HostError."""
    clock = SystemClock()
    connections = Connections(SshDialer(load_client_key(key)))
    try:
        hosts = FleetHosts(connections, Collector(clock, InPlace()), clock, controller="passerelle")
        return await hosts.observe(spec, watch, [spec.connection.address])
    finally:
        await connections.close()


async def observe_and_hear(spec: HostSpec, watch: Watch, key: Path) -> tuple[HostObserved, tuple[str, ...]]:
    """Look at one host without a service, and the kinds of changes that it would report on its own: names of
    `service.observe.hints.KINDS`; none where its hints cannot be had. Raises HostError."""
    clock = SystemClock()
    connections = Connections(SshDialer(load_client_key(key)))
    try:
        hosts = FleetHosts(connections, Collector(clock, InPlace()), clock, controller="passerelle")
        observed = await hosts.observe(spec, watch, [spec.connection.address])
        return observed, await _kinds(await connections.host(target_of(spec)), watch)
    finally:
        await connections.close()


async def _kinds(host: Hints, watch: Watch) -> tuple[str, ...]:
    """What its program says first. It is ended then."""
    hearing, ready = Hearing(), asyncio.get_running_loop().create_future()

    def heard(chunk: bytes) -> None:
        for said in hearing.take(chunk, 0.0):
            if said.ready and not ready.done():
                ready.set_result(said.kinds)

    listening = asyncio.ensure_future(host.listen(command(), order_of(watch), heard))
    try:
        await asyncio.wait({listening, ready}, timeout=READY_S, return_when=asyncio.FIRST_COMPLETED)
        return tuple(ready.result()) if ready.done() else ()
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


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
