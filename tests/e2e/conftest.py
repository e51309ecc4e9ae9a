"""One real host under the seed's spec, a real service next to it, for each file of tests."""

from collections.abc import Iterator

import pytest

from service.lab import Lab
from service.lab.field import Field
from tests.e2e.story import Story


@pytest.fixture(scope="module")
def field(lab: Lab, suite: str) -> Iterator[Field]:
    """A repository and a service, new for each Debian release; hosts are looked at every second."""
    with Field.open(lab, poll_s="1", observe_s="1") as opened:
        yield opened


@pytest.fixture(scope="module")
def story(lab: Lab, field: Field, suite: str) -> Story:
    """pve1, bare at first, then as the seed's spec says, with three guests of three sorts behind it."""
    host = lab.host("pve1")
    host.fresh(suite=suite)
    made = Story(host, field)
    made.add_guests()
    made.apply(made.spec(), "say pve1")
    return made
