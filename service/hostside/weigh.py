"""What would come and go with a change, before a plan is made."""

from __future__ import annotations

import json
import re

from service.hostside.apt import package_flags, package_names, simulate, unavailable
from service.hostside.canonical import show_properties
from service.hostside.commands import run_command
from service.hostside.errors import BadInput, Json, Trouble, need
from service.hostside.facts import FACTS
from service.hostside.host import Host
from service.hostside.vital import INSTALL_KEYS, UNIT_PROPERTIES


def verb_weigh(host: Host, text: str) -> dict[str, Json]:
    """What would come and go with packages, and what depends on units, before a plan is made. Nothing is changed
    but apt's lists, with `refresh`, where they do not know a name."""
    try:
        order = json.loads(text)
    except ValueError:
        raise BadInput("weigh takes one word of JSON") from None
    fields = {"install", "remove", "units", "refresh"}
    need(isinstance(order, dict) and set(order) <= fields, "one word: {install, remove, units, refresh}")
    install, unwanted = package_names(order.get("install", [])), package_names(order.get("remove", []))
    units = order.get("units", [])
    need(isinstance(units, list) and len(units) <= 256, "units: a list of at most 256")
    for name in units:
        need(isinstance(name, str) and bool(re.fullmatch(FACTS["unit"].names, name)), "no unit's name")
    refresh = order.get("refresh") is True
    answer: dict[str, Json] = {"state": "weighed", "unavailable": []}
    for what, names in (("install", install), ("remove", unwanted)):
        try:
            if names and what == "install":
                answer["unavailable"] = unavailable(host, names, refresh)
            skip = not names or (what == "install" and answer["unavailable"])
            answer[what] = {"moves": [] if skip else simulate(host, what, names)}
        except Trouble as trouble:
            answer[what] = {"unknown": str(trouble)}
    gone = [move[0] for what in ("install", "remove") for move in answer[what].get("moves", []) if not move[1]]
    answer["flags"] = package_flags(host, gone)
    answer["units"] = {name: unit_ties(host, name) for name in units}
    return answer


def unit_ties(host: Host, name: str) -> dict[str, str]:
    """What depends on a unit, as `unit_objections` takes it; {} where systemd does not say."""
    shown = run_command(host, ["systemctl", "show", "-p", ",".join(UNIT_PROPERTIES), "--", name])
    blocks = show_properties(shown.out) if shown.code == 0 else []
    if len(blocks) != 1:
        return {}
    found = {key: value[:8000] for key, value in blocks[0].items() if key in UNIT_PROPERTIES}
    section = ""
    for line in run_command(host, ["systemctl", "cat", "--", name]).out.splitlines():
        section = line.strip() if line.startswith("[") else section
        key, _, value = line.partition("=")
        if section == "[Install]" and key.strip() in INSTALL_KEYS:
            full = f"[Install] {key.strip()}"
            found[full] = f"{found.get(full, '')} {value.strip()}".strip()[:8000]
    return found
