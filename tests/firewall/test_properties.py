"""What must hold for any file, any level, any packet."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import InputError
from service.firewall.pve.files import read_cluster, read_guest, read_host
from service.firewall.pve.render import canonical, render
from service.firewall.terms.macros import macros
from service.firewall.terms.model import LOG_LEVELS, Alias, IPSet, IPSetEntry, Level, Rule, SecurityGroup
from service.firewall.trace.chains import Chain, Flow
from service.firewall.trace.compile import HOST_IN, compile_family
from service.firewall.trace.ignored import ignored_lines
from service.firewall.trace.packets import parse_packet
from service.firewall.trace.sets import build_sets
from service.firewall.trace.verdict import Analyser
from tests.firewall.asking import GUESTS, NODE, ON, analyser, ask, read
from tests.firewall.corpus import cases

_WORDS = [
    *(
        "IN",
        "OUT",
        "in",
        "FORWARD",
        "GROUP",
        "|IN",
        "ACCEPT",
        "DROP",
        "REJECT",
        "HTTP(ACCEPT)",
        "Ping(REJECT)",
        "Nope(DROP)",
    ),
    *(
        "-p",
        "--proto",
        "tcp",
        "udp",
        "icmp",
        "icmpv6",
        "ipv6-icmp",
        "6",
        "0",
        "300",
        "mptcp",
        "262",
        "gre",
        "udplite",
        "ip",
    ),
    *(
        "-dport",
        "-sport",
        "80",
        "0",
        "00",
        "080",
        "80:90",
        "90:80",
        "80,443",
        "ssh",
        "bootps",
        "echo-request",
        "any",
        "a,b",
    ),
    *(
        "-source",
        "-dest",
        "192.0.2.1",
        "192.0.2.0/24",
        "192.0.2.1/24",
        "192.0.2.9-192.0.2.1",
        "1.2",
        "2001:db8::/64",
        "::/0",
    ),
    *(
        "lan",
        "guest/lan",
        "dc/lan",
        "+set1",
        "+guest/set1",
        "+sdn/set1",
        "+nope",
        "nope",
        "192.0.2.0/x",
        "10.0.0.0/33",
        ",",
    ),
    *(
        "-i",
        "vmbr0",
        "net0",
        "sixteen_letters_x",
        "eth0:1",
        "-log",
        "info",
        "nolog",
        "-icmp-type",
        "8",
        "# comment",
        "#",
        "",
    ),
    *(
        "web",
        "ipfilter-net0",
        "blacklist",
        "management",
        "local_network",
        "!192.0.2.1",
        "!",
        "enable:",
        "1",
        "policy_in:",
    ),
    *(
        "[RULES]",
        "[OPTIONS]",
        "[ALIASES]",
        "[IPSET",
        "set1]",
        "[IPSET set1]",
        "[group web]",
        "[IPSET blacklist]",
        "\r",
        "\xe4",
    ),
]
_LINES = st.lists(st.lists(st.sampled_from(_WORDS), max_size=9).map(" ".join), max_size=14).map("\n".join)
_KNOWN = (
    "[ALIASES]\nlan 192.0.2.0/24\nlan6 2001:db8::/64\nbad 192.0.2.0/33\n[IPSET set1]\n192.0.2.1\n!2001:db8::1\n"
    "[group web]\nIN HTTP(ACCEPT)\nIN ACCEPT -p icmp -dport any,any\n[RULES]\n"
)
_TEXTS = st.one_of(st.binary(max_size=300), _LINES.map(lambda text: (ON + _KNOWN + text).encode("latin-1")))


@pytest.mark.long
@given(_TEXTS, _TEXTS, _TEXTS)
def test_reading_never_raises(cluster: bytes, host: bytes, guest: bytes) -> None:
    known = read_cluster(cluster)
    readings = [known, read_host(host, "host.fw", known.level), read_guest(guest, "1.fw", "1", "ct", known.level)]
    for reading in readings:
        assert all(item.where.file == reading.level.file for item in reading.ignored)
        assert all(rule.where.line > 0 for rule in reading.level.rules)


@pytest.mark.long
@settings(max_examples=150)
@given(_LINES, _LINES, _LINES)
def test_compiling_and_tracing_never_fail_on_what_was_read(cluster: str, host: str, guest: str) -> None:
    folder = read(ON + _KNOWN + cluster, "[RULES]\n" + host, ct100=ON + "ipfilter: 1\n" + guest, vm200=ON + guest)
    if folder.fatal:
        return
    asked = Analyser(folder.firewall)
    for way in ("outside host", "host outside", "outside ct100", "ct100 host", "ct100 vm200", "enp1s0/wan ct100"):
        for six in (False, True):
            found = ask(asked, way, "tcp", 80, six=six)
            assert found.verdict in ("ACCEPT", "DROP", "REJECT")
            assert found.why


@pytest.mark.long
@settings(max_examples=100)
@given(_LINES, _LINES)
def test_what_refuses_to_load_is_listed(cluster: str, guest: str) -> None:
    files = {"cluster.fw": ON + _KNOWN + cluster, "100.fw": ON + "[RULES]\n" + guest}
    folder = read(files["cluster.fw"], ct100=files["100.fw"])
    raw = {name: text.encode() for name, text in files.items()}
    raw["guests.json"] = b'{"lxc": {"100": {"net0": "%s"}}}' % GUESTS["lxc"]["100"]["net0"].encode()
    listed = {item.where for item in ignored_lines(raw, NODE)}
    if not folder.fatal:
        assert {item.where for item in Analyser(folder.firewall).refused} <= listed
    assert {item.where for item in folder.ignored} <= listed


_NAME = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{1,15}", fullmatch=True)
_LOWER = st.from_regex(r"[a-z][a-z0-9_-]{1,15}", fullmatch=True)
_COMMENT = st.one_of(st.just(""), st.from_regex(r"[a-z#äß☃][a-z #äß☃|-]{0,20}[a-z]", fullmatch=True))
_V4 = st.sampled_from(["192.0.2.1", "192.0.2.0/24", "10.0.0.0/8", "198.51.100.7"])
_V6 = st.sampled_from(["2001:db8::1", "2001:db8::/32", "fe80::/10"])
_ALIASES = st.lists(
    st.tuples(_NAME, st.one_of(_V4, _V6), _COMMENT), max_size=4, unique_by=lambda item: item[0].lower()
).map(
    lambda items: {name.lower(): Alias(name, cidr, 6 if ":" in cidr else 4, comment) for name, cidr, comment in items}
)
_ENTRIES = st.lists(
    st.builds(IPSetEntry, st.one_of(_V4, _V6), st.booleans(), _COMMENT), max_size=5, unique_by=lambda entry: entry.cidr
).map(tuple)
_SETS = st.lists(st.builds(IPSet, _LOWER, _ENTRIES, _COMMENT), max_size=3, unique_by=lambda ipset: ipset.name).map(
    lambda sets: {ipset.name: ipset for ipset in sets}
)


@st.composite
def _rules(draw: st.DrawFn, *, iface: str, aliases: dict[str, Alias], sets: dict[str, IPSet]) -> tuple[Rule, ...]:
    found = []
    for _ in range(draw(st.integers(0, 6))):
        source = draw(
            st.sampled_from(["", "192.0.2.0/24", "192.0.2.1-192.0.2.9", *aliases, *(f"+{name}" for name in sets)])
        )
        family = aliases[source].family if source in aliases else 4 if source.startswith("192") else 0
        macro = draw(st.sampled_from(["", "", "HTTP", "DNS", "Web"]))
        proto = "" if macro else draw(st.sampled_from(["", "tcp", "udp", "17"]))
        found.append(
            Rule(
                type=draw(st.sampled_from(["in", "out"])),
                action=draw(st.sampled_from(["ACCEPT", "DROP", "REJECT"])),
                macro=macro,
                iface=draw(st.sampled_from(["", iface])),
                source=source,
                proto=proto,
                dport=draw(st.sampled_from(["", "80", "80:90", "22,443,8000:8010"])) if proto else "",
                sport=draw(st.sampled_from(["", "1024:65535"])) if proto else "",
                log=draw(st.sampled_from(["", *LOG_LEVELS])),
                enable=draw(st.booleans()),
                comment=draw(_COMMENT),
                family=family,
            )
        )
    return tuple(found)


@st.composite
def _levels(draw: st.DrawFn) -> Level:
    aliases, sets = draw(_ALIASES), draw(_SETS)
    rules = draw(_rules(iface="vmbr0", aliases=aliases, sets=sets))
    groups = draw(st.lists(_LOWER, max_size=2, unique=True))
    options = draw(
        st.fixed_dictionaries({}, optional={"enable": st.just(1), "policy_in": st.sampled_from(["DROP", "REJECT"])})
    )
    grouped = {
        name: SecurityGroup(name, draw(_rules(iface="", aliases=aliases, sets=sets)), draw(_COMMENT)) for name in groups
    }
    return Level("cluster", "cluster.fw", "", options, aliases, sets, rules, grouped)


@pytest.mark.long
@given(_levels())
def test_what_is_rendered_is_read_as_the_same_level(level: Level) -> None:
    data = render(level)
    assert read_cluster(data).level == replace(canonical(level), exists=bool(data))
    assert render(read_cluster(data).level) == data


@pytest.mark.long
@given(_levels())
def test_a_guest_renders_what_it_may_hold(level: Level) -> None:
    rules = tuple(replace(rule, iface="net0" if rule.iface else "") for rule in level.rules)
    guest = replace(level, kind="guest", file="100.fw", vmid="100", groups={}, rules=rules)
    data = render(guest)
    cluster = read_cluster(b"").level
    assert read_guest(data, "100.fw", "100", "vm", cluster).level == replace(canonical(guest), exists=bool(data))


def test_cases_without_errors_render_as_themselves() -> None:
    rendered = 0
    for case in cases():
        folder = case.read()
        cluster = folder.firewall.cluster
        if folder.ignored or not cluster.exists:
            continue
        data = render(cluster)
        assert read_cluster(data).level == replace(canonical(cluster), exists=bool(data))
        for level in (folder.firewall.host, *folder.firewall.guests.values()):
            assert render(level, cluster) == render(level, cluster)
            rendered += 1
    assert rendered > 50


_INJECTED = [
    "x\n[RULES]",
    "a b",
    "a\tb",
    "#",
    "x # y",
    "\r",
    "\n",
    "-p tcp",
    "[OPTIONS]",
    "\x00",
    "ä",
    "\N{LINE SEPARATOR}",
]


@pytest.mark.parametrize(
    "field", ["type", "action", "macro", "iface", "source", "dest", "proto", "dport", "sport", "log", "icmp_type"]
)
@pytest.mark.parametrize("text", _INJECTED)
def test_no_field_can_smuggle_anything_into_a_file(field: str, text: str) -> None:
    rule = replace(Rule("in", "ACCEPT", proto="tcp", dport="80", source="192.0.2.1", family=4), **{field: text})
    with pytest.raises(InputError, match="cannot be written"):
        render(Level("cluster", "cluster.fw", rules=(rule,)))


@pytest.mark.parametrize("text", ["x\nIN ACCEPT", "x\n", " x", "x ", "\nx", "#x\n"])
def test_no_comment_can_smuggle_anything_into_a_file(text: str) -> None:
    for level in (
        Level("cluster", "cluster.fw", rules=(Rule("in", "DROP", comment=text),)),
        Level("cluster", "cluster.fw", aliases={"lan": Alias("lan", "192.0.2.1", 4, text)}),
        Level("cluster", "cluster.fw", ipsets={"lan": IPSet("lan", comment=text)}),
        Level("cluster", "cluster.fw", ipsets={"lan": IPSet("lan", (IPSetEntry("192.0.2.1", comment=text),))}),
        Level("cluster", "cluster.fw", groups={"lan": SecurityGroup("lan", comment=text)}),
    ):
        with pytest.raises(InputError, match="cannot be written"):
            render(level)


@st.composite
def _flows(draw: st.DrawFn) -> Flow:
    fields = {
        "from": "outside",
        "to": "host",
        "proto": draw(st.sampled_from(["tcp", "udp", "icmp", "gre"])),
        "dport": draw(st.integers(1, 130)),
        "source": f"192.0.2.{draw(st.integers(0, 40))}",
        "dest": draw(st.sampled_from(["203.0.113.10", "10.10.10.1"])),
    }
    if fields["proto"] in ("icmp", "gre"):
        fields["dport"] = "echo-request" if fields["proto"] == "icmp" else 0
    return parse_packet(fields).flow


_MANY = st.lists(
    st.builds(
        "{} {} {} {}".format,
        st.sampled_from(["IN ACCEPT", "IN DROP", "IN REJECT"]),
        st.sampled_from(
            ["", "-source 192.0.2.0/28", "-source 192.0.2.7,192.0.2.9", "-source 192.0.2.3-192.0.2.30", "-source lan"]
        ),
        st.sampled_from(["", "-dest 10.10.10.0/24"]),
        st.sampled_from(
            ["", "-p tcp", "-p udp -dport 1:130", "-p tcp -dport 7", "-p udp -dport 9,11,20:40", "-p icmp", "-p gre"]
        ),
    ),
    min_size=30,
    max_size=60,
)


@pytest.mark.long
@settings(max_examples=40, deadline=None)
@given(_MANY, st.lists(_flows(), min_size=10, max_size=20))
def test_the_index_finds_what_walking_every_rule_finds(rules: list[str], flows: list[Flow]) -> None:
    firewall = read(ON + "[ALIASES]\nlan 192.0.2.16/28\n[RULES]\n" + "\n".join(rules)).firewall
    chain = compile_family(firewall, build_sets(firewall), 4).ruleset.chains[HOST_IN]
    for flow in flows:
        assert _matching(chain, flow) == [step for step in chain.steps if step.matches(flow)]


def _matching(chain: Chain, flow: Flow) -> list[object]:
    return [step for step in chain.candidates(flow) if step.matches(flow)]


@pytest.mark.parametrize("name", sorted(macros()))
def test_every_macro_is_compiled_for_its_families(name: str) -> None:
    asked = analyser(ON + f"[RULES]\nIN {name}(ACCEPT)\n")
    assert asked.refused == ()
    macro = macros()[name]
    for family in (4, 6):
        for line in macro.lines(4 if family == 4 else 6):
            port = line.icmp_type or line.dport.replace(",", ":").partition(":")[0] or None
            sport = line.sport.partition(":")[0] or None
            found = ask(asked, "outside host", line.proto, port, six=family == 6, sport=sport)
            assert found.verdict == "ACCEPT"
            assert found.why


def test_there_are_86_macros() -> None:
    assert len(macros()) == 86
