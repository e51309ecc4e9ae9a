"""What the log says of who calls: tokens in use, and callers without one."""

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest

from service.logs import JsonLines, Once, TextLines, fields_of, log_event
from tests.api.world import World, problem_of

CALLS = "passerelle.api"


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """The lines since the last call, with their levels."""
    found = [(one.levelname, one.getMessage()) for one in caplog.records if one.name == CALLS]
    caplog.clear()
    return found


async def test_a_token_that_reads_is_told_once_an_hour_for_each_address(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger=CALLS)
    for _ in range(3):
        await world.ask("GET", "/api/v1/hosts")
    (line,) = [one for one in caplog.records if one.name == CALLS]
    assert line.getMessage() == "token tester is used to read"
    token = world.token().removeprefix("psr_").partition(".")
    assert fields_of(line) == {
        "token": token[0], "by": "tester", "client": "192.0.2.1", "method": "GET", "path": "/api/v1/hosts",
    }  # fmt: skip
    assert token[2] not in caplog.text
    said(caplog)
    await world.ask("GET", "/api/v1/hosts", client="192.0.2.2")
    assert said(caplog) == [("INFO", "token tester is used to read")]
    world.clock.pass_time(3601)
    await world.ask("GET", "/api/v1/hosts")
    assert said(caplog) == [("INFO", "token tester is used to read")]


async def test_a_token_that_changes_something_is_told_once_a_minute(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger=CALLS)
    for _ in range(3):
        await world.ask("POST", "/api/v1/hosts/pve1/reconcile")
    assert said(caplog) == [("INFO", "token tester is used to change")]
    world.clock.pass_time(61)
    await world.ask("POST", "/api/v1/hosts/pve1/reconcile")
    assert said(caplog) == [("INFO", "token tester is used to change")]


async def test_a_token_without_the_scope_is_a_warning(world: World, caplog: pytest.LogCaptureFixture) -> None:
    reader = world.token("read")
    said(caplog)
    assert (await world.ask("POST", "/api/v1/applies", json={}, token=reader)).status_code == 403
    assert said(caplog) == [("WARNING", "token tester lacks the scope apply")]


async def test_strangers_are_told_and_do_not_fill_the_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    for n in range(100):
        answer = await world.ask("GET", "/api/v1/hosts", token="psr_x.y", client=f"192.0.2.{n}")
        assert answer.status_code == 401
    lines = said(caplog)
    assert len(lines) == 20
    assert lines[0] == ("WARNING", "a request from 192.0.2.0 without a valid token is refused")


async def test_a_delivery_with_a_wrong_signature_is_a_warning(world: World, caplog: pytest.LogCaptureFixture) -> None:
    answer = await world.ask("POST", "/hooks/forge", content=b"{}", headers={"X-Signature": "sha256=" + "0" * 64})
    assert answer.status_code == 401
    assert said(caplog) == [("WARNING", "a delivery from 192.0.2.1 is refused: no such receiver, or not its signature")]


@pytest.fixture(params=["text", "json"])
def lines(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """What the service writes, in both forms."""
    text = io.StringIO()
    plain = logging.StreamHandler(text)
    plain.setFormatter(JsonLines() if request.param == "json" else TextLines(with_time=True))
    handler, logger = Once(plain, now_s=lambda: 100.0), logging.getLogger("passerelle")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield text
    logger.removeHandler(handler)
    logger.setLevel(before)
    handler.close()


def ids_in(lines: io.StringIO) -> list[str]:
    """The request id of each line since the last call; empty for a line without one."""
    found = [line for line in lines.getvalue().splitlines() if not line.startswith("    ")]
    lines.truncate(0)
    lines.seek(0)
    if found and found[0].startswith("{"):
        return [json.loads(line).get("request", "") for line in found]
    return ["".join(re.findall(r" request=([0-9a-f]{16})(?: |$)", line)) for line in found]


REQUESTS = {
    "a stranger": ("GET", "/api/v1/hosts", "psr_x.y", 401), "no scope": ("POST", "/api/v1/applies", "read", 403),
    "a change with an event": ("POST", "/api/v1/suspensions", None, 201), "a read": ("GET", "/api/v1/drift", None, 200),
    "a fault": ("POST", "/api/v1/hosts/pve1/reconcile", None, 500),
}  # fmt: skip


@pytest.mark.parametrize("kind", REQUESTS)
async def test_each_line_of_a_request_and_its_problem_have_its_id(world: World, lines: io.StringIO, kind: str) -> None:
    """Also what another thread writes for it, and the line of an event."""
    method, path, token, status = REQUESTS[kind]
    world.history.tell_to(log_event)
    given = world.token("read") if token == "read" else token or world.token()
    ids_in(lines)
    if kind == "a fault":
        world.desk.trouble = RuntimeError("a bug")
    body = {"host": "pve1", "reason": "the switch is replaced"} if path.endswith("suspensions") else None
    answer = await world.ask(method, path, token=given, json=body)
    assert answer.status_code == status, answer.text
    request_id = answer.headers["x-request-id"]
    assert set(ids_in(lines)) == {request_id}
    if status >= 400:
        assert problem_of(answer)["request_id"] == request_id
    logging.getLogger("passerelle").info("something else")
    assert ids_in(lines) == [""]
