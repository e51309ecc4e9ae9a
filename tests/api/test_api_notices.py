"""/notices: by which ways people are informed, and how far each is."""

from dataclasses import replace

import pytest

from service.cli import run
from service.history import open_history
from service.model.events import DrillFailed
from service.model.notices import NoticeStanding
from tests.api.shared_routes import app_of
from tests.api.world import NOW, World
from tests.cli.reached import reached
from tests.state_folders import made

URL = "/api/v1/notices"
ERROR = "mail.example.org does not take notices: Connection refused"


def informing(world: World) -> World:
    """Two ways: mail failed after its first notice, the webhook never began."""
    channels = {"webhook": "chat.example.org", "mail": "mail.example.org for ops@example.org"}
    world.app = app_of(replace(world.parts, channels=channels))
    standing = NoticeStanding(
        world.history.queries.newest_event_id(), sent=1, failed=2, error=ERROR, sent_at=NOW.isoformat(),
        failed_at=NOW.isoformat(),
    )  # fmt: skip
    world.history.store.keep_notices("mail", standing)
    world.history.store.add_event(DrillFailed(host="pve1", drill="d1", error="x"), at=NOW)
    return world


async def test_each_way_says_what_waits_and_what_failed(world: World) -> None:
    webhook, mail = (await informing(world).ask("GET", URL)).json()["items"]
    assert webhook == {
        "channel": "webhook", "where": "chat.example.org", "waiting": 0, "sent": 0, "failed": 0, "dropped": 0,
        "sent_at": None, "failed_at": None, "error": "",
    }  # fmt: skip
    assert (mail["waiting"], mail["sent"], mail["failed"], mail["error"]) == (1, 1, 2, ERROR)
    assert mail["sent_at"].startswith(NOW.isoformat()[:19])


async def test_a_token_for_some_hosts_sees_none(world: World) -> None:
    answer = await informing(world).ask("GET", URL, token=world.token("read", hosts=("pve1",)))
    assert (answer.status_code, answer.json()) == (200, {"items": []})


def test_status_says_that_notices_are_not_taken(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_history(made(tmp_path_factory.mktemp("state") / "passerelle.sqlite")) as history:
        world = informing(World(history).fill())
        with reached(world.app, world.token()):
            assert run(["status"]) == 0
    said = capsys.readouterr().err
    assert f"notices by mail: {ERROR}. 1 wait, the last one was at" in said
    assert "notices by webhook" not in said
