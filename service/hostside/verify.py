"""Does the host have what is wanted?"""

from __future__ import annotations

import time

from service.hostside.capture import HostLook, capture
from service.hostside.errors import Json
from service.hostside.facts import same, split_fact
from service.hostside.host import Host
from service.hostside.proxies import away

PAUSES_S = (0.0, 0.1, 0.4, 1.0, 1.5, 2.0)  # before each try of a verification: units and DAD need time


def differences(host: Host, wanted: dict[str, Json]) -> list[dict[str, Json]]:
    """Of the wanted facts those that the host does not have."""
    found = capture(host, list(wanted))
    return [
        {"fact": fact, "expected": value, "found": found[fact]}
        for fact, value in wanted.items()
        if not same(fact, value, found[fact])
    ]


def wait_until(host: Host, wanted: dict[str, Json]) -> list[dict[str, Json]]:
    """The differences that stay over all tries; [] as soon as there are none."""
    left: list[dict[str, Json]] = []
    for pause_s in PAUSES_S:
        time.sleep(pause_s)
        left = differences(host, wanted)
        if not left:
            break
    return left


def wanted_after(document: dict[str, Json], on_confirm: bool) -> dict[str, Json]:
    """What the host must have after the steps (with or without those of the confirmation)."""
    wanted = {step["fact"]: step["after"] for step in document["keep"]}
    wanted.update({s["fact"]: s["after"] for s in document["steps"] if on_confirm or not s["on_confirm"]})
    return wanted


def not_restored(host: Host, facts: dict[str, Json], at_boot: bool) -> list[dict[str, Json]]:
    """Of the restored facts those that the host does not have, as far as they can be compared."""
    left = differences(host, comparable(host, facts, at_boot))
    return [item for item in left if not away(item["fact"], item["found"])]


def told(left: list[dict[str, Json]]) -> str:
    return "not as wanted: " + ", ".join(item["fact"] for item in left[:10])


def comparable(host: Host, facts: dict[str, Json], at_boot: bool) -> dict[str, Json]:
    """The restored facts as far as they can be compared: guests that went away since do not count as a difference."""
    there = HostLook(host).links() if any(fact.startswith("link:") for fact in facts) else {}
    wanted = {}
    for fact, value in facts.items():
        kind, name = split_fact(fact)
        if at_boot and kind != "file":
            continue
        if kind != "link" or value is None:
            wanted[fact] = value
        elif value["type"] in ("bridge", "bond") or name in there:
            wanted[fact] = {**value, "ports": [p for p in value.get("ports", []) if p["name"] in there]}
    return wanted
