"""Times as people write and read them."""

from datetime import UTC, datetime

from service.clock import SystemClock
from service.errors import InputError
from service.model.ages import ago, ahead


def age(at: str) -> str:
    """How long ago a time of the API was: `3 min ago`."""
    return ago((SystemClock().now() - datetime.fromisoformat(at)).total_seconds())


def dated(at: str | None) -> str:
    """A time of the API with its age: `2026-03-01T12:00:00Z (3 min ago)`; `never` where there is none."""
    return f"{at} ({age(at)})" if at else "never"


def due(at: str) -> str:
    """The same of a time that is mostly yet to come: `2026-03-01T12:00:00Z (in 3 days)`."""
    return f"{at} ({ahead((datetime.fromisoformat(at) - SystemClock().now()).total_seconds())})"


def with_zone(at: str | None) -> datetime | None:
    """A time as the API takes it. InputError for what is none."""
    if at is None:
        return None
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        raise InputError(f"{at!r} is not a time", hint="write it as in 2026-11-17T03:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
