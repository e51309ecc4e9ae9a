"""What shell lines of the interfaces file do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.formats.up_lines import (
    AddressLine,
    DefaultRouteLine,
    Effect,
    Forwarding,
    LinkForwarding,
    MasqueradeLine,
    Opaque,
    StaticRoute,
    effects,
)

NAT = MasqueradeLine("10.10.10.0/24", "enp1s0", "add")


@pytest.mark.parametrize(
    ("command", "effect"),
    [
        ("echo 1 > /proc/sys/net/ipv4/ip_forward", Forwarding(True)),
        ("echo 1 >/proc/sys/net/ipv4/ip_forward", Forwarding(True)),
        ("echo '0' > /proc/sys/net/ipv4/conf/all/forwarding", Forwarding(False)),
        ("sysctl -w net.ipv4.ip_forward=1", Forwarding(True)),
        ("/sbin/sysctl -q -w net/ipv4/ip_forward=1 >/dev/null 2>&1", Forwarding(True)),
        ("sysctl net.ipv4.conf.vmbr0.forwarding=1 || true", LinkForwarding(True, "vmbr0")),
        ("sysctl -w net.ipv4.conf.enp1s0/30.forwarding=0", LinkForwarding(False, "enp1s0.30")),
        ("echo 1 > /proc/sys/net/ipv4/conf/enp1s0.30/forwarding", LinkForwarding(True, "enp1s0.30")),
        ("iptables -t nat -A POSTROUTING -s '10.10.10.0/24' -o enp1s0 -j MASQUERADE", NAT),
        ("/usr/sbin/iptables -w 5 -A POSTROUTING -o enp1s0 -t nat -s 10.10.10.1/24 -j MASQUERADE", NAT),
        ("iptables -t nat -I POSTROUTING 1 -s 10.10.10.0/255.255.255.0 -o enp1s0 --jump MASQUERADE", NAT),
        ('iptables -t nat -A POSTROUTING -s 10.10.10.0/24 -o enp1s0 -m comment --comment "a b" -j MASQUERADE', NAT),
        (
            "iptables -t nat -C POSTROUTING -s 10.10.10.0/24 -o enp1s0 -j MASQUERADE 2>/dev/null"
            " || iptables -t nat -A POSTROUTING -o enp1s0 -s 10.10.10.0/24 -j MASQUERADE",
            NAT,
        ),
        ("iptables -t nat -A POSTROUTING -o enp1s0 -j MASQUERADE", MasqueradeLine("0.0.0.0/0", "enp1s0", "add")),
        (
            "iptables -t nat -D POSTROUTING -s 10.10.10.7 -o enp1s0 -j MASQUERADE",
            MasqueradeLine("10.10.10.7/32", "enp1s0", "delete"),
        ),
        ("ip route add default via 192.0.2.1 dev enp1s0", DefaultRouteLine("192.0.2.1", "enp1s0")),
        ("ip -4 r replace 0.0.0.0/0 via 192.0.2.1 onlink metric 5", DefaultRouteLine("192.0.2.1")),
        ("ip -6 route add default via fe80::1 dev enp1s0", DefaultRouteLine("fe80::1", "enp1s0")),
        ("ip route del default", DefaultRouteLine("", "", "delete")),
        ("route add default gw 192.0.2.1", DefaultRouteLine("192.0.2.1")),
        ("/sbin/route add -net 0.0.0.0 netmask 0.0.0.0 gw 192.0.2.1 dev eth0", DefaultRouteLine("192.0.2.1", "eth0")),
        ("ip addr add 10.9.0.1/24 dev vmbr0", AddressLine("10.9.0.1/24", "vmbr0")),
        ("ip a del 10.9.0.1/24 dev vmbr0", AddressLine("10.9.0.1/24", "vmbr0", "delete")),
    ],
)
def test_a_well_known_line_is_understood(command: str, effect: Effect) -> None:
    assert effects(command) == (effect,)


def test_several_commands_in_one_line_are_several_effects() -> None:
    line = "echo 1 > /proc/sys/net/ipv4/ip_forward; ip addr add 10.9.0.1/24 dev vmbr0 && ip route add default dev ppp0"
    assert effects(line) == (Forwarding(True), AddressLine("10.9.0.1/24", "vmbr0"), DefaultRouteLine("", "ppp0"))


@pytest.mark.parametrize(
    "command",
    [
        "",
        "/etc/network/nat.sh",
        "iptables -t nat -A POSTROUTING -s 10.10.10.0/24 ! -d 10.10.10.0/24 -o enp1s0 -j MASQUERADE",
        "iptables -t nat -A POSTROUTING -s 10.10.10.0/24 -o enp1s0 -p tcp -j MASQUERADE",
        "iptables -A POSTROUTING -s 10.10.10.0/24 -o enp1s0 -j MASQUERADE",
        "iptables -t nat -A POSTROUTING -s 10.10.10.0/24 -o enp+ -j MASQUERADE",
        "iptables -t nat -A POSTROUTING -s 10.10.10.0/33 -o enp1s0 -j MASQUERADE",
        "iptables -t nat -C POSTROUTING -s 10.10.10.0/24 -o enp1s0 -j MASQUERADE",
        "iptables -t nat -C POSTROUTING -s 10.1.0.0/24 -o a -j MASQUERADE"
        " || iptables -t nat -A POSTROUTING -s 10.2.0.0/24 -o a -j MASQUERADE",
        "test -f /x && echo 1 > /proc/sys/net/ipv4/ip_forward",
        "echo 1 > /proc/sys/net/ipv4/ip_forward &",
        "echo 1 > /tmp/x",
        "echo $(reboot) > /proc/sys/net/ipv4/ip_forward",
        "echo `reboot`",
        "sysctl -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1",
        "sysctl -w net.ipv4.conf.default.forwarding=1",
        "ip route add default via 192.0.2.1 table 7",
        "ip route add 10.20.0.0/16 via 10.10.10.254 table 7",
        "ip route add blackhole 10.20.0.0/16",
        "route add -net 10.20.0.0 netmask 255.255.3.0 gw 10.10.10.254",
        "/tmp/iptables -t nat -A POSTROUTING -s 10.10.10.0/24 -o enp1s0 -j MASQUERADE",
        "echo 1 > /proc/sys/net/ipv4/ip_forward" + " " * 3000,
    ],
)
def test_anything_else_says_nothing_about_what_it_does(command: str) -> None:
    assert effects(command) == (Opaque(command),)


@given(st.text(max_size=200))
def test_no_text_stops_the_reader(command: str) -> None:
    assert len(effects(command)) >= 1


@pytest.mark.parametrize(
    ("command", "route"),
    [
        ("ip route add 10.20.0.0/16 via 10.10.10.254", StaticRoute("10.20.0.0/16", "10.10.10.254")),
        ("ip -4 route replace 10.20.0.1 via 10.10.10.254 dev a", StaticRoute("10.20.0.1/32", "10.10.10.254", "a")),
        ("ip -6 route add 2001:db8:2::/48 dev a", StaticRoute("2001:db8:2::/48", "", "a")),
        ("route add -net 10.20.0.0 netmask 255.255.0.0 gw 10.1.1.1", StaticRoute("10.20.0.0/16", "10.1.1.1")),
        ("route add -host 10.20.0.1 dev a", StaticRoute("10.20.0.1/32", "", "a")),
        ("ip route del 10.20.0.0/16", StaticRoute("10.20.0.0/16", "", action="delete")),
    ],
)
def test_a_route_to_one_network_is_understood(command: str, route: StaticRoute) -> None:
    assert effects(command) == (route,)
