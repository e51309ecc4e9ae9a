"""Fixtures of all folders. The lab's are here once: imported again elsewhere they would be another lab."""

import functools
import gc
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

import hypothesis
import pytest
from pytest_timeout import timeout_sigalrm

from service.lab import apt
from service.lab.waiting import Patience
from tests import marked, postgres
from tests.lab_fixtures import fresh_host, host, in_every_suite, lab, shared_host, suite
from tests.state_folders import Patterns

hypothesis.settings.register_profile("passerelle", deadline=None)  # on a busy machine 200 ms say nothing about the code
hypothesis.settings.register_profile("fast", deadline=None, max_examples=40)  # of tests that name no number
hypothesis.settings.load_profile("passerelle")

SELDOM = (20_000, 20, 50)
"""When the collector of cycles looks: gc.set_threshold. Little that tests leave is in a cycle; looking cost a tenth."""

__all__ = ["fresh_host", "host", "lab", "shared_host", "suite"]


@pytest.fixture(scope="session")
def started() -> Iterator[Callable[[], postgres.Cluster]]:
    """A PostgreSQL server, which starts when it is called for the first time. It ends after all that could use it:
    fixtures end in the order in which they began, turned round."""
    with ExitStack() as stack:
        yield functools.cache(lambda: stack.enter_context(postgres.cluster()))


@pytest.fixture(scope="session")
def cluster(started: Callable[[], postgres.Cluster]) -> postgres.Cluster:
    """A PostgreSQL server."""
    return started()


@pytest.fixture(scope="session")
def patterns(started: Callable[[], postgres.Cluster], tmp_path_factory: pytest.TempPathFactory) -> Patterns:
    """State folders to copy. The server starts with the first one that needs it."""
    return Patterns(tmp_path_factory.mktemp("patterns"), started)


@pytest.fixture(scope="session", autouse=True)
def _cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What commands keep is not kept in the home of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests of the lab that run once for each Debian release."""
    in_every_suite(metafunc)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Files without a test of the marks that this run selects by are not read: tests/marked.py."""
    if collection_path.suffix == ".py" and collection_path.name.startswith("test_"):
        return marked.has_none(collection_path, config.option.markexpr) or None
    return None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Nothing of what is imported and collected goes: the collector of cycles need not look."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """What was imported and collected stays until the end: the collector need not go through it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*SELDOM)


@pytest.hookimpl(tryfirst=True, specname="pytest_collection_modifyitems")
def pytest_refuse_unnamed(items: list[pytest.Item]) -> None:
    """No test of the lab is lost by its file's text. First, because pytest's own `-m` leaves out the lab's tests."""
    if lost := marked.unnamed(items):
        raise pytest.UsageError("the file of a test has to name its mark: " + ", ".join(lost))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that say that they take minutes begin first, so that none is left alone at the end; else as shuffled.

    Within a file the tests of one Debian release come after each other: their hosts are made once.
    """
    own = apt.suite_of("") if any(item.get_closest_marker("lab") for item in items) else ""
    files: dict[Path, int] = {}
    for item in items:
        files.setdefault(item.path, len(files))

    def key(item: pytest.Item) -> tuple[float, int, str]:
        minutes = max((mark.kwargs.get("minutes", 0) for mark in item.iter_markers("lab")), default=0)
        given = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        return -minutes, files[item.path], str(given.get("suite", own))

    items.sort(key=key)


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item: Any, settings: Any) -> bool | None:
    """--timeout counts an idle machine's seconds, as all limits in the lab do: service/lab/waiting.py."""
    if settings.method != "signal":
        return None
    patience = Patience(settings.timeout)

    def set_off() -> None:
        signal.setitimer(signal.ITIMER_REAL, max(patience.left_s(), 0.01))

    def look(_number: int, _frame: FrameType | None) -> None:
        if patience.is_over():
            timeout_sigalrm(item, settings)
        else:
            set_off()

    def cancel() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

    item.cancel_timeout = cancel
    signal.signal(signal.SIGALRM, look)
    set_off()
    return True
