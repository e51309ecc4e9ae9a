"""What a worker answers to systemd, Kubernetes and Prometheus: whether it lives and can work, and its numbers."""

import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.jobs.answering import LONG_S, free_port, token_of
from tests.postgres import cluster
from tests.safety.worker_runs import Fleet

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


@pytest_asyncio.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    """A worker with a port, on a server of its own that a test may stop."""
    with cluster() as server:
        made = Fleet(tmp_path, server, hosts=2, workers=0, observe_s=LONG_S, poll_s=0.5)
        made.health_ports = {0: free_port(), 1: 0}
        await made.begin()
        made.start(0)
        try:
            yield made
        finally:
            await made.end()


async def test_a_worker_says_whether_it_lives_and_can_work(fleet: Fleet) -> None:
    assert await fleet.until(lambda: _asked(fleet, "/readyz")[0] == 200, 60), (fleet.folder / "log").read_text()
    assert _asked(fleet, "/livez") == (200, '{"status":"ok"}')
    status, page = _asked(fleet, "/metrics")
    assert (status, "token" in page) == (401, True), "the numbers name hosts, as those of an API do"
    token = token_of(fleet, fleet.folder / "worker0")
    fetched = "passerelle_git_last_fetch_timestamp_seconds 1"
    assert await fleet.until(lambda: fetched in _asked(fleet, "/metrics", token)[1], 30)
    assert "passerelle_reconcile_duration_seconds_count" in _asked(fleet, "/metrics", token)[1]
    assert [_asked(fleet, path, token)[0] for path in ("/api/v1/hosts", "/docs", "/openapi.json")] == [404, 404, 404]

    fleet.server.stop()
    assert await fleet.until(lambda: _asked(fleet, "/readyz")[0] == 503, 60)
    assert "database" in _asked(fleet, "/readyz")[1] and _asked(fleet, "/livez")[0] == 200
    fleet.server.start()
    assert await fleet.until(lambda: _asked(fleet, "/readyz")[0] == 200, 60)

    fleet.running[0].terminate()
    assert fleet.running.pop(0).wait(60) == 0, "its signals are its own"


async def test_a_port_that_is_taken_ends_the_worker_and_says_so(fleet: Fleet) -> None:
    assert await fleet.until(lambda: _asked(fleet, "/livez")[0] == 200, 60)
    fleet.health_ports[1] = fleet.health_ports[0]
    fleet.start(1)
    second = fleet.running.pop(1)
    assert await fleet.until(lambda: second.poll() is not None, 60)
    assert second.returncode != 0 and "Address already in use" in (fleet.folder / "log").read_text()


def _asked(fleet: Fleet, path: str, token: str = "") -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"http://127.0.0.1:{fleet.health_ports[0]}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)
