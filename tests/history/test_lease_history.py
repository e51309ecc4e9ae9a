"""Who had what at any past time: the database's answers against those of a search through all that was ever seen."""

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.history import History
from service.model.listings import EventListing, LeaseHistoryListing, LeaseListing
from service.model.observed import Lease

SECOND = timedelta(seconds=1)
HOSTS = itertools.count()

Line = tuple[str, str, str]
"""(MAC, address, name)"""


@dataclass(frozen=True)
class Look:
    """A lease file as it was read `after_s` seconds from the start: {line: seconds from the start, 0 = never}."""

    after_s: int
    lines: Mapping[Line, int]

    def alive(self) -> dict[Line, int]:
        return {line: ends for line, ends in self.lines.items() if ends == 0 or ends > self.after_s}


def brute_force(looks: Sequence[Look], at_s: int) -> set[Line]:
    """What the last look before had and what had not run out then; or what the look after it still had as it was."""
    before = [look for look in looks if look.after_s <= at_s]
    if not before:
        return set()
    later = [look for look in looks if look.after_s > at_s]
    still = later[0].alive() if later else {}
    return {line for line, ends in before[-1].alive().items() if ends == 0 or ends > at_s or line in still}


def recorded(history: History, looks: Sequence[Look], start: datetime) -> str:
    host = f"pve{next(HOSTS)}"
    epoch = int(start.timestamp())
    for look in looks:
        seen = [Lease(m, ip, name, epoch + ends if ends else 0) for (m, ip, name), ends in look.lines.items()]
        history.store.seen_leases(host, seen, at=start + look.after_s * SECOND)
    return host


def held(history: History, host: str, at: datetime) -> set[Line]:
    """All pages of what the database says."""
    found: set[Line] = set()
    after: tuple[str | int, ...] = ()
    while True:
        page = history.queries.leases(LeaseListing(limit=1000, at=at, host=host, start=after), now=at)
        assert not found & {(one.mac, one.ip, one.name) for one in page.items}
        found |= {(one.mac, one.ip, one.name) for one in page.items}
        if page.next is None:
            return found
        after = page.next


def lines_of(looks: Sequence[Look]) -> list[int]:
    """Every second at which something could change, and those around it."""
    marks = {look.after_s for look in looks} | {ends for look in looks for ends in look.lines.values()}
    return sorted({mark + around for mark in marks for around in (-1, 0, 1) if mark + around >= 0})


MACS = [f"bc:24:11:00:00:0{n}" for n in range(3)]
LINES = st.tuples(st.sampled_from(MACS), st.sampled_from(["10.10.10.100", "10.10.10.101"]))
FILES = st.dictionaries(LINES, st.tuples(st.sampled_from(["", "dev", "web"]), st.integers(0, 60)), max_size=4)


@pytest.mark.long
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.integers(1, 15), FILES), min_size=1, max_size=5))
def test_every_past_time_is_answered_as_a_search_through_all_that_was_seen_would(
    history: History, now: datetime, files: list[tuple[int, dict[tuple[str, str], tuple[str, int]]]]
) -> None:
    looks, after_s = [], 0
    for pause_s, file in files:
        after_s += pause_s
        looks.append(Look(after_s, {(mac, ip, name): ends for (mac, ip), (name, ends) in file.items()}))
    start = now.replace(microsecond=0)
    host = recorded(history, looks, start)
    for at_s in lines_of(looks):
        assert held(history, host, start + at_s * SECOND) == brute_force(looks, at_s), at_s


DEV, WEB = "bc:24:11:00:00:01", "bc:24:11:00:00:02"
H = 3600
WEEK = [
    Look(0, {(DEV, "10.10.10.135", "dev"): 12 * H}),
    Look(6 * H, {(DEV, "10.10.10.135", "dev"): 18 * H}),  # renewed
    Look(7 * H, {(WEB, "10.10.10.137", "web"): 19 * H, (DEV, "10.10.10.135", "dev"): 18 * H}),
    Look(8 * H, {(DEV, "10.10.10.135", "dev"): 18 * H}),  # web released it
    Look(9 * H, {(DEV, "10.10.10.135", "dev"): 18 * H, (WEB, "10.10.10.137", ""): 10 * H}),  # back, silent
    Look(11 * H, {(DEV, "10.10.10.135", "dev"): 18 * H, (WEB, "10.10.10.137", ""): 10 * H}),  # ran out, not pruned
    Look(12 * H, {}),  # the file was lost and dnsmasq started with an empty one
    Look(13 * H, {(DEV, "10.10.10.137", "dev"): 25 * H}),  # another address
    Look(14 * H, {(DEV, "10.10.10.137", "dev"): 25 * H, (WEB, "10.10.10.135", "dev2"): 26 * H}),
    Look(15 * H, {(WEB, "10.10.10.135", "dev"): 26 * H, (DEV, "10.10.10.137", ""): 25 * H}),  # took the name
]
ANSWERS = {
    1: {"10.10.10.135": "dev"},
    7: {"10.10.10.135": "dev", "10.10.10.137": "web"},
    8: {"10.10.10.135": "dev"},
    9: {"10.10.10.135": "dev", "10.10.10.137": ""},
    10: {"10.10.10.135": "dev"},
    11: {"10.10.10.135": "dev"},
    12: {},
    13: {"10.10.10.137": "dev"},
    14: {"10.10.10.137": "dev", "10.10.10.135": "dev2"},
    15: {"10.10.10.137": "", "10.10.10.135": "dev"},
    25: {"10.10.10.135": "dev"},
    26: {},
}


