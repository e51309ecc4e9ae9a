"""The plan: its order, each fact once, restarts, what is kept, what a commit may override."""

import base64
import hashlib
import json
from dataclasses import replace

import pytest

from service.apply.document import document
from service.kinds import KINDS
from service.kinds.desire import desire
from service.model.facts import Step
from service.model.observed import HostObserved, Watch
from service.model.plans import Plan
from service.model.secret import Seal, Secret
from service.model.states import Json, Seen, Unknown
from service.plan.make import Permission, kept, make_plan, once, with_restarts
from service.plan.safety import left_over
from service.resources.desired import Desired, LastApplied, WishConflictError
from service.resources.links import Link
from service.resources.resource import Contribution
from service.resources.secret_files import SecretFile
from service.resources.units import Unit
from tests.laws.host import after_plan, bare_host, link
from tests.laws.specs import desired_of, head, spec_of

CONF = "/etc/dnsmasq.d/passerelle.conf"
DNSMASQ = Unit("dnsmasq", "dnsmasq.service", "enabled", reads=(CONF,))
UPLINK = "interfaces:\n  enp1s0: {{addresses: [{}/24], gateway: 198.51.100.1}}\n"


def step(fact: str, before: object = None, after: object = "x", **more: bool) -> Step:
    return Step(fact, before, after, "asked", **more)  # type: ignore[arg-type]  # JSON values


def content(letter: str, mode: str = "0644") -> dict[str, str]:
    return {"sha256": letter * 64, "mode": mode}


def test_the_seeds_plan_comes_in_this_order() -> None:
    desired = desired_of("seed")
    plan = make_plan(desired, LastApplied(), bare_host(desired.watch))
    assert [s.fact for s in plan.steps] == [
        "file:/etc/network/interfaces",
        "file:/etc/sysctl.d/60-passerelle.conf",
        "file:/etc/systemd/system/passerelle-nft.service",
        "sysctl:net.ipv4.ip_forward",
        "link:vmbr0",
        "addresses:vmbr0",
        "nft:inet passerelle_nat",
        "unit:named.service",
        "file:/etc/dnsmasq.d/passerelle.conf",
        "file:/etc/passerelle/dhcp-hosts.d/guests",
        "unit:dnsmasq.service",
        "unit:passerelle-nft.service",
        "file:/etc/passerelle/nft.d/nat.nft",
    ]
    assert [p.name for p in plan.packages] == ["dnsmasq"]
    assert [s.fact for s in plan.steps if s.on_confirm] == ["file:/etc/passerelle/nft.d/nat.nft"]
    assert plan.refusals == ()
    assert set(plan.blobs) >= {
        s.after["sha256"] for s in plan.steps if isinstance(s.after, dict) and "sha256" in s.after
    }


def test_what_closes_comes_after_what_opens() -> None:
    before = desired_of("two-bridges")
    host = after_plan(bare_host(before.watch), make_plan(before, LastApplied(), bare_host(before.watch)))
    bridge = host.facts["link:vmbr1"]
    assert isinstance(bridge, Seen) and isinstance(bridge.value, dict)
    ports = [{"name": f"veth{number}", "up": True} for number in (1, 2)]
    host = replace(host, facts={**host.facts, "link:vmbr1": Seen({**bridge.value, "ports": ports})})
    plan = make_plan(desired_of("uplink-alone"), LastApplied.from_json(before.as_json()), host)
    facts = [s.fact for s in plan.steps]
    assert facts.index("file:/etc/network/interfaces") < facts.index("link:vmbr0")
    assert {s.fact: s.after for s in plan.steps}["link:vmbr1"] is None
    risks = {s.fact: s.risk for s in plan.steps if s.fact.startswith("link:")}
    assert risks == {"link:vmbr0": "", "link:vmbr1": "whoever is behind its 2 ports loses the link"}


