import ipaddress
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.history import History
from service.history.columns import ip_order
from service.model.listings import EventListing, LeaseListing
from service.model.observed import Lease

HOUR = timedelta(hours=1)


def lease(last: int, name: str = "", expires: int = 0) -> Lease:
    return Lease(f"bc:24:11:00:00:{last:02x}", f"10.10.10.{last}", name, expires)


def test_leases_come_by_address_as_numbers(history: History, now: datetime) -> None:
    history.store.seen_leases("pve1", [lease(9), lease(100), lease(20)], at=now)
    history.store.seen_leases("pve1", [lease(9), lease(100), lease(20), Lease("m", "fd00::1", "six", 0)], at=now)
    found = history.queries.leases(LeaseListing(limit=10), now=now).items
    assert [one.ip for one in found] == ["10.10.10.9", "10.10.10.20", "10.10.10.100", "fd00::1"]


def test_a_lease_keeps_first_seen_and_moves_the_rest(history: History, now: datetime) -> None:
    ends = int((now + HOUR).timestamp())
    assert history.store.seen_leases("pve1", [lease(9, "dev", ends)], at=now) == 1
    assert history.store.seen_leases("pve1", [lease(9, "dev2", ends + 60)], at=now + HOUR / 2) == 0
    [found] = history.queries.leases(LeaseListing(limit=10), now=now).items
    assert (found.first_seen, found.last_seen, found.name) == (now, now + HOUR / 2, "dev2")
    assert found.expires_at is not None
    assert int(found.expires_at.timestamp()) == ends + 60


def test_a_lease_that_is_gone_or_ran_out_is_not_active(history: History, now: datetime) -> None:
    ends = int((now + HOUR).timestamp())
    history.store.seen_leases("pve1", [lease(1, "gone"), lease(2, "short", ends), lease(3, "ever")], at=now)
    history.store.seen_leases("pve2", [lease(4, "other")], at=now)
    history.store.seen_leases("pve1", [lease(2, "short", ends), lease(3, "ever")], at=now)

    def names(at: datetime, *, active: bool) -> list[str]:
        return [one.name for one in history.queries.leases(LeaseListing(limit=10, active=active), now=at).items]

    assert names(now, active=True) == ["short", "ever", "other"]
    assert names(now + 2 * HOUR, active=True) == ["ever", "other"]
    assert names(now + 2 * HOUR, active=False) == ["gone", "short"]


def test_a_lease_that_comes_back_counts_as_new(history: History, now: datetime) -> None:
    for found, new in (([lease(1)], 1), ([], 0), ([lease(1)], 1), ([lease(1)], 0)):
        assert history.store.seen_leases("pve1", found, at=now) == new
    assert [e.type for e in history.queries.events(EventListing(limit=10)).items] == ["lease.seen", "lease.seen"]


def test_leases_are_filtered_by_each_of_their_fields(history: History, now: datetime) -> None:
    history.store.seen_leases("pve1", [lease(1, "dev"), lease(2, "proxy")], at=now)
    history.store.seen_leases("pve2", [lease(3, "dev")], at=now)

    def ips(**filters: str) -> list[str]:
        return [one.ip for one in history.queries.leases(LeaseListing(limit=10, **filters), now=now).items]  # type: ignore[arg-type]

    assert ips(name="dev") == ["10.10.10.1", "10.10.10.3"]
    assert ips(host="pve1") == ["10.10.10.1", "10.10.10.2"]
    assert ips(mac="BC:24:11:00:00:02") == ["10.10.10.2"]
    assert ips(ip="10.10.10.3") == ["10.10.10.3"]
    assert ips(ip="10.10.10.3", host="pve1") == []


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_pages_of_leases_hold_each_once(history: History, now: datetime, limit: int) -> None:
    for host in ("pve1", "pve2"):
        history.store.seen_leases(host, [lease(n) for n in range(1, 8)], at=now)
    seen = []
    after: tuple[str | int, ...] = ()
    while True:
        page = history.queries.leases(LeaseListing(limit=limit, start=after), now=now)
        seen += [(one.ip, one.host) for one in page.items]
        if page.next is None:
            break
        after = page.next
    assert seen == sorted(seen, key=lambda pair: (int(pair[0].split(".")[-1]), pair[1]))
    assert len(seen) == 14


@pytest.mark.parametrize("address", ["", "10.10.10", "10.10.10.300", "x", "10.0.0.1\n", "::1%eth0\x00"])
def test_a_line_whose_address_is_none_is_passed_over(history: History, now: datetime, address: str) -> None:
    found = [Lease("bc:24:11:00:00:01", address, "odd", 0), lease(2)]
    assert history.store.seen_leases("pve1", found, at=now) in (1, 2)
    assert all(ipaddress.ip_address(one.ip) for one in history.queries.leases(LeaseListing(limit=10), now=now).items)


@pytest.mark.parametrize("expires", [-5, 2**62, 10**30])
def test_an_expiry_out_of_all_bounds_does_no_harm(history: History, now: datetime, expires: int) -> None:
    history.store.seen_leases("pve1", [lease(1, "dev", expires)], at=now)
    assert len(history.queries.leases(LeaseListing(limit=10), now=now).items) == 1


@given(st.lists(st.ip_addresses(), min_size=2, max_size=8))
def test_the_sort_key_sorts_as_the_numbers_do(addresses: list[ipaddress.IPv4Address | ipaddress.IPv6Address]) -> None:
    by_key = sorted(addresses, key=lambda address: ip_order(str(address)))
    assert by_key == sorted(addresses, key=lambda address: (address.version, int(address)))
