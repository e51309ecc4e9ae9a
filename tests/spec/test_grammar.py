"""The grammars of values, at their edges."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from service.kinds.dnsmasq.values import (
    check_lease_file,
    check_lease_time,
    check_local,
    check_log_facility,
    check_netmask,
    check_server,
)
from service.kinds.packages import check_package
from service.kinds.services import check_service, unit_of
from service.spec import grammar
from service.spec.hostkeys import check_host_key

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPnMuRArpXCMB2oMafDHiIjr90HGUiuvwRcPlZ9pAPrT"

CHECKS: list[Callable[[str], str]] = [
    grammar.check_name,
    grammar.check_domain,
    grammar.check_bridge,
    grammar.check_interface,
    grammar.check_interface_address,
    grammar.check_network4,
    grammar.check_address,
    grammar.check_address4,
    grammar.check_address6,
    grammar.check_mac,
    grammar.check_duration(5, 3600),
    check_host_key,
    check_lease_file,
    check_lease_time,
    check_local,
    check_log_facility,
    check_netmask,
    check_server,
    check_package,
    check_service,
]

TAKEN: list[tuple[Callable[[str], str], str, str]] = [
    (grammar.check_name, "pve1", "pve1"),
    (grammar.check_name, "a" * 63, "a" * 63),
    (grammar.check_name, "1", "1"),
    (grammar.check_domain, "madyanne.lan", "madyanne.lan"),
    (grammar.check_interface, "enx0123456789ab", "enx0123456789ab"),
    (grammar.check_interface, "tap_1-a", "tap_1-a"),
    (grammar.check_interface, "enp1s0.30", "enp1s0.30"),
    (grammar.check_interface, "eth0.4094", "eth0.4094"),
    (grammar.check_bridge, "vmbr30", "vmbr30"),
    (grammar.check_interface_address, "10.10.10.1/24", "10.10.10.1/24"),
    (grammar.check_interface_address, "10.10.10.1/31", "10.10.10.1/31"),
    (grammar.check_interface_address, "10.10.10.1/32", "10.10.10.1/32"),
    (grammar.check_interface_address, "2001:DB8:0::1/064", "2001:db8::1/64"),
    (grammar.check_network4, "10.10.10.0/24", "10.10.10.0/24"),
    (grammar.check_address, "2001:DB8::0:1", "2001:db8::1"),
    (grammar.check_mac, "BC:24:11:00:00:01", "bc:24:11:00:00:01"),
    (grammar.check_duration(5, 3600), "5s", "5s"),
    (grammar.check_duration(5, 3600), "1h", "1h"),
    (grammar.check_duration(5, 3600), "60m", "60m"),
    (check_host_key, f"{ED25519} root@pve1", ED25519),
    (check_lease_time, "2m", "2m"),
    (check_lease_time, "infinite", "infinite"),
    (check_lease_file, "/tmp/dhcp.leases", "/tmp/dhcp.leases"),
    (check_log_facility, "/var/log/dnsmasq.log", "/var/log/dnsmasq.log"),
    (check_lease_file, "/var/lib/misc/dnsmasq.vnet1.leases", "/var/lib/misc/dnsmasq.vnet1.leases"),
    (check_lease_file, "/var/lib/dnsmasq/leases", "/var/lib/dnsmasq/leases"),
    (check_log_facility, "/var/log/dnsmasq/dnsmasq-vmbr0.log", "/var/log/dnsmasq/dnsmasq-vmbr0.log"),
    (check_server, "1.1.1.1#53", "1.1.1.1"),
    (check_server, "1.1.1.1@eth0", "1.1.1.1@eth0"),
    (check_server, "2001:DB8::53#54@eda1@2001:db8::1", "2001:db8::53#54@eda1@2001:db8::1"),
    (check_server, "/b.lan/a.lan/127.0.0.1#5353", "/a.lan/b.lan/127.0.0.1#5353"),
    (check_server, "/a.lan/#", "/a.lan/#"),
    (grammar.check_own_address, "::1", "::1"),
    (check_local, "/madyanne.lan/", "madyanne.lan"),
    (check_local, "madyanne.lan", "madyanne.lan"),
    (check_server, "/example.org/192.0.2.53#5353", "/example.org/192.0.2.53#5353"),
    (check_server, "2001:db8::53", "2001:db8::53"),
    (check_netmask, "255.255.254.0", "255.255.254.0"),
    (check_package, "g++", "g++"),
    (check_package, "libstdc++6", "libstdc++6"),
    (check_service, "dnsmasq@vnet1.service", "dnsmasq@vnet1.service"),
]

REFUSED = [
    (grammar.check_name, "PVE1 pve_1 -pve1 pve1- pvе1 pve1. a..b localhost xn--pv1-2od 10.0.0.1 .. " + "a" * 64),
    (grammar.check_domain, "1.2.3.4 1.2.3.400"),
    (grammar.check_address, "::ffff:192.0.2.1 0:0:0:0:0:ffff::"),
    (grammar.check_domain, "Madyanne.lan madyanne.lan. .lan a..b -a.lan a_b.lan " + "a." * 126 + "aa"),
    (
        grammar.check_interface,
        "enp1s0123456789a eth0.0 eth0.4095 eth0.010 eth0.1.2 eth0. eth0:1 lo all default none 0eth -i e/h % e%n ../x",
    ),
    (grammar.check_bridge, "vmbr0.5 eth0.4095 lo 0a"),
    (
        grammar.check_interface_address,
        "10.10.10.1 10.10.10.1/33 10.10.10.0/24 10.10.10.255/24 10.10.10.1/255.255.255.0 256.0.0.1/8 10.0.0.01/8 "
        "0.0.0.0/0 127.0.0.1/8 224.0.0.1/4 fe80::1%eth0/64 ::1/128 ff02::1/64 2001:db8::1/129 a/24",
    ),
    (grammar.check_network4, "10.10.10.1/24 10.10.10.0 0.0.0.0/0 2001:db8::/32 10.10.10.0/33 10.10.10.0/024"),
    (grammar.check_address, "10.0.0.1/24 0.0.0.0 255.255.255.255 127.0.0.1 :: fe80::1%eth0 1.2.3 example.org"),
    (grammar.check_address4, "2001:db8::1"),
    (grammar.check_address6, "192.0.2.1"),
    (grammar.check_mac, "bc-24-11-00-00-01 bc:24:11:00:00 bc:24:11:00:00:0g 01:00:5e:00:00:01 00:00:00:00:00:00"),
    (grammar.check_duration(5, 3600), "4s 3601s 2h 61m 0s 05s 1d 1 s 1.5m -1m"),
    (check_lease_time, "12 119s 1m 1y 8000000000s Infinite"),
    (check_lease_file, "/etc/cron.d/x /var/lib/misc /var/lib/misc/../x /tmp/.x relative /var/lib/misc//x /root/x"),
    (
        check_lease_file,
        "/run/nologin /var/lib/misc/x /run/systemd/x.leases /var/lib/.leases /tmp/leases/ /run/sshd.pid",
    ),
    (check_log_facility, "DAEMON /etc/cron.d/x /var/log/../x /var/log/ - local8"),
    (check_log_facility, "/var/log/wtmp /var/log/auth.log /var/log/journal/dnsmasq.log /var/log/dnsmasq.d/x /run/dns"),
    (check_local, "/ // /a/b/ /a"),
    (check_server, "1.1.1.1#0 1.1.1.1#65536 //1.1.1.1 /A/1.1.1.1 dns.example.org 1.1.1.1@lo 0.0.0.0"),
    (check_server, "1.1.1.1@::1 /a/ fe80::1%a 1.1.1.1@eth0@eth1 /1.2.3.400/1.1.1.1 ::ffff:1.1.1.1"),
    (check_netmask, "255.0.255.0 0.0.0.0 24 255.255.255 255.255.255.256"),
    (check_package, "A a dnsmasq- dnsmasq+ -y dnsmasq=2.90 dnsmasq/stable ../x"),
    (check_service, "ssh.socket -x ../x a/b apt-daily.timer dnsmasq@"),
]


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("enp2s0.100.200", "`enp2s0.100.200` is a VLAN inside a VLAN, which passerelle does not manage"),
        ("bond0.30.5", "`bond0.30.5` is a VLAN inside a VLAN, which passerelle does not manage"),
        ("enp1s0.5000", "`enp1s0.5000` has no VLAN number from 1 to 4094"),
        ("bond0.0", "`bond0.0` has no VLAN number from 1 to 4094"),
        ("eth0.", "`eth0.` is not an interface name"),
        ("0eth.30", "`0eth.30` is not an interface name"),
        ("eth0:1", "`eth0:1` is not an interface name"),
    ],
)
def test_a_name_that_the_kernel_takes_is_not_called_no_name(value: str, what: str) -> None:
    with pytest.raises(ValueError, match=re.escape(what)):
        grammar.check_interface(value)


@pytest.mark.parametrize(("check", "value", "canonical"), TAKEN)
def test_a_good_value_is_taken_in_its_canonical_form(check: Callable[[str], str], value: str, canonical: str) -> None:
    assert check(value) == canonical
    assert check(canonical) == canonical


@pytest.mark.parametrize(("check", "value"), [(check, value) for check, values in REFUSED for value in values.split()])
def test_a_bad_value_is_refused_with_what_would_be_right(check: Callable[[str], str], value: str) -> None:
    with pytest.raises(PydanticCustomError) as refused:
        check(value)
    context = refused.value.context
    assert context is not None
    assert context["what"]
    assert context["right"]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    "tail", ["\n", "\npost-up id", "\r", "\x00", "\u2028", " x", "#", ";", '"', "%a\npost-up id", ",", "$(id)", "`id`"]
)
def test_no_grammar_takes_what_could_leave_its_line(check: Callable[[str], str], tail: str) -> None:
    for good, value, _ in TAKEN:
        if good is not check or (good is check_host_key and tail[0] in ' #;"%,$`'):
            continue  # a key's comment is free text, and dropped
        with pytest.raises(PydanticCustomError):
            check(value + tail)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@given(value=st.text(max_size=40))
def test_a_grammar_takes_or_refuses_any_text(check: Callable[[str], str], value: str) -> None:
    try:
        made = check(value)
    except PydanticCustomError:
        return
    assert made.isascii()
    assert made.isprintable()


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("AAAAC3NzaC1lZDI1NTE5AAAA", "is not a host key"),
        ("ssh-dss AAAAB3NzaC1kc3MAAACBAP", "is not a host key"),
        ("ssh-ed25519 AAAA…", "is not a host key"),
        ("ssh-ed25519 AAAA", "does not hold a key of that type"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPnMuRArpXCMB2oMafDH", "does not hold a key of that type"),
        (ED25519.replace("ssh-ed25519", "ssh-rsa"), "does not hold a key of that type"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAABAAAAAA=", "does not have 32 bytes"),
        ("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAAwD//w==", "has 16 bits, and 2048 is the minimum"),
        ("ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAAABBA==", "is not a point on its curve"),
        (f"{ED25519[:-1]}*", "is not a host key"),
    ],
)
def test_a_host_key_is_checked_to_its_last_byte(line: str, what: str) -> None:
    with pytest.raises(PydanticCustomError) as refused:
        check_host_key(line)
    assert what in str(refused.value)


def test_a_service_is_known_by_its_alias_and_with_or_without_ending() -> None:
    assert {unit_of(name) for name in ("bind9", "bind9.service", "named", "named.service")} == {"named.service"}
    assert unit_of("sshd") == "ssh.service"
    assert unit_of("dnsmasq") == "dnsmasq.service"
