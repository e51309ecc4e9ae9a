"""A host whose address moves is found where it says it is, and never with another key."""

from dataclasses import replace

import pytest

from service.apply.whereabouts import first_that_is, reported
from service.errors import HostKeyChanged, Unreachable
from service.model.observed import HostObserved, ManagementPath, Watch
from service.model.states import Seen
from tests.laws.host import bare_host

OTHERS = "198.51.100.13"


def moved(**dynamic: tuple[str, ...]) -> HostObserved:
    host = bare_host(Watch())
    facts = {**host.facts, "addresses:enp1s0": Seen(["192.0.2.5/24"]), "addresses:vmbr0": Seen(["10.10.10.1/24"])}
    return replace(host, facts=facts, dynamic=dynamic, path=ManagementPath("198.18.0.10", "198.51.100.11", 22))


def test_a_host_reports_its_other_addresses_on_the_uplink_only_where_some_are_given() -> None:
    host = moved(enp1s0=("198.51.100.11/24", "2001:db8::7/64"))
    assert reported(host) == ("2001:db8::7", "192.0.2.5")
    assert reported(moved()) == ()


async def connect(address: str) -> str:
    if address == OTHERS:
        raise HostKeyChanged(f"{address} shows another key")
    if address != "198.51.100.12":
        raise Unreachable(f"{address} does not answer")
    return f"to {address}"


async def test_another_machine_at_the_old_address_is_passed_over() -> None:
    addresses = (OTHERS, "198.51.100.11", "198.51.100.12")
    assert await first_that_is(addresses, connect) == ("198.51.100.12", "to 198.51.100.12")
    assert await first_that_is((), connect) is None


async def test_a_wrong_key_is_told_before_an_address_that_does_not_answer() -> None:
    with pytest.raises(HostKeyChanged):
        await first_that_is(("198.51.100.11", OTHERS), connect)
    with pytest.raises(Unreachable, match=r"198\.51\.100\.11 does not answer"):
        await first_that_is(("198.51.100.11", "198.51.100.14"), connect)
