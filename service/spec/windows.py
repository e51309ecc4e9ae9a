"""`windows` of fleet.yaml: when applies may begin."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Annotated
from zoneinfo import ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field

from service.model.labels import KEY
from service.model.trees import quoted
from service.model.windows import DAYS, MIDNIGHT, Day, Window, WindowKind, zone_of
from service.spec.findings import Hit, LintRule
from service.spec.grammar import text, wrong
from service.spec.labels import LabelKey, LabelValue
from service.spec.layers import HostPattern
from service.spec.patterns import whole

MOST = 16
"""Windows of a fleet."""
_NAME = re.compile(KEY)
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00")
_DATE = re.compile(
    r"20[0-9]{2}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))|20(?:[02468][048]|[13579][26])-02-29"
)
"""The days of this century."""
_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,32}(?:/[A-Za-z0-9_+-]{1,32}){0,2}")

SAME_NAME = LintRule("windows.same-name", "error", "each window has a name of its own")
NO_TIME = LintRule("windows.no-time", "error", "a window is open at some time")
RULES = (SAME_NAME, NO_TIME)


def _check_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        wrong(f"{quoted(value)} is not a window's name", "write a-z, 0-9 and inner . _ -, such as nights")
    return value


def _check_clock(value: str) -> str:
    if not _CLOCK.fullmatch(value):
        wrong(f"{quoted(value)} is not a time of day", 'write hours and minutes in quotes, such as "22:00"')
    return value


def _check_date(value: str) -> str:
    if not _DATE.fullmatch(value):
        wrong(f"{quoted(value)} is not a date", 'write it in quotes, such as "2026-12-20"')
    return value


def _check_zone(value: str) -> str:
    try:
        is_zone = bool(_ZONE.fullmatch(value)) and bool(zone_of(value))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        is_zone = False
    if not is_zone:
        wrong(f"{quoted(value)} is not a time zone that this machine knows", "write an IANA name such as Europe/Paris")
    return value


Name = Annotated[str, *text(_check_name, whole(KEY, "a-z, 0-9 and inner . _ -", examples=["nights"]))]
Clock = Annotated[
    str, *text(_check_clock, whole(_CLOCK.pattern, "hours and minutes; 24:00 ends the day", examples=["22:00"]))
]
Date = Annotated[str, *text(_check_date, whole(_DATE.pattern, "a date as in 2026-12-20", examples=["2026-12-20"]))]
Zone = Annotated[
    str, *text(_check_zone, whole(_ZONE.pattern, "an IANA name of a time zone", examples=["Europe/Paris"]))
]


class WindowSection(BaseModel):
    """One window: when it is open, and which hosts it is about."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    name: Name = Field(description="The window's name, for people.")
    kind: WindowKind = Field(
        description="allow: applies begin only while it, or another one that allows, is open. deny: none begin while "
        "it is open, whatever allows it."
    )
    zone: Zone = Field(description="The time zone of its times, by its IANA name.")
    days: Annotated[tuple[Day, ...], Field(min_length=1, max_length=7)] = Field(
        DAYS, description="The days on which it begins; by default every day."
    )
    begins: Clock = Field("00:00", alias="from", description="When it begins, by a clock in its zone.")
    ends: Clock = Field(
        "24:00", alias="to", description="When it ends; on the next day, if this is not later than `from`."
    )
    first: Date | None = Field(None, description="The first date on which it begins.")
    last: Date | None = Field(None, description="The last date on which it begins.")
    hosts: Annotated[tuple[HostPattern, ...], Field(max_length=1000)] = Field(
        (), description="Hosts that it is about: names, or patterns with * and ?; by default all."
    )
    labels: Annotated[Mapping[LabelKey, LabelValue], Field(max_length=8)] = Field(
        default_factory=dict, description="Labels that a host must have, all of them, so that it is about it."
    )
    comment: Annotated[str, Field(max_length=256)] | None = Field(None, description="For people.")

    def window(self) -> Window:
        """The window as a value."""
        return Window(
            self.name, self.kind, self.zone, tuple(day for day in DAYS if day in self.days), _minutes(self.begins),
            _minutes(self.ends), _date(self.first), _date(self.last), self.hosts, self.labels,
        )  # fmt: skip


Windows = Annotated[tuple[WindowSection, ...], Field(max_length=MOST)]


def lint_windows(windows: Sequence[WindowSection]) -> Iterator[Hit]:
    """What is wrong with windows beyond their types; paths begin in the list."""
    names: set[str] = set()
    for number, one in enumerate(windows):
        if one.name in names:
            yield SAME_NAME.hit((number, "name"), f"there are two windows {one.name}", "give one of them another name")
        names.add(one.name)
        made = one.window()
        if made.begins in (made.ends, MIDNIGHT):
            yield NO_TIME.hit((number, "to"), f"no time lies from {one.begins} to {one.ends}", "write a later `to`")
        if made.first is not None and made.last is not None and made.last < made.first:
            yield NO_TIME.hit((number, "last"), f"{one.last} is before {one.first}", "exchange `first` and `last`")


def _minutes(clock: str) -> int:
    hours, _, minutes = clock.partition(":")
    return int(hours) * 60 + int(minutes)


def _date(day: str | None) -> date | None:
    return date.fromisoformat(day) if day is not None else None
