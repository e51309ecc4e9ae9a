"""What is on a host as data, from what Git wants and what was seen. What is not known is unknown, never absent."""

from dataclasses import replace
from pathlib import Path

import pytest

from service.answers.topology import Looked, topology_of
from service.errors import NoHost
from service.kinds import KINDS
from service.model.changes import Difference
from service.model.states import Absent, Json, Observed, Seen, Unknown
from service.spec.models import claims_of
from tests.laws import specs
from tests.laws.host import link
from tests.pictures.hosts import COMMIT, as_found, as_wanted, drawn_of, plan_of, spec_named
from tests.reconcile.test_control import SEED, Desk


def test_a_host_as_git_wants_it_has_nothing_drifted() -> None:
    spec = spec_named("forwards")
    found = drawn_of(spec, as_wanted(spec))
    assert found.elsewhere == ()
    assert [(one.name, one.standing, one.drift) for one in found.uplinks] == [("enp1s0", "seen", ())]
    assert [(one.name, one.standing, one.nat) for one in found.bridges] == [
        ("vmbr0", "seen", ("enp1s0",)), ("vmbr1", "seen", ()),
    ]  # fmt: skip
    assert {one.standing for one in found.forwards} == {"seen"}
    assert [(one.name, one.bridge) for one in found.guests] == [
        ("proxy", "vmbr0"), ("stranger", "vmbr0"), ("dev", "vmbr0"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", specs.names())
def test_every_difference_is_at_its_object_or_elsewhere(name: str) -> None:
    spec = spec_named(name)
    seen = as_found(spec)
    found = drawn_of(spec, seen)
    drifted = {(kind, one.name) for kind in ("interfaces", "bonds") for one in found.uplinks if one.drift}
    drifted |= {("bridges", one.name) for one in found.bridges if one.drift}
    drifted |= {("guests", one.name) for one in found.guests if one.drift}
    routes = [*(one.drift for one in found.uplinks), *(one.drift for one in found.bridges)]
    for drift in plan_of(spec, seen).drifts:
        one = drift.difference
        at = {(one.kind, one.resource)} & drifted
        is_nat = one.kind == "nat" and any(f"NAT {one.resource}" in text for b in found.bridges for text in b.drift)
        is_route = one.resource == "default" and any(routes)
        assert at or is_nat or is_route or any(text.startswith(f"{one.kind} (") for text in found.elsewhere), one


def test_before_the_first_apply_what_git_wants_is_missing() -> None:
    spec = spec_named("web")
    found = drawn_of(spec, as_found(spec))
    assert [(one.name, one.standing) for one in found.bridges] == [("vmbr0", "missing"), ("vmbr1", "missing")]
    assert [one.standing for one in found.forwards] == ["missing"]


def test_of_a_host_that_was_never_seen_everything_of_the_spec_is_there_and_unknown() -> None:
    spec = spec_named("web")
    found = drawn_of(spec, None, "pve1 was never seen")
    assert found.at is None
    assert {one.standing for one in found.uplinks} | {one.standing for one in found.bridges} == {"unknown"}
    assert {one.standing for one in found.forwards} == {"unknown"}
    assert {(one.running, one.state) for one in found.guests} == {(None, "unknown")}
    assert {(pool.leased, pool.reserved) for one in found.bridges for pool in one.pools} == {(None, None)}
    assert [one.name for one in found.sites] == ["wiki.example.org", "www.example.org"]


def test_leases_that_could_not_be_read_are_unknown() -> None:
    spec = spec_named("seed")
    found = drawn_of(spec, as_wanted(spec, Unknown("no answer")))
    assert {one.state for one in found.guests} == {"unknown"}
    assert found.bridges[0].pools[0].leased is None


def test_a_link_that_could_not_be_read_is_unknown_and_one_that_is_gone_is_missing() -> None:
    spec = spec_named("seed")
    seen = as_wanted(spec)
    for value, standing in ((Unknown("no answer"), "unknown"), (Absent(), "missing")):
        found = drawn_of(spec, replace(seen, facts={**seen.facts, "link:vmbr0": value}))
        assert found.bridges[0].standing == standing


def test_a_bridge_that_git_does_not_name_is_there() -> None:
    spec = spec_named("seed")
    seen = as_wanted(spec)
    facts: dict[str, Observed[Json]] = {
        **seen.facts,
        "link:docker0": Seen(link(type="bridge")),
        "addresses:docker0": Seen(["172.17.0.1/16"]),
    }
    found = drawn_of(spec, replace(seen, facts=facts))
    assert [(one.name, one.standing, one.addresses) for one in found.bridges[1:]] == [
        ("docker0", "extra", ("172.17.0.1/16",))
    ]


def test_a_guest_runs_where_its_link_is_there() -> None:
    spec = spec_named("web")
    seen = as_wanted(spec)
    without: dict[str, Observed[Json]] = {name: value for name, value in seen.facts.items() if name != "guest:proxy"}
    there: dict[str, Observed[Json]] = {**without, "link:veth102i0": Seen(link())}
    for facts, is_read, running in ((there, True, True), (without, True, False), (without, False, None)):
        unlisted: dict[str, Observed[Json]] = {"link:": Absent()} if is_read else {}
        found = drawn_of(spec, replace(seen, facts=facts, unlisted=unlisted))
        assert {one.name: one.running for one in found.guests}["proxy"] is running
    said: dict[str, Observed[Json]] = {**seen.facts, "guest:proxy": Seen({"running": False, "bridge": "vmbr1"})}
    found = drawn_of(spec, replace(seen, facts=said))
    assert {one.name: (one.running, one.bridge) for one in found.guests}["proxy"] == (False, "vmbr1")


def test_on_proxmox_a_guest_runs_where_a_link_has_its_number() -> None:
    spec = spec_named("proxmox")
    seen = as_wanted(spec)
    for name, running in (("tap105i1", True), ("veth105i0", True), ("veth1050i0", False)):
        facts = {key: value for key, value in seen.facts.items() if key != "guest:proxy"}
        facts[f"link:{name}"] = Seen(link())
        found = drawn_of(spec, replace(seen, facts=facts, unlisted={"link:": Absent()}))
        assert {one.name: one.running for one in found.guests}["proxy"] is running


async def test_the_service_answers_with_what_it_remembers(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with pytest.raises(NoHost):
        await desk.answers.topology("pve1", None)
    await desk.says(SEED)
    before = await desk.answers.topology("pve1", None)
    assert before.at is None
    assert before.unknown.startswith("pve1 was not looked at yet")
    assert {one.standing for one in before.bridges} == {"unknown"}
    assert [one.differences for one in (await desk.answers.fleet_topology(lambda _: True)).hosts] == [None]
    assert (await desk.answers.fleet_topology(lambda _: False)).hosts == ()
    plan = desk.looked_at()
    (known,) = (await desk.answers.fleet_topology(lambda _: True)).hosts
    assert (known.host, known.differences) == ("pve1", len(plan.drifts))
    after = await desk.answers.topology("pve1", None)
    assert after.unknown == ""
    assert after.at is not None
    assert {one.standing for one in after.bridges} == {"missing"}
    assert after.elsewhere
    await desk.says(SEED.replace("disabled", "masked"))
    later = await desk.answers.topology("pve1", None)
    assert later.unknown  # the words are those of `not_known`
    assert (later.elsewhere, later.at) == ((), after.at)


def test_what_differs_is_at_its_object() -> None:
    spec = spec_named("seed")
    differences = [
        Difference("bridges", "vmbr0", "mtu", "live", "changed", 1500, 9000),
        Difference("nat", "10.10.10.0/24>enp1s0", "masquerade", "live", "missing", 1, 0),
        Difference("interfaces", "default", "gateways", "live", "changed", [], []),
        Difference("guests", "dev", "dhcp-host", "file", "extra", None, "x"),
        Difference("dnsmasq", "/etc/x", "domain", "file", "changed", [], []),
        Difference("dnsmasq", "/etc/x", "port", "file", "changed", None, None, unknown="no answer"),
    ]
    looked = Looked(COMMIT, as_wanted(spec), differences)
    found = topology_of(spec, claims_of(spec, KINDS), looked)
    assert found.bridges[0].drift == ("mtu", "NAT 10.10.10.0/24>enp1s0: masquerade")
    assert found.uplinks[0].drift == ("gateways",)
    assert {one.name: one.drift for one in found.guests}["dev"] == ("dhcp-host",)
    assert found.elsewhere == ("dnsmasq (2)",)
