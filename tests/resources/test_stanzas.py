"""Stanzas of the interfaces files: met in other words and other files, changed line by line, else refused."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from service.formats.interfaces import CONF_FILE
from service.model.states import Absent, Observed, Seen, Unknown
from service.plan.make import make_plan
from service.resources.desired import Desired, LastApplied
from service.resources.stanzas import InterfaceStanza
from tests.laws.host import INTERFACES, after_plan, bare_host

MAIN = "/etc/network/interfaces"
BRIDGE = InterfaceStanza("bridges", "vmbr0", ("10.10.10.1/24",), bridge=True)
UPLINK = InterfaceStanza("interfaces", "enp1s0", ("198.51.100.11/24",), ("198.51.100.1",))
CLASSIC = b"""
auto vmbr0
iface vmbr0 inet static
\taddress 10.10.10.1
\tnetmask 255.255.255.0
\tbridge_ports none
\tbridge_stp off
\tbridge_fd 0
"""
BY_COMMAND = b"""
auto vmbr0
iface vmbr0 inet manual
\tbridge-ports none
\tbridge-fd 0
\tup ip addr add 10.10.10.1/24 dev vmbr0
"""


def text_after(stanza: InterfaceStanza, files: dict[str, bytes]) -> dict[str, bytes]:
    """The interfaces files that a plan writes; after it there is nothing left to do."""
    desired = Desired.of("pve1", [stanza])
    host = bare_host(desired.watch, files)
    plan = make_plan(desired, LastApplied(), host)
    assert plan.refusals == ()
    after = after_plan(host, plan)
    assert make_plan(desired, LastApplied(), after).is_empty
    return {s.fact.removeprefix("file:"): plan.blobs[s.after["sha256"]] for s in plan.steps}  # type: ignore[index,call-overload]


@pytest.mark.parametrize(
    "files",
    [
        {MAIN: INTERFACES + CLASSIC},
        {MAIN: INTERFACES + BY_COMMAND},
        {MAIN: INTERFACES + b"source /etc/network/interfaces.d/*\n", "/etc/network/interfaces.d/vmbr0": CLASSIC},
    ],
    ids=["classic words", "an up line gives the address", "another file"],
)
def test_a_stanza_that_says_it_in_other_words_is_left_as_it_stands(files: dict[str, bytes]) -> None:
    assert text_after(BRIDGE, files) == {}


def test_a_bridge_from_which_a_reload_would_take_the_guests_gets_the_line_that_keeps_them() -> None:
    keeping = replace(BRIDGE, keeps_guests=True)
    made = text_after(keeping, {MAIN: INTERFACES + CLASSIC})
    assert made[MAIN] == INTERFACES + CLASSIC + b"\tbridge-ports-condone-regex ^(tap|veth|fwpr)\n"
    assert text_after(keeping, made) == {}
    more = made[MAIN].replace(b"^(tap|veth|fwpr)", b"^(veth|tap|fwpr|fwln)")
    assert text_after(keeping, {MAIN: more}) == {}


BROADCAST = CLASSIC.replace(b"255.0\n", b"255.0\n\tbroadcast 10.10.10.255\n")


def test_a_broadcast_line_at_which_the_hosts_ifupdown2_fails_is_told_and_goes() -> None:
    desired = Desired.of("pve1", [BRIDGE])
    bare = bare_host(desired.watch, {MAIN: INTERFACES + BROADCAST})
    host = replace(bare, packages={"ifupdown2": Seen("3.0.0-1.1")})
    plan = make_plan(desired, LastApplied(), host)
    (drift,) = plan.drifts
    assert (drift.difference.field, drift.difference.where, drift.difference.have) == ("addresses", "file", [])
    sentence = f"ifupdown2 3.0.0 fails at `broadcast` in {MAIN}:13 and does not set 10.10.10.1/24. Fix: remove the line"
    assert drift.difference.cause == sentence
    (step,) = plan.steps
    assert step.why == f"bridges: vmbr0: addresses ({sentence})"
    assert list(plan.blobs.values()) == [INTERFACES + CLASSIC]
    assert make_plan(desired, LastApplied(), after_plan(host, plan)).is_empty


@pytest.mark.parametrize(
    "version",
    [Absent(), Seen("3.2.0-1+pmx9"), Seen("3.3.0-1"), Unknown("dpkg said nothing")],
    ids=["the classic ifupdown", "Proxmox's", "a later one", "nobody knows"],
)
def test_a_broadcast_line_stays_where_no_ifupdown2_is_known_to_fail_at_it(version: Observed[str]) -> None:
    desired = Desired.of("pve1", [BRIDGE])
    bare = bare_host(desired.watch, {MAIN: INTERFACES + BROADCAST})
    assert make_plan(desired, LastApplied(), replace(bare, packages={"ifupdown2": version})).is_empty


AWARE = CLASSIC + b"\tbridge_vlan_aware yes\n"
SECOND = AWARE.replace(b"vmbr0", b"vmbr1").replace(b"10.10.10.1", b"10.10.20.1")
SECOND_BRIDGE = replace(BRIDGE, name="vmbr1", addresses=("10.10.20.1/24",))


def test_a_second_vlan_aware_bridge_that_ifupdown2_ignores_is_drift_at_boot_with_a_way_out() -> None:
    desired = Desired.of("pve1", [BRIDGE, SECOND_BRIDGE])
    bare = bare_host(desired.watch, {MAIN: INTERFACES + AWARE + SECOND})
    host = replace(bare, packages={"ifupdown2": Seen("3.0.0-1.1")})
    plan = make_plan(desired, LastApplied(), host)
    (drift,) = plan.drifts
    assert (drift.difference.resource, drift.difference.where, drift.difference.op) == ("vmbr1", "boot", "missing")
    sentence = (
        f"ifupdown2 3.0.0 ignores the stanza of vmbr1 in {MAIN}:19 at boot: another one says `bridge-vlan-aware yes` "
        "above it"
    )
    assert drift.difference.cause == sentence
    assert (plan.steps, plan.refusals) == ((), ())
    (note,) = plan.notes
    assert note.startswith(f"{sentence}. Fix: set multiple_vlan_aware_bridge_support=1 in /etc/network/ifupdown2/")


def test_what_ifupdown2_ignores_keeps_no_other_change_waiting() -> None:
    desired = Desired.of("pve1", [replace(BRIDGE, mtu=1400), SECOND_BRIDGE])
    bare = bare_host(desired.watch, {MAIN: INTERFACES + AWARE + SECOND})
    plan = make_plan(desired, LastApplied(), replace(bare, packages={"ifupdown2": Seen("3.0.0-1.1")}))
    assert [step.why for step in plan.steps] == ["bridges: vmbr0: mtu"]
    (text,) = plan.blobs.values()
    assert text == (INTERFACES + AWARE + SECOND).replace(b"bridge_fd 0\n", b"bridge_fd 0\n\tmtu 1400\n", 1)


def test_a_second_vlan_aware_bridge_is_met_where_ifupdown2_is_told_to_take_several() -> None:
    desired = Desired.of("pve1", [BRIDGE, SECOND_BRIDGE])
    files = {MAIN: INTERFACES + AWARE + SECOND, CONF_FILE: b"multiple_vlan_aware_bridge_support=1\n"}
    host = replace(bare_host(desired.watch, files), packages={"ifupdown2": Seen("3.0.0-1.1")})
    assert make_plan(desired, LastApplied(), host).drifts == ()


def test_without_its_configuration_file_ifupdown2_boots_nothing_and_nothing_is_written() -> None:
    desired = Desired.of("pve1", [BRIDGE])
    host = replace(bare_host(desired.watch), packages={"ifupdown2": Seen("3.0.0-1.1")})
    host = replace(host, texts={**host.texts, CONF_FILE: Absent()})
    plan = make_plan(desired, LastApplied(), host)
    assert [step.fact for step in plan.steps if step.fact.startswith("file:")] == []
    assert [refusal.what for refusal in plan.refusals] == [
        f"{CONF_FILE}:1: is missing: ifupdown2 brings nothing up without it"
    ]


CLASSIC_HOST: Mapping[str, Observed[str]] = {
    "ifupdown": Seen("0.8.41"), "ifupdown2": Absent(), "bridge-utils": Seen("1.7-1"),
}  # fmt: skip


def test_on_a_host_with_the_classic_ifupdown_each_address_has_a_stanza_and_no_line_for_reloads() -> None:
    desired = Desired.of("pve1", [replace(BRIDGE, addresses=("10.10.10.1/24", "10.10.11.1/24"), keeps_guests=True)])
    host = replace(bare_host(desired.watch), packages=CLASSIC_HOST)
    plan = make_plan(desired, LastApplied(), host)
    (text,) = plan.blobs.values()
    assert text == INTERFACES + (
        b"\nauto vmbr0\niface vmbr0 inet static\n\taddress 10.10.10.1/24\n\tbridge-ports none\n\tbridge-stp off\n"
        b"\tbridge-fd 0\n\niface vmbr0 inet static\n\taddress 10.10.11.1/24\n"
    )
    assert make_plan(desired, LastApplied(), after_plan(host, plan)).is_empty


@pytest.mark.parametrize(
    ("lines", "met"),
    [
        (b"\taddress 10.10.10.1\n", False),
        (b"\taddress 10.10.10.1/24\n\tnetmask 255.255.0.0\n", False),
        (b"\taddress 10.10.10.1\n\tnetmask 255.255.255.0\n", True),
        (b"\taddress 10.10.10.1/24\n\tbroadcast 10.10.10.255\n", True),
    ],
)
def test_what_the_classic_ifupdown_makes_of_a_stanza_is_what_is_compared(lines: bytes, met: bool) -> None:
    stanza = b"\nauto vmbr0\niface vmbr0 inet static\n" + lines + b"\tbridge_ports none\n\tbridge_fd 0\n"
    desired = Desired.of("pve1", [BRIDGE])
    host = replace(bare_host(desired.watch, {MAIN: INTERFACES + stanza}), packages=CLASSIC_HOST)
    plan = make_plan(desired, LastApplied(), host)
    assert (plan.drifts == ()) is met
    assert plan.refusals == ()
    assert make_plan(desired, LastApplied(), after_plan(host, plan)).drifts == ()


def test_without_bridge_utils_the_classic_ifupdown_makes_no_bridge_which_a_note_says_and_nothing_waits_for() -> None:
    desired = Desired.of("pve1", [BRIDGE, replace(UPLINK, mtu=1400)])
    packages: Mapping[str, Observed[str]] = {**CLASSIC_HOST, "bridge-utils": Absent()}
    plan = make_plan(desired, LastApplied(), replace(bare_host(desired.watch), packages=packages))
    assert plan.notes == (
        "at boot ifupdown makes no bridge without the package bridge-utils, so it does not make vmbr0. "
        "Fix: add `packages: {bridge-utils: present}` to the spec",
    )
    assert list(plan.blobs.values()) == [INTERFACES + b"\tmtu 1400\n"]
    assert [d.difference.resource for d in plan.drifts] == ["enp1s0", "vmbr0"]


def test_a_missing_stanza_is_added_and_the_rest_stays_byte_for_byte() -> None:
    made = text_after(BRIDGE, {MAIN: INTERFACES})
    assert list(made) == [MAIN]
    assert made[MAIN].startswith(INTERFACES)
    assert b"auto vmbr0\niface vmbr0 inet static\n" in made[MAIN]


def test_a_stanza_is_changed_in_the_file_where_it_stands() -> None:
    files = {MAIN: INTERFACES + b"source /etc/network/interfaces.d/*\n", "/etc/network/interfaces.d/vmbr0": CLASSIC}
    made = text_after(replace(BRIDGE, addresses=("10.10.11.1/24",)), files)
    assert list(made) == ["/etc/network/interfaces.d/vmbr0"]
    assert b"10.10.11.1" in made["/etc/network/interfaces.d/vmbr0"]
    assert b"bridge_fd 0" in made["/etc/network/interfaces.d/vmbr0"]


def test_a_line_that_adds_another_default_route_is_removed() -> None:
    line = b"\tup ip route add default via 198.51.100.77\n"
    assert text_after(UPLINK, {MAIN: INTERFACES + line}) == {MAIN: INTERFACES}


def test_a_line_that_adds_another_address_is_removed_and_other_lines_stay() -> None:
    other = b"\tup logger hello\n"
    extra = b"\tup ip addr add 10.99.0.1/24 dev enp1s0\n"
    assert text_after(UPLINK, {MAIN: INTERFACES + other + extra}) == {MAIN: INTERFACES + other}


def test_a_stanza_without_auto_gets_it() -> None:
    made = text_after(BRIDGE, {MAIN: INTERFACES + CLASSIC.replace(b"auto vmbr0\n", b"")})
    assert b"auto vmbr0\n" in made[MAIN]


def test_a_stanza_that_nobody_wants_any_more_goes_alone() -> None:
    made = text_after(replace(BRIDGE, gone=True), {MAIN: INTERFACES + CLASSIC})
    assert made[MAIN].rstrip(b"\n") == INTERFACES.rstrip(b"\n")
    assert text_after(replace(BRIDGE, gone=True), {MAIN: INTERFACES}) == {}


def test_two_stanzas_of_one_file_are_one_step() -> None:
    desired = Desired.of("pve1", [BRIDGE, replace(UPLINK, mtu=1400)])
    plan = make_plan(desired, LastApplied(), bare_host(desired.watch, {MAIN: INTERFACES}))
    (step,) = plan.steps
    assert step.why == "interfaces: enp1s0: mtu; bridges: vmbr0: stanza"


def test_a_line_that_cannot_be_understood_is_refused_and_not_rewritten() -> None:
    desired = Desired.of("pve1", [BRIDGE])
    host = bare_host(desired.watch, {MAIN: INTERFACES + b"iface\n"})
    plan = make_plan(desired, LastApplied(), host)
    assert plan.steps == ()
    assert [refusal.rule for refusal in plan.refusals] == ["not-ours"]
    assert f"{MAIN}:8" in plan.refusals[0].what


@pytest.mark.parametrize("gone", [False, True])
def test_with_an_unread_file_nothing_is_written(*, gone: bool) -> None:
    desired = Desired.of("pve1", [replace(BRIDGE, gone=gone)])
    host = bare_host(desired.watch, {MAIN: INTERFACES + CLASSIC})
    host = replace(host, texts={**host.texts, MAIN: Unknown("garbled")})
    plan = make_plan(desired, LastApplied(), host)
    assert plan.steps == ()
    assert [refusal.rule for refusal in plan.refusals] == ["unknown"]


POINT_TO_POINT = b"""auto lo
iface lo inet loopback

auto enp1s0
iface enp1s0 inet static
\taddress 198.51.100.11
\tnetmask 255.255.255.255
\tgateway 198.51.100.1
\tpointopoint 198.51.100.1
"""
SINGLE = InterfaceStanza("interfaces", "enp1s0", ("198.51.100.11/32",), ("198.51.100.1",))


def test_a_gateway_on_the_link_is_met_by_a_pointopoint_line_and_without_one() -> None:
    assert text_after(SINGLE, {MAIN: POINT_TO_POINT}) == {}
    assert text_after(SINGLE, {MAIN: POINT_TO_POINT.replace(b"\tpointopoint 198.51.100.1\n", b"")}) == {}


def test_a_pointopoint_line_follows_the_gateway_that_it_names() -> None:
    desired = Desired.of("pve1", [replace(SINGLE, gateways=("198.51.100.254",))])
    plan = make_plan(desired, LastApplied(), bare_host(desired.watch, {MAIN: POINT_TO_POINT}))
    assert list(plan.blobs.values()) == [POINT_TO_POINT.replace(b"100.1\n", b"100.254\n")]