@pytest.mark.parametrize(
    ("after", "seconds"),
    [
        ({"stp": True, "forward_delay_s": 15}, 90),
        ({"stp": True, "forward_delay_s": 0.5}, 3),
        ({"stp": False}, 0),
        (None, 0),
    ],
)
def test_a_bridge_with_stp_gets_the_time_that_it_takes(after: Json, seconds: int) -> None:
    plan = Plan("pve1", "c", "d", steps=(Step("link:vmbr0", None, after, "made"), step("sysctl:x")))
    assert (plan.least_deadline_s, plan.as_json()["least_deadline_s"]) == (seconds, seconds)


def test_a_fact_is_set_once_and_by_phase_then_name() -> None:
    phased = [(30, step("link:b")), (30, step("link:a")), (10, step("file:/x", content("a"), content("b")))]
    assert [(p, s.fact) for p, s in once(phased)] == [(10, "file:/x"), (30, "link:a"), (30, "link:b")]


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_steps_for_a_file_the_one_that_changes_its_content_stands(*, turned: bool) -> None:
    mode = (10, step("file:/x", content("a", "0600"), content("a")))
    text = (10, step("file:/x", content("a", "0600"), content("b")))
    ((_, stands),) = once([text, mode] if turned else [mode, text])
    assert stands.after == content("b")


@pytest.mark.parametrize("turned", [False, True])
def test_a_lease_file_that_moves_and_loses_names_is_one_step_in_its_phase(*, turned: bool) -> None:
    moves = (85, Step("leases:/new", {}, {"from": "/old"}, "it moves"))
    loses = (85, Step("leases:/new", {}, {"unnamed": ["bc:24:11:00:00:01 dev"]}, "a guest went"))
    restart = (90, step("unit:dnsmasq.service"))
    phased = once([restart, *([loses, moves] if turned else [moves, loses])])
    assert [(phase, s.fact) for phase, s in phased] == [(85, "leases:/new"), (90, "unit:dnsmasq.service")]
    one = phased[0][1]
    assert one.after == {"from": "/old", "unnamed": ["bc:24:11:00:00:01 dev"]}
    assert sorted(one.why.split("; ")) == ["a guest went", "it moves"]


def test_a_secret_goes_under_its_mark_and_the_host_gets_its_bytes() -> None:
    seal, path, old, new = Seal(Secret(b"one key")), "/etc/passerelle/site.key", Secret(b"Old\n"), Secret(b"New\n")
    desired = Desired.of("pve1", [SecretFile("sites", path, new, seal)])
    plan = make_plan(desired, LastApplied(), bare_host(desired.watch, {path: old.reveal()}))
    assert plan.secrets == {seal.mark(old): old, seal.mark(new): new}
    assert plan.blobs == {}
    told = document(plan, apply_id="a", generation=1, controller="c", confirm_timeout_s=60)
    digests = {side: hashlib.sha256(content).hexdigest() for side, content in (("old", b"Old\n"), ("new", b"New\n"))}
    assert told["blobs"] == {digests["new"]: base64.b64encode(b"New\n").decode()}
    (sent,) = told["steps"]
    assert (sent["before"]["sha256"], sent["after"]["sha256"]) == (digests["old"], digests["new"])
    assert "mark" not in json.dumps(sent)


def host_with(unit: object) -> HostObserved:
    bare = bare_host(Watch())
    return replace(bare, facts={**bare.facts, "unit:dnsmasq.service": unit})  # type: ignore[dict-item]


RUNNING = Seen({"enabled": "enabled", "active": True})


def test_a_running_daemon_is_restarted_when_its_file_changes() -> None:
    changed = [(80, step(f"file:{CONF}", content("a"), content("b")))]
    total = with_restarts(changed, Desired.of("pve1", [DNSMASQ]), host_with(RUNNING))
    assert [(s.fact, s.restart) for _, s in total] == [(f"file:{CONF}", False), ("unit:dnsmasq.service", True)]
    assert "reads /etc/dnsmasq.d/passerelle.conf only at its start" in total[1][1].why
    assert total[1][1].before == total[1][1].after == {"enabled": "enabled", "active": True}


def test_a_daemon_that_is_started_anyway_gets_no_second_step() -> None:
    stopped = Seen({"enabled": "enabled", "active": False})
    start = (90, step("unit:dnsmasq.service", {"active": False}, {"active": True}))
    total = with_restarts(
        [(80, step(f"file:{CONF}", None, content("b"))), start], Desired.of("pve1", [DNSMASQ]), host_with(stopped)
    )
    assert [(s.fact, s.restart) for _, s in total][1:] == [("unit:dnsmasq.service", True)]


