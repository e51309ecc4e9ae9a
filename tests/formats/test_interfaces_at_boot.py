"""What the interfaces files make of an interface at the next boot."""

import pytest

from service.formats.interfaces import (
    DEBIAN_12,
    MAIN_FILE,
    BootProgram,
    BridgeMeaning,
    Forwarding,
    IfaceMeaning,
    LinkForwarding,
    MasqueradeLine,
    load,
    meaning,
    up_effects,
)

SEED = b"""\
auto lo
iface lo inet loopback

auto vmbr0
iface vmbr0 inet static
        address  10.10.10.1
        netmask  255.255.255.0
        bridge_ports none
        bridge_stp off
        bridge_fd 0
        post-up echo 1 > /proc/sys/net/ipv4/ip_forward
        post-up iptables -t nat -A POSTROUTING -s '10.10.10.0/24' -o enp1s0 -j MASQUERADE
        post-down iptables -t nat -D POSTROUTING -s '10.10.10.0/24' -o enp1s0 -j MASQUERADE
"""
MODERN = b"""\
auto vmbr0
iface vmbr0 inet manual
iface vmbr0
\tbridge-ports-x y
\taddress 10.10.10.1/24
\tbridge-ports none
\tbridge-fd 0
"""


def read(data: bytes, name: str = "vmbr0") -> IfaceMeaning:
    found = meaning(load({MAIN_FILE: data}), name)
    assert found is not None
    return found


def test_the_old_spelling_of_a_bridge_means_what_the_new_one_does() -> None:
    old, new = read(SEED), read(MODERN)
    assert old.addresses == new.addresses == ("10.10.10.1/24",)
    assert old.bridge == new.bridge == BridgeMeaning((), stp=False, forward_delay_s=0.0)
    assert [option.key for option in new.other] == ["bridge-ports-x"]


def test_up_lines_run_at_boot_and_down_lines_do_not() -> None:
    effects = [found.effect for found in up_effects(load({MAIN_FILE: SEED}))]
    assert effects == [Forwarding(True), MasqueradeLine("10.10.10.0/24", "enp1s0", "add")]


def test_up_lines_of_an_interface_that_does_not_come_up_do_nothing() -> None:
    assert list(up_effects(load({MAIN_FILE: SEED.replace(b"auto vmbr0\n", b"")}))) == []


@pytest.mark.parametrize(
    ("line", "addresses"),
    [
        ("address 10.0.0.1/24", ("10.0.0.1/24",)),
        ("address 10.0.0.1\nnetmask 255.255.255.0", ("10.0.0.1/24",)),
        ("address 10.0.0.1\nnetmask 24", ("10.0.0.1/24",)),
        ("address 10.0.0.1/255.255.255.0", ("10.0.0.1/24",)),
        ("address 10.0.0.1/16\nnetmask 24", ("10.0.0.1/16",)),
        ("address 10.0.0.1", ("10.0.0.1/32",)),
        ("netmask 24\naddress 10.0.0.1", ("10.0.0.1/32",)),
        ("address 10.0.0.1\naddress 10.0.1.1\nnetmask 24", ("10.0.0.1/32", "10.0.1.1/24")),
        ("address fd00:0::1/64\naddress 10.0.0.9/8", ("10.0.0.9/8", "fd00::1/64")),
        ("address 10.0.0.1/24\naddress 10.0.0.999/24", ()),
        ("address 10.0.0.1/24 # inline", ()),
        ("address 010.0.0.1/24", ()),
    ],
)
def test_addresses_fold_to_cidr_and_an_unreadable_one_takes_all_with_it(line: str, addresses: tuple[str, ...]) -> None:
    assert read(f"iface vmbr0 inet static\n{line}\n".encode()).addresses == addresses


@pytest.mark.parametrize(
    ("options", "bridge"),
    [
        ("mtu 1500", None),
        ("bridge-vlan-aware yes", BridgeMeaning()),
        ("bridge_ports eno2 eno1", BridgeMeaning(("eno1", "eno2"))),
        ("bridge-ports eno1\nbridge_ports eno2", BridgeMeaning(("eno1", "eno2"))),
        ("bridge-ports none\nbridge_stp yes\nbridge-stp off", BridgeMeaning((), stp=True)),
        ("bridge-ports none\nbridge-fd 7", BridgeMeaning((), stp=False, forward_delay_s=7.0)),
        ("bridge-ports none\nbridge-fd 0.5", BridgeMeaning()),
    ],
)
def test_a_bridge_is_read_with_ifupdown2s_defaults(options: str, bridge: BridgeMeaning | None) -> None:
    assert read(f"iface vmbr0 inet manual\n{options}\n".encode()).bridge == bridge


def test_stanzas_of_one_interface_count_together_and_the_last_mtu_wins() -> None:
    found = read(
        b"iface vmbr0 inet static\n address 10.0.0.1/24\n mtu 1400\n mtu 1300\nauto vmbr0\n"
        b"iface vmbr0 inet6 static\n address fd00::1/64\n gateway fd00::2\n mtu 1280\n"
    )
    assert (found.addresses, found.gateways, found.mtu) == (("10.0.0.1/24", "fd00::1/64"), ("fd00::2",), 1280)
    assert found.methods == ("inet static", "inet6 static")
    assert found.auto


@pytest.mark.parametrize(
    ("head", "auto", "at_boot"),
    [
        ("auto vmbr0", True, True),
        ("auto all", True, True),
        ("allow-auto vmbr0", False, False),
        ("allow-hotplug vmbr0", False, True),
        ("allow-mgmt vmbr0", False, True),
        ("auto vmbr", False, False),
        ("", False, False),
    ],
)
def test_what_comes_up_at_boot_follows_the_lines_above_the_stanza(head: str, auto: bool, at_boot: bool) -> None:
    found = read(f"{head}\niface vmbr0 inet manual\nauto nothing\n".encode())
    assert (found.auto, found.at_boot) == (auto, at_boot)


