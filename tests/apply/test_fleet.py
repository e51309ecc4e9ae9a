"""All hosts as the loop sees them, over a played one: looked at, weighed, requested journals, given packages."""

import pytest

from service.errors import HostRefused, Unreachable
from service.model.observed import Watch
from service.model.states import Json, Seen, Unknown
from service.model.telling import GuestWorkTold, Told
from service.model.weighed import Weighed
from tests.apply.wilful import FACT, ID, Fleet

WATCH = Watch(packages=frozenset({"dnsmasq"}), weighed=frozenset({("package:dnsmasq", "present")}))
ADDRESSES = ["198.51.100.11"]


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


async def test_a_kept_connection_that_died_is_made_anew_once(fleet: Fleet) -> None:
    fleet.looks.dead = [Unreachable("the line died")]
    assert (await fleet.hosts.observe(fleet.spec, Watch(), ADDRESSES)).host == "pve1"
    assert fleet.ways.dropped == ["pve1"]
    fleet.looks.dead = [Unreachable("the line died"), Unreachable("the new one, too")]
    with pytest.raises(Unreachable, match="the new one, too"):
        await fleet.hosts.observe(fleet.spec, Watch(), ADDRESSES)


async def weighed(fleet: Fleet) -> Weighed | str:
    seen = (await fleet.hosts.observe(fleet.spec, WATCH, ADDRESSES)).weighed
    return seen.value if isinstance(seen, Seen) else seen.why if isinstance(seen, Unknown) else ""


async def test_what_a_package_takes_along_is_asked_once_and_again_after_a_while(fleet: Fleet) -> None:
    found = await weighed(fleet)
    assert isinstance(found, Weighed) and isinstance(found.install, Seen)
    assert [(move.name, move.old) for move in found.install.value] == [("dnsmasq", "")]
    assert await weighed(fleet) is found
    assert fleet.host.verbs == ["weigh"]
    fleet.clock.move(301)
    assert await weighed(fleet) == found
    assert fleet.host.verbs == ["weigh", "weigh"]


async def test_nothing_is_asked_where_nothing_would_come_or_go(fleet: Fleet) -> None:
    await weighed(fleet)
    await fleet.hosts.install(fleet.spec, ["dnsmasq"])
    await weighed(fleet)
    assert fleet.host.verbs == ["weigh", "packages"]


async def test_what_the_host_could_not_weigh_is_unknown_in_words(fleet: Fleet) -> None:
    fleet.host.instead["weigh"] = [{"state": "done"}]
    assert await weighed(fleet) == "the host-side file did not weigh the change"
    fleet.host.instead["weigh"] = [{"state": "error", "error": "apt is locked"}]
    assert await weighed(fleet) == "weigh failed on the host: apt is locked"
    asked = {"state": "weighed", "unavailable": [], "flags": {}, "units": {}, "remove": {"moves": []}}
    fleet.host.instead["weigh"] = [{**asked, "install": {"unknown": "the lists are too old"}}] * 2
    for _ in range(2):  # what is not known yet is requested again
        found = await weighed(fleet)
        assert isinstance(found, Weighed) and isinstance(found.install, Unknown)
        assert found.install.why == "the lists are too old"
    fleet.host.instead["weigh"] = [{**asked, "install": {"moves": [["dnsmasq; reboot", "1", ""]]}}]
    assert "garbled" in str(await weighed(fleet))
    fleet.host.instead["weigh"] = [Unreachable("no route")]
    with pytest.raises(Unreachable):
        await weighed(fleet)


async def test_a_host_whose_timer_is_gone_is_told_to_undo_what_is_overdue(fleet: Fleet) -> None:
    fleet.host.after["begin"] = fleet.shuts
    await fleet.apply()
    fleet.host.has_timer = False
    found = await fleet.hosts.fence(fleet.spec)
    assert fleet.host.verbs[-3:] == ["status", "expire", "status"]
    assert (found.armed, found.journals[ID].ending, found.generation) == ("", "rolled_back", 1)
    assert fleet.is_as_before


async def test_packages_that_are_refused_or_fail_are_told_by_name(fleet: Fleet) -> None:
    fleet.host.instead["packages"] = [{"state": "refused", "reason": "packages", "error": "exim4 would go"}]
    with pytest.raises(HostRefused, match="exim4 would go") as refused:
        await fleet.hosts.install(fleet.spec, ["dnsmasq"])
    assert refused.value.reason == "packages"
    done = {"dnsmasq": {"state": "failed", "reason": "no\nspace"}, "nftables": {"state": "installed"}}
    fleet.host.instead["packages"] = [{"state": "done", "packages": done}]
    with pytest.raises(HostRefused, match=r"dnsmasq could not be installed; apt says of dnsmasq: no space"):
        await fleet.hosts.install(fleet.spec, ["dnsmasq", "nftables"])


async def test_packages_come_into_guests_one_by_one_and_a_refusal_names_the_guest(fleet: Fleet) -> None:
    orders: list[dict[str, Json]] = [
        {"guest": f"{name}@bc:24:11:00:00:02", "install": ["nginx", "openssl"]} for name in ("proxy", "mail")
    ]
    failed = {"openssl": {"state": "failed", "reason": "no\nspace"}}
    fleet.host.instead["packages"] = [{"state": "done"}, {"state": "failed", "packages": failed}]
    heard: list[Told] = []
    with pytest.raises(HostRefused, match="apt in guest mail says of openssl: no space"):
        await fleet.hosts.guests(fleet.spec, "install", orders, heard.append)
    assert fleet.host.verbs == ["packages", "packages"]
    said = "installing nginx, openssl"
    assert heard == [GuestWorkTold("proxy", said), GuestWorkTold("mail", said)]


async def test_a_quarantine_is_lifted_and_what_is_none_is_refused(fleet: Fleet) -> None:
    fleet.host.silent, fleet.host.stuck = "gateway 198.51.100.1", "no regular file"
    assert (await fleet.apply()).ending == "rollback_failed"
    assert (await fleet.hosts.fence(fleet.spec)).quarantined == ID
    await fleet.hosts.release(fleet.spec, ID, "ann: looked at it")
    assert (await fleet.hosts.fence(fleet.spec)).quarantined == ""
    fleet.host.silent = fleet.host.stuck = ""
    fleet.host.journals.clear()
    fleet.host.set(FACT, "0")  # whoever looked at it has restored it
    assert (await fleet.apply(generation=2)).ending == "confirmed"
    with pytest.raises(HostRefused, match="is confirmed, not rollback_failed") as refused:
        await fleet.hosts.release(fleet.spec, ID, "ann: looked at it")
    assert refused.value.reason == "state"


async def test_a_host_that_moved_is_found_at_its_other_address_and_asked_there_first(fleet: Fleet) -> None:
    fleet.ways.moved_from = "198.51.100.11"
    for _ in range(2):
        assert (await fleet.hosts.observe(fleet.spec, Watch(), ["198.51.100.77"])).host == "pve1"
    assert fleet.ways.tried == ["198.51.100.11", "198.51.100.77", "198.51.100.77"]
