"""How long what is past is kept, and what is kept now."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Keep:
    """`days`: applies, drills, differences and leases of the past, revisions. `event_days`: events, plans
    that were never applied. `size_bytes`: where the database is larger, the oldest goes before its time."""

    days: float = 365
    event_days: float = 90
    size_bytes: int = 2 << 30


@dataclass(frozen=True, slots=True)
class TableSize:
    """`bytes` of a table with its indexes, None where the database cannot say it. `oldest`: the time of its first row,
    None where it has none or keeps no time."""

    table: str
    rows: int
    bytes: int | None
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class Sizes:
    """The whole database, its largest table first. `free_bytes` are of the file, but hold nothing: free pages, or room
    that deleted rows left."""

    kind: str
    file_bytes: int
    free_bytes: int
    tables: tuple[TableSize, ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """How large the database is, and the time of the oldest row by table."""

    size_bytes: int = 0
    oldest: Mapping[str, datetime] = field(default_factory=dict)
