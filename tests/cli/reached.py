"""An application that the commands of this process reach."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette


class Kept(httpx2.Client):
    """A client that can be closed at the end: a command leaves that to the end of its process."""

    made: ClassVar[list["Kept"]] = []

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.made.append(self)


@contextmanager
def reached(app: Starlette, token: str) -> Iterator[None]:
    """It listens, and the commands know where and by which token."""
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        socket.create_server(("127.0.0.1", 0)) as listening,
    ):
        monkeypatch.setenv("PASSERELLE_URL", f"http://127.0.0.1:{listening.getsockname()[1]}")
        monkeypatch.setenv("PASSERELLE_TOKEN", token)
        monkeypatch.setattr(httpx2, "Client", Kept)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield
        finally:
            while Kept.made:
                Kept.made.pop().close()
            server.should_exit = True
            thread.join(30)
