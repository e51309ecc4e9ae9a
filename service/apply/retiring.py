"""passerelle leaves a host: its state, its units and the service's key go, the network stays as it is.

retire(host, user, key) -> Retired      raises HostRefused (a change is armed, a rollback failed), HostError
"""

import json
from dataclasses import dataclass

from service.apply.document import words
from service.apply.switch import Switch
from service.errors import Garbled, HostRefused
from service.observe.connection import Host

TIMEOUT_S = 120.0
FIXES = {
    "armed": "wait until the apply has ended, and try again",
    "quarantined": "check the host on its console, and release it: `passerelle release HOST --reason TEXT`",
    "locked": "try again in a minute",
}


@dataclass(frozen=True, slots=True)
class Retired:
    """`key_kept` says why the service's key is still on the host; empty if it was removed. `stays` are the files that
    passerelle wrote and that the network needs."""

    key_kept: str
    stays: tuple[str, ...]


async def retire(host: Host, user: str, key: str) -> Retired:
    """Remove passerelle from a host. `key` is the service's public key as `TYPE BASE64`, or empty to keep it."""
    order = {"user": user, "key": key}
    result = await Switch(host).ask_unkept("retire", order, timeout_s=TIMEOUT_S)
    if result.get("state") == "refused":
        reason = words(result.get("reason"))
        raise HostRefused(
            f"nothing was removed: {words(result.get('error'))}", reason=reason, hint=FIXES.get(reason, "")
        )
    stays = result.get("stays")
    if result.get("state") != "retired" or not isinstance(stays, list):
        raise Garbled(f"the host answered the retirement with {json.dumps(result)[:200]}")
    return Retired(words(result.get("key_kept")), tuple(words(path) for path in stays))
