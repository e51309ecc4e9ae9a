"""Who brings a host's network up: where it is not ifupdown, adopt, doctor and plan say so, and nothing is written."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from service.adopt.adopt import ConnectionGiven, adopt
from service.adopt.material import WATCH, Material, of_observed
from service.kinds import KINDS
from service.kinds.desire import desire
from service.model.observed import HostObserved, Keeper
from service.model.plans import Plan
from service.model.states import Absent, Json, Observed, Seen, Unknown
from service.observe.at_boot import program_of
from service.observe.runner import runner_of
from service.plan.make import Permission, make_plan
from service.resources.desired import LastApplied
from tests.laws.host import INTERFACES, SPARE, bare_host, weighed
from tests.laws.specs import head, spec_of

ON: Json = {"enabled": "enabled", "active": True}
OFF: Json = {"enabled": "disabled", "active": False}
RUNNING: Json = {"enabled": "disabled", "active": True}
NETWORKD = "systemd-networkd"
FILE = "/etc/systemd/network/10-uplink.network"
UPLINK = Keeper(NETWORKD, "enp1s0", FILE)
NETPLAN = Keeper("netplan", "", "/etc/netplan/01.yaml")
IFUPDOWN2: Mapping[str, Observed[str]] = {"ifupdown": Absent(), "ifupdown2": Seen("3.0.0-1.1")}
NEITHER: Mapping[str, Observed[str]] = {"ifupdown": Absent(), "ifupdown2": Absent()}
BRIDGE = "bridges:\n  vmbr0: {addresses: [10.10.10.1/24]}\n"
CARD = "interfaces:\n  enp1s0: {addresses: [198.51.100.11/24], gateway: 198.51.100.1, mtu: 1400}\n"
BY_OTHER = "the network of this host is brought up by systemd-networkd, not by ifupdown: the next boot ignores"


def units(host: HostObserved, **states: Json) -> HostObserved:
    named = {f"unit:{name.replace('_', '-')}.service": Absent() if s is None else Seen(s) for name, s in states.items()}
    return replace(host, facts={**host.facts, **named})


def host_by(
    *, networking: Json, networkd: Json, packages: Mapping[str, Observed[str]] = IFUPDOWN2,
    kept: tuple[Keeper, ...] = (), interfaces: bytes = INTERFACES,
) -> HostObserved:  # fmt: skip
    bare = bare_host(desire(spec_of(head() + BRIDGE), KINDS).watch | WATCH, {"/etc/network/interfaces": interfaces})
    bare = replace(bare, packages={**bare.packages, **packages}, keepers=Seen(kept))
    return units(bare, networking=networking, systemd_networkd=networkd)


BY_NETWORKD = host_by(networking=OFF, networkd=ON, kept=(UPLINK,), interfaces=b"")
MIXED = host_by(networking=ON, networkd=ON, kept=(UPLINK,))
USUAL = host_by(networking=ON, networkd=OFF)


def plan_of(host: HostObserved, sections: str, *, allowed: bool = False) -> Plan:
    spec = desire(spec_of(head() + sections), KINDS)
    host = replace(host, weighed=Seen(weighed(spec.watch)))  # as it is requested for this spec
    return make_plan(spec, LastApplied(), host, permission=Permission(management_change=allowed))


@pytest.mark.parametrize(
    ("host", "foreign", "others", "kept"),
    [
        (USUAL, False, (), []),
        (BY_NETWORKD, True, (NETWORKD,), ["enp1s0"]),
        (MIXED, False, (NETWORKD,), ["enp1s0"]),
        (host_by(networking=ON, networkd=OFF, kept=(UPLINK,)), False, (), []),  # a folder that outlived its program
        (host_by(networking=ON, networkd=RUNNING, kept=(UPLINK,)), False, (NETWORKD,), ["enp1s0"]),
        (host_by(networking=None, networkd=ON), True, (NETWORKD,), []),
        (host_by(networking=None, networkd=None), True, (), []),
        (host_by(networking=OFF, networkd=ON, kept=(UPLINK, NETPLAN)), True,
         ("systemd-networkd (netplan: /etc/netplan/01.yaml)",), ["enp1s0"]),
        (units(host_by(networking=OFF, networkd=OFF), NetworkManager=ON), True, ("NetworkManager",), []),
        (replace(USUAL, facts={**USUAL.facts, "unit:networking.service": Unknown("just starting")}), False, (), []),
        (host_by(networking=ON, networkd=OFF, packages=NEITHER), False, (), []),
        (host_by(networking=OFF, networkd=OFF, packages=NEITHER), True, (), []),
        (host_by(networking=ON, networkd=OFF, packages={**NEITHER, "ifupdown": Seen("0.8.41")}), False, (), []),
    ],
)  # fmt: skip
def test_who_brings_the_network_up(
    host: HostObserved,
    foreign: bool,
    others: tuple[str, ...],
    kept: list[str],
) -> None:
    runner = runner_of(host)
    assert (runner.is_foreign, runner.others, sorted(runner.kept)) == (foreign, others, kept)


@pytest.mark.parametrize("allowed", [False, True])
def test_nothing_is_written_for_a_host_that_ifupdown_does_not_run(*, allowed: bool) -> None:
    plan = plan_of(BY_NETWORKD, BRIDGE, allowed=allowed)
    [refusal] = plan.refusals
    assert (refusal.rule, refusal.what.startswith(BY_OTHER)) == ("not-ifupdown", True)
    assert refusal.hint.startswith("Fix: ")
    assert [what.startswith(BY_OTHER) for what in plan.at_boot] == [True]


def test_what_has_nothing_to_do_with_interfaces_goes_on_there() -> None:
    plan = plan_of(BY_NETWORKD, "packages: {dnsmasq: present}\n")
    assert (plan.refusals, plan.at_boot) == ((), ())


def test_on_a_mixed_host_only_what_the_other_program_has_is_refused() -> None:
    assert plan_of(MIXED, BRIDGE).refusals == ()
    [refusal] = plan_of(MIXED, CARD).refusals
    assert refusal.rule == "not-ifupdown"
    assert f"enp1s0 is brought up by systemd-networkd ({FILE}), not by ifupdown" in refusal.what
    port = CARD.replace("addresses: [198.51.100.11/24], gateway: 198.51.100.1, mtu: 1400", "")
    bridge = plan_of(MIXED, port + BRIDGE.replace("24]}", "24], ports: [enp1s0]}"))
    assert "not-ifupdown" in {r.rule for r in bridge.refusals}


def test_a_usual_host_hears_nothing_of_it() -> None:
    plan = plan_of(USUAL, BRIDGE)
    assert (plan.refusals, plan.at_boot) == ((), ())


GIVEN = ConnectionGiven("pve1", "198.51.100.11")


@pytest.mark.parametrize(("host", "said"), [(BY_NETWORKD, BY_OTHER), (MIXED, "enp1s0 is brought up by"), (USUAL, "")])
def test_adopt_names_the_danger(host: HostObserved, said: str) -> None:
    told = [n.what for n in adopt(of_observed(host), GIVEN).report.notes if n.sort == "danger" and "ifupdown" in n.what]
    assert [said in what for what in told] == ([True] if said else [])


@pytest.mark.parametrize(
    ("material", "said"),
    [
        (Material({}, {"systemd-networkd.service": "enabled"}, {"ifupdown": False, "ifupdown2": False}), BY_OTHER),
        (Material({}, {}, {"ifupdown": False, "ifupdown2": False}), "by a program that passerelle does not know"),
        (Material({}, {"systemd-networkd.service": "enabled"}, {"ifupdown": False, "ifupdown2": True}), ""),
        (
            Material(
                {FILE: b"[Match]\nName=enp1s0\n", "/etc/network/interfaces": INTERFACES},
                {"systemd-networkd.service": "enabled"},
                {"ifupdown2": True},
            ),
            f"enp1s0 is brought up by systemd-networkd ({FILE})",
        ),
        (Material({"/etc/network/interfaces": INTERFACES}), ""),
    ],
)
def test_adopt_names_it_from_a_tree_of_files(material: Material, said: str) -> None:
    told = [n.what for n in adopt(material, GIVEN).report.notes if n.sort == "danger" and "not by ifupdown" in n.what]
    assert [said in what for what in told] == ([True] if said else [])


CLASSIC = Seen("0.8.41")


@pytest.mark.parametrize(
    ("packages", "label", "makes_bridges"),
    [
        ({"ifupdown": CLASSIC, "ifupdown2": Absent(), "bridge-utils": Seen("1.7-1")}, "ifupdown 0.8.41", True),
        ({"ifupdown": CLASSIC, "ifupdown2": Absent(), "bridge-utils": Absent()}, "ifupdown 0.8.41", False),
        ({"ifupdown": CLASSIC, "ifupdown2": Unknown("dpkg said nothing")}, "ifupdown2", True),
        ({"ifupdown": Absent(), "ifupdown2": Seen("3.0.0-1.1"), "bridge-utils": Absent()}, "ifupdown2 3.0.0", True),
        ({"ifupdown": Unknown("dpkg said nothing")}, "ifupdown2", True),
    ],
)
def test_the_boot_is_read_as_the_program_reads_it_that_is_installed(
    packages: Mapping[str, Observed[str]], label: str, makes_bridges: bool
) -> None:
    program = program_of(replace(host_by(networking=ON, networkd=OFF), packages=packages))
    assert (program.label, program.makes_bridges) == (label, makes_bridges)
    assert program.is_classic == label.startswith("ifupdown ")


def test_the_classic_ifupdown_finds_the_links_that_nothing_has_to_make() -> None:
    bridge: Observed[Json] = Seen({"type": "bridge", "up": True, "mtu": 1500, "master": None})
    host = host_by(networking=ON, networkd=OFF)
    host = replace(host, packages={"ifupdown": CLASSIC}, facts={**host.facts, "link:vmbr0": bridge})
    assert program_of(host).links == frozenset({"lo", "enp1s0", *SPARE})
    assert program_of(replace(host, unlisted={"link:": Unknown("no answer")})).links is None
