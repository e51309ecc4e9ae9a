"""The table of those who inform people."""

from typing import Any

from sqlmodel import Field, SQLModel

from service.history.columns import JsonText


class NoticeRow(SQLModel, table=True):
    """One row for each channel: which event it has dealt with, and what it reported last. The events are the queue."""

    __tablename__ = "notices"

    channel: str = Field(primary_key=True)
    standing: Any = Field(sa_type=JsonText)
