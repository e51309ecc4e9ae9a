"""How long what is past is kept, and what is kept now."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Keep:
    """`days`: applies, drills, differences and leases of the past, revisions, the audit log. `event_days`: events,
    plans that were never applied, sessions that ended. `size_bytes`: where the database is larger, the oldest goes
    before its time."""

    days: float = 365
    event_days: float = 90
    size_bytes: int = 2 << 30

    def days_of(self, table: str) -> float | None:
        """How many days a table's rows are kept; None for a table that loses none by age."""
        if table in ("events", "plans", "web_sessions"):
            return self.event_days
        aged = (
            "applies", "apply_steps", "audit", "drift", "drills", "host_days", "latches", "lease_intervals", "leases",
            "pool_days", "revisions",
        )  # fmt: skip
        return self.days if table in aged else None

    def full_in_days(self, used_bytes: int, bytes_a_day: float) -> float | None:
        """In how many days the size is reached; 0 where it is, None where nothing grows."""
        left = self.size_bytes - used_bytes
        if left <= 0:
            return 0.0
        return left / bytes_a_day if bytes_a_day > 0 else None


@dataclass(frozen=True, slots=True)
class TableSize:
    """`bytes` of a table with its indexes, None where the database cannot say it. `oldest`: the day of its first row,
    None where it has none or keeps no time. `rows_a_day`: how many of the last week's rows there are for each day."""

    table: str
    rows: int
    bytes: int | None
    oldest: datetime | None
    rows_a_day: float | None = None

    @property
    def bytes_a_day(self) -> float | None:
        """How many bytes they take, where its rows are of about one size."""
        if self.rows_a_day is None or self.bytes is None or not self.rows:
            return None
        return self.rows_a_day * self.bytes / self.rows


@dataclass(frozen=True, slots=True)
class Sizes:
    """The whole database, its largest table first. `free_bytes` are of the file, but hold nothing: free pages, or room
    that deleted rows left."""

    kind: str
    file_bytes: int
    free_bytes: int
    tables: tuple[TableSize, ...]

    @property
    def used_bytes(self) -> int:
        """What counts against the limit."""
        return self.file_bytes - self.free_bytes

    @property
    def bytes_a_day(self) -> float:
        """What the last week added to what is kept, for each day."""
        return sum(one.bytes_a_day or 0 for one in self.tables)


@dataclass(frozen=True, slots=True)
class Kept:
    """How large the database is, and the time of the oldest row by table."""

    size_bytes: int = 0
    oldest: Mapping[str, datetime] = field(default_factory=dict)
