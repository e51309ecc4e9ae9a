"""The tables of who may do what, and who did what: tokens, sessions in the browser, receivers of webhooks and their
deliveries, keys of repeated requests, the audit log.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from service.history.columns import JsonText, UtcTime, WideNumber


class TokenRow(SQLModel, table=True):
    """`digest` is HMAC-SHA256(pepper, secret) in hex; `pepper_id` names the pepper it was made with."""

    __tablename__ = "tokens"

    id: str = Field(primary_key=True)
    name: str
    digest: str
    pepper_id: str
    scopes: Any = Field(sa_type=JsonText)
    hosts: Any = Field(sa_type=JsonText)
    created_at: datetime = Field(sa_type=UtcTime)
    created_by: str
    expires_at: datetime = Field(sa_type=UtcTime)
    last_used_at: datetime | None = Field(default=None, sa_type=UtcTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcTime)


class WebSessionRow(SQLModel, table=True):
    """`digest` is that of the session's secret, made as a token's. One that was ended has its end as `ends_at`."""

    __tablename__ = "web_sessions"
    __table_args__ = (
        Index("ix_web_sessions_token", "token_id", "ends_at"),
        Index("ix_web_sessions_ends", "ends_at", "id"),
    )

    id: str = Field(primary_key=True)
    digest: str
    token_id: str
    created_at: datetime = Field(sa_type=UtcTime)
    used_at: datetime = Field(sa_type=UtcTime)
    ends_at: datetime = Field(sa_type=UtcTime)


class ReceiverRow(SQLModel, table=True):
    """The secrets are encrypted (pepper.py): an HMAC needs them. The pepper is in a file of its own."""

    __tablename__ = "receivers"

    name: str = Field(primary_key=True)
    type: str
    secret: str
    created_at: datetime = Field(sa_type=UtcTime)
    old_secret: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    old_until: datetime | None = Field(default=None, sa_type=UtcTime)
    events: Any = Field(sa_type=JsonText, sa_column_kwargs={"server_default": "[]"})
    branches: Any = Field(sa_type=JsonText, sa_column_kwargs={"server_default": "[]"})
    suspended: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    suspended_by: str = Field(default="", sa_column_kwargs={"server_default": text("''")})


class DeliveryRow(SQLModel, table=True):
    __tablename__ = "deliveries"
    __table_args__ = (
        Index("ix_deliveries_delivery", "receiver", "delivery", unique=True),
        Index("ix_deliveries_receiver", "receiver", "id"),
        Index("ix_deliveries_outcome", "outcome", "id"),
        Index("ix_deliveries_both", "receiver", "outcome", "id"),
    )

    id: int | None = Field(default=None, primary_key=True)
    receiver: str
    delivery: str
    at: datetime = Field(sa_type=UtcTime)
    outcome: str
    event: str = Field(sa_column_kwargs={"server_default": text("''")})
    branch: str = Field(sa_column_kwargs={"server_default": text("''")})
    commit: str = Field(sa_column_kwargs={"server_default": text("''")})
    message: str = Field(sa_column_kwargs={"server_default": text("''")})
    repeats: int = Field(sa_column_kwargs={"server_default": text("0")})
    last_at: datetime = Field(sa_type=UtcTime, sa_column_kwargs={"server_default": text("0")})


class IdempotencyRow(SQLModel, table=True):
    """`status` 0 = the first request with this key is still under way."""

    __tablename__ = "idempotency_keys"

    principal: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    request_digest: str
    status: int
    location: str
    body: Any = Field(sa_type=JsonText)
    at: datetime = Field(sa_type=UtcTime)


class AuditRow(SQLModel, table=True):
    """Who did what, in a chain: see `service/model/audit.py`. Numbers are given by the store, without gaps."""

    __tablename__ = "audit"
    __table_args__ = tuple(Index(f"ix_audit_{name}", name, "id") for name in ("by", "action", "host", "request_id"))

    id: int = Field(primary_key=True, sa_type=WideNumber, sa_column_kwargs={"autoincrement": False})
    at: datetime = Field(sa_type=UtcTime)
    by: str
    token: str
    how: str
    client: str
    request_id: str
    action: str
    host: str
    outcome: str
    detail: Any = Field(sa_type=JsonText)
    previous: str
    hash: str


class AuditHeadRow(SQLModel, table=True):
    """One row: the number and the hash of the newest entry, so that the end of the chain cannot go unnoticed."""

    __tablename__ = "audit_head"

    id: int = Field(primary_key=True, sa_type=WideNumber, sa_column_kwargs={"autoincrement": False})
    number: int = Field(sa_type=WideNumber)
    hash: str
