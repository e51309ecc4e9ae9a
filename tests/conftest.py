"""Fixtures of all folders. The lab's stand here once: imported again elsewhere they would be another lab."""

import gc

import hypothesis
import pytest

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
