"""Hosts for tests: tests/conftest.py gives these fixtures to all folders; mark what uses them with `lab`.

`lab` is one lab for the whole session. `host` is its pve1, bare and freshly booted for each test (about a second).
`fresh_host` gives any host by name, with files of the test's choice on it before it boots. Both are of the Debian
release `suite`: the machine's own, and each in turn for tests that are marked `every_suite`.
"""

import os
from collections.abc import Callable, Iterator, Mapping

import pytest

from service.errors import LabError
from service.lab import Host, Lab, apt
from service.lab.files import Content

FreshHost = Callable[..., Host]


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A lab of this test process alone: pve1 is 198.51.100.11, more hosts come with the tests that ask for them."""
    with Lab.up(f"test-{os.getpid()}", hosts=["pve1"]) as running:
        yield running


@pytest.fixture(scope="module")
def suite(request: pytest.FixtureRequest) -> str:
    """The Debian release of a test's hosts, by code name."""
    return str(getattr(request, "param", "")) or apt.suite_of("")


def in_every_suite(metafunc: pytest.Metafunc) -> None:
    """Have a test that is marked `every_suite` run once for each release; what pytest_generate_tests calls.

    `every_suite(full=True)` does so only in `tests/run --full`: for what is the same code on each release. In a file of
    both sorts those tests share the hosts of the others of the machine's own release.
    """
    mark = metafunc.definition.get_closest_marker("every_suite")
    if mark is not None:
        in_each = not mark.kwargs.get("full") or os.environ.get("TESTS_FULL")
        suites = apt.SUITES if in_each else (apt.suite_of(""),)
        metafunc.parametrize("suite", suites, indirect=True, scope="module")


@pytest.fixture
def fresh_host(lab: Lab, suite: str) -> FreshHost:
    """`fresh_host("pve2", files={"/etc/network/interfaces": "…"})`: that host on a new disk, booted, without guests."""

    def give(name: str = "pve1", *, files: Mapping[str, Content] | None = None) -> Host:
        try:
            host = lab.host(name)
        except LabError:
            return lab.add_host(name, suite=suite, files=files)
        host.fresh(files=files, suite=suite)
        return host

    return give


@pytest.fixture
def host(fresh_host: FreshHost) -> Host:
    """pve1 as a provider hands it over: an uplink, sshd, BIND, nothing else."""
    return fresh_host("pve1")


@pytest.fixture(scope="session")
def shared_host(lab: Lab) -> Host:
    """A bare host for tests that only look, or that undo all they do."""
    return lab.add_host("shared")
