"""The tables of what keeps applies from beginning."""

from datetime import datetime

from sqlalchemy import text
from sqlmodel import Field, SQLModel

from service.history.columns import UtcTime


class SuspensionRow(SQLModel, table=True):
    """People write them, so there are few. `until_at` NULL: until a person resumes."""

    __tablename__ = "suspensions"

    id: int | None = Field(default=None, primary_key=True)
    scope: str
    target: str
    reason: str
    by: str
    since: datetime = Field(sa_type=UtcTime)
    until_at: datetime | None = Field(default=None, sa_type=UtcTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcTime)
    ended_by: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    held_digest: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
