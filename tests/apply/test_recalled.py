"""A look that is recalled knows what the host said about changes of packages, as the fresh one did."""

from dataclasses import replace
from typing import Any

import pytest

from service.apply.fleet import FleetHosts
from service.clock import SystemClock
from service.model.observed import HostObserved, Watch
from service.model.sightings import Sighting
from service.model.states import Absent, Json, Seen, Unknown
from service.model.weighed import PackageMove, Weighed
from tests.laws.host import bare_host
from tests.reconcile.sights import seen_in, sighting_of

WATCH = Watch(packages=frozenset({"tcpdump"}), weighed=frozenset({("package:tcpdump", "present")}))
SAID: dict[str, Json] = {
    "state": "weighed", "unavailable": [], "flags": {}, "units": {}, "remove": {"moves": []},
    "install": {"moves": [["tcpdump", "4.99", ""]]},
}  # fmt: skip


class Values:
    """Looks at hosts that are values."""

    def __init__(self, kept: Sighting | None = None) -> None:
        self.kept = kept

    def sighting(self, _name: str) -> Sighting | None:
        return self.kept

    async def recall(self, sighting: Sighting) -> HostObserved | None:
        return None if sighting.form == "other" else seen_in(sighting)


def fleet(looks: Any) -> FleetHosts:
    return FleetHosts(None, looks, SystemClock(), controller="c")  # type: ignore[arg-type]  # nobody connects


def kept(said: Json, *, is_there: bool = False) -> Sighting:
    bare = bare_host(WATCH)
    packages = {**bare.packages, "tcpdump": Seen("4.99") if is_there else Absent()}
    return replace(sighting_of(replace(bare, packages=packages, weighed=Unknown("not read")), WATCH), weighed=said)


async def test_what_the_host_said_of_a_change_is_read_again() -> None:
    observed = await fleet(Values()).recall(kept(SAID))
    assert observed is not None
    assert isinstance(observed.weighed, Seen)
    weighed: Weighed = observed.weighed.value
    assert weighed.install == Seen((PackageMove("tcpdump", "4.99", ""),))


@pytest.mark.parametrize(("said", "is_there"), [(None, False), (SAID, True)])
async def test_where_it_was_not_asked_or_nothing_is_to_change_it_is_not_known(said: Json, *, is_there: bool) -> None:
    observed = await fleet(Values()).recall(kept(said, is_there=is_there))
    assert observed is not None
    assert isinstance(observed.weighed, Unknown)


async def test_what_is_no_answer_is_unknown_and_the_rest_is_seen() -> None:
    observed = await fleet(Values()).recall(kept({**SAID, "install": {"moves": [["../x", "1", ""]]}}))
    assert observed is not None
    assert isinstance(observed.weighed, Unknown)
    assert "garbled" in observed.weighed.why
    assert observed.fact("link:enp1s0") == bare_host(WATCH).fact("link:enp1s0")


async def test_what_was_asked_otherwise_is_not_read() -> None:
    assert await fleet(Values()).recall(replace(kept(SAID), form="other")) is None


def test_a_host_that_was_not_asked_has_said_nothing_of_changes() -> None:
    assert fleet(Values()).sighting("pve1") is None
    found = fleet(Values(kept(SAID))).sighting("pve1")
    assert found is not None
    assert found.weighed is None
