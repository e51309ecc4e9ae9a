"""dnsmasq's configuration: read as dnsmasq 2.90 reads it, compared by meaning, written through a closed table."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InputError
from service.formats import dnsmasq
from service.formats.dnsmasq import Directive, HostEntry

SEED = b"""\
        domain-needed
        bogus-priv

        no-poll
        no-hosts

        no-dhcp-interface=enp1s0
        interface=vmbr0

        expand-hosts
        domain=madyanne.lan

        dhcp-authoritative
        dhcp-leasefile=/tmp/dhcp.leases

        dhcp-range=10.10.10.100,10.10.10.200,255.255.255.0,12h
        dhcp-option=3,10.10.10.1
        dhcp-option=19,1
        dhcp-option=6,10.10.10.1

        cache-size=256

        log-facility=/var/log/dnsmasq.log
        #log-queries
"""


def read(text: str) -> list[tuple[str, str]]:
    return [(d.key, d.value) for d in dnsmasq.parse(text.encode()).directives]


def test_a_file_with_every_directive_of_the_first_host_is_read_and_written_back_with_the_same_meaning() -> None:
    file = dnsmasq.parse(SEED)
    assert file.problems == ()
    assert len(file.directives) == 16
    assert dnsmasq.meaning([dnsmasq.parse(dnsmasq.render(file.directives))]) == dnsmasq.meaning([file])


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("cache-size=256", "cache-size", "256"),
        ("  cache-size = 256  # many", "cache-size", "256"),
        ("dhcp-range=a,b,12h#c", "dhcp-range", "a,b,12h#c"),
        ("\tno-poll\r", "no-poll", ""),
        ('log-facility="/var/log/a b"', "log-facility", "/var/log/a b"),
        ('domain="a # b" # c', "domain", "a # b"),
        ('txt-record="a\\"b\\\\c"', "txt-record", 'a"b\\c'),
        ("server=/x/#", "server", "/x/#"),
        ("address==x", "address", "=x"),
    ],
)
def test_a_line_is_cut_as_dnsmasq_cuts_it(line: str, key: str, value: str) -> None:
    assert read(line) == [(key, value)]


@pytest.mark.parametrize("line", ["", "   ", "# no", "\t#no", '""'])
def test_a_line_that_says_nothing_is_no_directive(line: str) -> None:
    assert read(line) == []


@pytest.mark.parametrize(
    "line", ['domain="x', "no-poll=1", "cache-size", "cache-size=1\ncache-size=2", "server=" + "x" * 1100]
)
def test_what_stops_dnsmasq_is_a_problem_with_its_line(line: str) -> None:
    problems = dnsmasq.parse(line.encode(), "/etc/dnsmasq.d/x").problems
    assert len(problems) == 1
    assert problems[0].startswith(f"/etc/dnsmasq.d/x:{line.count(chr(10)) + 1}: ")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("server=1.1.1.1#53", "server=1.1.1.1"),
        ("server=2001:DB8:0::53@eth0", "server=2001:db8::53@eth0"),
        ("server=/b.lan/A.lan/1.1.1.1", "server=/a.lan/b.lan/1.1.1.1"),
        ("listen-address=FD00:10:0::1,10.0.0.1", "listen-address=10.0.0.1\nlisten-address=fd00:10::1"),
        ("dhcp-range=10.0.0.9,10.0.0.99,12h", "dhcp-range = 10.0.0.9, 10.0.0.99, 255.255.255.0, 43200"),
        ("dhcp-range=10.0.0.9,10.0.0.99,255.255.255.0", "dhcp-range=10.0.0.9,10.0.0.99,255.255.255.0,10.0.0.255,1h"),
        ("dhcp-range=tag:b,tag:a,10.0.0.9,10.0.0.99,60", "dhcp-range=tag:a,tag:b,10.0.0.9,10.0.0.99,2m"),
        ("dhcp-option=3,10.0.0.1", "dhcp-option=option:router, 10.0.0.1"),
        ("dhcp-option=tag:x,option:DNS-Server,10.0.0.1", "dhcp-option=tag:x,6,10.0.0.1"),
        ("dhcp-host=BC:24:11:00:00:01,Dev", "dhcp-host=bc:24:11:0:0:1, dev"),
        ("interface=a,b", "interface=b\ninterface=a\ninterface=a"),
        ("domain=LAN", "domain=x\ndomain=lan"),
        ("local=/lan/", "server=/LAN/"),
        ("cache-size=0256", "cache-size=256"),
        ("no-poll\nno-hosts", "no-hosts\nno-poll\nno-poll"),
        ("server=10.0.0.1\nserver=10.0.0.2", "server=10.0.0.2\nserver=10.0.0.1"),
    ],
)
def test_two_spellings_of_one_thing_mean_the_same(one: str, other: str) -> None:
    meanings = [dnsmasq.meaning([dnsmasq.parse(text.encode())], ["10.0.0.1/24"]) for text in (one, other)]
    assert meanings[0] == meanings[1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("dhcp-range=10.0.0.9,10.0.0.99,12h", "dhcp-range=10.0.0.9,10.0.0.99,11h"),
        ("dhcp-range=10.0.0.9,10.0.0.99,255.255.0.0", "dhcp-range=10.0.0.9,10.0.0.99"),
        ("dhcp-option=3,10.0.0.1", "dhcp-option=6,10.0.0.1"),
        ("dhcp-option=3,10.0.0.1\ndhcp-option=3,10.0.0.2", "dhcp-option=3,10.0.0.2\ndhcp-option=3,10.0.0.1"),
        ("strict-order\nserver=10.0.0.1\nserver=10.0.0.2", "strict-order\nserver=10.0.0.2\nserver=10.0.0.1"),
        ("no-poll", "no-hosts"),
        ("server=1.1.1.1#54", "server=1.1.1.1"),
        ("server=1.1.1.1@Eth0", "server=1.1.1.1@eth0"),
        ("server=/a.lan/1.1.1.1", "server=1.1.1.1"),
        ("server=/a.lan/#", "server=/a.lan/"),
    ],
)
def test_two_different_things_do_not_mean_the_same(one: str, other: str) -> None:
    meanings = [dnsmasq.meaning([dnsmasq.parse(text.encode())], ["10.0.0.1/24"]) for text in (one, other)]
    assert meanings[0] != meanings[1]


def test_debians_dnsmasq_leaves_back_up_files_of_its_folder_out() -> None:
    names = ["b", "a", ".x", "a~", "#a#", "a.dpkg-old", "a.dpkg-dist", "README"]
    assert dnsmasq.taken(f"/etc/dnsmasq.d/{name}" for name in names) == (
        "/etc/dnsmasq.d/README",
        "/etc/dnsmasq.d/a",
        "/etc/dnsmasq.d/b",
    )


GOOD = [
    *[(flag, "") for flag in sorted(dnsmasq.FLAGS)],
    ("listen-address", "127.0.0.1,10.10.10.1"),
    ("domain", "madyanne.lan"),
    ("domain", "lan,10.0.0.0/8"),
    ("local", "/madyanne.lan/"),
    ("listen-address", "10.10.10.1,fd00:10::1"),
    ("server", "9.9.9.9"),
    ("server", "127.0.0.1#5353"),
    ("server", "2001:db8::53"),
    ("server", "2001:db8::53#5353@vmbr0@2001:db8::1#5354"),
    ("server", "/example.org/example.net/192.0.2.53#54"),
    ("server", "/example.org/#"),
    ("max-cache-ttl", "60"),
    ("dhcp-option", "252,http://10.10.10.1/~wpad@home"),
    ("domain", ".".join("a" * 40)),
    ("server", "/corp.example/10.0.0.53"),
    ("dhcp-range", "set:a,10.0.0.9,10.0.0.99,infinite"),
    ("dhcp-range", "10.0.0.0,static,255.255.255.0"),
    ("dhcp-option", "option:domain-search,a.lan,b.lan"),
    ("dhcp-option", "26,1400"),
    ("dhcp-host", "bc:24:11:00:00:01,10.0.0.20,proxy"),
    ("dhcp-hostsdir", "/etc/passerelle/dhcp-hosts"),
    ("dhcp-ignore-names", "tag:!known"),
    ("dhcp-ignore-names", ""),
    ("host-record", "www.example.org,10.0.0.20,300"),
    ("host-record", "www.example.org,fd00:10::20"),
    ("log-queries", ""),
    ("log-queries", "extra"),
    ("log-facility", "daemon"),
    ("log-facility", "-"),
    ("port", "0"),
]


@pytest.mark.parametrize(("key", "value"), GOOD)
def test_what_is_written_is_read_back_as_it_was_meant(key: str, value: str) -> None:
    file = dnsmasq.parse(dnsmasq.render([(key, value)]))
    assert file.problems == ()
    assert [(d.key, d.value) for d in file.directives] == [(key, value)]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("dhcp-script", "/bin/sh"),
        ("conf-file", "/etc/shadow"),
        ("domain\ndhcp-script", "x"),
        ("domain", "lan\ndhcp-script=/bin/sh"),
        ("domain", "lan #"),
        ("domain", '"lan"'),
        ("domain", ""),
        ("no-poll", "1"),
        ("interface", "a b"),
        ("interface", "sixteen-letters-x"),
        ("listen-address", "10.0.0.300"),
        ("dhcp-range", "10.0.0.9,10.0.0.999"),
        ("dhcp-range", "10.0.0.9"),
        ("dhcp-range", "10.0.0.9,10.0.0.99,12x"),
        ("dhcp-leasefile", "relative"),
        ("dhcp-leasefile", "/var/../etc/shadow"),
        ("dhcp-hostsdir", "/a b"),
        ("cache-size", "-1"),
        ("cache-size", "٣"),
        ("server", "9.9.9.9#0"),
        ("server", "9.9.9.9#65536"),
        ("server", "dns.example.org"),
        ("server", "9.9.9.9@2001:db8::1"),
        ("server", "fe80::1%eth0"),
        ("server", "//9.9.9.9"),
        ("server", "/a/9.9.9.9 #53"),
        ("server", "/" + ".".join(["a" * 60] * 5) + "/9.9.9.9"),
        ("listen-address", "fe80::1%eth0"),
        ("listen-address", "10.0.0.1#53"),
        ("dhcp-host", "zz,dev"),
        ("log-queries", "all"),
        ("dhcp-option", "3," + ",".join(["10.0.0.1"] * 64)),
        ("dhcp-option", "67," + "a" * 254),
        ("max-cache-ttl", "1h"),
    ],
)
def test_a_directive_outside_the_closed_table_is_refused_and_named(key: str, value: str) -> None:
    with pytest.raises(InputError, match="dnsmasq: ") as caught:
        dnsmasq.render([(key, value)])
    assert str(caught.value).isprintable()


def test_a_directive_that_dnsmasq_takes_once_is_not_written_twice() -> None:
    with pytest.raises(InputError, match="cache-size is given twice"):
        dnsmasq.render([("cache-size", "1"), Directive("cache-size", "2")])


@given(st.sampled_from(sorted(dnsmasq.VALUES)), st.text(max_size=60))
def test_nothing_that_is_rendered_holds_a_second_line_or_a_comment(key: str, value: str) -> None:
    try:
        text = dnsmasq.render([(key, value)]).decode()
    except InputError:
        return
    lines = text.splitlines()
    assert len(lines) == 2
    assert not any(c in lines[1] for c in "\"'\\\r\t")
    assert not re.search(r"(^|\s)#", lines[1])


@given(st.binary(max_size=300))
def test_no_bytes_stop_the_readers(data: bytes) -> None:
    file = dnsmasq.parse(data)
    dnsmasq.meaning([file], ["10.0.0.1/24"])
    dnsmasq.parse_hosts(data)


# ------------------------------------------------------------------------------------------------ dhcp-hostsdir


def test_a_hosts_file_is_read_in_any_order_of_its_words() -> None:
    data = b"# guests\nBC:24:11:00:00:01,proxy,10.10.10.20,12h\n10.10.10.21,bc:24:11:0:0:2 , dev # c\nset:x,id:*\n"
    file = dnsmasq.parse_hosts(data, "/x")
    assert file.entries == (
        HostEntry("bc:24:11:00:00:01", "proxy", "10.10.10.20", ("12h",)),
        HostEntry("bc:24:11:00:00:02", "dev", "10.10.10.21"),
    )
    assert file.problems == ("/x:4: names no MAC",)


def test_a_hosts_file_is_written_by_mac_and_read_back() -> None:
    entries = (
        HostEntry("bc:24:11:00:00:02", "proxy", "10.10.10.20"),
        HostEntry("bc:24:11:00:00:01", "dev"),
    )
    text = dnsmasq.render_hosts(entries)
    assert text == b"# written by passerelle\nbc:24:11:00:00:01,dev\nbc:24:11:00:00:02,10.10.10.20,proxy\n"
    assert set(dnsmasq.parse_hosts(text).entries) == set(entries)


@pytest.mark.parametrize(
    "entries",
    [
        [HostEntry("zz", "dev")],
        [HostEntry("bc:24:11:00:00:01", "Dev_1")],
        [HostEntry("bc:24:11:00:00:01", "12h")],
        [HostEntry("bc:24:11:00:00:01", "ignore")],
        [HostEntry("bc:24:11:00:00:01", "infinite")],
        [HostEntry("bc:24:11:00:00:01", "a\nb")],
        [HostEntry("bc:24:11:00:00:01", "a,b")],
        [HostEntry("bc:24:11:00:00:01", "")],
        [HostEntry("bc:24:11:00:00:01", "dev", "10.0.0.300")],
        [HostEntry("bc:24:11:00:00:01", "dev", "fd00::1")],
        [HostEntry("bc:24:11:00:00:01", "dev"), HostEntry("BC:24:11:00:00:01", "other")],
        [HostEntry("bc:24:11:00:00:01", "dev"), HostEntry("bc:24:11:00:00:02", "dev")],
        [HostEntry("bc:24:11:00:00:01", "a", "10.0.0.1"), HostEntry("bc:24:11:00:00:02", "b", "10.0.0.1")],
        [HostEntry("bc:24:11:00:00:01", "dev", "", ("12h",))],
    ],
)
def test_a_guest_that_dnsmasq_would_take_otherwise_is_refused(entries: list[HostEntry]) -> None:
    with pytest.raises(InputError):
        dnsmasq.render_hosts(entries)
