"""Single lines that adopt reads in a way of its own."""

from dataclasses import replace

import pytest

from service.adopt import ConnectionGiven, Material, adopt
from service.cli.host_tree import read_host_tree
from service.formats.interfaces import CONF_FILE
from service.kinds import KINDS
from service.kinds.desire import desire
from service.model.states import Seen
from service.plan.make import make_plan
from service.resources.desired import LastApplied
from tests.adopt.corpora import BASE, INPUTS, MAIN, RANGE
from tests.adopt.test_styles import planned, spec_of
from tests.adopt.trees import booted, material


def test_an_option_that_is_nothing_but_a_tag_stays_unmanaged() -> None:
    given, path = material("blog"), "/etc/dnsmasq.d/containers"
    made = adopt(replace(given, files={**given.files, path: given.files[path] + b"dhcp-option=tag:x\n"}))
    assert [n.where for n in made.report.of("unmanaged") if n.section == "dnsmasq"] == [f"{path}:25"]


def test_a_gateway_outside_the_subnets_is_kept_as_on_link_and_told_unless_pointopoint_says_so() -> None:
    given = material("on-link")
    main = "/etc/network/interfaces"
    text = given.files[main].replace(b"255.255.255.255", b"255.255.255.248").replace(b"100.1\n", b"100.65\n")
    without = text.replace(b"\tpointopoint 198.51.100.65\n", b"")
    for there, told, length in ((text, 0, 32), (without, 1, 29)):  # with it the kernel has the other end's prefix
        made = adopt(replace(given, files={**given.files, main: there}))
        on_link = "" if length == 32 else ", on_link: true"  # of a single address it follows
        assert f"enp1s0: {{addresses: [198.51.100.11/{length}], gateway: 198.51.100.65{on_link}}}" in made.text
        notes = [note.what for note in made.report.notes if "is outside its subnets" in note.what]
        assert len(notes) == told
        plan, _, _ = planned(made.text, replace(given, files={**given.files, main: there}))
        assert plan.refusals == ()


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("dhcp-leasefile=/srv/dnsmasq/dhcp.db", "dhcp-leasefile=/srv/dnsmasq/dhcp.db"),
        ("log-facility=/srv/log/dnsmasq", "log-facility=/srv/log/dnsmasq"),
    ],
)
def test_a_file_where_no_spec_lets_root_write_is_named_and_stays_where_it_is(line: str, key: str) -> None:
    given = material("classic")
    path = "/etc/dnsmasq.conf"
    bare = [x for x in given.files[path].decode().splitlines() if not x.startswith(key.partition("=")[0])]
    given = replace(given, files={**given.files, path: "\n".join([*bare, line, ""]).encode()})
    made = adopt(given)
    assert "/srv/" not in made.text
    assert f"{key} (a spec names no file there; it stays where it is)" in made.report.as_text()
    plan, _, _ = planned(made.text, given)
    assert (plan.drifts, plan.steps, plan.packages, plan.refusals) == ((), (), (), ())


SECOND = b"""
auto vmbr1
iface vmbr1 inet static
\taddress 10.10.20.1/24
\tbridge-ports none
\tbridge-vlan-aware yes
"""


@pytest.mark.parametrize(
    ("conf", "told"), [(None, 1), (b"multiple_vlan_aware_bridge_support=1\n", 0)], ids=["as shipped", "several"]
)
def test_a_second_vlan_aware_bridge_that_the_boot_ignores_is_dangerous_and_in_the_spec(
    conf: bytes | None, told: int
) -> None:
    given, path = material("classic"), "/etc/network/interfaces"
    first = given.files[path].replace(b"\tbridge_ports", b"\tbridge_vlan_aware yes\n\tbridge_ports")
    files = {**given.files, path: first + SECOND, **({} if conf is None else {CONF_FILE: conf})}
    made = adopt(replace(given, files=files))
    assert "  vmbr1: {addresses: [10.10.20.1/24]" in made.text
    notes = [n for n in made.report.of("danger") if "ifupdown2 ignores this stanza of vmbr1" in n.what]
    assert len(notes) == told
    assert all("Fix: set multiple_vlan_aware_bridge_support=1 there" in n.what for n in notes)
    desired = desire(spec_of(made.text), KINDS)
    host = booted(replace(given, files=files), desired.watch)
    host = replace(host, packages={**host.packages, "ifupdown2": Seen("3.0.0-1.1")})
    found = [d.difference for d in make_plan(desired, LastApplied(), host).drifts if d.difference.where == "boot"]
    assert [(one.resource, one.op) for one in found] == [("vmbr1", "missing")] * told


