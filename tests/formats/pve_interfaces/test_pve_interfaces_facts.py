"""Single rules of Proxmox's reader and writer, beyond what the cases hold."""

import textwrap

import pytest

from service.errors import InputError
from service.formats.pve_interfaces import WriterRefuses, canonical, parse

LO = "auto lo\niface lo inet loopback\n\n"


def _text(source: str) -> str:
    return textwrap.dedent(source).lstrip("\n")


def _tabbed(source: str) -> str:
    """A form that is indented by four blanks, with tabs."""
    return _text(source).replace("    ", "\t")


def _written(source: str) -> str:
    """The canonical form without the loopback that comes first."""
    text = canonical(parse(_text(source).encode())).text.decode("utf-8")
    assert text.startswith(LO)
    return text.removeprefix(LO)


def _refused(source: str) -> tuple[str, int]:
    with pytest.raises(WriterRefuses) as refused:
        canonical(parse(_text(source).encode()))
    return refused.value.what, refused.value.line


def test_an_empty_line_ends_a_stanza_and_what_follows_stands_before_the_next_one() -> None:
    assert _written("""
        iface eth0 inet static
            address 192.0.2.1/24

            gateway 192.0.2.254
        iface eth1 inet manual
        """) == (
        "iface eth0 inet static\n\taddress 192.0.2.1/24\n\n    gateway 192.0.2.254\n\niface eth1 inet manual\n\n"
    )


def test_kinds_are_sorted_and_children_stand_one_place_behind_their_root() -> None:
    text = _written("""
        iface vmbr0.7 inet manual
        iface vmbr0 inet manual
            bridge-ports bond0
        iface eth0:1 inet static
            address 192.0.2.9/24
        iface bond0 inet manual
            bond-slaves eth0
        iface eth0.3 inet manual
        iface eth0 inet manual
        """)
    names = [line.split()[1] for line in text.split("\n") if line.startswith("iface")]
    # the child of a root that comes right behind it in the file has the same rank; then the name decides
    assert names == ["eth0:1", "eth0", "eth0.3", "bond0", "vmbr0", "vmbr0.7"]


def test_what_is_of_no_known_kind_keeps_its_place() -> None:
    text = _written("iface vmbr0 inet manual\n\tbridge-ports none\niface wan inet manual\niface eth0 inet manual\n")
    assert [line.split()[1] for line in text.split("\n") if line.startswith("iface")] == ["wan", "eth0", "vmbr0"]


def test_comments_of_both_families_stand_in_the_ipv4_stanza() -> None:
    assert (
        _written("""
        iface eth0 inet manual
            # four
        iface eth0 inet6 manual
            # six
            #
        """)
        == "iface eth0 inet manual\n# four\n# six\n\niface eth0 inet6 manual\n\n"
    )


def test_comments_of_an_interface_with_one_ipv6_stanza_stay_there() -> None:
    assert _written("iface eth0 inet6 auto\n# six\n") == "iface eth0 inet6 auto\n# six\n\n"


def test_an_empty_comment_survives_between_others_but_not_at_the_end() -> None:
    assert _written("iface eth0 inet manual\n#\n#a\n#\n#b\n#\n#\n") == "iface eth0 inet manual\n#\n#a\n#\n#b\n\n"


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("address 192.0.2.1\nnetmask 255.255.254.0\nbroadcast 192.0.3.255", "192.0.2.1/23"),
        ("address 192.0.2.1\nnetmask 24", "192.0.2.1/24"),
        ("address 192.0.2.1/28\nnetmask 24", "192.0.2.1/28"),
        ("address 192.0.2.1", "192.0.2.1"),
        ("address 192.0.2.1\nnetmask 255.0.255.0", "192.0.2.1"),
        ("address 192.0.2.1\nnetmask 0.0.0.0", "192.0.2.1"),
        ("address /24", "/24"),
    ],
)
def test_a_netmask_becomes_the_prefix_where_it_is_one(address: str, written: str) -> None:
    source = f"iface eth0 inet static\n{address}\n"
    assert canonical(parse(source.encode())).text == f"{LO}iface eth0 inet static\n\taddress {written}\n\n".encode()


