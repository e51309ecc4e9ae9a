"""When what is due: one row for each rule."""

import pytest

from service.guestside.due import (
    BACK_OFF_S,
    DAY_S,
    HOUR_S,
    UNSAID_S,
    Ari,
    Decision,
    Held,
    Past,
    Window,
    budget_until,
    decide,
    heard,
    poll_after,
    polls,
    retry_at,
    window,
)

T0 = 1_800_000_000
LIFE_S = 90 * DAY_S
CA, OTHER_CA = "https://ca.example/dir", "https://other.example/dir"
NAMES = ("www.example.org", "example.org")
ISSUED = Held("issued", NAMES, T0, T0 + LIFE_S, "0a", CA)
PLACEHOLDER = Held("self-signed", NAMES, T0, T0 + 10 * LIFE_S, "0b", None)
THIRDS = Window(T0 + 60 * DAY_S, T0 + 81 * DAY_S, "two-thirds", T0 + 60 * DAY_S)
PERMITTED = Past(permitted=True)


def at(held: Held | None, now: float, past: Past = PERMITTED, ari: Ari | None = None) -> Decision:
    return decide(NAMES, CA, held, ari, past, now)


def test_a_first_order_waits_for_its_permit_and_for_nothing_else() -> None:
    for held in (None, PLACEHOLDER):
        assert at(held, T0, Past()) == Decision(None, "permit", None, None)
        assert at(held, T0) == Decision("first", None, T0, None)


def test_another_set_of_names_or_another_authority_is_a_first_order() -> None:
    fewer = decide(NAMES[:1], CA, ISSUED, None, PERMITTED, T0 + 1)
    assert (fewer.order, fewer.window) == ("first", None)
    assert decide(NAMES[::-1], CA, ISSUED, None, PERMITTED, T0 + 1).order is None  # in any order
    assert decide(NAMES, OTHER_CA, ISSUED, None, PERMITTED, T0 + 1).order == "first"
    assert decide(NAMES, OTHER_CA, ISSUED, None, Past(), T0 + 1).waits_for == "permit"


def test_a_renewal_needs_no_permit_and_is_due_at_two_thirds_of_the_life() -> None:
    assert at(ISSUED, T0 + 60 * DAY_S - 1, Past()) == Decision(None, "window", T0 + 60 * DAY_S, THIRDS)
    assert at(ISSUED, T0 + 60 * DAY_S, Past()) == Decision("renewal", None, T0 + 60 * DAY_S, THIRDS)
    assert at(ISSUED, T0 + 2 * LIFE_S, Past()).order == "renewal"


def test_the_authority_s_window_wins_before_and_after_two_thirds() -> None:
    early = Ari("0a", T0 + DAY_S, T0 + 2 * DAY_S, T0 + 1.5 * DAY_S, T0)
    assert at(ISSUED, T0 + 1.4 * DAY_S, ari=early).waits_for == "window"
    assert at(ISSUED, T0 + 1.5 * DAY_S, ari=early).order == "renewal"
    late = Ari("0a", T0 + 70 * DAY_S, T0 + 72 * DAY_S, T0 + 71 * DAY_S, T0)
    assert at(ISSUED, T0 + 65 * DAY_S, ari=late) == Decision(
        None, "window", T0 + 71 * DAY_S, Window(T0 + 70 * DAY_S, T0 + 72 * DAY_S, "ari", T0 + 71 * DAY_S)
    )


def test_a_window_of_another_certificate_counts_for_nothing() -> None:
    assert window(ISSUED, Ari("ff", T0, T0 + 1, T0, T0)) == THIRDS


def test_a_window_beyond_the_life_leaves_a_tenth_of_it_for_retries() -> None:
    assert window(ISSUED, Ari("0a", T0 + LIFE_S, T0 + 2 * LIFE_S, T0 + 2 * LIFE_S, T0)).at == T0 + 81 * DAY_S


def test_a_point_in_the_window_is_chosen_once_and_again_when_the_window_leaves_it() -> None:
    first = heard("0a", None, T0, T0 + 100, T0 + 9, 0.25)
    assert first == Ari("0a", T0, T0 + 100, T0 + 25, T0 + 9)
    assert heard("0a", first, T0 + 20, T0 + 120, T0 + 9, 0.99).at == T0 + 25
    assert heard("0a", first, T0 + 50, T0 + 150, T0 + 9, 0.5).at == T0 + 100
    assert heard("0a", Ari("ff", T0, T0 + 100, T0 + 7, T0), T0, T0 + 100, T0 + 9, 0.5).at == T0 + 50


@pytest.mark.parametrize("end", [T0, T0 - 5])
def test_a_window_that_ends_before_it_begins_is_none(end: int) -> None:
    found = heard("0a", None, T0, end, T0 + 9, 0.5)
    assert (found.at, found.poll_at) == (None, T0 + 9)
    assert window(ISSUED, found) == THIRDS


