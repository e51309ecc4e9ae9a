"""When what is due. Pure: times are seconds since the epoch, and nothing here asks a clock or a network.

The limits are one less than those of Let's Encrypt (letsencrypt.org/docs/rate-limits, 2026-08-05). It allows 5 failed
validations an hour for a name and an account. It allows 5 certificates in 7 days for an exact set of names. Renewal
windows are RFC 9773 (ARI).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400
FAILURES_AN_HOUR = 4
EQUAL_ORDERS = 4
EQUAL_ORDERS_S = 7 * DAY_S
BETWEEN_RENEWALS_S, BETWEEN_RENEWALS_SHARE = DAY_S, 0.25
"""A certificate is renewed no sooner after its order than the smaller of a day and this share of its life. A clock that
is far ahead takes each new certificate for an old one; this keeps it from using up the week's orders at once."""
BACK_OFF_S = (5 * MINUTE_S, 15 * MINUTE_S, HOUR_S, 3 * HOUR_S, 6 * HOUR_S)
"""After the first failure in a row, the second, …; the last for all that follow."""
UNSAID_S = 30
"""After the first failure in a row without the authority's reason: a connection that broke is soon there again."""
BACK_OFF_MORE = 0.2
"""Up to this share is added by chance, so that many guests do not come at once."""
LONGEST_RETRY_AFTER_S = 14 * DAY_S
POLL_LEAST_S, POLL_MOST_S = MINUTE_S, DAY_S  # RFC 9773, 4.3.2
POLL_DEFAULT_S = 6 * HOUR_S  # RFC 9773, 4.3.3: also after a poll that failed
LATEST_SHARE = 0.9
"""A window that lies beyond this share of a certificate's life counts as this point: the rest is for retries."""


@dataclass(frozen=True)
class Held:
    """The certificate that nginx has now."""

    kind: str  # self-signed, staging, issued
    names: tuple[str, ...]
    not_before: int
    not_after: int
    serial: str
    directory: Optional[str]

    @property
    def life_s(self) -> int:
        return self.not_after - self.not_before


@dataclass(frozen=True)
class Window:
    """When to renew: `at` is the point inside that was chosen; `by` says who named the window."""

    start: float
    end: float
    by: str  # ari, two-thirds
    at: float


@dataclass(frozen=True)
class Ari:
    """What the authority last said about the certificate with this serial; `window` is None when it names none."""

    serial: str
    start: Optional[float]
    end: Optional[float]
    at: Optional[float]
    poll_at: float


@dataclass(frozen=True)
class Past:
    """What was tried for one certificate, and what limits it now.

    `failures`: times of failed or unfinished attempts of each of its names. `orders`: times when a certificate for
    exactly these names was requested to be made. `permitted`: the service's preflight passed for these names.
    """

    failures: Sequence[Sequence[float]] = ()
    orders: Sequence[float] = ()
    in_a_row: int = 0
    not_before: Optional[float] = None
    permitted: bool = False


@dataclass(frozen=True)
class Decision:
    """What to do now for one certificate.

    `order` is `first` (a new name or a changed set of names), `renewal` or None. `waits_for` says why there is no order
    now, `at` when that ends; both None when nothing is to be waited for.
    """

    order: Optional[str]
    waits_for: Optional[str]
    at: Optional[float]
    window: Optional[Window]


def within(times: Sequence[float], now: float, span_s: float) -> list[float]:
    """The times that count, oldest first. A clock that was set back makes no time count forever."""
    return sorted(each for each in times if abs(now - each) < span_s)


def window(held: Held, ari: Optional[Ari]) -> Window:
    """When to renew: by the authority's word where there is one, else from two thirds of the certificate's life."""
    latest = held.not_before + held.life_s * LATEST_SHARE
    if ari and ari.serial == held.serial and ari.start is not None and ari.end is not None and ari.at is not None:
        return Window(ari.start, ari.end, "ari", min(ari.at, latest))
    start = held.not_before + held.life_s * 2 / 3
    return Window(start, latest, "two-thirds", start)