def test_an_address_without_any_netmask_is_one_host() -> None:
    read = parse(b"iface eth0\n address 192.0.2.1\n address 2001:db8::1\n").as_json()["ifaces"]
    assert isinstance(read, dict)
    eth0 = read["eth0"]
    assert isinstance(eth0, dict)
    assert (eth0["cidr"], eth0["cidr6"]) == ("192.0.2.1/32", "2001:db8::1/128")


@pytest.mark.parametrize(
    ("delay", "stp", "written", "warned"),
    [("15", "yes", "15", False), ("0", "off", "0", False), ("31", "on", None, True), ("1", "on", None, True)],
)
def test_a_forward_delay_counts_only_where_spanning_tree_takes_it(
    delay: str, stp: str, written: str | None, warned: bool
) -> None:
    done = canonical(parse(f"iface vmbr0\nbridge-ports none\nbridge-stp {stp}\nbridge-fd {delay}\n".encode()))
    found = [line.split()[1] for line in done.text.decode().split("\n") if "bridge-fd" in line]
    assert found == ([written] if written else [])
    assert bool(done.warnings) == warned


def test_a_bridge_with_spanning_tree_and_no_delay_gets_none() -> None:
    assert "bridge-fd" not in _written("iface vmbr0 inet manual\n\tbridge-ports none\n\tbridge-stp on\n")


def test_ports_of_several_lines_are_sorted_line_by_line() -> None:
    text = _written("""
        iface eth0 inet manual
        iface eth1 inet manual
        iface eth2 inet manual
        iface vmbr0 inet manual
            bridge-ports eth2 eth1 eth2
            bridge_ports none eth0
        """)
    assert "\tbridge-ports eth1 eth2 eth0\n" in text


def test_slaves_are_started_and_a_bond_has_its_defaults() -> None:
    assert _written("iface eth0 inet manual\niface bond0 inet manual\n\tslaves eth0\n\tbond-primary eth0\n") == (
        "auto eth0\niface eth0 inet manual\n\n"
        "iface bond0 inet manual\n\tbond-slaves eth0\n\tbond-miimon 100\n\tbond-mode balance-rr\n\n"
    )


def test_an_open_vswitch_bridge_starts_its_ports_and_takes_cards_for_ports() -> None:
    assert _written("""
        allow-ovs vmbr0
        iface vmbr0 inet manual
            ovs_type OVSBridge
            ovs_ports eth0 bond0 vlan5
            ovs_mtu 1400
        allow-vmbr0 eth0 other
        iface eth0 inet manual
        iface eth1 inet manual
        iface bond0 inet manual
            ovs_type OVSBond
            ovs_bonds eth1
            ovs_options tag=3 lacp=active bond_mode=balance-slb x=y
        iface vlan5 inet static
            address 10.0.5.1/24
            ovs_type OVSIntPort
            ovs_options tag=5
        """) == _tabbed("""
        allow-vmbr0 other

        auto eth0
        iface eth0 inet manual
            ovs_type OVSPort
            ovs_bridge vmbr0

        auto eth1
        iface eth1 inet manual

        auto vlan5
        iface vlan5 inet static
            address 10.0.5.1/24
            ovs_type OVSIntPort
            ovs_bridge vmbr0
            ovs_options tag=5

        auto bond0
        iface bond0 inet manual
            ovs_bonds eth1
            ovs_type OVSBond
            ovs_bridge vmbr0
            ovs_options x=y tag=3 lacp=active bond_mode=balance-slb

        auto vmbr0
        iface vmbr0 inet manual
            ovs_type OVSBridge
            ovs_ports eth0 bond0 vlan5
            ovs_mtu 1400

        """)


def test_an_open_vswitch_port_of_no_bridge_becomes_a_bare_card() -> None:
    assert _written("auto eth0\niface eth0 inet static\n\taddress 10.0.0.1/8\n\tovs_type OVSPort\n") == (
        "iface eth0 inet manual\n\n"
    )


def test_a_vlan_without_a_stanza_may_be_a_port() -> None:
    assert "\tbridge-ports eno1.20\n" in _written("iface vmbr0 inet manual\n\tbridge-ports eno1.20\n")


def test_text_that_is_not_ascii_is_encoded_again_outside_comments_only() -> None:
    done = canonical(parse("iface eth0 inet manual\n\talias Büro\n# für\n".encode()))
    assert done.text.decode("utf-8").removeprefix(LO) == "iface eth0 inet manual\n\talias BÃ¼ro\n# für\n\n"
    assert done.warnings


