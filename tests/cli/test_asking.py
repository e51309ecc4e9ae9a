"""Commands that ask the service, against its real API on a socket of its own."""

import socket
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import httpx2
import pytest
import uvicorn

from service.cli import run
from service.history import open_history
from tests.api.world import World
from tests.state_folders import made


class Kept(httpx2.Client):
    """A command ends with its program and closes nothing; here the program goes on."""

    made: ClassVar[list["Kept"]] = []

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.made.append(self)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A service without its loop that the commands reach; two hosts, of which nobody may change anything."""
    state = tmp_path_factory.mktemp("asking") / "passerelle.sqlite"
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        open_history(made(state)) as history,
        socket.create_server(("127.0.0.1", 0)) as listening,
    ):
        filled = World(history).fill()
        monkeypatch.setenv("PASSERELLE_URL", f"http://127.0.0.1:{listening.getsockname()[1]}")
        monkeypatch.setenv("PASSERELLE_TOKEN", filled.token())
        monkeypatch.setattr(httpx2, "Client", Kept)
        server = uvicorn.Server(uvicorn.Config(filled.app, log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield filled
        finally:
            while Kept.made:
                Kept.made.pop().close()
            server.should_exit = True
            thread.join(30)


@pytest.mark.parametrize(
    "words",
    [
        ["status", "nope"],
        ["history", "nope"],
        ["leases", "--host", "nope"],
        ["leases", "--host", "nope", "--history"],
        ["plan", "nope"],
        ["apply", "nope", "--yes"],
        ["drift", "nope"],
    ],
    ids=" ".join,
)
def test_a_host_that_nobody_knows_is_said_to_be_none(
    words: list[str], world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("passerelle: no host nope\n  next: see `passerelle status`")


def test_a_host_of_which_nothing_is_known_yet_is_no_error(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["history", "pve1"]) == 0
    assert run(["leases", "--host", "pve1", "--name", "nobody"]) == 0
    assert [*capsys.readouterr()] == ["", "nothing was applied yet\nno such lease\n"]
    assert run(["leases", "--host", "pve2"]) == 0
    assert "10.10.10.9" in capsys.readouterr().out