def heard(serial: str, before: Optional[Ari], start: float, end: float, poll_at: float, chance: float) -> Ari:
    """What an authority's window means: a point inside is chosen once, and again only when the window leaves it out."""
    if end <= start:  # malformed: as if there were none
        return Ari(serial, None, None, None, poll_at)
    at = before.at if before and before.serial == serial else None
    if at is None or not start <= at <= end:
        at = start + (end - start) * chance
    return Ari(serial, start, end, at, poll_at)


def poll_after(now: float, retry_after_s: Optional[float]) -> float:
    """When to ask for the window again."""
    wanted = POLL_DEFAULT_S if retry_after_s is None else retry_after_s
    return now + min(max(wanted, POLL_LEAST_S), POLL_MOST_S)


def polls(held: Optional[Held], ari: Optional[Ari], directory: str, now: float) -> bool:
    """Is it time to ask for the window? Never for an expired certificate (RFC 9773, 4.3) or of another authority."""
    if held is None or held.directory != directory or now >= held.not_after:
        return False
    return ari is None or ari.serial != held.serial or now >= ari.poll_at or ari.poll_at > now + 2 * POLL_MOST_S


def retry_at(
    now: float, in_a_row: int, retry_after_s: Optional[float], chance: float, *, unsaid: bool = False
) -> float:
    """When to try again after a failure, the `in_a_row`-th; never before the authority's Retry-After. `unsaid`: the
    authority gave no reason, so it may not have seen the attempt at all."""
    usual_s = BACK_OFF_S[min(max(in_a_row, 1), len(BACK_OFF_S)) - 1]
    back_off = (UNSAID_S if unsaid and in_a_row <= 1 else usual_s) * (1 + BACK_OFF_MORE * chance)
    return now + max(back_off, min(retry_after_s or 0, LONGEST_RETRY_AFTER_S))


def budget_until(past: Past, now: float) -> Optional[float]:
    """Until when one more attempt could break a limit of the authority; None when it cannot."""
    ends = []
    for times in past.failures:
        counted = within(times, now, HOUR_S)
        if len(counted) >= FAILURES_AN_HOUR:
            ends.append(counted[-FAILURES_AN_HOUR] + HOUR_S)
    counted = within(past.orders, now, EQUAL_ORDERS_S)
    if len(counted) >= EQUAL_ORDERS:
        ends.append(counted[-EQUAL_ORDERS] + EQUAL_ORDERS_S)
    return max(ends, default=None)


def renewable_from(held: Held, past: Past, now: float) -> float:
    """From when on a certificate may be renewed, whatever its window is."""
    apart = min(BETWEEN_RENEWALS_S, held.life_s * BETWEEN_RENEWALS_SHARE)
    return max((each + apart for each in within(past.orders, now, apart)), default=now)


def decide(
    names: Sequence[str], directory: str, held: Optional[Held], ari: Optional[Ari], past: Past, now: float
) -> Decision:
    """What to do now for one certificate with these names from this authority."""
    current = held is not None and held.directory == directory and set(held.names) == set(names)
    renewal = window(held, ari) if held and current else None
    if renewal and now < renewal.at:
        return Decision(None, "window", renewal.at, renewal)
    kind = "renewal" if renewal else "first"
    if kind == "first" and not past.permitted:
        return Decision(None, "permit", None, None)
    budget = budget_until(past, now)
    if held and renewal:
        budget = max(budget or now, renewable_from(held, past, now))
    if budget is not None and budget > now:
        return Decision(None, "budget", max(budget, past.not_before or 0), renewal)
    if past.not_before is not None and now < past.not_before <= now + LONGEST_RETRY_AFTER_S + DAY_S:
        return Decision(None, "back-off", past.not_before, renewal)
    return Decision(kind, None, now, renewal)
