"""Notices of a real history to a real receiver: each is taken, in order, whatever happens in between."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from service.history import History
from service.model.events import DrillFailed, SourceTrouble, SourceWell
from service.model.notices import NoticeStanding
from service.model.secret import Secret
from service.notices.channel import Channel
from service.notices.telling import EVERY_S, RETRY_FIRST_S, RETRY_MOST_S, Telling
from service.notices.webhook import Webhook
from tests.notices.receiver import SECRET, Receiver, receiver
from tests.reconcile.clocks import START, StoppedClock

HOLD_S = 30.0


class Kept:
    """What was counted, and what was last said of the channel."""

    def __init__(self) -> None:
        self.results: list[str] = []
        self.said: tuple[NoticeStanding, int] = (NoticeStanding(), 0)

    def counted(self, result: str) -> None:
        self.results.append(result)

    def stands(self, standing: NoticeStanding, waiting: int) -> None:
        self.said = (standing, waiting)


class Room:
    """One channel over a history."""

    def __init__(self, history: History, server: Receiver, clock: StoppedClock) -> None:
        self.history, self.server, self.clock = history, server, clock
        self.numbers = Kept()
        self.hook = Webhook(server.url, Secret(SECRET.encode()), timeout_s=10)

    def telling(self, leads: Callable[[], bool] = lambda: True) -> Telling:
        return Telling(
            Channel("webhook", self.hook.host, self.hook.send), self.history.queries, self.history.store, self.clock,
            controller="c1", hold_s=HOLD_S, numbers=self.numbers, leads=leads,
        )  # fmt: skip

    def failed_drill(self, number: int) -> int:
        """A fault is recorded: the number of its event."""
        self.history.store.add_event(DrillFailed(host="pve1", drill=f"d{number}", error="x"), at=self.clock.now())
        return self.history.queries.newest_event_id()

    @property
    def ids(self) -> list[str]:
        return [name for name, _ in self.server.got]

    @property
    def standing(self) -> NoticeStanding:
        return self.history.queries.notices("webhook") or NoticeStanding()


async def test_what_happened_before_the_first_start_is_not_reported(history: History) -> None:
    with receiver(START) as server:
        room = Room(history, server, StoppedClock())
        room.failed_drill(1)
        telling = room.telling()
        assert await telling.once() == EVERY_S
        event = room.failed_drill(2)
        assert await telling.once() == 0
        assert await telling.once() == EVERY_S
        ((name, body),) = server.got
        assert name == f"c1_{event}"
        assert body == {
            "type": "drill.failed", "timestamp": START.isoformat(),
            "data": {"event": event, "host": "pve1", "text": "pve1: the drill failed: x"},
        }  # fmt: skip
        assert server.asked == ["/hook?of=passerelle"]
        assert room.numbers.results == ["sent"]


async def test_a_failure_is_tried_again_less_and_less_often_and_nothing_is_lost(history: History) -> None:
    with receiver(START) as server:
        room = Room(history, server, StoppedClock())
        telling = room.telling()
        await telling.once()
        first, second = room.failed_drill(1), room.failed_drill(2)
        server.answers = [500, 302, 404, 429, 503, 500, 500, 500]
        waits = [await telling.once() for _ in range(8)]
        assert waits == [min(RETRY_MOST_S, RETRY_FIRST_S * 2**number) for number in range(8)]
        assert room.standing.error == "127.0.0.1 answers with status 500"
        assert room.standing.failed_at == START.isoformat()
        assert room.numbers.said == (room.standing, 2)
        assert history.queries.notice_state("webhook", room.clock.now(), hold_s=HOLD_S) == room.numbers.said
        assert [await telling.once() for _ in range(2)] == [0, 0]
        assert room.ids == [f"c1_{first}", f"c1_{second}"]
        assert (room.standing.sent, room.standing.failed, room.standing.error) == (2, 8, "")
        assert (room.standing.sent_at, room.numbers.said) == (START.isoformat(), (room.standing, 0))
        assert set(server.asked) == {"/hook?of=passerelle"}, "the redirect was not followed"


async def test_a_new_process_goes_on_where_the_last_one_was(history: History) -> None:
    with receiver(START) as server:
        room = Room(history, server, StoppedClock())
        await room.telling().once()
        events = [room.failed_drill(number) for number in range(3)]
        await room.telling().once()
        server.answers = [500]
        await room.telling().once()
        for _ in range(3):
            await room.telling().once()
        assert room.ids == [f"c1_{event}" for event in events]


async def test_one_that_was_sent_before_the_process_died_is_sent_again_with_the_same_id(history: History) -> None:
    with receiver(START) as server:
        room = Room(history, server, StoppedClock())
        await room.telling().once()
        before = room.standing
        event = room.failed_drill(1)
        await room.telling().once()
        history.store.keep_notices("webhook", before)
        await room.telling().once()
        assert room.ids == [f"c1_{event}"] * 2


async def test_only_the_process_that_leads_informs_people(history: History) -> None:
    with receiver(START) as server:
        room = Room(history, server, StoppedClock())
        await room.telling().once()
        room.failed_drill(1)
        leads = [False, True, True]
        telling = room.telling(lambda: leads.pop(0))
        assert await telling.once() == EVERY_S
        assert server.got == []
        await telling.once()
        assert len(server.got) == 1


async def test_a_state_is_reported_once_it_has_lasted(history: History) -> None:
    with receiver() as server:
        room = Room(history, server, clock := StoppedClock())
        server.at = clock.now()
        telling = room.telling()
        await telling.once()
        history.store.add_event(SourceTrouble(why="the branch is gone"), at=clock.now())
        await telling.once()
        assert server.got == []
        clock.move(HOLD_S)
        server.at = clock.now()
        await telling.once()
        history.store.add_event(SourceWell(), at=clock.now())
        clock.move(HOLD_S)
        server.at = clock.now()
        await room.telling().once()
        assert [(body["data"]["was"], body["data"]["now"]) for _, body in server.got] == [
            ("well", "not-followed"), ("not-followed", "well"),
        ]  # fmt: skip
        assert room.standing.words == {}


async def test_nothing_that_goes_wrong_ends_it(history: History, caplog: pytest.LogCaptureFixture) -> None:
    with receiver(START) as server:
        room = Room(history, server, clock := StoppedClock())

        def broken(*_: object) -> str:
            raise RuntimeError("a bug")

        await room.telling().once()
        room.failed_drill(1)
        telling = Telling(
            Channel("webhook", "x", broken), history.queries, history.store, clock, controller="c1", hold_s=HOLD_S,
            numbers=room.numbers,
        )  # fmt: skip
        running = asyncio.create_task(telling.run())
        await clock.napped.wait()
        assert not running.done()
        assert "informing people failed" in caplog.text
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@contextmanager
def silent() -> Iterator[tuple[Channel, threading.Event]]:
    """A channel whose receiver does not answer, and what is set once it was called."""
    called, may_end = threading.Event(), threading.Event()

    def send(*_: object) -> str:
        called.set()
        may_end.wait(60)
        return ""

    try:
        yield Channel("webhook", "x", send), called
    finally:
        may_end.set()


def telling_by(channel: Channel, history: History) -> Telling:
    return Telling(
        channel, history.queries, history.store, StoppedClock(), controller="c1", hold_s=HOLD_S, numbers=Kept()
    )  # fmt: skip


async def test_a_receiver_that_does_not_answer_keeps_no_thread_of_others(history: History) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    with silent() as (channel, called):
        telling = telling_by(channel, history)
        await telling.once()
        await asyncio.to_thread(history.store.add_event, DrillFailed(host="pve1", drill="d1", error="x"), at=START)
        sending = asyncio.create_task(telling.once())
        async with asyncio.timeout(20):
            while not called.is_set():
                await asyncio.to_thread(history.queries.newest_event_id)
            assert await asyncio.to_thread(history.queries.newest_event_id) == 1
        assert not sending.done()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


def test_a_receiver_that_does_not_answer_does_not_keep_the_service_from_stopping(history: History) -> None:
    async def served(telling: Telling, called: threading.Event) -> None:
        await telling.once()
        history.store.add_event(DrillFailed(host="pve1", drill="d1", error="x"), at=START)
        sending = asyncio.create_task(telling.once())
        await asyncio.to_thread(called.wait, 20)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)

    with silent() as (channel, called):
        telling = telling_by(channel, history)
        process = threading.Thread(target=lambda: asyncio.run(served(telling, called)), daemon=True)
        process.start()
        process.join(20)
        assert not process.is_alive()
