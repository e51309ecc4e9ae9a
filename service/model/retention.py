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
class Kept:
    """How large the database is, and the time of the oldest row by table."""

    size_bytes: int = 0
    oldest: Mapping[str, datetime] = field(default_factory=dict)
