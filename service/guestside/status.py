"""`status.json`: the state of every certificate, for people and for the service. Times are seconds since the epoch."""

from __future__ import annotations

import json
from typing import Optional

from . import store
from .due import Decision, Held, decide
from .durable import Json, locked, write_atomic
from .record import Record, permits
from .settings import Settings, Wanted
from .world import World

MOST_BYTES = 256 << 10
DETAIL_CHARS = 1000
SHORT_CHARS = 100


def held(world: World, name: str) -> Optional[Held]:
    """The certificate that nginx has for this name."""
    version = store.live(world, name)
    if version is None:
        return None
    facts = version.facts
    return Held(
        facts["kind"],
        tuple(facts["names"]),
        facts["not_before"],
        facts["not_after"],
        facts["serial"],
        facts["directory"],
    )


def decision(world: World, record: Record, settings: Settings, wanted: Wanted, given: Json) -> Decision:
    """What is due for one certificate now."""
    return decide(
        wanted.names,
        settings.acme.directory,
        held(world, wanted.name),
        record.ari(wanted.name),
        record.past(wanted, given),
        world.now(),
    )


def of(world: World, record: Record, settings: Settings, trouble: Optional[str] = None) -> Json:
    """The whole document."""
    given = permits(world)
    return {
        "version": 1,
        "written_at": int(world.now()),
        "trouble": trouble,
        "certificates": {each.name: _one(world, record, settings, each, given) for each in settings.certificates},
    }


def _one(world: World, record: Record, settings: Settings, wanted: Wanted, given: Json) -> Json:
    version = store.live(world, wanted.name)
    found = decision(world, record, settings, wanted, given)
    known = record.of(wanted.name)
    window, under_way = found.window, "under_way" in known
    waits_for = "nginx" if "install" in known else "authority" if under_way else found.waits_for
    return {
        "names": list(wanted.names),
        "certificate": version
        and {key: version.facts[key] for key in ("kind", "names", "not_before", "not_after", "issuer", "serial")},
        "window": window and {"start": int(window.start), "end": int(window.end), "by": window.by},
        "last_attempt": known.get("last_attempt"),
        "failures_in_the_hour": record.failures_in_the_hour(wanted),
        "failed_since_issue": known["in_a_row"] - under_way + ("install" in known),
        "next_attempt_at": None if found.at is None or under_way else int(found.at),
        "waits_for": waits_for,
        "permit": _permit(given.get(wanted.name)),
    }


def _permit(given: Json) -> Json:
    return None if given is None else {"ok": given.get("ok") is True, "why": given.get("why")}


def write(world: World, document: Json) -> None:
    """Write the document, with shorter reasons when it would be too large."""
    content = _text(document, DETAIL_CHARS)
    if len(content) > MOST_BYTES:
        content = _text(document, SHORT_CHARS)
    with locked(world.kept("status.lock"), 20) as free:
        if free:
            write_atomic(world.kept("status.json"), content)


def _text(document: Json, chars: int) -> bytes:
    copy = json.loads(json.dumps(document))
    for each in copy["certificates"].values():
        if each["last_attempt"] and each["last_attempt"].get("detail"):
            each["last_attempt"]["detail"] = each["last_attempt"]["detail"][:chars]
    return json.dumps(copy, indent=1, sort_keys=True).encode() + b"\n"
