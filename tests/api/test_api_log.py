"""What the log says of who calls: tokens in use, and callers without one."""

import logging

import pytest

from service.logs import fields_of
from tests.api.world import World

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
