"""What only the next boot breaks: judged from the files, refused with any override, reported if it is broken
already.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from service.kinds import KINDS
from service.kinds.desire import desire
from service.model.facts import Step
from service.model.observed import HostObserved, Keeper, Listener, ManagementPath
from service.model.plans import Plan
from service.model.states import Absent, Json, Observed, Seen, Unknown
from service.observe.at_boot import WAY_IN_WATCH
from service.plan.make import Permission, make_plan
from service.plan.next_boot import next_boot_faults, next_boot_refusals
from service.resources.desired import Desired, LastApplied
from tests.laws.host import bare_host, link
from tests.laws.specs import head, spec_of

MAIN = "/etc/network/interfaces"
BELOW = "/etc/network/interfaces.d/uplink"
LO = b"auto lo\niface lo inet loopback\n\n"
IFUPDOWN2: Mapping[str, Observed[str]] = {"ifupdown": Absent(), "ifupdown2": Seen("3.0.0-1.1")}
ROUTED = ManagementPath("198.18.0.10", "198.51.100.11", 22)
NEIGHBOUR = ManagementPath("198.51.100.50", "198.51.100.11", 22)
SIX = ManagementPath("2001:db8:9::1", "2001:db8::11", 22)


def stanza(*lines: str, name: str = "enp1s0", family: str = "inet static", auto: bool = True) -> bytes:
    text = f"auto {name}\n" if auto else ""
    return (text + f"iface {name} {family}\n" + "".join(f"\t{line}\n" for line in lines)).encode()


ADDRESS = "address 198.51.100.11/24"
GATEWAY = "gateway 198.51.100.1"
USUAL = LO + stanza(ADDRESS, GATEWAY)
ON_BRIDGE = LO + stanza(ADDRESS, GATEWAY, "bridge-ports enp1s0", "bridge-stp off", "bridge-fd 0", name="vmbr0")
ON_EMPTY_BRIDGE = ON_BRIDGE.replace(b"bridge-ports enp1s0", b"bridge-ports none")
SOURCING = LO + b"source /etc/network/interfaces.d/*\n"
BRIDGED: Mapping[str, Observed[Json]] = {
    "link:vmbr0": Seen(link(type="bridge", ports=[{"name": "enp1s0", "up": True}, {"name": "veth101i0", "up": True}])),
    "link:enp1s0": Seen(link(master="vmbr0")),
    "link:veth101i0": Seen(link(master="vmbr0")),
    "addresses:vmbr0": Seen(["198.51.100.11/24"]),
    "addresses:enp1s0": Seen([]),
    "routes:default": Seen([{"family": 4, "via": "198.51.100.1", "dev": "vmbr0"}]),
}
ROUTELESS: Mapping[str, Observed[Json]] = {"routes:default": Seen([])}
DUAL: Mapping[str, Observed[Json]] = {
    "addresses:enp1s0": Seen(["198.51.100.11/24", "2001:db8::11/64"]),
    "routes:default": Seen(
        [
            {"family": 4, "via": "198.51.100.1", "dev": "enp1s0"},
            {"family": 6, "via": "fe80::1", "dev": "enp1s0"},
        ]
    ),
}
UNNAMED = stanza(ADDRESS, GATEWAY, auto=False)
FOR_A_VLAN = LO + UNNAMED + stanza("address 10.30.0.1/24", name="enp1s0.30")
SIX_FILES = USUAL + stanza("address 2001:db8::11/64", "gateway fe80::1", family="inet6 static", auto=False)

ROUTED_STYLE = LO + stanza("address 198.51.100.11/32", "pointopoint 198.51.100.1", GATEWAY)
ITS_BRIDGE = stanza("address 198.51.100.11/32", "bridge-ports none", name="vmbr0")
TWO_WITH_IT = ROUTED_STYLE + ITS_BRIDGE
LOST_ON_UPLINK = LO + stanza(GATEWAY) + ITS_BRIDGE
TWICE: Mapping[str, Observed[Json]] = {
    "link:vmbr0": Seen(link(type="bridge")),
    "addresses:vmbr0": Seen(["198.51.100.11/32"]),
    "addresses:enp1s0": Seen(["198.51.100.11/32"]),
}


@dataclass(frozen=True)
class Row:
    """The files before and after a plan; `cut` is part of the refusal, empty where none is due."""

    name: str
    now: bytes
    then: bytes
    cut: str = ""
    path: ManagementPath = ROUTED
    facts: Mapping[str, Observed[Json]] = field(default_factory=dict)
    below: tuple[bytes, bytes | None] | None = None


NO_ROUTE = "at the next boot no route to 198.18.0.10 is left"
NO_STANZA = "at the next boot enp1s0, which carries 198.51.100.11, is not brought up"
NOT_ON = "at the next boot 198.51.100.11, by which the service reaches this host, is not on enp1s0"
POST_UP = "post-up ip route add 198.18.0.0/16 via 198.51.100.254"
SCRIPT = "post-up /etc/network/routes.sh"
LO_ROUTES = LO.rstrip() + f"\n\t{POST_UP}\n\n".encode()

ROWS = [
    Row("another line", USUAL, USUAL + stanza("address 10.10.10.1/24", "bridge-ports none", name="vmbr0")),
    Row("of two with the address the bridge loses it", TWO_WITH_IT, ROUTED_STYLE, facts=TWICE),
    Row("of two with the address the uplink loses it", TWO_WITH_IT, LOST_ON_UPLINK, NOT_ON, facts=TWICE),
    Row("the gateway goes", USUAL, LO + stanza(ADDRESS), NO_ROUTE),
    Row("the gateway changes", USUAL, LO + stanza(ADDRESS, "gateway 198.51.100.7"), "instead of 198.51.100.1 on"),
    Row("the address goes", USUAL, LO + stanza(GATEWAY), NOT_ON),
    Row("the address changes", USUAL, LO + stanza("address 198.51.100.12/24", GATEWAY), NOT_ON),
    Row("the stanza goes", USUAL, LO, NO_STANZA),
    Row("auto goes", USUAL, LO + stanza(ADDRESS, GATEWAY, auto=False), NO_STANZA),
    Row("auto becomes allow-hotplug", USUAL, LO + b"allow-hotplug enp1s0\n" + stanza(ADDRESS, GATEWAY, auto=False)),
    Row("the netmask is spelled out", USUAL, LO + stanza("address 198.51.100.11", "netmask 255.255.255.0", GATEWAY)),
    Row("a neighbour needs no gateway", USUAL, LO + stanza(ADDRESS), path=NEIGHBOUR),
    Row(
        "a neighbour would be behind the gateway",
        USUAL,
        LO + stanza("address 198.51.100.11/28", GATEWAY),
        "instead of the network on enp1s0",
        path=NEIGHBOUR,
    ),
    Row(
        "the controller is taken for a neighbour",
        USUAL,
        USUAL + stanza("address 198.18.0.1/24", "bridge-ports none", name="vmbr1"),
        "198.18.0.10 is addressed as a neighbour on vmbr1",
    ),
    Row("the uplink leaves its bridge", ON_BRIDGE, ON_EMPTY_BRIDGE, "enp1s0 is not a port of vmbr0", facts=BRIDGED),
    Row("guests come and go on the bridge of the uplink", ON_BRIDGE, ON_BRIDGE + b"# x\n", facts=BRIDGED),
    Row(
        "the uplink becomes the port of a bridge at boot only",
        USUAL,
        USUAL + stanza("bridge-ports enp1s0", name="vmbr0", family="inet manual"),
        "enp1s0, which carries 198.51.100.11, is a port of vmbr0",
    ),
    Row("the source line goes", SOURCING, LO, NO_STANZA, below=(stanza(ADDRESS, GATEWAY), stanza(ADDRESS, GATEWAY))),
    Row("the sourced file goes", SOURCING, SOURCING, NO_STANZA, below=(stanza(ADDRESS, GATEWAY), None)),
    Row("the stanza moves to another file", USUAL, SOURCING, below=(b"", stanza(ADDRESS, GATEWAY))),
    Row("the uplink comes up for the VLAN on it", FOR_A_VLAN, FOR_A_VLAN + b"# x\n"),
    Row("nothing stands on the uplink any more", FOR_A_VLAN, LO + UNNAMED, "enp1s0"),
    Row("the gateway moves to another stanza", USUAL, LO + stanza(ADDRESS) + stanza(GATEWAY, family="inet manual")),
    Row("the gateway of another stanza goes", LO + stanza(ADDRESS) + stanza(GATEWAY, family="inet manual"),
        LO + stanza(ADDRESS) + stanza(family="inet manual"), NO_ROUTE),
    Row("the gateway becomes a post-up route", USUAL, LO + stanza(ADDRESS, "up ip route add default via 198.51.100.1")),
    Row("the post-up route to the service goes", LO + stanza(ADDRESS, POST_UP), LO + stanza(ADDRESS), NO_ROUTE,
        facts=ROUTELESS),
    Row("the post-up route to the service stays", LO + stanza(ADDRESS, POST_UP),
        LO + stanza(ADDRESS, "mtu 1400", POST_UP), facts=ROUTELESS),
    Row("the gateway changes beside a narrower route to the service", LO + stanza(ADDRESS, GATEWAY, POST_UP),
        LO + stanza(ADDRESS, "gateway 198.51.100.7", POST_UP)),
    Row("the gateway goes, and lo sets a route before its gateway is there", LO_ROUTES + stanza(ADDRESS, GATEWAY),
        LO_ROUTES + stanza(ADDRESS), NO_ROUTE),
    Row("a script that may set the route goes", LO + stanza(ADDRESS, SCRIPT), LO + stanza(ADDRESS), NO_ROUTE),
    Row("such a script stays", LO + stanza(ADDRESS, SCRIPT), LO + stanza(ADDRESS, "mtu 1400", SCRIPT)),
    Row("the gateway goes and a script stays", LO + stanza(ADDRESS, GATEWAY, SCRIPT), LO + stanza(ADDRESS, SCRIPT),
        NO_ROUTE),
    Row("a line is spoiled", USUAL, USUAL + b"iface\n", "ifupdown2 applies nothing of the interfaces files"),
    Row("IPv6: its gateway goes", SIX_FILES, SIX_FILES.replace(b"\tgateway fe80::1\n", b""),
        "no route to 2001:db8:9::1", path=SIX, facts=DUAL),
    Row("IPv6: the gateway of IPv4 goes", SIX_FILES, SIX_FILES.replace(b"\tgateway 198.51.100.1\n", b""), path=SIX,
        facts=DUAL),
    Row("IPv6: its stanza goes", SIX_FILES, USUAL, "2001:db8::11, by which", path=SIX, facts=DUAL),
    Row("DHCP stays", LO + stanza(family="inet dhcp"), LO + stanza("mtu 1400", family="inet dhcp")),
    Row("DHCP goes", LO + stanza(family="inet dhcp"), LO + stanza(family="inet manual"), NOT_ON),
    Row("a range of names loses its gateway", LO + stanza(ADDRESS, GATEWAY, name="enp1s[0-3]"),
        LO + stanza(ADDRESS, name="enp1s[0-3]"), NO_ROUTE),
    Row("no gateway before, none after", LO + stanza(ADDRESS), LO + stanza(ADDRESS, "mtu 1400")),
    Row("no stanza before, none after", LO, LO + stanza("bridge-ports none", name="vmbr0")),
    Row("no gateway before, no address after", LO + stanza(ADDRESS), LO, NO_STANZA),
]  # fmt: skip


def host_of(row: Row) -> HostObserved:
    files = {MAIN: row.now} | ({BELOW: row.below[0]} if row.below and row.below[0] else {})
    bare = bare_host(WAY_IN_WATCH, files)
    return replace(bare, path=row.path, facts={**bare.facts, **row.facts})


def written(path: str, text: bytes | None) -> tuple[Step, dict[str, bytes]]:
    """A step that writes or removes a file."""
    if text is None:
        return Step(f"file:{path}", {}, None, "asked"), {}
    digest = hashlib.sha256(text).hexdigest()
    return Step(f"file:{path}", {}, {"sha256": digest}, "asked"), {digest: text}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_plan_is_refused_exactly_where_it_makes_the_next_boot_worse(row: Row) -> None:
    made = [written(MAIN, row.then)] + ([written(BELOW, row.below[1])] if row.below else [])
    blobs = {digest: text for _, texts in made for digest, text in texts.items()}
    found = next_boot_refusals(host_of(row), [step for step, _ in made], blobs)
    assert {refusal.rule for refusal in found} <= {"management-path"}
    said = "\n".join(refusal.what for refusal in found)
    assert row.cut in said
    assert bool(found) == bool(row.cut)
    assert all("no key overrides" in refusal.hint for refusal in found)


@pytest.mark.parametrize(
    ("now", "facts", "told"),
    [
        (USUAL, {}, ""),
        (LO, {}, NO_STANZA),
        (LO + stanza(ADDRESS), {}, NO_ROUTE),
        (LO + stanza(ADDRESS, POST_UP), {}, ""),
        (LO + stanza(ADDRESS, SCRIPT), {}, ""),
        (ON_EMPTY_BRIDGE, BRIDGED, "enp1s0 is not a port of vmbr0"),
        (ON_BRIDGE, BRIDGED, ""),
        (USUAL + b"iface\n", {}, f"{MAIN}:8: "),
        (USUAL, {"unit:ssh.service": Seen({"enabled": "disabled", "active": True})}, "no SSH server starts"),
    ],
)
def test_what_is_broken_already_is_told_and_stops_nothing(
    now: bytes, facts: Mapping[str, Observed[Json]], told: str
) -> None:
    host = host_of(Row("", now, now, facts=facts))
    faults = next_boot_faults(host)
    assert told in "\n".join(faults)
    assert bool(faults) == bool(told)
    assert next_boot_refusals(host, [Step("sysctl:net.ipv4.ip_forward", "0", "1", "asked")], {}) == ()


@pytest.mark.parametrize(
    ("listeners", "told"),
    [
        (Seen((Listener("tcp", "*", 22),)), True),
        (Seen((Listener("tcp", "*", 2222),)), False),
        (Unknown("`ss` is missing"), True),
    ],
    ids=["sshd", "another port", "unknown"],
)
def test_an_ssh_server_that_does_not_start_is_told_where_it_is_the_way_in(
    listeners: Observed[tuple[Listener, ...]], *, told: bool
) -> None:
    off: Mapping[str, Observed[Json]] = {"unit:ssh.service": Seen({"enabled": "disabled", "active": True})}
    host = replace(host_of(Row("", USUAL, USUAL, facts=off)), listeners=listeners)
    assert ["no SSH server starts" in fault for fault in next_boot_faults(host)] == [True] * told


def nftables(text: bytes, *, started_s: float | None, active: bool = True, enabled: str = "enabled") -> HostObserved:
    bare = bare_host(WAY_IN_WATCH, {"/etc/nftables.conf": text})
    state: Json = {"enabled": enabled, "active": active}
    started = {} if started_s is None else {"nftables.service": started_s}
    facts = {**bare.facts, "unit:nftables.service": Seen(state)}
    return replace(bare, facts=facts, started_at_s=started, changed_at_s={"/etc/nftables.conf": 100.0})


DROPS = b"table inet f {\n chain i { type filter hook input priority 0; policy drop; }\n}\n"
LOADS = "nftables.service loads /etc/nftables.conf, which drops packets and was not loaded since it changed"
ENABLE = (Step("unit:nftables.service", None, {"enabled": "enabled"}, "asked"),)


@pytest.mark.parametrize(
    ("host", "told", "refused"),
    [
        (nftables(DROPS, started_s=50.0), True, False),
        (nftables(DROPS, started_s=150.0), False, False),
        (nftables(DROPS, started_s=None, active=False), True, False),
        (nftables(DROPS, started_s=50.0, enabled="disabled"), False, True),
        (nftables(DROPS, started_s=150.0, enabled="disabled"), False, False),
        (nftables(b"# drop\nflush ruleset\n", started_s=50.0, enabled="disabled"), False, False),
        (nftables(b'include "/etc/nftables.d/*"\n', started_s=50.0, enabled="disabled"), False, True),
    ],
)
def test_a_packet_filter_that_only_the_boot_loads_is_not_taken_for_proven(
    host: HostObserved,
    told: bool,
    refused: bool,
) -> None:
    assert any(LOADS in what for what in next_boot_faults(host)) == told
    assert any(LOADS in refusal.what for refusal in next_boot_refusals(host, ENABLE, {})) == refused


def test_a_packet_filter_that_the_plan_starts_is_proven_by_the_confirmation() -> None:
    steps = (Step("unit:nftables.service", None, {"enabled": "enabled", "active": True}, "asked"),)
    assert next_boot_refusals(nftables(DROPS, started_s=None, active=False, enabled="disabled"), steps, {}) == ()


@pytest.mark.parametrize(
    ("step", "refused"),
    [
        ("file:/etc/network/interfaces.d/x", True),
        ("addresses:enp1s0", True),
        ("unit:ssh.service", True),
        ("file:/etc/dnsmasq.d/x.conf", False),
    ],
)
def test_files_that_cannot_be_read_stop_what_the_way_in_hangs_on(step: str, refused: bool) -> None:
    bare = bare_host(WAY_IN_WATCH)
    host = replace(bare, texts={**bare.texts, MAIN: Unknown("it is not a plain file but a symlink")})
    found = next_boot_refusals(host, [Step(step, None, None, "asked")], {})
    assert bool(found) == refused
    [told] = next_boot_faults(host)
    assert "it is not a plain file but a symlink" in told
    assert all("it is not a plain file but a symlink" in refusal.what for refusal in found)


LEFT_OUT = "interfaces:\n  enp1s0: {addresses: [198.51.100.11/24]}\n"


def plan_of(sections: str, *, allowed: bool = False, files: Mapping[str, bytes] | None = None) -> Plan:
    desired = desire(spec_of(head() + sections), KINDS)
    host = bare_host(desired.watch, files)
    return make_plan(desired, LastApplied(), host, permission=Permission(management_change=allowed))


@pytest.mark.parametrize("allowed", [False, True])
def test_a_spec_that_leaves_the_gateway_out_is_refused_and_nobody_can_insist(*, allowed: bool) -> None:
    plan = plan_of(LEFT_OUT, allowed=allowed)
    assert [(d.difference.field, d.difference.where) for d in plan.drifts] == [("gateways", "file")]
    assert [(r.rule, r.what) for r in plan.refusals] == [("management-path", NO_ROUTE)]
    assert plan.overridden == ()


def test_a_spec_that_says_what_the_host_has_is_not_refused() -> None:
    said = LEFT_OUT.replace("24]", "24], gateway: 198.51.100.1")
    assert plan_of(said).is_empty
    grown = plan_of(said + "bridges:\n  vmbr0: {addresses: [10.10.10.1/24]}\n")
    assert (grown.refusals, grown.at_boot) == ((), ())


def test_a_host_that_the_next_boot_loses_anyway_takes_a_change_beside_it_and_is_told() -> None:
    beside = "bridges:\n  vmbr0: {addresses: [10.10.10.1/24]}\n"
    plan = plan_of(beside, files={MAIN: LO})
    assert plan.refusals == ()
    assert [step.fact for step in plan.steps if step.fact == f"file:{MAIN}"]
    assert len(plan.at_boot) == 1
    assert NO_STANZA in plan.at_boot[0]
    mended = plan_of(LEFT_OUT.replace("24]", "24], gateway: 198.51.100.1"), files={MAIN: LO})
    assert mended.refusals == ()


def test_nothing_is_judged_where_nothing_is_planned() -> None:
    host = host_of(Row("", LO, LO))
    assert next_boot_refusals(host, (), {}) == ()
    assert make_plan(Desired.of("pve1", []), LastApplied(), host).refusals == ()
    assert next_boot_faults(replace(host, path=None)) == ()
    gone = replace(host, facts={**host.facts, "unit:ssh.service": Absent()})
    assert all("SSH" not in what for what in next_boot_faults(gone))


@pytest.mark.parametrize(
    ("now", "wanted", "refused"),
    [("disabled", "enabled", True), ("enabled", "enabled", False), ("enabled", "disabled", False)],
)
def test_a_second_program_that_configures_interfaces_at_boot_is_not_switched_on(
    now: str, wanted: str, *, refused: bool
) -> None:
    bare = bare_host(WAY_IN_WATCH)
    unit = "unit:systemd-networkd.service"
    host = replace(bare, facts={**bare.facts, unit: Seen({"enabled": now, "active": False})})
    found = next_boot_refusals(host, [Step(unit, None, {"enabled": wanted, "active": True}, "asked")], {})
    assert ["systemd-networkd starts, too" in refusal.what for refusal in found] == [True] * refused


FILTER = "/etc/iptables/rules.v4"
PERSISTENT = "unit:netfilter-persistent.service"


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        (b"*filter\n:INPUT DROP [0:0]\nCOMMIT\n", True),
        (b"*filter\n-A INPUT -p tcp --dport 22 -j REJECT\nCOMMIT\n", True),
        (b"*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j ACCEPT\nCOMMIT\n", False),
    ],
)
def test_rules_of_iptables_that_only_the_boot_loads_are_told_where_they_drop(rules: bytes, *, told: bool) -> None:
    bare = bare_host(WAY_IN_WATCH, {FILTER: rules})
    host = replace(bare, facts={**bare.facts, PERSISTENT: Seen({"enabled": "enabled", "active": False})})
    loads = f"netfilter-persistent.service loads {FILTER}, which drops packets"
    assert [loads in fault for fault in next_boot_faults(host)] == [True] * told


@pytest.mark.parametrize("networking", ["disabled", "enabled"])
def test_of_an_uplink_that_another_program_brings_up_the_interfaces_files_say_nothing(networking: str) -> None:
    host = host_of(Row("", LO, LO))
    units: dict[str, Observed[Json]] = {
        "unit:networking.service": Seen({"enabled": networking, "active": networking == "enabled"}),
        "unit:systemd-networkd.service": Seen({"enabled": "enabled", "active": True}),
    }
    keepers = (Keeper("systemd-networkd", "enp1s0", "/etc/systemd/network/a.network"),) * (networking == "enabled")
    by_other = replace(host, facts={**host.facts, **units}, keepers=Seen(keepers), packages=IFUPDOWN2)
    assert (len(next_boot_faults(host)), next_boot_faults(by_other)) == (1, ())


def test_a_step_that_writes_no_bytes_leaves_the_file_as_it_is() -> None:
    digest = hashlib.sha256(USUAL).hexdigest()
    mode = Step(f"file:{MAIN}", {"sha256": digest, "mode": "0600"}, {"sha256": digest, "mode": "0644"}, "asked")
    assert next_boot_refusals(host_of(Row("", USUAL, USUAL)), [mode], {}) == ()


def test_a_file_below_may_have_a_colon_in_its_name() -> None:
    path = "/etc/network/interfaces.d/enp1s0:0"
    host = bare_host(WAY_IN_WATCH, {MAIN: SOURCING, path: stanza(ADDRESS, GATEWAY)})
    gone, _ = written(path, None)
    assert [refusal.what.startswith(NO_STANZA) for refusal in next_boot_refusals(host, [gone], {})] == [True]
