"""Fixtures of all folders. The lab's stand here once: imported again elsewhere they would be another lab."""

import gc
import signal
from types import FrameType
from typing import Any

import hypothesis
import pytest
from pytest_timeout import timeout_sigalrm

from service.lab.waiting import Patience
from tests.lab_fixtures import fresh_host, host, lab, shared_host

hypothesis.settings.register_profile("passerelle", deadline=None)  # on a busy machine 200 ms say nothing about the code
hypothesis.settings.load_profile("passerelle")

__all__ = ["fresh_host", "host", "lab", "shared_host"]


def pytest_collection_finish() -> None:
    """What was imported and collected stays until the end: the collector need not go through it again and again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that say that they take minutes begin first, so that none is left alone at the end; else as shuffled."""
    items.sort(key=lambda item: -max((mark.kwargs.get("minutes", 0) for mark in item.iter_markers("lab")), default=0))


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
