"""Informs people of what history recorded, in its order, until each notice was taken. The events are the queue.

    telling = Telling(channel, records, store, clock, controller="passerelle", hold_s=30)
    await telling.run()         until cancelled

How far it is, is recorded after each notice. So a restart loses none, and one that was sent a moment before the process
died is sent again with the same id. Of several processes the one that leads does it.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from service.clock import Clock
from service.errors import PasserelleError, StoreError
from service.model.listings import EventListing
from service.model.notices import AT_ONCE, Judged, Notice, NoticeStanding, judge, waiting
from service.model.runs import Event, Page
from service.model.states import Json
from service.notices.channel import Channel
from service.notices.own_thread import in_own_thread

EVERY_S = 2.0
AWAY_S = 10.0
AFTER_BUG_S = 60.0
RETRY_FIRST_S, RETRY_MOST_S = 5.0, 300.0
logger = logging.getLogger("passerelle")


class Records(Protocol):
    """`service.history.queries.Queries`. Blocks."""

    def events(self, asked: EventListing) -> Page[Event]: ...

    def newest_event_id(self) -> int: ...

    def notices(self, channel: str) -> NoticeStanding | None: ...


class Store(Protocol):
    """`service.history.store.Store`. Blocks."""

    def keep_notices(self, channel: str, standing: NoticeStanding) -> None: ...


class Numbers(Protocol):
    """`service.api.notice_numbers.ChannelNumbers`."""

    def counted(self, result: str) -> None: ...

    def stands(self, standing: NoticeStanding, waiting: int) -> None: ...


class Telling:
    """One channel. `leads` is whether this process informs people; `numbers` gets `sent`, `failed` or `dropped`."""

    def __init__(
        self, channel: Channel, records: Records, store: Store, clock: Clock, *, controller: str,
        hold_s: float, numbers: Numbers, leads: Callable[[], bool] = lambda: True,
    ) -> None:  # fmt: skip
        self._channel = channel.name
        self._records = records
        self._store = store
        self._send = channel.send
        self._clock = clock
        self._controller = controller
        self._hold_s = hold_s
        self._leads = leads
        self._numbers = numbers
        self._failures = 0
        self._due = 0

    async def run(self) -> None:
        """Until cancelled. Whatever goes wrong, it is tried again."""
        while True:
            try:
                wait_s = await self.once()
            except StoreError as error:
                logger.warning("nobody is informed of events for now: %s", error)
                wait_s = AWAY_S
            except Exception:
                # a bug of ours here must not stop the service
                logger.exception("informing people failed")
                wait_s = AFTER_BUG_S
            await self._clock.sleep(wait_s)

    async def once(self) -> float:
        """Send one notice, if one is due. Seconds until the next one may be."""
        judged = await asyncio.to_thread(self._judged)
        if judged is None or judged.notice is None:
            return EVERY_S
        notice = judged.notice
        at = self._clock.now()
        try:
            remark = await in_own_thread(f"notice-{self._channel}", self._send, self._id(notice), at, body_of(notice))
        except PasserelleError as error:
            self._failures += 1
            self._numbers.counted("failed")
            logger.warning("%s. The notice is sent again", error)
            kept = replace(judged.before, failed=judged.before.failed + 1, failed_at=at.isoformat(), error=str(error))
            await asyncio.to_thread(self._keep, kept, self._due)
            return float(min(RETRY_MOST_S, RETRY_FIRST_S * 2 ** min(self._failures - 1, 10)))
        self._failures = 0
        self._numbers.counted("sent")
        if remark:
            logger.warning("%s. The notice was sent nevertheless", remark)
        kept = replace(judged.then, sent_at=at.isoformat(), error=remark)
        await asyncio.to_thread(self._keep, kept, max(0, self._due - 1))
        return 0.0

    def _judged(self) -> Judged | None:
        """What is to be done now; None where another process does it. Blocks."""
        if not self._leads():
            self._numbers.stands(NoticeStanding(), 0)
            return None
        standing = self._records.notices(self._channel)
        if standing is None:  # nobody wants to read of what happened before
            self._store.keep_notices(self._channel, NoticeStanding(after=self._records.newest_event_id()))
            return None
        page = self._records.events(EventListing(after=standing.after, limit=AT_ONCE))
        judged = judge(page.items, standing, self._clock.now(), hold_s=self._hold_s)
        self._due = waiting(page.items, standing, self._clock.now(), hold_s=self._hold_s)
        self._numbers.stands(standing, self._due)
        for _ in range(judged.before.dropped - standing.dropped):
            self._numbers.counted("dropped")
        if judged.notice is None and judged.before != standing:
            self._store.keep_notices(self._channel, judged.before)
        return judged

    def _keep(self, standing: NoticeStanding, due: int) -> None:
        """Record it, unless another process leads by now: it sends the same notice with the same id. Blocks."""
        if self._leads():
            self._store.keep_notices(self._channel, standing)
            self._numbers.stands(standing, due)

    def _id(self, notice: Notice) -> str:
        return f"{self._controller}_{notice.event}"


def body_of(notice: Notice) -> dict[str, Json]:
    """What a receiver gets: the form of Standard Webhooks."""
    data: dict[str, Json] = {"event": notice.event, "host": notice.host, "text": notice.text}
    if notice.now:
        data |= {"was": notice.was, "now": notice.now, "keeps_changing": notice.keeps_changing}
    return {"type": notice.type, "timestamp": notice.at.isoformat(), "data": data}
