"""Renewals: in the window that the authority names, else at two thirds of the life."""

from collections.abc import Callable

import pytest

from tests.guestside.authority import Authority, Refusal
from tests.guestside.guest import Guest, acme_of, verified

pytestmark = pytest.mark.host

DAY_S = 86400


@pytest.fixture
def issued(guest: Guest, authority: Authority) -> Guest:
    """A guest with a certificate of 64 days."""
    guest.permit()
    assert guest.do("run") == 0
    assert guest.status()["certificate"]["kind"] == "issued"
    return guest


def life(guest: Guest, share: float) -> float:
    """A point in the life of the live certificate."""
    found = guest.status()["certificate"]
    return float(found["not_before"] + (found["not_after"] - found["not_before"]) * share)


def test_the_authority_s_window_is_what_the_status_shows(issued: Guest) -> None:
    window = issued.status()["window"]
    assert window["by"] == "ari"
    assert life(issued, 0.5) < window["start"] < window["end"] < life(issued, 1)
    assert window["start"] <= issued.status()["next_attempt_at"] <= window["end"]


def test_a_window_that_is_moved_is_heard_at_its_retry_after_and_the_renewal_happens_inside(
    authority: Authority, issued: Guest
) -> None:
    first = issued.serial()
    start, end = life(issued, 0.2), life(issued, 0.3)
    authority.set_window(issued.chain(), start, end)
    issued.ahead_s = 2 * DAY_S  # pebble's Retry-After is over
    assert issued.do("run") == 0
    assert issued.status()["window"] == {"start": int(start), "end": int(end), "by": "ari"}
    at = issued.status()["next_attempt_at"]
    assert int(start) < at < int(end)
    issued.set_clock(at - 60)
    issued.do("run")
    assert issued.serial() == first
    issued.set_clock(at + 60)
    issued.do("run")
    assert issued.serial() != first
    verified(authority, issued)
    assert "replaces" in authority.orders[-1]


def test_a_window_in_the_past_means_now(authority: Authority, issued: Guest) -> None:
    first = issued.serial()
    authority.set_window(issued.chain(), life(issued, 0) - 2 * DAY_S, life(issued, 0) - DAY_S)
    issued.ahead_s = 2 * DAY_S
    issued.do("run")
    assert issued.serial() != first


def test_an_authority_without_windows_gets_its_orders_at_two_thirds(
    authority: Authority, new_guest: Callable[..., Guest]
) -> None:
    authority.has_windows = False
    guest = new_guest()
    guest.permit()
    guest.do("run")
    first = guest.serial()
    assert guest.status()["window"]["by"] == "two-thirds"
    assert guest.status()["next_attempt_at"] == int(life(guest, 2 / 3))
    guest.set_clock(life(guest, 2 / 3) + 1)
    guest.do("run")
    assert guest.serial() != first
    assert "replaces" not in authority.orders[-1]


def test_a_malformed_window_counts_as_none(authority: Authority, issued: Guest) -> None:
    first = issued.serial()
    authority.set_window(issued.chain(), life(issued, 0.5), life(issued, 0.4))
    issued.set_clock(life(issued, 0.66))
    issued.do("run")
    assert issued.status()["window"]["by"] == "two-thirds"
    assert (issued.serial(), issued.status()["next_attempt_at"]) == (first, int(life(issued, 2 / 3)))
    issued.set_clock(life(issued, 0.67))
    issued.do("run")
    assert issued.serial() != first
    verified(authority, issued)


def test_short_lives_are_renewed_again_and_again_with_one_order_each(
    authority: Authority, new_guest: Callable[..., Guest]
) -> None:
    guest = new_guest(profile="shortlived")
    guest.permit()
    guest.do("run")
    seen = [guest.serial()]
    whole = life(guest, 1) - life(guest, 0)
    assert whole == pytest.approx(160 * 3600, abs=2)
    for _ in range(3):
        begin, old = life(guest, 0), 0.0
        for share in (0.4, 0.7):
            guest.grow_old(whole * share - old)
            old = whole * share
            authority.set_window(guest.chain(), begin + whole * 0.55 - old, begin + whole * 0.65 - old)
            before = guest.serial()
            guest.do("run")
            assert (guest.serial() == before) == (share == 0.4), guest.status()
            if share == 0.4:
                assert life(guest, 0.55) < guest.status()["next_attempt_at"] < life(guest, 0.65)
        assert guest.serial() not in seen, guest.status()
        verified(authority, guest)
        seen.append(guest.serial())
    assert [order["profile"] for order in authority.orders] == ["shortlived"] * 4
    assert ["replaces" in order for order in authority.orders] == [False, True, True, True]


def test_a_clock_that_is_far_ahead_uses_up_no_orders(authority: Authority, issued: Guest) -> None:
    issued.set_clock(life(issued, 3))
    for _ in range(3):
        issued.do("run")
    assert len(authority.orders) == 2
    assert issued.status()["waits_for"] == "budget"
    assert issued.status()["next_attempt_at"] == pytest.approx(issued.now() + DAY_S, abs=30)


def test_where_the_authority_will_not_replace_it_is_an_ordinary_order(authority: Authority, issued: Guest) -> None:
    problem = {"type": "urn:ietf:params:acme:error:alreadyReplaced", "detail": "already replaced"}
    authority.refusals.append(Refusal("^/order-plz", 409, problem, times=1))
    first = issued.serial()
    issued.set_clock(life(issued, 0.95))
    issued.do("run")
    assert issued.serial() != first
    assert "replaces" not in authority.orders[-1]
    assert issued.status()["failures_in_the_hour"] == 0


def test_an_expired_certificate_is_renewed_whatever_its_window(authority: Authority, issued: Guest) -> None:
    first = issued.serial()
    issued.set_clock(life(issued, 1.5))
    issued.do("run")
    assert issued.serial() != first


def test_a_rebuilt_guest_orders_nothing(authority: Authority, issued: Guest) -> None:
    orders, first = len(authority.orders), issued.serial()
    rebuilt = Guest(issued.top.parent / "rebuilt", acme_of(authority))
    issued.state.parent.joinpath("etc").rename(issued.top.parent / "gone")
    rebuilt.top.mkdir()
    issued.state.rename(rebuilt.state)
    assert rebuilt.do("placeholders") == 0
    assert rebuilt.do("run") == 0
    assert (rebuilt.serial(), len(authority.orders)) == (first, orders)
    verified(authority, rebuilt)


def test_changed_names_wait_for_a_permit_and_the_old_certificate_stays_till_the_new_one_is_there(
    authority: Authority, issued: Guest
) -> None:
    first = issued.serial()
    issued.certificates = [{"name": "www.example.org", "names": ["www.example.org", "wiki.example.org"]}]
    issued.do("placeholders")
    issued.do("run")
    assert (issued.serial(), issued.status()["waits_for"]) == (first, "permit")
    issued.permit()
    issued.do("run")
    assert issued.serial() != first
    assert issued.status()["certificate"]["names"] == ["www.example.org", "wiki.example.org"]
    assert "replaces" not in authority.orders[-1]


def test_the_certificate_of_a_removed_site_is_kept_and_comes_back_with_it(authority: Authority, issued: Guest) -> None:
    first, there = issued.serial(), issued.certificates
    issued.certificates = [{"name": "wiki.example.org", "names": ["wiki.example.org"]}]
    issued.do("run")
    assert issued.live().exists()
    issued.certificates = there
    issued.do("run")
    assert (issued.serial(), len(authority.orders)) == (first, 1)
