"""How addresses, ports and options are read, by Proxmox and by the kernel's tools (measured with iptables 1.8.9)."""

import pytest

from service.firewall.pve.options import BadLine, parse_option, parse_ratelimit
from service.firewall.terms.addresses import MaskedNetwork, Span, iptables_network, iptables_span, mask_of
from service.firewall.terms.icmp import IcmpType, icmp_type
from service.firewall.terms.names import DCCP, SCTP, TCP, UDP, UDPLITE
from service.firewall.terms.net_ip import Unusable, check
from service.firewall.terms.ports import BadPorts, PortRange, check_ports, iptables_ports


def _v4(text: str) -> int:
    network = iptables_network(text, 4)
    assert isinstance(network, MaskedNetwork)
    return network.value


@pytest.mark.parametrize(
    ("text", "value", "mask"),
    [
        ("192.0.2", "192.0.2.0", mask_of(32, 4)),
        ("5", "5.0.0.0", mask_of(32, 4)),
        ("010.0.0.1", "8.0.0.1", mask_of(32, 4)),
        ("192.0.2.77/24", "192.0.2.0", mask_of(24, 4)),
        ("192.0.2.77/024", "192.0.0.0", mask_of(20, 4)),
        ("192.0.2.77/255.0.255.0", "192.0.2.0", 0xFF00FF00),
        ("192.0.2.0/0", "0.0.0.0", 0),
    ],
)
def test_iptables_reads_addresses_its_own_way(text: str, value: str, mask: int) -> None:
    assert iptables_network(text, 4) == MaskedNetwork(_v4(value), mask)


@pytest.mark.parametrize("text", ["08.0.0.1", "192.0.2.0/33", "192.0.2.0/08", "192.0.2.0/x", "1.2.3.4.5", "2001::1"])
def test_iptables_refuses_other_addresses(text: str) -> None:
    assert isinstance(iptables_network(text, 4), str)


def test_ip6tables_reads_masks_as_addresses_too() -> None:
    assert iptables_network("2001:db8::1/ffff::", 6) == MaskedNetwork(0x2001 << 112, 0xFFFF << 112)
    assert iptables_network("2001:db8::1/064", 6) == iptables_network("2001:db8::/52", 6)
    assert iptables_network("2001:db8::/129", 6) == "invalid mask `129' specified"


def test_spans() -> None:
    assert iptables_span("192.0.2.1-192.0.2.9", 4) == Span(_v4("192.0.2.1"), _v4("192.0.2.9"))
    assert isinstance(iptables_span("010.0.0.1-9.0.0.1", 4), Span)
    assert isinstance(iptables_span("192.0.2.0/24-192.0.2.9", 4), str)
    assert isinstance(iptables_span("9.0.0.1-010.0.0.1", 4), str)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("192.0.2.256", "Invalid quad in IP address 192.0.2.256 - 256"),
        ("192.0.2.0/33", "Prefix length 33 is longer than IP address (32)"),
        ("192.0.2.5/24", "Invalid prefix 11000000000000000000001000000101/24"),
        ("192.0.2.20-192.0.2.10", "Begin address is greater than End address 192.0.2.20 - 192.0.2.10"),
        ("!192.0.2.1", "Invalid chars in IP !192.0.2.1"),
        (".1", "Invalid IP .1 - starts with a dot"),
        ("1.", "Invalid IP 1. - ends with a dot"),
        ("1..2", "Empty quad in IP address 1..2"),
        ("1.2.3.4.5", "Invalid IP address 1.2.3.4.5"),
        ("1:2", "Invalid number of octets 1:2"),
        (":1:2:3:4:5:6:7", "Invalid address :1:2:3:4:5:6:7 (starts with :)"),
        ("1::2::3", "Invalid address 1::2::3 (More than one :: pattern)"),
        ("2001:db8::x", "Invalid IP address 2001:db8::x"),
        (
            "2001::9-2001::1",
            f"Begin address is greater than End address 2001:{'0000:' * 6}0009 - 2001:{'0000:' * 6}0001",
        ),
        ("", "Invalid chars in IP "),
    ],
)
def test_net_ip_says_what_is_wrong(text: str, words: str) -> None:
    with pytest.raises(Unusable) as caught:
        check(text)
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("192.0.2", 4),
        ("0", 4),
        ("192.0.2.0/x", 4),
        ("10.0.0.0/8", 4),
        ("::ffff:192.0.2.1", 6),
        ("2001:db8::1-2001:db8::2", 6),
    ],
)
def test_net_ip_accepts(text: str, family: int) -> None:
    assert check(text) == family


