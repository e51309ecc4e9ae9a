"""Two processes that answer for one fleet: what is requested of both at once is done once, and a killed one leaves
nothing behind."""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from service.history.postgres.engine import MARK, WRITES
from service.lab.waiting import wait_for
from service.model.secret import Secret
from tests.jobs.answering import LONG_S, Api, answering
from tests.postgres import Cluster
from tests.safety.worker_runs import Fleet

SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


@pytest_asyncio.fixture
async def fleet(tmp_path: Path, cluster: Cluster) -> AsyncIterator[Fleet]:
    """Two hosts with a plan that nobody approved yet."""
    made = Fleet(tmp_path, cluster, hosts=2, workers=1, observe_s=LONG_S, poll_s=LONG_S, sync="approve")
    await made.begin()
    try:
        yield made
    finally:
        await made.end()
        cluster.dropped(Secret(made.url.encode()))


async def test_of_two_who_ask_two_processes_at_once_one_gets_it(fleet: Fleet) -> None:
    with answering(fleet, "one") as one, answering(fleet, "two") as two:
        assert await fleet.until(lambda: all(_plan_of(api, "h1") for api in (one, two)), 90), _said(fleet, one, two)
        plan = _plan_of(one, "h1")
        await _without_workers(fleet)
        asked = {"host": "h1", "digest": plan["digest"]}
        for path, body in (("/applies", asked), ("/drills", {"host": "h1"})):
            answers = _at_once(fleet, (one, two), path, body)
            assert sorted(status for status, _ in answers) == [202, 409], answers
            refused = next(found for status, found in answers if status == 409)
            taken = next(found for status, found in answers if status == 202)
            assert (refused["code"], taken["id"] in refused["detail"]) == ("waits-already", True)
            assert [row["id"] for row in two.items(f"{path}?host=h1")] == [taken["id"]]
        assert [status for status, _ in _at_once(fleet, (one, two), "/hosts/h1/reconcile", {})] == [202, 202]
        assert await fleet.until(lambda: _jobs(fleet) == [("h1", 1)], 30), "one look, which is what both wanted"

        fleet.start(0)
        assert await fleet.until(lambda: one.items("/applies?host=h1")[0]["phase"] == "Succeeded", 90), _log(fleet)
        assert [name for name, _, _ in fleet.field.begun].count("h1") >= 1
        assert not any(fleet.faults().values())


async def test_the_same_plan_requested_of_another_process_meanwhile_is_applied_once(fleet: Fleet) -> None:
    """The second one is refused when its turn comes, because nothing is left of the plan."""
    with answering(fleet, "one") as one, answering(fleet, "two") as two:
        assert await fleet.until(lambda: all(_plan_of(api, "h1") for api in (one, two)), 90), _said(fleet, one, two)
        asked = {"host": "h1", "digest": _plan_of(one, "h1")["digest"]}
        fleet.field.takes_changes.clear()
        first = one.call("POST", "/applies", asked)["id"]
        begun = "SELECT phase FROM applies WHERE phase <> 'Pending'"
        assert await fleet.until(lambda: fleet.rows(begun), 60), _said(fleet, one, two)
        second = two.call("POST", "/applies", asked)["id"]
        fleet.field.takes_changes.set()
        assert await fleet.until(lambda: not fleet.open_applies(), 90), _said(fleet, one, two)
        ends = {row["id"]: (row["phase"], row["cause"]) for row in one.items("/applies?host=h1")}
        assert ends == {first: ("Succeeded", ""), second: ("Refused", "stale")}
        assert [name for name, _, _ in fleet.field.begun] == ["h1"]
        assert not any(fleet.faults().values())


