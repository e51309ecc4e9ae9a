"""Several processes of the service: one answers, others work, and a request reaches the one that works on its host."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from service.errors import InputError, StoreError
from service.history import open_history
from service.model.secret import Secret
from service.roles import run_role
from service.settings import Settings
from tests.jobs.answering import LONG_S, Api, answering
from tests.postgres import Cluster
from tests.safety.worker_runs import Fleet, address

SPREAD_S = 6.0
"""A worker that has come takes its hosts, and looks at them, within this time: three times `member.KEEP_S`."""


@pytest_asyncio.fixture
async def fleet(tmp_path: Path, cluster: Cluster) -> AsyncIterator[Fleet]:
    """Hosts that are looked at again only if somebody wants it."""
    made = Fleet(tmp_path, cluster, hosts=4, workers=2, observe_s=LONG_S, poll_s=LONG_S)
    await made.begin()
    try:
        yield made
    finally:
        await made.end()
        cluster.dropped(Secret(made.url.encode()))


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_what_is_requested_of_one_process_is_done_by_another(fleet: Fleet) -> None:
    with answering(fleet) as api:
        assert await fleet.until(fleet.is_settled, 60), (fleet.folder / "log").read_text()[-4000:]
        assert await fleet.until(lambda: all(one["sync"] == "Synced" for one in api.items("/hosts")), 30)
        assert await fleet.until(lambda: _shown(api) == [address(1, 1)], 30)
        assert await fleet.until(fleet.are_in, 60)
        assert await fleet.until(lambda: max(fleet.field.looked_s.values()) < time.monotonic() - SPREAD_S, 60)

        before_s = time.monotonic()
        found = await asyncio.to_thread(api.call, "POST", "/hosts/h1/reconcile?wait=20", {})
        assert (found["host"], found["sync"]) == ("h1", "Synced"), "its look ended while the request waited"
        assert fleet.field.looked_s["h1"] > before_s
        assert [name for name, at_s in fleet.field.looked_s.items() if at_s > before_s] == ["h1"]

        drill = api.call("POST", "/drills", {"host": "h1"})
        assert await fleet.until(lambda: api.call("GET", f"/drills/{drill['id']}")["state"] != "Pending", 30)

        fleet.push([2])
        fleet.rows("SELECT pg_notify('passerelle', 'source')")  # as a webhook does
        assert await fleet.until(fleet.is_settled, 60)
        assert await fleet.until(lambda: api.items("/applies?host=h2")[0]["commit"] == _newest(fleet), 30)
        assert [one["commit"] for one in api.items("/revisions")][:1] == [_newest(fleet)]
        assert not any(fleet.faults().values())


def _newest(fleet: Fleet) -> str:
    return fleet.forge.git("rev-parse", "refs/heads/main").strip()


@pytest.mark.long
async def test_one_that_does_all_and_several_exclude_each_other(cluster: Cluster, tmp_path: Path) -> None:
    url = cluster.made()
    with (
        open_history(tmp_path / "a" / "x.sqlite", serve=True, url=url, together=True),
        open_history(tmp_path / "b" / "x.sqlite", serve=True, url=url, together=True),
        pytest.raises(StoreError, match="already serves"),
    ):
        open_history(tmp_path / "c" / "x.sqlite", serve=True, url=url)
    with (
        open_history(tmp_path / "c" / "x.sqlite", serve=True, url=url),
        pytest.raises(StoreError, match="already serves"),
    ):
        open_history(tmp_path / "a" / "x.sqlite", serve=True, url=url, together=True)
    cluster.dropped(url)


@pytest.mark.parametrize("role", ["api", "worker"])
def test_a_file_is_served_by_one_process(tmp_path: Path, role: Any) -> None:
    with pytest.raises(InputError, match="needs a PostgreSQL server") as refused:
        run_role(Settings(state_dir=tmp_path, source="/srv/fleet.git", role=role))
    assert "--role all" in (refused.value.hint or "")
    with pytest.raises(InputError, match="PostgreSQL"):
        open_history(tmp_path / "x.sqlite", serve=True, together=True)


def _shown(api: Api) -> Any:
    """The address that the host had when it was looked at last."""
    return re.findall(r"10\.0\.\d+\.1/24", json.dumps(api.call("GET", "/hosts/h1/observed")))[:1]