@pytest.mark.parametrize(
    ("retry_after_s", "wanted_s"), [(None, 6 * HOUR_S), (0, 60), (59, 60), (7200, 7200), (10 * DAY_S, DAY_S)]
)
def test_retry_after_of_a_window_is_kept_between_a_minute_and_a_day(retry_after_s: float | None, wanted_s: int) -> None:
    assert poll_after(T0, retry_after_s) == T0 + wanted_s


def test_windows_are_polled_for_living_certificates_of_this_authority() -> None:
    heard_at = Ari("0a", None, None, None, T0 + 100)
    assert polls(ISSUED, None, CA, T0)
    assert not polls(ISSUED, heard_at, CA, T0 + 99)
    assert polls(ISSUED, heard_at, CA, T0 + 100)
    assert polls(ISSUED, Ari("ff", None, None, None, T0 + 100), CA, T0)
    assert polls(ISSUED, Ari("0a", None, None, None, T0 + 30 * DAY_S), CA, T0)  # written under a wrong clock
    assert not polls(ISSUED, None, CA, T0 + LIFE_S)
    assert not polls(ISSUED, None, OTHER_CA, T0)
    assert not polls(PLACEHOLDER, None, CA, T0)
    assert not polls(None, None, CA, T0)


def test_back_off_grows_and_never_ends_before_retry_after() -> None:
    assert [retry_at(T0, count, None, 0.0) - T0 for count in range(1, 8)] == [
        *BACK_OFF_S,
        BACK_OFF_S[-1],
        BACK_OFF_S[-1],
    ]
    assert retry_at(T0, 1, None, 1.0) == T0 + BACK_OFF_S[0] * 1.2
    assert retry_at(T0, 1, None, 0.0, unsaid=True) == T0 + UNSAID_S
    assert retry_at(T0, 2, None, 0.0, unsaid=True) == T0 + BACK_OFF_S[1]
    assert retry_at(T0, 1, 7200, 0.0, unsaid=True) == T0 + 7200
    assert retry_at(T0, 1, 7200, 0.0) == T0 + 7200
    assert retry_at(T0, 5, 10, 0.0) == T0 + BACK_OFF_S[-1]
    assert retry_at(T0, 1, 10**9, 0.0) == T0 + 14 * DAY_S
    waiting = at(None, T0, Past(permitted=True, not_before=T0 + 60))
    assert waiting == Decision(None, "back-off", T0 + 60, None)
    assert at(None, T0 + 60, Past(permitted=True, not_before=T0 + 60)).order == "first"
    assert at(None, T0, Past(permitted=True, not_before=T0 + 400 * DAY_S)).order == "first"  # a wrong clock


def test_a_name_fails_at_most_four_times_in_any_hour() -> None:
    times = [T0, T0 + 600, T0 + 1200, T0 + 1800]
    past = Past(failures=[[], times], permitted=True)
    assert at(None, T0 + 1801, past) == Decision(None, "budget", T0 + HOUR_S, None)
    assert at(None, T0 + HOUR_S, past).order == "first"
    assert at(None, T0 + 1801, Past(failures=[times[:2], times[2:]], permitted=True)).order == "first"


def test_equal_orders_are_at_most_four_in_any_week_renewals_too() -> None:
    past = Past(orders=[T0 + day * DAY_S for day in range(4)], permitted=True)
    assert at(None, T0 + 4 * DAY_S, past) == Decision(None, "budget", T0 + 7 * DAY_S, None)
    assert at(ISSUED, T0 + 61 * DAY_S, Past(orders=[T0 + (57 + day) * DAY_S for day in range(4)])).waits_for == "budget"
    assert at(None, T0 + 7 * DAY_S, past).order == "first"


def test_times_of_a_wrong_clock_count_no_longer_than_the_right_ones() -> None:
    assert budget_until(Past(failures=[[T0 + 10 * DAY_S] * 4]), T0) is None
    assert budget_until(Past(failures=[[T0 + 100] * 4]), T0) == T0 + 100 + HOUR_S


def test_a_renewal_comes_a_day_or_a_quarter_of_a_life_after_the_order_before() -> None:
    due = T0 + 61 * DAY_S
    assert at(ISSUED, due, Past(orders=[due - DAY_S + 1])) == Decision(None, "budget", due + 1, THIRDS)
    assert at(ISSUED, due, Past(orders=[due - DAY_S])).order == "renewal"
    short = Held("issued", NAMES, T0, T0 + DAY_S, "0c", CA)
    assert at(short, T0 + DAY_S, Past(orders=[T0 + 18 * HOUR_S + 1])).at == T0 + DAY_S + 1
    assert at(short, T0 + DAY_S, Past(orders=[T0 + 18 * HOUR_S])).order == "renewal"
    assert at(None, due, Past(orders=[due - 1], permitted=True)).order == "first"
