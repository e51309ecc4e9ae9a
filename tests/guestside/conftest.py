"""What the tests of the guests' program share: one authority and one client's environment for all."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.lab.image import exclusive
from service.lab.progress import silent
from tests.guestside.authority import Authority, running
from tests.guestside.guest import Guest, acme_of, prepared


@pytest.fixture(autouse=True)
def own_umask() -> Iterator[None]:
    """The program sets the umask of its process, which is here that of tests to come: their files would be others."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    with running(tmp_path_factory.mktemp("authority")) as authority:
        yield authority


@pytest.fixture
def authority(once: Authority) -> Authority:
    """pebble, whose DNS knows all names at this machine; it refuses nothing."""
    once.forget()
    return once


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client's environment, made by the program itself; once for all processes of this test run."""
    top = tmp_path_factory.getbasetemp()
    shared = (top.parent if "PYTEST_XDIST_WORKER" in os.environ else top) / "guestside-environment"
    with exclusive(shared.with_suffix(".lock"), silent):
        if not shared.exists():
            prepared(shared)
    (made,) = (shared / "state").glob("venv-*")
    return made


@pytest.fixture
def new_guest(authority: Authority, environment: Path, tmp_path: Path) -> Callable[..., Guest]:
    """A new guest with the host's files, whose port 80 is open."""

    def make(name: str = "guest", **acme: Any) -> Guest:
        guest = Guest(tmp_path / name, acme_of(authority, **acme))
        guest.state.mkdir(parents=True)
        (guest.state / environment.name).symlink_to(environment)
        guest.write()
        authority.serve(guest.webroot)
        return guest

    return make


@pytest.fixture
def guest(new_guest: Callable[..., Guest]) -> Guest:
    return new_guest()
