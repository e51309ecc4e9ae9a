"""The verb of the host-side file that makes guests and starts new ones, as a host in memory plays it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from service.model.observed import HostObserved
from service.model.states import Json, Seen
from tests.laws.host import facts_of, guest_fact

VERSION = "1.0"
NO_BRIDGE = "lxc-start failed: the bridge is not there"


class Played(Protocol):
    """What this room needs of the host."""

    host: HostObserved
    writes: list[str]


def guests(played: Played, order: Mapping[str, Any], tell: Callable[[dict[str, Json]], None]) -> dict[str, Json]:
    """Do it, and give the result. A guest does not start without its bridge."""
    results: dict[str, Json] = {}
    host = played.host
    played.writes += [f"{order['action']} {given['name']}" for given in order["guests"]]
    facts = dict(host.facts)
    for given in order["guests"]:
        name, fact = given["name"], f"guest:{given['name']}"
        known = facts_of(host, fact)
        if order["action"] == "make":
            tell({"event": "guest", "guest": name, "doing": "making the container"})
            new = {"running": False, "answers": False, "mounted": [], "new": True}
            wanted = guest_fact(given)
            assert isinstance(wanted, dict)
            facts[fact] = Seen({**wanted, **((known and {"running": known["running"]}) or new)})
            results[name] = {"state": "set up" if known else "made"}
        elif not known.get("new"):
            results[name] = {"state": "left"}
        elif isinstance(facts.get(f"link:{given['bridge']}"), Seen):
            tell({"event": "guest", "guest": name, "doing": "starting"})
            facts[fact] = Seen(guest_fact(given))
            results[name] = {"state": "started"}
        else:
            results[name] = {"state": "failed", "reason": NO_BRIDGE}
    bad = any(isinstance(one, dict) and one["state"] == "failed" for one in results.values())
    played.host = replace(host, facts=facts)
    return {"state": "failed" if bad else "done", "guests": results}


def packages(played: Played, order: Mapping[str, Any]) -> dict[str, Json]:
    """The verb that installs packages, on the host or in a guest."""
    guest = str(order.get("guest", "")).partition("@")[0]
    for name in order["install"]:
        host, key = played.host, f"{guest}/{name}" if guest else name
        played.host = host = replace(host, packages={**host.packages, key: Seen(VERSION)})
        unit = f"unit:{name}.service"
        if not guest and not facts_of(host, unit):
            disabled: Json = {"enabled": "disabled", "active": False}
            played.host = replace(host, facts={**host.facts, unit: Seen(disabled)})
    return {"state": "done", "packages": {name: {"state": "installed"} for name in order["install"]}}
