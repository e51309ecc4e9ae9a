"""The tables of leases: what is known now, who had what when, and when each host was last looked at."""

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from service.history.columns import UtcTime
from service.history.words import part_index


class LeaseRow(SQLModel, table=True):
    """The small current-state table: the last that is known of each lease. Of an active one `last_seen` is in
    LeaseLookRow, so that a look that finds nothing new writes one row."""

    __tablename__ = "leases"
    __table_args__ = (
        Index("ix_leases_order", "ip_order", "host", "mac"),
        Index("ix_leases_mac", "mac", "ip_order", "host"),
        Index("ix_leases_host", "host", "ip_order", "mac"),
        Index("ix_leases_name", "name", "ip_order", "host", "mac"),
        part_index("ix_leases_gone", "last_seen", "host", "mac", "ip", where="active = {no}"),
        part_index("ix_leases_held", "host", where="active = {yes}"),
        part_index("ix_leases_active", "ip_order", "host", "mac", where="active = {yes}"),
    )

    host: str = Field(primary_key=True)
    mac: str = Field(primary_key=True)
    ip: str = Field(primary_key=True)
    ip_order: str
    name: str
    first_seen: datetime = Field(sa_type=UtcTime)
    last_seen: datetime = Field(sa_type=UtcTime)
    expires_at: datetime | None = Field(default=None, sa_type=UtcTime)
    active: bool


class LeaseIntervalRow(SQLModel, table=True):
    """Who had which address under which name, from when until when; `until_at` NULL while it is in the lease file.

    It was held from `from_at` until the earlier of `until_at` and `expires_at`. A new name begins a new interval.
    """

    __tablename__ = "lease_intervals"
    __table_args__ = (
        Index("ix_lease_intervals_order", "ip_order", "host", "mac", "from_at"),
        Index("ix_lease_intervals_host", "host", "ip_order", "mac", "from_at"),
        Index("ix_lease_intervals_mac", "mac", "from_at"),
        Index("ix_lease_intervals_name", "name", "from_at"),
        Index("ix_lease_intervals_from", "from_at", "id"),
        Index("ix_lease_intervals_of_host", "host", "from_at", "id"),
        Index("ix_lease_intervals_ip", "ip_order", "from_at", "id"),
        part_index("ix_lease_intervals_until", "until_at", where="until_at IS NOT NULL"),
        part_index("ix_lease_intervals_open", "host", "mac", "ip", unique=True, where="until_at IS NULL"),
    )

    id: int | None = Field(default=None, primary_key=True)
    host: str
    mac: str
    ip: str
    ip_order: str
    name: str
    from_at: datetime = Field(sa_type=UtcTime)
    until_at: datetime | None = Field(default=None, sa_type=UtcTime)
    expires_at: datetime | None = Field(default=None, sa_type=UtcTime)


class LeaseLookRow(SQLModel, table=True):
    """When a host's lease file was last read."""

    __tablename__ = "lease_looks"

    host: str = Field(primary_key=True)
    at: datetime = Field(sa_type=UtcTime)
