"""Windows against the clock on the wall, minute by minute, also where clocks are changed."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.model.windows import DAYS, MIDNIGHT, Window, closed, next_open

PARIS = "Europe/Paris"
NIGHTS = Window("nights", "allow", PARIS, begins=22 * 60, ends=5 * 60)
FREEZE = Window("freeze", "deny", PARIS, first=date(2026, 12, 20), last=date(2027, 1, 3))


def at(text: str) -> datetime:
    """A time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def clock(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


def lets(windows: list[Window], now: datetime) -> bool:
    """The same by words alone: what the clock shows, and whether that is in a window."""

    def is_in(one: Window) -> bool:
        wall = now.astimezone(ZoneInfo(one.zone))
        for back in (0, 1):
            day = wall.date() - timedelta(days=back)
            shown = wall.hour * 60 + wall.minute + back * MIDNIGHT
            ends = one.ends if one.ends > one.begins else one.ends + MIDNIGHT
            begins_on = DAYS[day.weekday()] in one.days and (one.first or day) <= day <= (one.last or day)
            if begins_on and one.begins <= shown < ends:
                return True
        return False

    allowing = [one for one in windows if one.kind == "allow"]
    return (not allowing or any(map(is_in, allowing))) and not any(is_in(one) for one in windows if one.kind == "deny")


@pytest.mark.parametrize(
    ("now", "is_let"),
    [
        ("2026-03-01T20:59", False), ("2026-03-01T21:00", True), ("2026-03-02T03:59", True),
        ("2026-03-02T04:00", False), ("2026-07-01T20:00", True), ("2026-07-01T03:00", False),
    ],
)  # fmt: skip
def test_a_window_over_midnight_is_open_by_the_clock_of_its_zone(now: str, is_let: bool) -> None:
    assert (closed([NIGHTS], "pve1", {}, at(now)) is None) is is_let


def test_a_closed_window_says_which_and_when_it_opens() -> None:
    shut = closed([NIGHTS], "pve1", {}, at("2026-03-01T12:00"))
    assert shut is not None
    assert shut.why == (
        "outside of the windows nights (22:00-05:00 Europe/Paris); it opens next at 2026-03-01 21:00 UTC"
    )
    assert shut.opens_at == at("2026-03-01T21:00")


def test_what_denies_is_stronger_and_says_so() -> None:
    shut = closed([NIGHTS, FREEZE], "pve1", {}, at("2026-12-24T23:00"))
    assert shut is not None
    assert shut.why == (
        "the window freeze (00:00-24:00 from 2026-12-20 to 2027-01-03 Europe/Paris) lets no apply begin; it opens next "
        "at 2027-01-03 23:00 UTC"
    )


def test_without_a_window_that_allows_only_what_denies_counts() -> None:
    assert closed([FREEZE], "pve1", {}, at("2026-03-01T12:00")) is None
    assert closed([], "pve1", {}, at("2026-03-01T12:00")) is None


def test_a_window_is_about_hosts_by_name_and_by_all_of_its_labels() -> None:
    one = Window("w", "deny", PARIS, hosts=("pve*",), labels={"site": "paris", "tier": "edge"})
    now, both = at("2026-03-01T12:00"), {"site": "paris", "tier": "edge"}
    assert closed([one], "pve1", both, now) is not None
    assert closed([one], "gate", both, now) is None
    assert closed([one], "pve1", {"site": "paris"}, now) is None
    shut = closed([one], "pve1", both, now)
    assert shut is not None
    assert shut.opens_at is None
    assert "no window opens any more" in shut.why


# On 2026-03-29 in Paris 01:59 is followed by 03:00 (01:00 UTC); on 2026-10-25 02:59 is followed by 02:00 (01:00 UTC).
@pytest.mark.parametrize(
    ("begins", "ends", "from_utc", "opens"),
    [
        ("02:10", "02:50", "2026-03-29T00:00", "2026-03-30T00:10"),  # no clock shows it on that day
        ("02:30", "04:00", "2026-03-29T00:00", "2026-03-29T01:00"),  # it opens when the clock jumps into it
        ("01:30", "02:30", "2026-03-29T00:00", "2026-03-29T00:30"),
        ("02:10", "02:50", "2026-10-25T00:00", "2026-10-25T00:10"),  # the first 02:10
        ("02:10", "02:50", "2026-10-25T00:50", "2026-10-25T01:10"),  # the second one
        ("01:30", "02:30", "2026-10-25T00:30", "2026-10-25T01:00"),  # the clock goes back into it
    ],
)
def test_where_clocks_are_changed(begins: str, ends: str, from_utc: str, opens: str) -> None:
    one = Window("w", "allow", PARIS, begins=clock(begins), ends=clock(ends))
    assert not lets([one], at(from_utc))
    assert next_open([one], at(from_utc)) == at(opens)
    assert lets([one], at(opens))


ZONES = (PARIS, "America/New_York", "Australia/Lord_Howe", "UTC", "Pacific/Kiritimati", "Asia/Kolkata")
MINUTES = st.sampled_from(range(0, MIDNIGHT, 10))


@st.composite
def windows(draw: st.DrawFn) -> Window:
    begins = draw(MINUTES)
    ends = draw(MINUTES.filter(lambda one: one != begins).map(lambda one: one or MIDNIGHT))
    day = st.none() | st.integers(-3, 6).map(lambda n: date(2026, draw(st.sampled_from((3, 10))), 26) + timedelta(n))
    return Window(
        "w", draw(st.sampled_from(("allow", "deny"))), draw(st.sampled_from(ZONES)),
        tuple(sorted(draw(st.sets(st.sampled_from(DAYS), min_size=1)))), begins, ends, draw(day), draw(day),
    )  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(windows(), min_size=1, max_size=3), st.sampled_from(("2026-03-27T12:00", "2026-10-23T12:00")), MINUTES)
def test_it_opens_at_the_first_minute_at_which_it_is_let(found: list[Window], start: str, minutes: int) -> None:
    now = at(start) + timedelta(minutes=minutes)
    for step in range(0, 120, 7):
        moment = now + timedelta(minutes=step)
        assert (closed(found, "pve1", {}, moment) is None) == lets(found, moment)
    opens = next_open(found, now)
    was_let = lets(found, now)
    for step in range(1, 4 * MIDNIGHT // 10):
        moment = now + timedelta(minutes=10 * step)
        is_let = lets(found, moment)
        if is_let and not was_let:
            assert opens is not None
            assert opens <= moment
            break
        was_let = is_let
        if opens is not None and moment >= opens:
            break
    if opens is not None:
        assert lets(found, opens)
