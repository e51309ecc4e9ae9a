"""Fixtures of all folders. The lab's are here once: imported again elsewhere they would be another lab."""

import gc
import signal
from pathlib import Path
from types import FrameType
from typing import Any

import hypothesis
import pytest
from pytest_timeout import timeout_sigalrm

from service.lab import apt
from service.lab.waiting import Patience
from tests.lab_fixtures import fresh_host, host, in_every_suite, lab, shared_host, suite

hypothesis.settings.register_profile("passerelle", deadline=None)  # on a busy machine 200 ms say nothing about the code
hypothesis.settings.load_profile("passerelle")

MEASURED = ("apply", "plan", "reconcile", "scenarios")
"""Folders of tests while which coverage is counted: tracing costs pure code as much time again as it takes."""

__all__ = ["fresh_host", "host", "lab", "shared_host", "suite"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests of the lab that run once for each Debian release."""
    in_every_suite(metafunc)


def pytest_collection_finish() -> None:
    """What was imported and collected stays until the end: the collector need not go through it again and again."""
    gc.collect()
    gc.freeze()


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
    if items and items[0].config.pluginmanager.hasplugin("_cov"):
        for item in items:
            if item.nodeid.split("/")[1] not in MEASURED:
                item.add_marker("no_cover")


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
