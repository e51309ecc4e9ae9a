"""The tables of days in UTC: on which a host was looked at, and how full its pools were at their fullest."""

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from service.history.columns import UtcTime, WideNumber


class HostDayRow(SQLModel, table=True):
    """The host was seen on this day. Of a day without a row nothing is known: no service ran, it could not reach the
    host, or the history of that day was deleted. `store/retention.py` deletes these rows first."""

    __tablename__ = "host_days"
    __table_args__ = (Index("ix_host_days_host", "host", "day"),)

    day: datetime = Field(primary_key=True, sa_type=UtcTime)
    host: str = Field(primary_key=True)


class PoolDayRow(SQLModel, table=True):
    """A range of addresses on this day when the fewest were free."""

    __tablename__ = "pool_days"
    __table_args__ = (Index("ix_pool_days_host", "host", "day"),)

    day: datetime = Field(primary_key=True, sa_type=UtcTime)
    host: str = Field(primary_key=True)
    interface: str = Field(primary_key=True)
    start: str = Field(primary_key=True)
    end: str
    size: int = Field(sa_type=WideNumber)
    leased: int = Field(sa_type=WideNumber)
    reserved: int = Field(sa_type=WideNumber)
