"""The pages of a service without its loop, where a browser reaches them.

with listening(world) as origin:     "http://127.0.0.1:40123"
"""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from service.api.live import Live
from service.history import open_history
from service.web.site import create_site
from tests.api.world import World
from tests.state_folders import made


@contextmanager
def listening_to(site: ASGIApp) -> Iterator[str]:
    """Any application, in a thread of its own; gives its origin."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(site, log_config=None, lifespan="off", access_log=False, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)


@contextmanager
def world_with_pages(folder: Path) -> Iterator[tuple[World, str]]:
    """A world with a bit of everything in which streams stay open, and the origin of its pages."""
    live = Live()
    with open_history(made(folder / "passerelle.sqlite")) as history:
        world = World(history, live=live).fill()
        world.clock.sleep = asyncio.sleep  # type: ignore[method-assign, assignment]
        with listening_to(create_site(world.parts, world.app)) as origin:
            try:
                yield world, origin
            finally:
                live.stop()
