"""Jobs between processes: heard at once, received again when a process ended, kept while the server is away."""

import asyncio

import psycopg
import pytest

from service.errors import StoreError
from service.jobs import Wakes, schema, wakes
from service.lab.waiting import grown_s, wait_for
from service.model.secret import Secret
from tests.jobs.queues import Ends, asking, working
from tests.postgres import Cluster, cluster
from tests.state_folders import Patterns

pytestmark = pytest.mark.long

_KILLED = """
WITH dead AS (INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 minute') RETURNING id)
UPDATE procrastinate_jobs SET status = 'doing', worker_id = (SELECT id FROM dead) RETURNING id
"""
"""All jobs were received by a process of which nobody has heard for a minute."""
_LISTENS = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%' AND state = 'idle'
"""


async def test_a_job_is_received_without_asking_for_it(patterns: Patterns, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server reports it: nobody queries jobs any more before this test is over. A report that comes during a query
    is lost (procrastinate's worker clears the mark afterwards), so one of several has to come."""
    monkeypatch.setattr(wakes, "POLL_S", 3600.0)
    with patterns.database("postgresql") as url:
        assert url is not None
        async with working(url) as works, asking(url) as asks:
            await _until(url, _LISTENS, 1)
            taken = asyncio.ensure_future(works.take())
            for number in range(10):
                asks.add(f"pve{number}")
                await asyncio.wait({taken}, timeout=grown_s(1))
            assert taken.done()


async def test_a_host_of_which_a_job_came_is_made_known(patterns: Patterns) -> None:
    heard: list[str] = []
    with patterns.database("postgresql") as url:
        assert url is not None
        async with working(url, heard.append) as works, asking(url) as asks:
            works.add("own")
            asks.add("pve1")
            ends = Ends(asks, works)
            assert {await ends.take(), await ends.take()} == {"own", "pve1"}
            assert heard == ["pve1"]


async def test_a_job_of_a_process_that_ended_is_received_again(patterns: Patterns) -> None:
    """It was received and not done, and nobody has heard of that process since."""
    with patterns.database("postgresql") as url:
        assert url is not None
        async with asking(url) as asks:
            asks.add("pve1")
            asks.add("pve2")
            await _until(url, "SELECT count(*) FROM procrastinate_jobs", 2)
            _rows(url, _KILLED)
            asks.add("pve2")
            await _until(url, "SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'", 1)
            async with working(url) as works:
                ends = Ends(asks, works)
                assert {await ends.take(), await ends.take()} == {"pve1", "pve2"}
                works.done("pve1")
                works.done("pve2")
                await _until(url, "SELECT count(*) FROM procrastinate_jobs", 0)


async def test_what_is_wanted_while_the_server_is_away_is_sent_later() -> None:
    with cluster() as server:
        url = server.made("jobs")
        async with working(url) as works, asking(url) as asks:
            ends = Ends(asks, works)
            await ends.nothing_comes()
            server.stop()
            asks.add("pve1")
            await _refused(url)
            server.start()
            assert await asyncio.wait_for(works.take(), grown_s(40)) == "pve1"


async def test_who_ends_it_while_the_server_is_away_is_heard() -> None:
    """procrastinate speaks to the server once more when it is cancelled, and what fails there takes its place."""
    with cluster() as server:
        url = server.made("jobs")
        received = Wakes(url)
        await received.open()
        receiving = asyncio.ensure_future(received.receive(["hosts"], _nothing))
        await _until(url, _LISTENS, 1)
        server.stop()
        receiving.cancel()
        await asyncio.wait({receiving}, timeout=grown_s(30))
        assert receiving.cancelled()
        await received.close()


async def _nothing(_host: str) -> None:
    """No job comes."""


async def test_a_server_that_is_away_is_said_so() -> None:
    nowhere = Secret(b"postgresql://postgres@/none?host=/nonexistent")
    with pytest.raises(StoreError, match="tables of the jobs"):
        await Wakes(nowhere).open()


def test_the_tables_are_made_once_and_by_one(cluster: Cluster) -> None:
    url = cluster.made()
    schema.make(url)
    schema.make(url)
    [(found,)] = _rows(url, "SELECT count(*) FROM pg_tables WHERE schemaname LIKE 'passerelle%'")
    assert found == 4
    assert _rows(url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
    cluster.dropped(url)


def test_a_user_that_may_not_make_a_schema_is_told_what_to_do(cluster: Cluster) -> None:
    url = cluster.made()
    cluster.run("CREATE USER guest")
    guest = Secret(url.reveal().replace(b"postgres@", b"guest@"))
    with pytest.raises(StoreError) as refused:
        schema.make(guest)
    assert "GRANT CREATE" in (refused.value.hint or "")
    cluster.dropped(url)


def _rows(url: Secret, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(schema.address(url), autocommit=True) as session:
        return session.execute(query.encode()).fetchall()


async def _until(url: Secret, query: str, wanted: int) -> None:
    await asyncio.to_thread(wait_for, lambda: _rows(url, query) == [(wanted,)], query, 20)


async def _refused(url: Secret) -> None:
    await asyncio.to_thread(wait_for, lambda: _is_away(url), "the end of the server", 20)


def _is_away(url: Secret) -> bool:
    try:
        _rows(url, "SELECT 1")
    except psycopg.OperationalError:
        return True
    return False
