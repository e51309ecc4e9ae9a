"""Windows: when applies may begin, by the clock on the wall of a time zone.

    closed(windows, host, labels, now) -> None where an apply may begin, else why not and when it may next

A window is open while a clock in its zone shows a time in it. So where clocks go back, a window in the repeated hour is
open twice; where they go forward, a time that no clock shows is left out.

No window of kind `allow` chooses a host: it is always let begin. One or more do: only while one of them is open. An
open window of kind `deny` is stronger than any other.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

from service.model.labels import has

WindowKind = Literal["allow", "deny"]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MIDNIGHT = 24 * 60
_LOOKED_AT_DAYS = 16
"""After each day on which a window begins or ends to count. Days of the week come again after 7; a change of clocks can
leave out one of them."""


@dataclass(frozen=True, slots=True)
class Window:
    """`begins` and `ends` are minutes after midnight in the zone; it ends on the next day where `ends` is not later.
    `days` are the days on which it begins, `first` and `last` the first and last of them. It chooses hosts by names or
    patterns, and by labels, all of which they must have; without either it chooses every host."""

    name: str
    kind: WindowKind
    zone: str
    days: tuple[Day, ...] = DAYS
    begins: int = 0
    ends: int = MIDNIGHT
    first: date | None = None
    last: date | None = None
    hosts: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    def chooses(self, host: str, labels: Mapping[str, str]) -> bool:
        """Whether it is about this host."""
        is_named = not self.hosts or any(fnmatchcase(host, one) for one in self.hosts)
        return is_named and all(has(labels, one) for one in self.labels.items())

    def is_open(self, now: datetime) -> bool:
        """Whether a clock in its zone shows a time in it."""
        wall = now.astimezone(zone_of(self.zone))
        minute, day = wall.hour * 60 + wall.minute, wall.date()
        if self.begins < self.ends:
            return self._begins_on(day) and self.begins <= minute < self.ends
        is_since_yesterday = self._begins_on(day - timedelta(days=1)) and minute < self.ends
        return is_since_yesterday or (self._begins_on(day) and minute >= self.begins)

    def _begins_on(self, day: date) -> bool:
        is_late_enough = self.first is None or day >= self.first
        return is_late_enough and (self.last is None or day <= self.last) and DAYS[day.weekday()] in self.days

    @property
    def words(self) -> str:
        """When it is open, for people: `nights (mon-fri 22:00-05:00 Europe/Paris)`."""
        dates = " ".join(f"{word} {day}" for word, day in (("from", self.first), ("to", self.last)) if day is not None)
        days = "" if self.days == DAYS else f"{' '.join(self.days)} "
        return f"{self.name} ({days}{shown(self.begins)}-{shown(self.ends)} {dates + ' ' if dates else ''}{self.zone})"


@dataclass(frozen=True, slots=True)
class Closed:
    """No apply may begin: why, and when one may next; None: never by these windows."""

    why: str
    opens_at: datetime | None


@lru_cache(maxsize=64)
def zone_of(name: str) -> ZoneInfo:
    """A zone of the IANA database. ZoneInfoNotFoundError or ValueError where there is none of this name."""
    return ZoneInfo(name)


def shown(minutes: int) -> str:
    """Minutes after midnight as a clock shows them; 24:00 is the end of the day."""
    return f"{minutes // 60:02}:{minutes % 60:02}"


def closed(windows: Sequence[Window], host: str, labels: Mapping[str, str], now: datetime) -> Closed | None:
    """None where an apply may begin on the host now, as far as these windows say."""
    mine = [one for one in windows if one.chooses(host, labels)]
    if _lets(mine, now):
        return None
    denying = [one.words for one in mine if one.kind == "deny" and one.is_open(now)]
    allowing = [one.words for one in mine if one.kind == "allow"]
    opens_at = next_open(mine, now)
    then = f"it opens next at {opens_at:%Y-%m-%d %H:%M} UTC" if opens_at else "no window opens any more"
    if denying:
        return Closed(f"the window {denying[0]} lets no apply begin; {then}", opens_at)
    return Closed(f"outside of the windows {', '.join(allowing[:3])}; {then}", opens_at)


def next_open(windows: Sequence[Window], now: datetime) -> datetime | None:
    """The first moment after `now` at which these windows let an apply begin; None where there is none."""
    found: datetime | None = None
    for day in _days(windows, now):
        if found is not None and day > found.date() + timedelta(days=2):
            break  # the same day comes up to a day earlier in another zone
        moments = {one for window in windows for one in _moments(window, day)} | ({found} if found else set())
        found = min((one for one in moments if one > now and _lets(windows, one)), default=None)
    return found


def _lets(windows: Iterable[Window], now: datetime) -> bool:
    allowing = [one for one in windows if one.kind == "allow"]
    denying = (one for one in windows if one.kind == "deny")
    return (not allowing or any(one.is_open(now) for one in allowing)) and not any(one.is_open(now) for one in denying)


def _days(windows: Sequence[Window], now: datetime) -> Iterator[date]:
    """The days in which something may open, in order: from today on, and after each date that a window has."""
    today = now.astimezone(UTC).date()
    ends = [one for window in windows for one in (window.first, window.last) if one is not None]
    starts = [today, *(one for one in ends if one > today)]
    yield from sorted({start + timedelta(days=n) for start in starts for n in range(-1, _LOOKED_AT_DAYS)})


def _moments(window: Window, day: date) -> Iterator[datetime]:
    """The moments of a day at which a window may open or close, in UTC. A clock shows its times then, once or twice, or
    clocks are changed."""
    zone = zone_of(window.zone)
    for minutes in (window.begins, window.ends % MIDNIGHT, 0):
        for fold in (0, 1):
            wall = datetime.combine(day, time(minutes // 60, minutes % 60, fold=fold), zone)
            yield wall.astimezone(UTC)
    begin = datetime.combine(day, time(), UTC) - timedelta(hours=15)
    end = begin + timedelta(hours=54)
    if begin.astimezone(zone).utcoffset() != end.astimezone(zone).utcoffset():
        yield _changed(zone, begin, end)


def _changed(zone: ZoneInfo, begin: datetime, end: datetime) -> datetime:
    """The second at which clocks are changed, between two moments with another offset."""
    offset = begin.astimezone(zone).utcoffset()
    low, high = int(begin.timestamp()), int(end.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        is_before = datetime.fromtimestamp(middle, UTC).astimezone(zone).utcoffset() == offset
        low, high = (middle, high) if is_before else (low, middle)
    return datetime.fromtimestamp(high, UTC)