def test_an_address_of_a_port_is_unmanaged_and_names_the_bridge_or_bond() -> None:
    made = adopt(read_host_tree(INPUTS / "ports-with-addresses" / "root"), ConnectionGiven(address="192.0.2.10"))
    unmanaged = {note.where: note.what for note in made.report.of("unmanaged")}
    for line, text, port, upper in (
        (20, "address 10.40.0.1/24", "vlan40", "vmbr2"),
        (33, "address 10.60.0.1/24", "enp5s0", "bond0"),
        (34, "gateway 10.60.0.254", "enp5s0", "bond0"),
        (43, "address 10.70.0.1/24", "vmbr4", "vmbr5"),
    ):
        why = f"ifupdown2 does not set it, because {port} is a port of {upper}"
        assert unmanaged[f"{MAIN}:{line}"].startswith(f"{port}: {text}; {why}. Fix: ")
    assert "a bridge cannot be a port of another" in unmanaged[f"{MAIN}:49"]
    assert "  enp5s0: {}\n" in made.text
    assert "bonds:\n  bond0: {ports: [enp5s0, enp6s0], mode: active-backup, miimon: 0}\n" in made.text
    assert "  vlan40: {parent: enp2s0}\n" in made.text


def test_one_address_on_the_uplink_and_on_the_bridge_is_in_the_spec_twice_and_the_plan_is_empty() -> None:
    given = read_host_tree(INPUTS / "routed-address-on-two" / "root")
    made = adopt(given)
    held = ["198.51.100.11/32", "2001:db8:0:1::2/128"]
    assert made.values["interfaces"] == {
        "enp1s0": {"addresses": held, "gateway": "198.51.100.1", "gateway6": "fe80::1"}
    }
    bridges = made.values["bridges"]
    assert isinstance(bridges, dict) and isinstance(bridges["vmbr0"], dict)
    assert bridges["vmbr0"]["addresses"] == held
    assert made.report.plan.changes == ()
    assert [note.where for note in made.report.of("unmanaged")] == [f"{MAIN}:20", f"{MAIN}:2"]


def test_a_line_for_one_tag_has_an_effect_beside_the_one_for_all() -> None:
    path = "/etc/dnsmasq.conf"
    tagged, plain = (
        b"dhcp-host=tag:lab,02:00:00:00:00:02,10.10.10.21,b\n",
        b"dhcp-host=02:00:00:00:00:02,10.10.10.22,c\n",
    )
    for lines, tag_at in ((tagged + plain, 4), (plain + tagged, 5)):
        made = adopt(Material({**BASE, path: RANGE + lines}))
        assert made.values["guests"] == {"c": {"mac": "02:00:00:00:00:02", "address": "10.10.10.22"}}
        (note,) = [note for note in made.report.of("unmanaged") if note.where == f"{path}:{tag_at}"]
        assert "dnsmasq takes this line for requests with the tag lab" in note.what


def test_files_of_guests_that_are_not_read_are_named() -> None:
    path = "/etc/dnsmasq.conf"
    lines = b"dhcp-hostsfile=/etc/guests\ndhcp-hostsdir=/etc/hosts.d\n"
    made = adopt(Material({**BASE, path: RANGE + lines}))
    said = [note.what for note in made.report.of("unmanaged") if note.where in (f"{path}:4", f"{path}:5")]
    assert len(said) == 2
    assert all("passerelle does not read the guests there. Fix: " in what for what in said)


def test_a_second_gateway_is_a_danger_and_its_line_is_not_in_the_spec() -> None:
    more = BASE[MAIN].replace(b"\tgateway 198.51.100.1\n", b"\tgateway 198.51.100.1\n\tgateway 198.51.100.2\n")
    made = adopt(Material({**BASE, MAIN: more}))
    assert "gateway: 198.51.100.1}" in made.text
    (note,) = [note for note in made.report.of("unmanaged") if "gateway 198.51.100.2" in note.what]
    assert note.where == f"{MAIN}:8"
    assert any("enp1s0 has 2 gateways" in note.what for note in made.report.of("danger"))
