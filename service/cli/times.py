"""Times as people write and read them."""

from datetime import UTC, datetime

from service.clock import SystemClock
from service.errors import InputError


def age(at: str) -> str:
    """How long ago a time of the API was: `3 min ago`."""
    ago_s = max(0.0, (SystemClock().now() - datetime.fromisoformat(at)).total_seconds())
    for unit, size_s in (("days", 86_400), ("h", 3600), ("min", 60)):
        if ago_s >= 2 * size_s:
            return f"{ago_s / size_s:.0f} {unit} ago"
    return f"{ago_s:.0f} s ago"


def with_zone(at: str | None) -> datetime | None:
    """A time as the API takes it. InputError for what is none."""
    if at is None:
        return None
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        raise InputError(f"{at!r} is not a time", hint="write it as in 2026-11-17T03:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
