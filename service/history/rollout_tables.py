"""The tables of rollouts: one row a rollout, and one for each of its hosts."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, false
from sqlmodel import Field, SQLModel

from service.history.columns import JsonText, UtcTime


class RolloutRow(SQLModel, table=True):
    """`number` is higher than that of every earlier one, whatever a clock says. `policy` is `rollout:` as it was when
    the rollout began. `moved_at` is when a host of it ended last."""

    __tablename__ = "rollouts"
    __table_args__ = (
        Index("ix_rollouts_number", "number", unique=True),
        Index("ix_rollouts_state", "state", "number"),
        Index("ix_rollouts_commit", "commit", "number"),
    )

    id: str = Field(primary_key=True)
    number: int
    commit: str
    state: str
    policy: Any = Field(sa_type=JsonText)
    wave: int = 1
    by: str = ""
    why: str = ""
    forgiven: int = 0
    is_approved: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    created_at: datetime = Field(sa_type=UtcTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcTime)
    moved_at: datetime | None = Field(default=None, sa_type=UtcTime)


class RolloutHostRow(SQLModel, table=True):
    """`needs` are the hosts that come before this one, as JSON."""

    __tablename__ = "rollout_hosts"
    __table_args__ = (Index("ix_rollout_hosts_host", "host", "rollout_id"),)

    rollout_id: str = Field(primary_key=True, foreign_key="rollouts.id")
    host: str = Field(primary_key=True)
    digest: str
    state: str
    needs: Any = Field(sa_type=JsonText)
    is_last: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    wave: int = 0
    begun_at: datetime | None = Field(default=None, sa_type=UtcTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcTime)
    error: str = ""
    labels: Any = Field(sa_type=JsonText, sa_column_kwargs={"server_default": "{}"})
