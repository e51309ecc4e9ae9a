"""The certificates of a proxy, carried to that of another host. They are sealed on the way: no key is readable here.

carry(giver, taker) -> names of the sites whose certificate the taker uses now
    raises HostRefused (a guest is down, has no program, or nothing to give), HostError
"""

import json
from dataclasses import dataclass

from service.apply.document import words
from service.apply.switch import Switch
from service.errors import Garbled, HostRefused
from service.model.states import Json
from service.observe.connection import Host

TIMEOUT_S = 700.0


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy on an open connection. `key` is how what runs on the host finds the guest."""

    host: Host
    name: str
    key: str


async def carry(giver: Proxy, taker: Proxy) -> tuple[str, ...]:
    """Offer, pack, unpack: killed between them, it begins again. The giver keeps all that it has."""
    offered = await _ask(taker, "offer", {})
    packed = await _ask(giver, "pack", offered)
    said = await _ask(taker, "unpack", packed)
    names = said.get("names")
    return tuple(words(name) for name in names) if isinstance(names, list) else ()


async def _ask(proxy: Proxy, part: str, given: dict[str, Json]) -> dict[str, Json]:
    result = await Switch(proxy.host).ask("handover", proxy.key, part, stdin=given, timeout_s=TIMEOUT_S)
    if result.get("state") == "refused":
        raise HostRefused(
            f"the certificates are not carried: {proxy.name}: {words(result.get('error'))}",
            reason=words(result.get("reason")),
            hint="correct what `passerelle sites` shows, and start the command again",
        )
    said = result.get("said")
    if result.get("state") != "handed" or not isinstance(said, dict):
        raise Garbled(f"{proxy.name} answered the hand-over with {json.dumps(result)[:200]}")
    return said