async def test_the_key_of_a_process_that_was_killed_is_free_for_another_one(fleet: Fleet) -> None:
    with answering(fleet, "one") as one, answering(fleet, "two") as two:
        assert await fleet.until(lambda: all(_plan_of(api, "h1") for api in (one, two)), 90), _said(fleet, one, two)
        await _without_workers(fleet)
        with ThreadPoolExecutor(1) as threads:
            with _held(fleet, "LOCK TABLE drills IN ACCESS EXCLUSIVE MODE"):
                dying = threads.submit(one.ask, "POST", "/api/v1/drills", {"host": "h1"}, key="k1")
                wait_for(lambda: fleet.rows("SELECT status FROM idempotency_keys") == [(0,)], "it is under way", 30)
                one.process.kill()
                one.process.wait(30)
            assert isinstance(dying.exception(30), OSError)
        status, drill = two.ask("POST", "/api/v1/drills", {"host": "h1"}, key="k1")
        assert status == 202, drill
        assert two.ask("POST", "/api/v1/drills", {"host": "h1"}, key="k1") == (202, drill)
        assert [row["id"] for row in two.items("/drills?host=h1")] == [drill["id"]]


async def test_a_stream_has_what_other_processes_record_and_ends_with_its_own(fleet: Fleet) -> None:
    """SIGTERM ends it at once: the end of the answer comes with all of it, and the process exits with 0."""
    with answering(fleet) as api:
        assert await fleet.until(lambda: _plan_of(api, "h1"), 90), _log(fleet)
        with _stream(api) as stream, ThreadPoolExecutor(1) as threads:
            assert stream.readline() == b"retry: 2000\n"
            told = threads.submit(lambda: next(line for line in stream if line.startswith(b"data: ")))
            asked = {"host": "h1", "digest": _plan_of(api, "h1")["digest"]}
            apply_id = api.call("POST", "/applies", asked)["id"]
            event = json.loads((await asyncio.to_thread(told.result, 90)).removeprefix(b"data: "))
            assert (event["host"], event["detail"]["apply"]) == ("h1", apply_id)
            api.process.terminate()
            stream.read()
            assert api.process.wait(30) == 0
    assert "graceful shutdown exceeded" not in _log(fleet)
    assert not any(fleet.faults().values())


def _stream(api: Api) -> Any:
    """The answer of a stream, under way."""
    address = f"{api.url}/api/v1/stream?type=apply.finished"
    return urllib.request.urlopen(urllib.request.Request(address, headers={"Authorization": f"Bearer {api.token}"}))


def _at_once(fleet: Fleet, apis: tuple[Api, Api], path: str, body: object) -> list[tuple[int, Any]]:
    """The answers of both. Neither can write before both are about to."""
    with ThreadPoolExecutor(len(apis)) as threads:
        with _held(fleet, f"SELECT pg_advisory_xact_lock({MARK}, {WRITES})"):
            asked = [threads.submit(api.ask, "POST", f"/api/v1{path}", body) for api in apis]
            waiting = f"{SESSIONS} AND wait_event = 'advisory'"
            wait_for(lambda: fleet.rows(waiting) == [(len(apis),)], "both wait to write", 30)
        return [one.result(30) for one in asked]


@contextmanager
def _held(fleet: Fleet, lock: str) -> Iterator[None]:
    with psycopg.connect(fleet.url) as session, session.transaction():
        session.execute(lock.encode())
        yield


async def _without_workers(fleet: Fleet) -> None:
    """Nothing of what is requested begins before both were answered."""
    for number in list(fleet.running):
        fleet.kill(number)
    assert await fleet.until(lambda: fleet.rows(f"{SESSIONS} AND state <> 'idle'") == [(0,)], 30)


def _jobs(fleet: Fleet) -> Any:
    schema = fleet.rows("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'passerelle_jobs%'")[0][0]
    return fleet.rows(
        f"SELECT args->>'host', count(*) FROM {schema}.procrastinate_jobs WHERE status = 'todo' GROUP BY 1"
    )


def _plan_of(api: Api, host: str) -> Any:
    status, plan = api.ask("GET", f"/api/v1/hosts/{host}/plan")
    return plan if status == 200 and plan.get("digest") else None


def _log(fleet: Fleet) -> str:
    return (fleet.folder / "log").read_text()[-4000:]


def _said(fleet: Fleet, *apis: Api) -> str:
    """What each answers about the plan, what is recorded, and the log."""
    answers = [api.ask("GET", "/api/v1/hosts/h1/plan") for api in apis]
    recorded = fleet.rows("SELECT host, sync, phase, observed_commit, plan_id FROM hosts")
    return f"{answers}\n{recorded}\n{_log(fleet)}"
