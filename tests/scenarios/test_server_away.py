"""The server of the database ends in the middle of an apply and comes back: nothing is lost, nothing is done twice."""

from pathlib import Path

import pytest
from sqlalchemy import select

from service.history.tables import steps
from tests.postgres import Cluster, cluster
from tests.scenarios.play import Play
from tests.scenarios.script import lines_of
from tests.scenarios.stage import Stage

pytestmark = pytest.mark.long

STEPS = ("file:/etc/network/interfaces", "link:vmbr0", "addresses:vmbr0")
CHANGE = """commit auto
    interfaces:
      enp1s0: {addresses: [198.51.100.11/24], gateway: 198.51.100.1}
    bridges:
      vmbr0: {addresses: [10.10.10.1/24], ports: []}
"""


async def played(stage: Stage, folder: Path, text: str) -> None:
    file = folder / "lines.txt"
    file.write_text(text)
    acted = Play(stage)
    for line in lines_of(file):
        await acted.line(line)


@pytest.mark.parametrize("point", ["began", "confirmed"])
@pytest.mark.parametrize("away", ["0s", "60s", "20m"])
async def test_nothing_is_lost_and_nothing_is_done_twice(tmp_path: Path, point: str, away: str) -> None:
    """The server ends silently when the host has begun, or has confirmed. The service lives on."""
    with cluster() as server:
        stage = Stage(tmp_path, {}, server.made("things"))
        await stage.start()
        try:
            await played(stage, tmp_path, "commit auto\nwait 1m\n")
            setattr(stage.played, point, lambda: ends_now(stage, server, point))
            await played(stage, tmp_path, CHANGE)
            assert server.process is None
            await played(stage, tmp_path, f"wait {away}\n")
            server.start()
            await played(stage, tmp_path, "wait 10m\nsee status sync=Synced phase=Idle\nsee applies 1\n")
            [recorded] = stage.applies
            assert (recorded.phase, recorded.generation) == ("Succeeded", 1)
            assert {name: one["state"] for name, one in stage.played.journals.items()} == {recorded.id: "confirmed"}
            assert stage.played.writes == [f"set {step}" for step in STEPS]
            with stage.history._database.read() as connection:
                done = connection.execute(select(steps.c.fact, steps.c.state).order_by(steps.c.position)).all()
            assert [tuple(one) for one in done] == [(step, "done") for step in STEPS]
            await played(stage, tmp_path, CHANGE.replace("10.10.10.1", "10.10.10.2") + "wait 1m\nsee applies 2\n")
            assert [(one.phase, one.generation) for one in stage.applies] == [("Succeeded", 2), ("Succeeded", 1)]
        finally:
            await stage.end()


def ends_now(stage: Stage, server: Cluster, point: str) -> None:
    setattr(stage.played, point, lambda: None)
    server.stop()
