"""What reading one or more sections adds to an observation, and how a reader is described. Pure.

Part                              fields of HostObserved that a reader fills
Reader(name, needs, read, unread) `unread` makes the Part of Unknowns for when a section cannot be read
Unreadable(why)                   raised by a reader: everything it feeds is Unknown
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from service.model.facts import FactId
from service.model.observed import Card, Keeper, Lease, Listener, MasqueradeInForce, Watch
from service.model.secret import Secret
from service.model.states import Json, Observed
from service.observe.frames import Section

LINK_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,14}")


class Unreadable(Exception):  # noqa: N818 (never leaves this room)
    """A section cannot be read; the argument says why in words."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one reader found. `entered_s` is when units became active, in seconds since boot."""

    facts: Mapping[FactId, Observed[Json]] = field(default_factory=dict)
    unlisted: Mapping[str, Observed[Json]] = field(default_factory=dict)
    texts: Mapping[str, Observed[bytes]] = field(default_factory=dict)
    secrets: Mapping[str, Observed[Secret]] = field(default_factory=dict)
    packages: Mapping[str, Observed[str]] = field(default_factory=dict)
    entered_s: Mapping[str, float] = field(default_factory=dict)
    changed_at_s: Mapping[str, float] = field(default_factory=dict)
    masquerades: Observed[tuple[MasqueradeInForce, ...]] | None = None
    duplicates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dynamic: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    altnames: Mapping[str, str] = field(default_factory=dict)
    cards: Mapping[str, Card] = field(default_factory=dict)
    listeners: Observed[tuple[Listener, ...]] | None = None
    leases: Observed[tuple[Lease, ...]] | None = None
    bans: Observed[Mapping[str, tuple[str, ...]]] | None = None
    deaf: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    guest_status: Mapping[str, Observed[bytes]] = field(default_factory=dict)
    keepers: Observed[tuple[Keeper, ...]] | None = None
    left_overs: tuple[str, ...] = ()
    boot_id: str = ""
    os: str = ""
    armed: str = ""


@dataclass(frozen=True, slots=True)
class Reader:
    """`read` gets the sections named in `needs`, all whole, and may raise Unreadable or what garbled JSON raises."""

    name: str
    needs: tuple[str, ...]
    read: Callable[[Mapping[str, Section], Watch], Part]
    unread: Callable[[str, Watch], Part]


def succeeded(section: Section, program: str) -> Section:
    """The section, if its program ended well."""
    if section.status != 0:
        raise Unreadable(f"`{program}` {section.complaint()}")
    return section


MAX_DEPTH = 32
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def json_of(section: Section) -> Any:
    """A section's JSON. ValueError for what no JSON has: NaN, numbers without end, halves of characters.

    Names in it may be any bytes (a link's, a comment): what is not UTF-8 becomes U+FFFD, controls are let through to
    those who check names.
    """
    value = json.loads(section.text(), strict=False, parse_constant=_no_number, parse_float=_finite)
    if _SURROGATE.search(section.body):
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:20]} is not a number")
    return value


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is not a number")


def is_deep(value: object, most: int = MAX_DEPTH) -> bool:
    """Whether lists and objects are in each other more than so many times."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(most == 0 or is_deep(each, most - 1) for each in inner)


def json_list(section: Section, program: str, limit: int) -> list[dict[str, Any]]:
    """The section's JSON: a list of at most `limit` objects."""
    value = json_of(succeeded(section, program))
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise Unreadable(f"`{program}` printed something that is not a list of objects")
    if len(value) > limit:
        raise Unreadable(f"`{program}` printed {len(value)} entries; at most {limit} are read")
    return value
