"""Informs people of what history recorded, in its order, until each notice was taken. The events are the queue.

    telling = Telling("webhook", records, store, hook.send, clock, controller="passerelle", hold_s=30)
    await telling.run()         until cancelled

How far it is, is recorded after each notice. So a restart loses none, and one that was sent a moment before the process
died is sent again with the same id. Of several processes the one that leads does it.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from service.clock import Clock
from service.errors import PasserelleError, StoreError
from service.model.listings import EventListing
from service.model.notices import Judged, Notice, NoticeStanding, judge
from service.model.runs import Event, Page
from service.model.states import Json

EVERY_S = 2.0
AWAY_S = 10.0
AFTER_BUG_S = 60.0
RETRY_FIRST_S, RETRY_MOST_S = 5.0, 300.0
AT_ONCE = 200
logger = logging.getLogger("passerelle")
Send = Callable[[str, datetime, Mapping[str, Json]], None]


class Records(Protocol):
    """`service.history.queries.Queries`. Blocks."""

    def events(self, asked: EventListing) -> Page[Event]: ...

    def newest_event_id(self) -> int: ...

    def notices(self, channel: str) -> NoticeStanding | None: ...


class Store(Protocol):
    """`service.history.store.Store`. Blocks."""

    def keep_notices(self, channel: str, standing: NoticeStanding) -> None: ...


class Telling:
    """One channel. `leads` is whether this process informs people; `counted` gets `sent`, `failed` or `dropped`."""

    def __init__(
        self, channel: str, records: Records, store: Store, send: Send, clock: Clock, *, controller: str,
        hold_s: float, leads: Callable[[], bool] = lambda: True, counted: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self._channel = channel
        self._records = records
        self._store = store
        self._send = send
        self._clock = clock
        self._controller = controller
        self._hold_s = hold_s
        self._leads = leads
        self._counted = counted
        self._failures = 0

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
        try:
            await asyncio.to_thread(self._send, self._id(notice), self._clock.now(), body_of(notice))
        except PasserelleError as error:
            self._failures += 1
            self._counted("failed")
            logger.warning("%s. The notice is sent again", error)
            kept = replace(judged.before, failed=judged.before.failed + 1, error=str(error))
            await asyncio.to_thread(self._keep, kept)
            return float(min(RETRY_MOST_S, RETRY_FIRST_S * 2 ** min(self._failures - 1, 10)))
        self._failures = 0
        self._counted("sent")
        await asyncio.to_thread(self._keep, judged.then)
        return 0.0

    def _judged(self) -> Judged | None:
        """What is to be done now; None where another process does it. Blocks."""
        if not self._leads():
            return None
        standing = self._records.notices(self._channel)
        if standing is None:  # nobody wants to read of what happened before
            self._store.keep_notices(self._channel, NoticeStanding(after=self._records.newest_event_id()))
            return None
        page = self._records.events(EventListing(after=standing.after, limit=AT_ONCE))
        judged = judge(page.items, standing, self._clock.now(), hold_s=self._hold_s)
        for _ in range(judged.before.dropped - standing.dropped):
            self._counted("dropped")
        if judged.notice is None and judged.before != standing:
            self._store.keep_notices(self._channel, judged.before)
        return judged

    def _keep(self, standing: NoticeStanding) -> None:
        """Record it, unless another process leads by now: it sends the same notice with the same id. Blocks."""
        if self._leads():
            self._store.keep_notices(self._channel, standing)

    def _id(self, notice: Notice) -> str:
        return f"{self._controller}_{notice.event}"


def body_of(notice: Notice) -> dict[str, Json]:
    """What a receiver gets: the form of Standard Webhooks."""
    data: dict[str, Json] = {"event": notice.event, "host": notice.host, "text": notice.text}
    if notice.now:
        data |= {"was": notice.was, "now": notice.now, "keeps_changing": notice.keeps_changing}
    return {"type": notice.type, "timestamp": notice.at.isoformat(), "data": data}
