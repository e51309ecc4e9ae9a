"""What each day was like, in UTC: differences, applies by result, how long commits waited, how full pools were."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

MAX_DAYS = 366


@dataclass(frozen=True, slots=True)
class LastDays:
    """A question: the last so many days, today the last of them, of one host or of all that `visible` chooses."""

    days: int = 30
    host: str = ""
    visible: Sequence[str] = ("*",)


@dataclass(frozen=True, slots=True)
class Waited:
    """From when a commit was there until it was on a host, in seconds, each rounded to two digits that count. Of
    `count` applies half waited at most `median_s`, and nine of ten at most `p90_s`."""

    count: int
    median_s: float
    p90_s: float


@dataclass(frozen=True, slots=True)
class DayTrend:
    """A day. `hosts_seen`: so many hosts were seen on it; where it is 0 nothing is known of the day, and every number
    is None. `is_over`: it is not today.

    `drift_open` is how many differences were open at its end. A host that was not seen counts with what was known of
    it. `applies` are those that ended, by result. `waited` is None where nothing new was applied. `pool_fill`: the
    part of the fullest pool that was not free when the fewest addresses were; None where no pool is known.
    """

    day: date
    is_over: bool
    hosts_seen: int = 0
    drift_found: int | None = None
    drift_cleared: int | None = None
    drift_open: int | None = None
    applies: Mapping[str, int] | None = None
    waited: Waited | None = None
    pool_fill: float | None = None


@dataclass(frozen=True, slots=True)
class PoolDay:
    """A range of addresses on a day, when the fewest of it were free."""

    day: date
    interface: str
    start: str
    end: str
    size: int
    leased: int
    reserved: int

    @property
    def free(self) -> int:
        """Addresses that could be given out then."""
        return self.size - self.leased - self.reserved


@dataclass(frozen=True, slots=True)
class Trends:
    """Each day, the oldest first. `pools` are those of one host; there are none where no host was named."""

    days: tuple[DayTrend, ...] = ()
    pools: tuple[PoolDay, ...] = field(default=())


def rounded_s(seconds: float) -> str:
    """Seconds with two digits that count, at least a tenth: a name under which waits of about one length are counted.

    >>> [rounded_s(one) for one in (0, 3.14159, 128, 86_400)]
    ['0.1', '3.1', '130', '86000']
    """
    return f"{float(f'{max(seconds, 0.1):.2g}'):.12g}"


def waited_of(counts: Sequence[tuple[float, int]]) -> Waited | None:
    """Of (seconds, how many); None of nothing. A part is the least that so many are not above.

    >>> waited_of([(1.0, 1), (10.0, 8), (60.0, 1)])
    Waited(count=10, median_s=10.0, p90_s=10.0)
    """
    count = sum(number for _, number in counts)
    if not count:
        return None
    return Waited(count, _part(counts, count * 50), _part(counts, count * 90))


def _part(counts: Sequence[tuple[float, int]], hundredths: int) -> float:
    ordered, reached = sorted(counts), 0
    for seconds, number in ordered:
        reached += number * 100
        if reached >= hundredths:
            return seconds
    return ordered[-1][0]
