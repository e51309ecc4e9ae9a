"""Sessions of people in the browser. A session stands for the token that somebody signed in with, and for nothing more:
it may what the token may, and ends with it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from service.model.access import Principal


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """`idle`: how long a session lasts in which nobody clicks. `life`: how long it lasts at most.

    OWASP's session management cheat sheet asks for both ends. The idle end is a working day: who leaves in the evening
    signs in again in the morning, and nobody has to over lunch.
    """

    idle: timedelta = timedelta(hours=8)
    life: timedelta = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class WebSession:
    """A session that is in force. `ends_at` is its absolute end, or that of its token where that is sooner."""

    id: str
    principal: Principal
    created_at: datetime
    used_at: datetime
    ends_at: datetime

    def over_at(self, limits: SessionLimits) -> datetime:
        """When it ends, if nobody clicks until then."""
        return min(self.used_at + limits.idle, self.ends_at)


@dataclass(frozen=True, slots=True)
class Visit:
    """Where a request came from, for the records: the client's address and the id of the request."""

    client: str = ""
    request_id: str = ""
