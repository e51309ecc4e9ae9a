"""What the loop works with: every write of the store, and the few reads that it decides by."""

from service.history.database import Database
from service.history.pepper import Pepper
from service.history.queries import Queries
from service.history.store import Store
from service.model.runs import Apply, Base, HostStatus


class Record(Store):
    """The store, and: host_names, host_status, base, is_latched, unfinished_applies, last_accepted."""

    def __init__(self, database: Database, pepper: Pepper, queries: Queries) -> None:
        super().__init__(database, pepper)
        self._queries = queries

    def host_names(self) -> tuple[str, ...]:
        """Every host that Git named when it was last looked at."""
        return self._queries.host_names()

    def host_status(self, host: str) -> HostStatus | None:
        """Where a host stood last."""
        return self._queries.host(host)

    def base(self, host: str) -> Base | None:
        """What was last applied."""
        return self._queries.base(host)

    def is_latched(self, host: str, desired_digest: str) -> bool:
        """Whether this desired digest was rolled back on this host and nobody cleared it since."""
        return self._queries.is_latched(host, desired_digest)

    def unfinished_applies(self, host: str) -> tuple[Apply, ...]:
        """What was under way on this host, oldest first."""
        return self._queries.unfinished_applies(host)

    def last_accepted(self) -> str | None:
        """The commit in force."""
        newest = self._queries.newest_revision("accepted")
        return newest.commit if newest else None
