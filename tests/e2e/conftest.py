"""One real host under the seed's spec, a real service next to it, for each file of tests."""

from collections.abc import Iterator

import pytest

from service.lab import Lab, VirtualHost
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


@pytest.fixture(scope="module")
def second_kernel_host(lab: Lab) -> Iterator[VirtualHost]:
    """A bare host with Debian's own kernel and two cards, enp1s0 and enp2s0, for each file: some 20 s of a core."""
    name = f"virtual{len(lab.hosts())}"
    host = lab.add_host(name, kernel="debian", cards=2)
    assert isinstance(host, VirtualHost)
    yield host
    host.power_off()