@pytest.mark.parametrize(
    ("unit", "seen", "change"),
    [
        (DNSMASQ, RUNNING, step(f"file:{CONF}", content("a", "0600"), content("a"))),
        (DNSMASQ, RUNNING, step("file:/etc/other", content("a"), content("b"))),
        (DNSMASQ, Unknown("garbled"), step(f"file:{CONF}", content("a"), content("b"))),
        (replace(DNSMASQ, state="disabled"), RUNNING, step(f"file:{CONF}", content("a"), content("b"))),
    ],
    ids=["only the mode", "another file", "unread", "not wanted running"],
)
def test_nothing_else_restarts_a_daemon(unit: Unit, seen: object, change: Step) -> None:
    assert with_restarts([(80, change)], Desired.of("pve1", [unit]), host_with(seen)) == [(80, change)]


def test_what_a_step_may_take_along_is_kept_only_where_one_does() -> None:
    route = step("routes:default")
    parts = [Contribution(keep=(route,))]
    assert kept(parts, [step("addresses:enp1s0")]) == (route,)
    assert kept(parts, [step("link:vmbr0")]) == (route,)
    assert kept(parts, [step("file:/x")]) == ()
    assert kept(parts, [step("addresses:enp1s0"), step("routes:default")]) == ()


def test_a_change_beside_the_uplink_keeps_the_default_route() -> None:
    desired = desired_of("seed")
    plan = make_plan(desired, LastApplied(), bare_host(desired.watch))
    assert [s.fact for s in plan.keep] == ["routes:default"]


def test_where_both_sides_moved_gits_value_is_set_and_a_note_says_so() -> None:
    base = LastApplied.from_json(Desired.of("pve1", [Link("interfaces", "enp1s0", mtu=1400)]).as_json())
    bare = bare_host(Watch())
    host = replace(bare, facts={**bare.facts, "link:enp1s0": Seen(link(mtu=9000))})
    plan = make_plan(Desired.of("pve1", [Link("interfaces", "enp1s0", mtu=1450)]), base, host)
    assert [d.moved for d in plan.drifts] == ["both"]
    assert plan.notes == ("enp1s0 mtu: both Git and the host have changed it. The value of Git will be set",)
    assert [(s.before, s.after) for s in plan.steps] == [({"up": True, "mtu": 9000}, {"up": True, "mtu": 1450})]


def cutting() -> Desired:
    return desire(spec_of(head() + UPLINK.format("198.51.100.99")), KINDS)


def test_a_plan_that_cuts_is_refused_unless_this_commit_allows_it() -> None:
    host = bare_host(cutting().watch)
    refused = make_plan(cutting(), LastApplied(), host)
    assert [r.rule for r in refused.refusals] == ["management-path"]
    assert refused.overridden == ()
    allowed = make_plan(cutting(), LastApplied(), host, permission=Permission(management_change=True))
    assert allowed.refusals == ()
    assert allowed.overridden == refused.refusals
    assert allowed.steps == refused.steps
    assert allowed.digest != refused.digest


def test_permission_overrides_nothing_but_the_management_path() -> None:
    host = replace(bare_host(cutting().watch), left_overs=("/etc/network/interfaces.new",))
    plan = make_plan(cutting(), LastApplied(), host, permission=Permission(management_change=True))
    assert [r.rule for r in plan.refusals] == ["left-over"]


def test_a_pinning_of_card_names_that_waits_is_refused_with_the_names() -> None:
    path = "/etc/network/interfaces.new"
    host = bare_host(cutting().watch)
    main = host.texts["/etc/network/interfaces"]
    assert isinstance(main, Seen)
    texts = {**host.texts, path: Seen(main.value.replace(b"enp1s0", b"nic0"))}
    plan = make_plan(cutting(), LastApplied(), replace(host, texts=texts, left_overs=(path,)))
    (refusal,) = [refusal for refusal in plan.refusals if refusal.rule == "left-over"]
    assert refusal.what.startswith("a reboot renames enp1s0 to nic0: Proxmox pins the names of network cards")
    assert refusal.hint == "reboot pve1, and write the new names in the spec"


