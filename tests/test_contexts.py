"""Tasks that live longer than the request or apply that began them: what they log is not about that one."""

import asyncio
from collections.abc import Callable

from service.api.awaited import Awaited
from service.logs import about, noted
from service.model.observed import Watch
from service.observe.listening import Listening
from service.reconcile.doorbell import Doorbell
from tests.api.still_clock import StillClock


async def test_who_looks_for_all_that_wait_is_not_about_the_first_request() -> None:
    noticed = list[str]()
    looked = asyncio.Event()

    async def newest() -> int:
        noticed.append(noted("request"))
        looked.set()
        return 1

    async def look() -> bool:
        await looked.wait()
        return True

    with about(request="r0"):
        await Awaited().until("pve1", look, bool, wait_s=1, clock=StillClock(), newest=newest)
    assert set(noticed) == {""}


async def test_a_later_look_at_the_source_is_not_about_the_request_that_rang() -> None:
    noticed, ended = list[str](), asyncio.Event()

    def look() -> None:
        noticed.append(noted("request"))
        if len(noticed) == 2:
            ended.set()

    bell = Doorbell(StillClock(), look, lambda: "older")
    with about(request="r0"):
        bell.ring("newer")
    await asyncio.wait_for(ended.wait(), 20)
    assert noticed[:2] == ["r0", ""]


class Ear:
    """Hears nothing."""

    def opened(self, name: str) -> None: ...

    def heard(self, name: str, kind: str) -> None: ...

    def lost(self, name: str, again_s: float) -> None: ...


class Host:
    """Notes what listening is about."""

    def __init__(self) -> None:
        self.noticed: asyncio.Queue[str] = asyncio.Queue()

    async def listen(self, command: str, order: bytes, heard: Callable[[bytes], None]) -> None:
        self.noticed.put_nowait(noted("apply"))


async def test_listening_is_not_about_the_apply_after_which_it_began() -> None:
    listening, host = Listening(StillClock(), Ear()), Host()
    with about(apply="01A"):
        listening.follow(host, "pve1", Watch())
    assert await asyncio.wait_for(host.noticed.get(), 20) == ""
    await listening.close()
