"""No story of failures, crashes, permits and clocks breaks a limit of the authority."""

from hypothesis import given, settings
from hypothesis import strategies as some

from service.guestside.due import DAY_S, EQUAL_ORDERS, FAILURES_AN_HOUR, HOUR_S, Held, Past, decide, retry_at

CA = "https://ca.example/dir"
NAMES = ("www.example.org",)
STEPS = some.lists(
    some.tuples(
        some.integers(60, 6 * HOUR_S),  # how long after the step before
        some.sampled_from(["fails", "dies", "dies in the order", "issued"]),
        some.booleans(),  # does the preflight begin to pass, which ends a back-off
    ),
    max_size=120,
)


@settings(max_examples=150)
@given(steps=STEPS, life_s=some.sampled_from([6 * HOUR_S, 160 * HOUR_S, 64 * DAY_S]))
def test_no_story_breaks_a_limit(steps: list[tuple[int, str, bool]], life_s: int) -> None:
    now, failures, orders = 1_800_000_000.0, list[float](), list[float]()
    in_a_row, not_before, held = 0, None, None
    for after_s, what, released in steps:
        now += after_s
        past = Past([failures], orders, in_a_row, None if released else not_before, permitted=True)
        if decide(NAMES, CA, held, None, past, now).order is None:
            continue
        in_a_row += 1
        not_before = retry_at(now, in_a_row, None, 0.0)
        if what != "issued":
            failures.append(now)
        if what in ("dies in the order", "issued"):
            orders.append(now)
        if what == "issued":
            in_a_row, not_before = 0, None
            held = Held("issued", NAMES, int(now), int(now) + life_s, "0a", CA)
    assert all(sum(at <= other < at + HOUR_S for other in failures) <= FAILURES_AN_HOUR for at in failures)
    assert all(sum(at <= other < at + 7 * DAY_S for other in orders) <= EQUAL_ORDERS for at in orders)


def test_the_law_has_something_to_say_about() -> None:
    """Failures every five minutes reach the limit, so the law above is not empty."""
    now, failures = 1_800_000_000.0, list[float]()
    for _ in range(24):
        if decide(NAMES, CA, None, None, Past([failures], permitted=True), now).order:
            failures.append(now)
        now += 300
    assert len(failures) == 2 * FAILURES_AN_HOUR