def test_a_renewal_a_release_an_expiry_a_lost_file_and_a_taken_name_are_told_right(
    history: History, now: datetime
) -> None:
    start = now.replace(microsecond=0)
    host = recorded(history, WEEK, start)
    told = {hour: {ip: name for _, ip, name in held(history, host, start + hour * H * SECOND)} for hour in ANSWERS}
    assert told == ANSWERS
    for at_s in lines_of(WEEK):
        assert held(history, host, start + at_s * SECOND) == brute_force(WEEK, at_s)


def test_the_history_of_an_address_names_all_who_had_it_newest_first(history: History, now: datetime) -> None:
    start = now.replace(microsecond=0)
    host = recorded(history, WEEK, start)
    page = history.queries.lease_history(LeaseHistoryListing(limit=10, host=host, ip="10.10.10.137"))
    shown = [
        (
            one.mac,
            one.name,
            (one.from_at - start) // (H * SECOND),
            one.until_at and (one.until_at - start) // (H * SECOND),
        )
        for one in page.items
    ]
    assert shown == [(DEV, "", 15, None), (DEV, "dev", 13, 15), (WEB, "", 9, 11), (WEB, "web", 7, 8)]
    first = history.queries.lease_history(LeaseHistoryListing(limit=3, host=host, ip="10.10.10.137"))
    rest = history.queries.lease_history(
        LeaseHistoryListing(limit=3, host=host, ip="10.10.10.137", start=first.next or ())
    )
    assert first.items + rest.items == page.items


def test_a_name_that_another_guest_has_now_is_told(history: History, now: datetime) -> None:
    host = recorded(history, WEEK, now.replace(microsecond=0))
    told = [event.text for event in history.queries.events(EventListing(limit=50, type="name.moved")).items]
    assert told == [f"{host}: the name dev went from {DEV} (10.10.10.137) to {WEB} (10.10.10.135)"]


def test_a_look_that_finds_nothing_new_writes_no_lease(history: History, now: datetime) -> None:
    leases = [Lease(DEV, "10.10.10.135", "dev", 0)]
    history.store.seen_leases("pve1", leases, at=now)
    history.store.seen_leases("pve1", leases, at=now + 30 * SECOND)
    (current,) = history.queries.leases(LeaseListing(limit=5, host="pve1"), now=now).items
    assert (current.first_seen, current.last_seen) == (now, now + 30 * SECOND)
    history.store.seen_leases("pve1", [], at=now + 60 * SECOND)
    (gone,) = history.queries.leases(LeaseListing(limit=5, host="pve1"), now=now).items
    assert (gone.active, gone.last_seen) == (False, now + 30 * SECOND)


@pytest.mark.long
def test_ten_thousand_leases_over_a_day_are_told_right_at_any_time(history: History, now: datetime) -> None:
    choose = random.Random(5)
    guests = [
        (f"bc:24:11:{n >> 16:02x}:{n >> 8 & 255:02x}:{n & 255:02x}", f"10.20.{n >> 8}.{n & 255}") for n in range(10_000)
    ]
    looks, lines = [], {(mac, ip, f"g{n}"): 12 * H for n, (mac, ip) in enumerate(guests)}
    for look in range(8):
        after_s = look * 3 * H
        lines = {line: after_s + 12 * H if choose.random() < 0.3 else ends for line, ends in lines.items()}
        for line in choose.sample(sorted(lines), 200):
            del lines[line]
        looks.append(Look(after_s, dict(lines)))
    start = now.replace(microsecond=0)
    host = recorded(history, looks, start)
    for at_s in (0, 1, 3 * H - 1, 3 * H, 10 * H, 12 * H, 20 * H, 21 * H, 30 * H):
        assert held(history, host, start + at_s * SECOND) == brute_force(looks, at_s)
