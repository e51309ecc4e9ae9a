"""schemathesis as its users run it, over the whole API: examples, coverage, fuzzing and stateful, with all its checks.

The API answers on a real socket, with either database. A broken application shows that the checks are on.
"""

import asyncio
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.openapi import document
from service.api.parts import RequestLimits
from service.api.server import answer_beside
from service.history import History
from tests.api.test_api_examples import parameters
from tests.api.test_api_gate import address
from tests.api.world import World

PHASES = ("examples", "coverage", "fuzzing", "stateful")
EXAMPLES = 5
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@contextmanager
def answering(app: ASGIApp) -> Iterator[str]:
    """The application on a port of this machine, in a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    loop, ready = asyncio.new_event_loop(), threading.Event()
    task = loop.create_task(answer_beside(app, "127.0.0.1", port))

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.call_soon(ready.set)
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            loop.run_until_complete(loop.shutdown_default_executor())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(30)
        yield f"http://127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(30)
        loop.close()


SETTINGS = """\
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "3xx", 401, 403, 404, 409, 422, 429, "5xx"]
"""
"""A request of the right form can be refused for the present state: 422. Any 5xx is another check's."""


def described(world: World) -> dict[str, Any]:
    """The description, whose examples name what is there."""
    found: dict[str, Any] = json.loads(json.dumps(document()))
    for path, operations in found["paths"].items():
        real = {**parameters(path, address(world, path)), "receiver": "forge", "code": "held"}
        for operation in operations.values():
            for one in operation.get("parameters", ()):
                if one["in"] == "path":
                    one["example"] = real[one["name"]]
    return found


def run(folder: Path, world: World, app: ASGIApp, *words: str) -> tuple[int, str]:
    """Exit code, and what was printed."""
    (folder / "openapi.json").write_text(json.dumps(described(world)))
    (folder / "schemathesis.toml").write_text(SETTINGS)
    with answering(app) as url:
        done = subprocess.run(
            [
                Path(sys.executable).with_name("st"), "--no-color", "run", str(folder / "openapi.json"), "--url", url,
                "--header", f"Authorization: Bearer {world.token()}", "--checks", "all", "--continue-on-failure",
                "--generation-deterministic", "--suppress-health-check", "all", *words,
            ],
            cwd=folder, capture_output=True, text=True, timeout=850,
        )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def world_of(history: History) -> World:
    plenty = RequestLimits(requests_burst=10**9, failures_burst=10**9, hooks_burst=10**9)
    return World(history, limits=plenty)


def test_the_whole_api_keeps_its_description(world: World, tmp_path: Path) -> None:
    """But for the one operation that would end the token of all others: the next test is about that one."""
    served = world_of(world.history)
    words = ("--phases", ",".join(PHASES), "--max-examples", str(EXAMPLES))
    code, said = run(tmp_path, served, served.app, *words, "--exclude-operation-id", "revoke_token")
    assert code == 0, said[-20_000:]
    assert "Failures" not in said
    for phase in PHASES:
        assert f"✅  {phase.title()} (in" in said, said[:3_000]
    # One does: that of the receivers, without a signature.
    assert "operations returned only 401/403" not in said, said[-5_000:]


def test_ending_a_token_keeps_it(world: World, tmp_path: Path) -> None:
    served = world_of(world.history)
    words = ("--phases", "examples,coverage,fuzzing", "--max-examples", "20")
    code, said = run(tmp_path, served, served.app, *words, "--include-operation-id", "revoke_token")
    assert code == 0, said[-20_000:]


def without_gate(app: ASGIApp, token: str) -> ASGIApp:
    """Whoever has no token gets one."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        others = [(name, value) for name, value in scope["headers"] if name != b"authorization"]
        await app({**scope, "headers": [*others, (b"authorization", f"Bearer {token}".encode())]}, receive, send)

    return answer


def with_status(app: ASGIApp, status: int) -> ASGIApp:
    """Each good answer has this status."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def changed(message: Message) -> None:
            is_good = message["type"] == "http.response.start" and message["status"] == 200
            await send({**message, "status": status} if is_good else message)

        await app(scope, receive, changed)

    return answer


def with_body(app: ASGIApp, old: bytes, new: bytes) -> ASGIApp:
    """Each body says something else, of the same length."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def changed(message: Message) -> None:
            await send(
                {**message, "body": message.get("body", b"").replace(old, new)} if "body" in message else message
            )

        await app(scope, receive, changed)

    return answer


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a gate that lets everybody in", "API accepts requests without authentication"),
        ("a status of 500", "Server error"),
        ("a status that is not described", "Undocumented Content-Type"),
        ("a field that is missing", "Response violates schema"),
    ],
)
def test_a_broken_application_is_noticed(world: World, tmp_path: Path, name: str, words: str) -> None:
    served = world_of(world.history)
    broken = {
        "a gate that lets everybody in": without_gate(served.app, served.token()),
        "a status of 500": with_status(served.app, 500),
        "a status that is not described": with_status(served.app, 208),
        "a field that is missing": with_body(served.app, b'"items"', b'"itemz"'),
    }[name]
    options = ("--phases", "examples,coverage", "--max-examples", "2", "--include-operation-id", "list_suspensions")
    code, said = run(tmp_path, served, broken, *options)
    assert (code, words in said) == (1, True), said[-5_000:]
