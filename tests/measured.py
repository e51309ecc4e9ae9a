"""A pytest plugin for tests/run: which lines and branches the tests reach, kept for `tests.covered`.

The files of `ROOMS` are compiled with a mark at each line and branch; one that was reached is removed again
(slipcover). So it costs next to nothing, where a tracer costs as much time again as the tests. It has to be loaded
before the service is: `-p tests.measured`. Each process that runs tests writes what it saw into `DATA`.
"""

import json
import os
from pathlib import Path

import pytest
import slipcover

TOP = Path(__file__).parent.parent
ROOMS = ("service/reconcile", "service/plan", "service/apply")
DATA = ".cache/coverage"
NOT_COUNTED = (r"^ *\.\.\.$",)
"""The body of a protocol's method."""

_sources = [str(TOP / room) for room in ROOMS]
_seen = slipcover.Slipcover(branch=True, source=_sources, exclude_also=NOT_COUNTED)
slipcover.ImportManager(_seen, slipcover.FileMatcher(sources=_sources)).__enter__()


def pytest_configure(config: pytest.Config) -> None:
    """What an earlier run saw does not count."""
    if not hasattr(config, "workerinput"):
        (TOP / DATA).mkdir(parents=True, exist_ok=True)
        for old in (TOP / DATA).glob("*.json"):
            old.unlink()


def pytest_sessionfinish(session: pytest.Session) -> None:
    runs_tests = hasattr(session.config, "workerinput") or not session.config.getoption("numprocesses", None)
    if runs_tests:
        name = os.environ.get("PYTEST_XDIST_WORKER", "alone")
        (TOP / DATA / f"{name}.json").write_text(json.dumps(_seen.get_coverage()))