def test_an_auto_line_below_the_stanza_does_not_count() -> None:
    assert not read(b"iface vmbr0 inet manual\nauto vmbr0\n").auto


def test_the_attribute_ip_forward_is_forwarding_of_that_interface_only() -> None:
    effects = read(b"auto vmbr0\niface vmbr0 inet manual\n ip-forward on\n").boot_effects()
    assert effects == (LinkForwarding(True, "vmbr0"),)


def test_meanings_are_equal_wherever_the_lines_stand() -> None:
    assert read(SEED) == read(b"# moved\n\n" + SEED)
    assert read(SEED) != read(SEED.replace(b"bridge_fd 0", b"bridge_fd 5"))


def test_the_netmask_of_an_alias_goes_to_the_address_at_its_position_over_all_stanzas() -> None:
    alias = "\niface eth0:0 inet static\n\taddress 10.0.0.2\n\tnetmask 255.255.255.0\n"
    with_prefix = "auto eth0\niface eth0 inet static\n\taddress 10.0.0.1/24\n"
    with_mask = "auto eth0\niface eth0 inet static\n\taddress 10.0.0.1\n\tnetmask 24\n"
    for text, addresses in (
        (with_prefix + alias, ("10.0.0.1/24", "10.0.0.2/32")),  # as ifupdown2 3.0.0 did on a host
        (with_mask + alias, ("10.0.0.1/24", "10.0.0.2/24")),
    ):
        have = meaning(load({MAIN_FILE: text.encode()}), "eth0")
        assert have is not None
        assert have.addresses == addresses


TWICE = "address 10.0.0.1/24\naddress 10.0.1.1/24\nbroadcast 10.0.1.255\naddress 10.0.2.1/24"
SECOND = "iface vmbr0 inet static\naddress 10.0.1.1/24"
ALIAS = "iface vmbr0:0 inet static\naddress 10.0.1.1\nnetmask 255.255.255.0\nbroadcast 10.0.1.255"


@pytest.mark.parametrize(
    ("lines", "set_by_3_0_0", "all_of_them"),
    [
        ("address 10.0.0.1/24\nbroadcast 10.0.0.255", (), ("10.0.0.1/24",)),
        (TWICE, ("10.0.0.1/24",), ("10.0.0.1/24", "10.0.1.1/24", "10.0.2.1/24")),
        ("broadcast 10.0.0.255\naddress 10.0.0.1/24", ("10.0.0.1/24",), ("10.0.0.1/24",)),
        (f"address 10.0.0.1/24\nbroadcast +\n{SECOND}", (), ("10.0.0.1/24", "10.0.1.1/24")),
        (f"address 10.0.0.1/24\n{ALIAS}", (), ("10.0.0.1/24", "10.0.1.1/32")),
    ],
    ids=["one", "the second of three", "above its address", "over two stanzas", "of an alias"],
)  # fmt: skip
def test_an_address_with_a_broadcast_and_those_below_are_not_set_as_ifupdown2_3_0_0_did_on_a_host(
    lines: str, set_by_3_0_0: tuple[str, ...], all_of_them: tuple[str, ...]
) -> None:
    files = {MAIN_FILE: f"auto vmbr0\niface vmbr0 inet static\n{lines}\n".encode()}
    here, elsewhere = (meaning(load(files, program=program), "vmbr0") for program in (DEBIAN_12, BootProgram()))
    assert here is not None
    assert elsewhere is not None
    assert (here.addresses, elsewhere.addresses) == (set_by_3_0_0, all_of_them)
    lost = here.broadcast.addresses if here.broadcast else ()
    assert tuple(sorted((*set_by_3_0_0, *lost))) == all_of_them


@pytest.mark.parametrize(
    ("above", "lower"),
    [
        ("iface eno1.20 inet manual", "eno1"),
        ("iface vlan20 inet manual\n\tvlan-raw-device eno1", "eno1"),
        ("iface vx inet manual\n\tvxlan-id 10\n\tvxlan-physdev eno1", "eno1"),
        ("iface bond0 inet manual\n\tbond-slaves eno0 eno1", "eno1"),
        ("iface vmbr1 inet manual\n\tbridge-ports eno1", "eno1"),
        ("iface vmbr1 inet manual\n\tbridge-ports eno1.20", "eno1"),
        ("iface vmbr0.30 inet manual\n\niface vmbr0 inet manual\n\tbridge-ports eno1", "eno1"),
    ],
)
def test_ifupdown2_brings_up_what_an_interface_stands_on(above: str, lower: str) -> None:
    """`ifup -a` of ifupdown2 3.0.0 without `auto eno1`: it runs the `up` line of eno1 (seen). It sets the address, but
    not on a port of a bridge (seen) or a link of a bond (`is_addr_ip_allowed_on` in its source)."""
    name = above.split()[1]
    text = f"auto {name}\n{above}\n\niface {lower} inet static\n\taddress 10.1.1.1/24\n\tup touch /run/x\n"
    assert read(text.encode(), lower).at_boot
    assert not read(text.replace(f"auto {name}\n", "").encode(), lower).at_boot
    assert [found.interface for found in up_effects(load({MAIN_FILE: text.encode()}))] == [lower]
    belongs = "bond-slaves" in above or "bridge-ports eno1\n" in f"{above}\n"  # it sets no address on these
    assert read(text.encode(), lower).addresses == (() if belongs else ("10.1.1.1/24",))
