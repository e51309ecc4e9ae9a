"""The host-side file is sent by its content and called by verb. Any other answer of a host is an error in words."""

import asyncio
import subprocess
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.apply.host_file import host_file
from service.apply.proving import answers_of, ask_from_here
from service.apply.switch import SMALL_BYTES, Event, Switch, checked
from service.errors import Garbled, HostError, HostRefused
from service.model.probes import Probe
from service.observe.connection import Answer


class Here:
    """A host whose commands run here; what it is about lies below the root that the switch is given."""

    def __init__(self) -> None:
        self.ran: list[Sequence[str]] = []

    async def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float,
        on_line: Callable[[str], None] | None = None,
    ) -> Answer:  # fmt: skip
        self.ran.append(argv)
        done = await asyncio.to_thread(subprocess.run, argv, input=stdin, capture_output=True, timeout=timeout_s * 10)
        for line in done.stdout.decode().splitlines() if on_line else ():
            on_line(line)  # type: ignore[misc]  # there is one
        return Answer(done.returncode, done.stdout, done.stderr)

    async def ask(self, script: bytes, timeout_s: float) -> bytes:
        raise AssertionError("nobody looks at it")

    async def close(self) -> None:
        return


class Saying(Here):
    """A host that says this to whatever is run."""

    def __init__(self, status: int | None, stdout: bytes = b"", stderr: bytes = b"") -> None:
        super().__init__()
        self._answer = Answer(status, stdout, stderr)

    async def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float,
        on_line: Callable[[str], None] | None = None,
    ) -> Answer:  # fmt: skip
        for line in self._answer.stdout.decode("utf-8", "replace").splitlines() if on_line else ():
            on_line(line)  # type: ignore[misc]  # there is one
        return self._answer


async def test_the_file_is_brought_once_and_again_when_it_was_damaged(tmp_path: Path) -> None:
    here = Here()
    switch = Switch(here, str(tmp_path))
    assert (await switch.ask("status"))["state"] == "ok"
    (path,) = (tmp_path / "var/lib/passerelle/hostside").iterdir()
    first = path.stat()
    assert (path.read_bytes(), first.st_mode & 0o777) == (host_file().content, 0o600)
    assert len(here.ran) == 3, "asked, brought, asked again"
    assert (await switch.ask("status"))["state"] == "ok"
    assert (len(here.ran), path.stat().st_ino) == (4, first.st_ino)
    path.write_bytes(path.read_bytes()[:100])
    assert (await switch.ask("status"))["state"] == "ok"
    assert path.read_bytes() == host_file().content
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


async def test_a_host_without_room_for_the_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "var/lib").mkdir(parents=True)
    (tmp_path / "var/lib/passerelle").write_bytes(b"a file where the folder should be")
    with pytest.raises(HostRefused, match="cannot be written below") as refused:
        await Switch(Here(), str(tmp_path)).ask("status")
    assert refused.value.reason == "space"


async def test_what_the_host_knows_nothing_of_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(HostRefused, match="status: ") as refused:
        await Switch(Here(), str(tmp_path)).ask("status", "01NOBODY")
    assert refused.value.reason == "input"


async def test_a_host_without_python_is_told_what_to_install() -> None:
    for asked in (
        Switch(Saying(127)).ask("status"),
        Switch(Saying(127)).ask_unkept("weigh", {}, timeout_s=5),
    ):
        with pytest.raises(HostRefused, match="python3 is not on the host") as refused:
            await asked
        assert (refused.value.reason, refused.value.hint) == ("no-python", "run `apt-get install python3` on the host")


async def test_each_line_before_the_result_is_told_as_it_comes() -> None:
    lines = b'Welcome!\n{"event": "state", "state": "armed"}\n{half\n[1]\n{"event": "result", "state": "ok"}\n'
    events: list[Event] = []
    result = await Switch(Saying(0, lines)).ask("begin", stdin={}, on_event=events.append)
    assert (events, result["state"]) == ([{"event": "state", "state": "armed"}], "ok")


async def test_a_short_answer_waits_for_no_thread_and_a_long_one_is_read_in_one() -> None:
    short = b'{"event": "result", "state": "ok"}\n'
    released, loop = threading.Event(), asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as threads:
        loop.set_default_executor(threads)  # as if a database that hangs had taken them all
        threads.submit(released.wait)
        try:
            assert (await Switch(Saying(0, short)).ask("confirm"))["state"] == "ok"
            long = asyncio.create_task(Switch(Saying(0, b"x" * SMALL_BYTES + b"\n" + short)).ask("look"))
            await asyncio.sleep(0)
            assert not long.done()
        finally:
            released.set()
        assert (await long)["state"] == "ok"


@pytest.mark.parametrize(
    "stdout", [b"", b"hello\n", b"[1]\n", b"{" * 100_000, b'{"event": "step"}\n', b"\xff\xfe\n", b'{"event": 3}\n']
)
def test_an_answer_without_a_result_is_garbled(stdout: bytes) -> None:
    with pytest.raises(Garbled, match="gave no result"):
        checked("status", Answer(0, stdout, b""))


@pytest.mark.parametrize(
    ("status", "result", "said"),
    [
        (1, b'{"event": "result", "state": "ok"}', "status failed on the host: no reason was given"),
        (None, b'{"event": "result", "state": "error", "error": "no disk"}', "status failed on the host: no disk"),
        (0, b'{"event": "result", "state": "error", "error": "no disk"}', "status failed on the host: no disk"),
    ],
)
def test_a_verb_that_failed_is_an_error_with_its_reason(status: int | None, result: bytes, said: str) -> None:
    with pytest.raises(HostError) as error:
        checked("status", Answer(status, result, b""))
    assert error.value.what == said


def test_the_last_line_that_a_host_said_is_shown() -> None:
    with pytest.raises(Garbled, match=r"gave no result: sh: 1: not found"):
        checked("status", Answer(126, b"", b"one\nsh: 1: not found\n"))
    with pytest.raises(Garbled, match="it ended with status 126 and said nothing"):
        checked("status", Answer(126, b"", b""))


def test_the_service_never_asks_its_own_machine() -> None:
    asked = [Probe("tcp", "127.0.0.1", "controller", port=1), Probe("icmp", "127.0.0.9", "controller")]
    assert {(answer.ok, answer.told) for answer in ask_from_here(asked)} == {(False, "the service's own machine")}


@pytest.mark.parametrize("probes", [None, "ok", [1], {"name": "x"}])
def test_answers_to_probes_that_are_none_are_garbled(probes: object) -> None:
    with pytest.raises(Garbled, match="no answers to probes"):
        answers_of({"probes": probes})
