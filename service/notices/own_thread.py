"""A call that blocks, in a daemon thread of its own.

    remark = await in_own_thread("notice-mail", send, notice_id, at, body)

The threads of the event loop answer requests and write to the database: a server that does not answer would keep them.
And at its end an event loop waits for those threads, so the service could not stop. Nobody waits for this one: who is
cancelled leaves the call to itself.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_own_thread(name: str, call: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """What the call returns or raises. `name` is the thread's."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if ended.cancelled():
            return
        if error is not None:
            ended.set_exception(error)
        else:
            ended.set_result(result)  # type: ignore[arg-type]  # without an error it is what the call returned

    def work() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = call(*args, **options)
        except BaseException as raised:  # whoever awaits it gets it
            error = raised
        with contextlib.suppress(RuntimeError):  # the event loop has ended meanwhile
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=work, name=name, daemon=True).start()
    return await ended