@pytest.mark.parametrize(
    ("protocol", "text", "ports"),
    [
        (TCP, "80", 80),
        (TCP, "010", 8),
        (TCP, "080", None),
        (TCP, "ssh", 22),
        (TCP, "ntp", None),
        (SCTP, "080", None),
        (SCTP, "ssh", None),
        (UDP, "080", 80),
        (UDP, "ssh", 22),
        (DCCP, "010", 10),
        (DCCP, "http", 80),
        (UDPLITE, "80", None),
    ],
)
def test_a_single_port_is_read_by_protocol(protocol: int, text: str, ports: int | None) -> None:
    found = iptables_ports(text, protocol, several=False)
    assert found == (PortRange(ports, ports),) if ports is not None else isinstance(found, str)


def test_lists_of_ports_are_read_alike_for_all_protocols() -> None:
    assert iptables_ports("010,20:30", UDP, several=True) == (PortRange(8, 8), PortRange(20, 30))
    assert iptables_ports("80,90", UDPLITE, several=True) == (PortRange(80, 80), PortRange(90, 90))
    assert isinstance(iptables_ports("ssh,80", UDP, several=True), str)
    assert iptables_ports(",".join(["http"] * 16), TCP, several=True) == "too many ports specified"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("65536", "invalid port '65536'"),
        ("90:80", "backwards range '90:80' not allowed, did you mean '80:90'?"),
        ("80,", "extraneous commas in list"),
        ("80,,81", "invalid port ''"),
        ("www", "invalid port 'www'"),
        ("any,80", "ICMP ports not allowed in port range"),
        (",".join(["80:81"] * 8), "too many entries in port list (> 15 numbers)"),
    ],
)
def test_proxmox_refuses_ports(text: str, words: str) -> None:
    with pytest.raises(BadPorts) as caught:
        check_ports(text, dest=True)
    assert str(caught.value) == words


def test_icmp_types_have_codes() -> None:
    assert icmp_type("host-prohibited", 4) == IcmpType(3, 10)
    assert icmp_type("precedence-cutoff", 4) == IcmpType(3, 15)
    assert icmp_type("reject-route", 6) == IcmpType(1, 6)
    assert icmp_type("255", 4) == IcmpType(None)
    assert icmp_type("255", 6) == IcmpType(255)
    assert icmp_type("08", 4) is None
    assert icmp_type("any", 6) is None


@pytest.mark.parametrize(
    ("kind", "line", "option"),
    [
        ("cluster", "ENABLE:1", ("enable", 1)),
        ("cluster", "policy_forward: drop", ("policy_forward", "DROP")),
        ("host", "log_level_in:", ("log_level_in", "")),
        ("host", "Log_Level_Out: CRIT ", ("log_level_out", "crit")),
        ("host", "nf_conntrack_max: 0300000", ("nf_conntrack_max", 300000)),
        ("host", "nf_conntrack_helpers: FTP,tftp", ("nf_conntrack_helpers", "ftp,tftp")),
        ("guest", "layer2_protocols: ARP,0806", ("layer2_protocols", "ARP,0806")),
        ("guest", "ips_queues: 0:3", ("ips_queues", "0:3")),
    ],
)
def test_options(kind: str, line: str, option: tuple[str, object]) -> None:
    assert parse_option(line, kind, 0) == option  # type: ignore[arg-type]  # a kind by name


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("cluster", "enable: yes"),
        ("cluster", "enable : 1"),
        ("cluster", "policy_forward: REJECT"),
        ("cluster", "Log_Ratelimit: 1"),
        ("host", "policy_in: DROP"),
        ("host", "enable: 2"),
        ("host", "nf_conntrack_helpers: nope"),
        ("guest", "layer2_protocols: IPv6"),
        ("guest", "log_level_in: loud"),
        ("guest", "enable"),
    ],
)
def test_options_that_are_skipped(kind: str, line: str) -> None:
    with pytest.raises(BadLine):
        parse_option(line, kind, 0)  # type: ignore[arg-type]  # a kind by name


@pytest.mark.parametrize("value", ["1", "enable=0", "on,rate=10/minute", "1,burst=0", "yes,rate=1/day,burst=10"])
def test_log_rates(value: str) -> None:
    assert parse_ratelimit(value).refused == ""


@pytest.mark.parametrize(
    "value", ["rate=1/second", "1,rate=0/second", "1,rate=1/week", "2", "1,1", "1,burst=-1", "1,x=2", "=1"]
)
def test_log_rates_that_stop_everything(value: str) -> None:
    with pytest.raises(BadLine):
        parse_ratelimit(value)
