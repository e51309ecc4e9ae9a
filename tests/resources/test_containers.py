"""Guests that passerelle makes: what is done around the switch, what is left alone, and what a person has to do."""

from dataclasses import replace
from typing import Any

import pytest

from service.model.observed import HostObserved
from service.model.plans import Plan
from service.model.states import Absent, Json, Observed, Seen, Unknown
from service.plan.make import make_plan
from service.resources.containers import Container
from service.resources.desired import Desired, LastApplied
from tests.laws.host import bare_host, guest_fact

MAC = "bc:24:11:00:00:02"
WEB = Container("guests", "web", MAC, "vmbr0")
DESIRED = Desired.of("pve1", [WEB])
ORDER: dict[str, Json] = {
    "name": "web", "mac": MAC, "bridge": "vmbr0", "port": "", "autostart": True, "vmid": 0, "storage": "",
    "disk_gib": 0, "packages": [],
}  # fmt: skip
DOWN: dict[str, Any] = {"running": False, "answers": False, "mounted": []}
NEW = DOWN | {"new": True}


def host_with(seen: Observed[Json]) -> HostObserved:
    host = bare_host(DESIRED.watch)
    return replace(host, facts={**host.facts, "guest:web": seen})


def there(**more: Any) -> HostObserved:
    fact = guest_fact(ORDER)
    assert isinstance(fact, dict)
    return host_with(Seen({**fact, **more}))


def plan_of(host: HostObserved, desired: Desired = DESIRED, base: LastApplied | None = None) -> Plan:
    return make_plan(desired, base or LastApplied(), host)


def test_a_guest_that_is_not_there_is_created_and_no_step_of_the_switch_is() -> None:
    plan = plan_of(host_with(Absent()))
    (guest,) = plan.guests
    assert (guest.action, guest.what, guest.order, guest.starts) == (
        "create", "create guest web in vmbr0 and start it", ORDER, True,
    )  # fmt: skip
    assert (plan.steps, plan.is_empty) == ((), False)
    assert plan.digest != plan_of(there()).digest
    assert plan.as_json()["guests"][0]["what"] == guest.what


def test_a_guest_as_wanted_is_left_alone() -> None:
    plan = plan_of(there())
    assert (plan.is_empty, plan.drifts, plan.ailing) == (True, (), ())


@pytest.mark.parametrize(
    ("more", "what", "starts"),
    [
        ({"autostart": False}, "set start at boot of guest web", False),
        ({"mounts": []}, "set mounts of guest web", False),
        (
            {"mounts": [], "new": True, "running": False},
            "set mounts of guest web and start it for the first time",
            True,
        ),
        (NEW | {"autostart": False}, "start guest web for the first time", True),
    ],
)
def test_only_what_we_need_is_set_and_only_a_new_guest_is_started(
    more: dict[str, Any], what: str, starts: bool
) -> None:
    (guest,) = plan_of(there(**more)).guests
    assert (guest.what, guest.starts) == (what, starts)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"running": False, "answers": False, "mounted": []},
            "guest web is not running. Fix: run `lxc-start -n web` on the host",
        ),
        (
            {"running": False, "kind": "pct", "own": "105"},
            "guest web is not running. Fix: run `pct start 105` on the host",
        ),
        ({"answers": False, "mounted": []}, "guest web is running and does not answer. Fix: look at it on the host"),
        (
            {"mounted": ["/var/lib/passerelle-guest"]},
            "guest web has no /etc/passerelle until it is started again. "
            "Fix: run `lxc-stop -n web` and `lxc-start -n web` on the host",
        ),
        (
            {"bridge": "vmbr7"},
            "guest web is in vmbr7, and the spec has vmbr0. Fix: change its settings on the host, or the spec",
        ),
    ],
)
def test_what_a_person_mends_is_said_and_nothing_is_done(more: dict[str, Any], said: str) -> None:
    plan = plan_of(there(**more))
    assert (plan.guests, plan.steps, plan.ailing) == ((), (), (said,))
    assert plan.digest == plan_of(there()).digest


def test_a_guest_that_cannot_be_reported_stops_nothing_and_nothing_is_done_to_it() -> None:
    plan = plan_of(host_with(Unknown("guest web: two containers on the host have its MAC address")))
    assert (plan.guests, plan.refusals) == ((), ())
    assert plan.ailing == ("guest web: two containers on the host have its MAC address",)


def test_a_guest_that_leaves_the_spec_stays_and_is_named() -> None:
    base = LastApplied.from_json(DESIRED.as_json())
    plan = plan_of(there(), Desired.of("pve1", []), base)
    assert plan.is_empty
    (left,) = plan.left_behind
    assert left.what == "guest web stays on the host as it is, with all that it keeps"
    assert "/var/lib/passerelle-guests/web" in left.hint
