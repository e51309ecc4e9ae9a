"""An application that the commands of this process reach."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette

from service.api.live import Live
from service.history import open_history
from tests.api.world import World
from tests.state_folders import made


@contextmanager
def reached(app: Starlette, token: str) -> Iterator[None]:
    """It listens, and the commands know where and by which token."""
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        socket.create_server(("127.0.0.1", 0)) as listening,
    ):
        monkeypatch.setenv("PASSERELLE_URL", f"http://127.0.0.1:{listening.getsockname()[1]}")
        monkeypatch.setenv("PASSERELLE_TOKEN", token)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield
        finally:
            server.should_exit = True
            thread.join(30)


@contextmanager
def living(folder: Path) -> Iterator[World]:
    """A world in which time passes and streams stay open, and that the client of this process finds."""
    live = Live()
    with open_history(made(folder / "passerelle.sqlite")) as history:
        world = World(history, live=live).fill()
        world.clock.sleep = asyncio.sleep  # type: ignore[method-assign, assignment]
        with reached(world.app, world.token()):
            yield world
            live.stop()
