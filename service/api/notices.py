"""Notices: by which ways people are informed, and whether that works."""

from datetime import datetime

from fastapi import FastAPI
from pydantic import Field

from service.api.parts import Parts
from service.api.schemas import Answer
from service.api.values import Reader, ask
from service.model.notices import NoticeStanding

PREFIX = "/api/v1"


class NoticeChannel(Answer):
    """One way by which people are informed. The numbers are counted since its first start."""

    channel: str = Field(description="webhook, mail, or apprise- with the place of an address in its file")
    where: str = Field(description="where notices go, without anything secret")
    waiting: int = Field(description="notices that are due and were not sent yet, 200 at most")
    sent: int
    failed: int = Field(description="attempts that failed; each is repeated")
    dropped: int = Field(description="notices that were not taken for a day")
    sent_at: datetime | None = Field(description="when one was last taken")
    failed_at: datetime | None = Field(description="when one was last not taken")
    error: str = Field(description="what was wrong with the last attempt; empty: nothing")


class NoticeChannels(Answer):
    """All ways, none where nobody is informed."""

    items: list[NoticeChannel]


def add_routes(app: FastAPI, parts: Parts) -> None:
    """`/notices`."""

    @app.get(
        f"{PREFIX}/notices",
        operation_id="list_notice_channels",
        summary="By which ways people are informed, and whether notices are taken",
        description="A token for some hosts sees none: a notice can be about any host.",
        tags=["notices"],
    )
    async def list_notice_channels(who: Reader) -> NoticeChannels:
        items = []
        for name, where in parts.channels.items() if who.sees_all else ():
            found = await ask(parts.reads.notice_state, name, parts.clock.now(), hold_s=parts.notice_hold_s)
            standing, due = found or (NoticeStanding(), 0)
            items.append(
                NoticeChannel(
                    channel=name, where=where, waiting=due, sent=standing.sent, failed=standing.failed,
                    dropped=standing.dropped, sent_at=_at(standing.sent_at), failed_at=_at(standing.failed_at),
                    error=standing.error,
                )
            )  # fmt: skip
        return NoticeChannels(items=items)


def _at(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