def test_a_pending_file_that_says_the_same_is_in_the_way_only_of_a_new_interfaces_file() -> None:
    path, main = "/etc/network/interfaces.new", "/etc/network/interfaces"
    desired = desired_of("seed")
    host = bare_host(desired.watch)
    same = replace(host, texts={**host.texts, path: host.texts[main]}, left_overs=(path,))
    plan = make_plan(desired, LastApplied(), same)
    assert any(step.fact == f"file:{main}" for step in plan.steps)
    (refusal,) = [refusal for refusal in plan.refusals if refusal.rule == "left-over"]
    assert refusal.what.endswith("and the next reboot moves it over what this plan writes")
    others = tuple(step for step in plan.steps if step.fact != f"file:{main}")
    assert others
    assert list(left_over(others, same)) == []
    assert [r.rule for r in left_over(others, replace(same, texts=host.texts))] == ["left-over"]


def test_the_commit_is_not_part_of_the_digest_but_every_step_is() -> None:
    desired = desired_of("seed")
    host = bare_host(desired.watch)
    first = make_plan(desired, LastApplied(), host, commit="a" * 40)
    assert make_plan(desired, LastApplied(), host, commit="b" * 40).digest == first.digest
    digests = {replace(first, steps=first.steps[:n]).digest for n in range(len(first.steps) + 1)}
    assert len(digests) == len(first.steps) + 1


def test_a_card_that_the_host_has_not_is_refused_with_those_it_has() -> None:
    desired = Desired.of("pve1", [Link("interfaces", "eth7")])
    plan = make_plan(desired, LastApplied(), bare_host(desired.watch))
    assert plan.steps == ()
    assert [(r.rule, r.what) for r in plan.refusals] == [
        ("no-way", "eth7 does not exist on pve1; it has enp1s0, enp2s0, enp3s0, enp4s0, lo")
    ]


def test_a_vlan_under_interfaces_that_the_kernel_has_not_is_refused_with_the_section_that_makes_it() -> None:
    desired = Desired.of("pve1", [Link("interfaces", "enp1s0.30")])
    (refusal,) = make_plan(desired, LastApplied(), bare_host(desired.watch)).refusals
    assert refusal.what == ("enp1s0.30 does not exist on pve1, and passerelle makes no VLAN that is under `interfaces`")
    assert refusal.hint == "move enp1s0.30 to `vlans`: then it is made (VLAN 30 of enp1s0)"


def test_two_different_wishes_for_one_thing_are_a_bug_that_is_said() -> None:
    with pytest.raises(WishConflictError, match="link:vmbr0 gets different values from bridges and bridges"):
        Desired.of("pve1", [Link("bridges", "vmbr0", bridge=True), Link("bridges", "vmbr0", bridge=True, mtu=1400)])


def test_only_bridges_that_we_made_are_removed_when_the_spec_forgets_them() -> None:
    before = desired_of("two-bridges")
    host = after_plan(bare_host(before.watch), make_plan(before, LastApplied(), bare_host(before.watch)))
    nothing = Desired.of("pve1", [])
    plan = make_plan(nothing, LastApplied.from_json(before.as_json()), host)
    assert {s.fact for s in plan.steps} == {"file:/etc/network/interfaces", "link:vmbr0", "link:vmbr1"}
    text = plan.blobs[next(s.after["sha256"] for s in plan.steps if isinstance(s.after, dict))]  # type: ignore[index]
    assert b"enp1s0" in text
    assert b"vmbr" not in text
    assert make_plan(nothing, LastApplied(), host).is_empty


def test_what_is_derived_is_told_with_its_cause() -> None:
    desired = desired_of("seed")
    derived = dict(make_plan(desired, LastApplied(), bare_host(desired.watch)).derived)
    assert derived["sysctl:net.ipv4.ip_forward"] == "nat: 10.10.10.0/24 leaves through enp1s0"
