"""An application that the commands of this process reach."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from starlette.applications import Starlette


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
