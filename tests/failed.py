"""A pytest plugin for tests/run: keep what failed and how (`--failed-into=FILE`), one JSON line a failure.

In one word: as two, pytest takes the file for a test before it knows the option, and looks for its settings there.
A line is {"test", "when", "seconds", "seed", "said"}; with xdist only the one that starts the workers writes.
"""

import json
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--failed-into", type=Path, help="append each failure to this file as a line of JSON")


def pytest_configure(config: pytest.Config) -> None:
    into = config.getoption("failed_into")
    if into is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Failures(into, config.getoption("randomly_seed")), "failures kept")


class Failures:
    """Writes each failure as soon as it is known, so that nothing is lost with a run that ends badly."""

    def __init__(self, into: Path, seed: int) -> None:
        self.into = into
        self.seed = seed

    def keep(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.failed:
            line = {
                "test": report.nodeid,
                "when": report.when or "collect",
                "seconds": round(getattr(report, "duration", 0.0), 1),
                "seed": self.seed,
                "said": report.longreprtext,
            }
            with self.into.open("a") as file:
                file.write(json.dumps(line) + "\n")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.keep(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.keep(report)
