"""Of several who ask for the same at the same instant, in however many processes, exactly one gets it."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier

import pytest

from service.errors import StoreError, WaitsAlready
from service.history import History, Store, open_history
from tests.postgres import Cluster
from tests.state_folders import NAME, Patterns

CALLERS = 6
Ask = Callable[[Store, str, datetime], bool]


@pytest.fixture
def processes(database: str, patterns: Patterns, tmp_path: Path) -> Iterator[list[History]]:
    """Two that serve one database, or the only one that serves a file."""
    with patterns.database(database) as url, ExitStack() as opened:
        number = 1 if url is None else 2
        yield [
            opened.enter_context(open_history(tmp_path / f"{n}" / NAME, serve=True, url=url, together=url is not None))
            for n in range(number)
        ]


def apply(store: Store, host: str, at: datetime, *, trigger: str = "request") -> bool:
    try:
        store.open_apply(
            host, plan_id="P", commit="c", plan_digest="sha256:p", desired_digest="sha256:d",
            trigger=trigger, requested_by="ann", at=at,  # type: ignore[arg-type]
        )  # fmt: skip
    except WaitsAlready as error:
        assert f"an apply of {host} waits already" in str(error)
        return False
    return True


def drill(store: Store, host: str, at: datetime) -> bool:
    try:
        store.open_drill(host, requested_by="ann", at=at)
    except WaitsAlready as error:
        assert f"a drill of {host} waits already" in str(error)
        return False
    return True


def claim(store: Store, key: str, at: datetime) -> bool:
    outcome = store.claim_key("me", key, "sha256:r", at=at).outcome
    assert outcome in ("new", "busy")
    return outcome == "new"


def delivery(store: Store, number: str, at: datetime) -> bool:
    return store.record_delivery("forge", number, outcome="accepted", at=at)


@pytest.mark.parametrize("ask", [apply, drill, claim, delivery])
def test_of_those_who_ask_at_once_one_gets_it(processes: list[History], ask: Ask, now: datetime) -> None:
    stores = [processes[caller % len(processes)].store for caller in range(CALLERS)]
    together = Barrier(CALLERS)

    def one(caller: int, what: str) -> bool:
        together.wait(30)
        return ask(stores[caller], what, now)

    with ThreadPoolExecutor(CALLERS) as threads:
        for what in ("pve1", "pve2", "pve3", "pve4", "pve5"):
            got = list(threads.map(one, range(CALLERS), [what] * CALLERS))
            assert Counter(got) == {True: 1, False: CALLERS - 1}, what


def test_the_next_is_taken_once_the_first_has_begun(processes: list[History], now: datetime) -> None:
    first, last = processes[0], processes[-1]
    assert apply(first.store, "pve1", now)
    assert apply(last.store, "pve2", now)
    waiting = first.queries.waiting_apply("pve1")
    assert waiting is not None
    first.store.start_apply(waiting.id, generation=1, planned=(), at=now)
    assert apply(last.store, "pve1", now)
    assert not apply(first.store, "pve1", now)
    assert apply(first.store, "pve1", now, trigger="push"), "what the loop does on its own is no request"


def test_a_key_whose_process_ended_is_taken_over(processes: list[History], now: datetime) -> None:
    first, last = processes[0], processes[-1]
    assert claim(last.store, "k", now)
    assert not claim(first.store, "k", now)
    if last is first:
        return
    last.close()
    assert claim(first.store, "k", now)
    first.store.settle_key("me", "k", status=202, location="/x", body={})
    assert first.store.claim_key("me", "k", "sha256:r", at=now).outcome == "done"


@pytest.mark.long
def test_a_key_that_could_not_be_settled_is_free_again(patterns: Patterns, cluster: Cluster, tmp_path: Path) -> None:
    """The server was away when the answer was to be kept: nobody is at work on it any more."""
    now = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    with patterns.database("postgresql") as url, ExitStack() as opened:
        first, last = (
            opened.enter_context(open_history(tmp_path / name / NAME, serve=True, url=url, together=True)).store
            for name in ("a", "b")
        )
        for store in (first, last):
            assert claim(store, "k", now)
            cluster.stop()
            with pytest.raises(StoreError):
                store.settle_key("me", "k", status=202, location="/x", body={})
            with pytest.raises(StoreError):
                claim(store, "k", now)
            cluster.start()
            assert claim(first, "k", now)
            first.release_key("me", "k")


def test_a_claim_is_held_over_a_restart_of_the_server(
    processes: list[History], now: datetime, request: pytest.FixtureRequest
) -> None:
    first, last = processes[0], processes[-1]
    assert claim(first.store, "k", now)
    if last is not first:
        server = request.getfixturevalue("cluster")
        server.stop()
        server.start()
        assert claim(first.store, "other", now), "it has a session again"
    assert not claim(last.store, "k", now)
    first.store.release_key("me", "k")
    assert claim(last.store, "k", now)
