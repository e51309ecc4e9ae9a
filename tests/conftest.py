"""Fixtures of all folders. The lab's stand here once: imported again elsewhere they would be another lab."""

import gc

from tests.lab_fixtures import fresh_host, host, lab, shared_host

__all__ = ["fresh_host", "host", "lab", "shared_host"]


def pytest_collection_finish() -> None:
    """What was imported and collected stays until the end: the collector need not go through it again and again."""
    gc.collect()
    gc.freeze()