@pytest.mark.parametrize(
    ("source", "reason", "line"),
    [
        ("iface eth0.5 inet manual\n", "vlan 'eth0.5' - wrong interface type on parent 'eth0' ('' != ", 1),
        ("iface wan inet manual\niface wan.5\n", "vlan 'wan.5' - wrong interface type on parent 'wan' ('unknown'", 2),
        ("iface eth0\niface eth0.4095\n", "vlan 'eth0.4095' - vlan-id 4095 should be <= 4094", 2),
        ("iface eth0\niface lan\n vlan-raw-device eth0\n", "missing vlan-id option", 2),
        ("iface eth0\niface eth0.5\n vlan-protocol qinq\n", "eth0.5: wrong vlan-protocol qinq", 2),
        ("iface eth0\niface eth0.5\n mtu 1501\n", "interface 'eth0' - mtu 1500 is lower than 'eth0.5' - mtu 1501", 1),
        ("iface eth0:1 inet manual\n", "interface 'eth0' has no stanza", 1),
        ("# c\nauto vmbr0\niface vmbr0\n bridge-ports eth0\n", "bridge 'vmbr0' - unable to find bridge port 'eth0'", 2),
        (
            "iface eth0 inet static\n address 10.0.0.1/8\niface vmbr0\n bridge-ports eth0\n",
            "iface eth0 - ip address can't be set on interface if bridged in vmbr0",
            1,
        ),
        ("iface bond0\n slaves eth0\n", "bond 'bond0' - wrong interface type on slave 'eth0' ('' != 'eth or bond')", 1),
        (
            "iface eth0\niface eth1\niface bond0\n slaves eth0\n bond-primary eth1\n",
            "bond 'bond0' - bond-primary interface is not a slave",
            3,
        ),
        ("iface vx1\n vxlan-id 5\niface vx2\n vxlan-id 5\n", "iface vx2 - duplicate vxlan-id 5 already used in vx1", 3),
        ("iface vx1\n vxlan-id 5\n vxlan-physdev eth0\n", "vxlan-svcnodeip and vxlan-physdev must be define tog", 1),
        ("iface vmbr0\n bridge-ports none\n uplink-id 1\n", "iface 'vmbr0' - uplink-id 1 is only allowed on", 1),
        ("iface eth0\n uplink-id 1\niface eth1\n uplink-id 1\n", "uplink-id 1 is already assigned on 'eth0'", 3),
        ("iface eth0\n bridge-access 5\n", "iface eth0 - bridge-access: bridge port specific options can be", 1),
        (
            "iface eth0\n bridge-access 5\niface vmbr0\n bridge-ports eth0\n",
            "iface eth0 - bridge-access option can be only used if interface is in a vlan aware bridge",
            1,
        ),
        ("iface vmbr0\n ovs_type OVSBridge\n ovs_ports eth0\n", "OVS bridge 'vmbr0' - unable to find port 'eth0'", 1),
        (
            "iface vmbr0\n ovs_type OVSBridge\n ovs_ports tun0\niface tun0\n",
            "interface 'tun0' is not defined as OVS port/bond",
            4,
        ),
        (
            "iface vmbr0\n ovs_type OVSBridge\n ovs_ports bond0\niface bond0\n ovs_type OVSBond\n"
            " ovs_options bond_mode=x\n",
            "OVS does not support bond mode 'x'",
            4,
        ),
    ],
)
def test_the_writer_refuses(source: str, reason: str, line: int) -> None:
    said, where = _refused(source)
    assert reason in said
    assert where == line


def test_an_address_of_nothing_may_stand_on_a_port() -> None:
    text = _written("""
        iface eth0 inet static
            address 0.0.0.0/0
        iface vmbr0 inet manual
            bridge-ports eth0
        """)
    assert "\taddress 0.0.0.0\n" in text


def test_what_is_read_stays_as_it_is_when_it_is_written() -> None:
    read = parse(b"iface eth0\niface eth0.5\niface bond0\n slaves eth0\n")
    before = read.as_json()
    canonical(read)
    assert read.as_json() == before


@pytest.mark.parametrize(
    "data", [b"#" * 1_048_577, b"\n" * 100_000, b"auto " + b" ".join(b"%d" % n for n in range(9000))]
)
def test_what_is_no_interfaces_file_by_its_size_is_not_read(data: bytes) -> None:
    with pytest.raises(InputError):
        parse(data)
