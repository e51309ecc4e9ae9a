"""Kernel settings of one interface that packets of the spec's NAT and forwards pass: now and at the next boot."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from service.kinds import KINDS
from service.kinds.desire import desire
from service.model.observed import HostObserved
from service.model.states import Absent, Observed, Seen, Unknown
from service.model.trees import BlobEntry, Tree
from service.plan.make import make_plan
from service.resources.desired import Desired, LastApplied
from service.resources.ending import shared
from service.resources.kernel_at_boot import OWN_FILE
from service.resources.sysctls import Sysctl
from service.spec.fleet import read_fleet
from tests.laws.host import INTERFACES, after_plan, bare_host, done

HOST_KEY, DEFAULT_KEY = "net.ipv4.ip_forward", "net.ipv4.conf.default.forwarding"
KEY = "net.ipv4.conf.vmbr0.forwarding"
SETTINGS = (Sysctl("nat", HOST_KEY, "1", "guests"), Sysctl("nat", KEY, "1", "guests"))
FORWARDS = {"/etc/sysctl.d/10-mine.conf": b"net.ipv4.ip_forward = 1\n"}
LATER, EARLIER = "/etc/sysctl.d/99-mine.conf", "/etc/sysctl.d/05-mine.conf"
BRIDGE = b"\nauto vmbr0\niface vmbr0 inet static\n\taddress 10.10.10.1/24\n\tbridge-ports none\n"
BY_DHCP = b"\nauto vmbr0\niface vmbr0 inet dhcp\n\tbridge-ports enp1s0\n"
HEALED = BY_DHCP + b"\tpost-up sysctl -w net.ipv4.conf.vmbr0.forwarding=1\n"
LIVE, FILE = f"sysctl:{KEY}", f"file:{OWN_FILE}"


@dataclass(frozen=True)
class Row:
    """What the kernel has of vmbr0, files, its stanza; the facts that a plan sets, and what refuses it."""

    name: str
    steps: tuple[str, ...]
    now: str = "1"
    host: str = "1"
    files: Mapping[str, bytes] = field(default_factory=dict)
    stanza: bytes = BRIDGE
    refused: str = ""
    noted: str = ""


ROWS = [
    Row("all is well", ()),
    Row("switched off in the kernel", (LIVE,), now="0"),
    Row("off for the whole host: its own switch sets it along", (f"sysctl:{HOST_KEY}",), now="0", host="0"),
    Row("an earlier line says no", (FILE,), files={EARLIER: f"{KEY}=0\n".encode()}),
    Row("a pattern says no, wherever it stands", (FILE,), files={LATER: b"net.ipv4.conf.v*.forwarding=0\n"}),
    Row(
        "a later line says no",
        (LIVE,),
        now="0",
        files={LATER: f"#\n{KEY}=0\n".encode()},
        refused=f"{LATER}:2 sets {KEY} to 0 after {OWN_FILE} would set it to 1",
    ),
    Row("what is said of interfaces to come does not reach a bridge with an address", (), files={
        LATER: f"{DEFAULT_KEY}=0\n".encode()}),
    Row("no interfaces file has the bridge", (FILE,), files={LATER: f"{DEFAULT_KEY}=0\n".encode()}, stanza=b""),
    Row(
        "ifupdown2 switches a bridge with DHCP off",
        (),
        stanza=BY_DHCP,
        noted=f"at boot ifupdown2 sets {KEY} to 0: vmbr0 is a bridge without an `address` line "
        "(/etc/network/interfaces:10). Fix: add `post-up sysctl -w net.ipv4.conf.vmbr0.forwarding=1` to its stanza on "
        "pve1",
    ),
    Row("and a line of its stanza on again", (), stanza=HEALED),
    Row("a bridge that carries a VLAN stays on", (), stanza=BY_DHCP + b"iface vmbr0.5 inet manual\n"),
    Row(
        "a line of its stanza says no",
        (),
        stanza=BRIDGE + b"\tup echo 0 > /proc/sys/net/ipv4/conf/vmbr0/forwarding\n",
        refused=f"/etc/network/interfaces:13 sets {KEY} to 0 after {OWN_FILE} would set it to 1",
    ),
    Row("ifupdown2 overrules a line that runs before it", (), stanza=BRIDGE
        + b"\tpre-up echo 0 > /proc/sys/net/ipv4/conf/vmbr0/forwarding\n"),
    Row("`ip-forward` says nothing of a bridge", (), stanza=BRIDGE + b"\tip-forward off\n"),
]  # fmt: skip


def desired_of(*settings: Sysctl) -> Desired:
    return Desired.of("pve1", [*settings, *shared(settings)])


def host_of(row: Row, key: str = KEY) -> HostObserved:
    files = {**FORWARDS, **row.files, "/etc/network/interfaces": INTERFACES + row.stanza}
    bare = bare_host(desired_of(*SETTINGS).watch | Sysctl("nat", key, "1").watch(), files)
    seen = {f"sysctl:{HOST_KEY}": Seen(row.host), f"sysctl:{key}": Seen(row.now), f"sysctl:{DEFAULT_KEY}": Seen("1")}
    return replace(bare, facts={**bare.facts, **seen})


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_forwarding_of_one_interface_is_made_where_it_is_not_met(row: Row) -> None:
    desired = desired_of(*SETTINGS)
    plan = make_plan(desired, LastApplied(), host_of(row))
    assert tuple(step.fact for step in plan.steps) == row.steps
    assert [refusal.what for refusal in plan.refusals] == ([row.refused] if row.refused else [])
    assert all(refusal.hint.startswith("Fix: ") for refusal in plan.refusals)
    assert plan.notes == ((row.noted,) if row.noted else ())
    if row.noted:
        assert [(d.difference.resource, d.difference.where) for d in plan.drifts] == [(KEY, "boot")]
    elif not row.refused:
        after = make_plan(desired, LastApplied(), after_plan(host_of(row), plan))
        assert (after.is_empty, after.drifts) == (True, ())


@pytest.mark.parametrize(
    ("lines", "refused"),
    [
        (b"", ()),
        (b"\tip-forward on\n", ()),
        (b"\tip-forward off\n", ("/etc/network/interfaces:8",)),
        (b"\tip-forward off\n\tpost-up echo 1 > /proc/sys/net/ipv4/conf/enp1s0/forwarding\n", ()),
    ],
)
def test_a_card_follows_its_ip_forward_line(lines: bytes, refused: tuple[str, ...]) -> None:
    card = replace(SETTINGS[1], key="net.ipv4.conf.enp1s0.forwarding")
    host = host_of(Row("", (), stanza=lines), card.key)
    plan = make_plan(desired_of(SETTINGS[0], card), LastApplied(), host)
    assert tuple(refusal.what.partition(" ")[0] for refusal in plan.refusals) == refused


def test_an_interface_that_is_not_there_yet_gets_what_the_kernel_has_for_new_ones() -> None:
    desired = desired_of(*SETTINGS)
    host = host_of(ROWS[0])
    gone = {f"sysctl:{KEY}": Absent(), f"sysctl:{HOST_KEY}": Seen("1")}
    for default, steps in (("1", []), ("0", [(LIVE, None, "1")])):
        bare = replace(host, facts={**host.facts, **gone, f"sysctl:{DEFAULT_KEY}": Seen(default)})
        plan = make_plan(desired, LastApplied(), bare)
        assert [(step.fact, step.before, step.after) for step in plan.steps] == steps


@pytest.mark.parametrize("unread", [KEY, HOST_KEY, DEFAULT_KEY])
def test_a_setting_that_cannot_be_read_is_not_written(unread: str) -> None:
    host = host_of(ROWS[1])
    facts: dict[str, Observed[object]] = {**host.facts, f"sysctl:{KEY}": Absent()} if unread == DEFAULT_KEY else {}
    plan = make_plan(
        desired_of(*SETTINGS),
        LastApplied(),
        replace(host, facts={**host.facts, **facts, f"sysctl:{unread}": Unknown("no answer")}),  # type: ignore[dict-item]
    )
    assert plan.steps == ()
    assert [refusal.rule for refusal in plan.refusals] == ["unknown"]


FILTER, ALL_FILTERS = "net.ipv4.conf.wan2.rp_filter", "net.ipv4.conf.all.rp_filter"
LOOSE = Sysctl("nat", FILTER, "2", "published on wan2", also=("0",), raised_by=ALL_FILTERS)


@pytest.mark.parametrize(
    ("of_link", "of_all", "files", "steps"),
    [
        ("0", "0", {}, []),
        ("2", "0", {}, []),
        ("0", "2", {}, []),
        ("1", "2", {}, []),
        ("1", "0", {}, [(f"sysctl:{FILTER}", "1", "2")]),
        ("0", "1", {}, [(f"sysctl:{FILTER}", "0", "2")]),
        ("2", "1", {"/etc/sysctl.conf": f"{ALL_FILTERS}=1\n".encode()}, [(FILE, None, FILE)]),
        ("2", "0", {"/etc/sysctl.d/1.conf": b"net.ipv4.conf.default.rp_filter=1\n"}, [(FILE, None, FILE)]),
        ("2", "0", {"/etc/sysctl.d/1.conf": b"net.ipv4.conf.*.rp_filter=2\n"}, []),
        ("2", "0", {"/etc/sysctl.d/99.conf": b"net.ipv4.conf.wan*.rp_filter=1\n"}, [(FILE, None, FILE)]),
    ],
)
def test_only_the_strict_reverse_path_filter_is_loosened(
    of_link: str, of_all: str, files: dict[str, bytes], steps: list[tuple[str, str | None, str]]
) -> None:
    desired = desired_of(LOOSE)
    bare = bare_host(desired.watch, files)
    seen = {f"sysctl:{FILTER}": Seen(of_link), f"sysctl:{ALL_FILTERS}": Seen(of_all)}
    host = replace(bare, facts={**bare.facts, **seen})
    plan = make_plan(desired, LastApplied(), host)
    assert [(s.fact, s.before, s.fact if s.fact == FILE else s.after) for s in plan.steps] == steps
    assert make_plan(desired, LastApplied(), done(host, plan.steps, plan.blobs)).drifts == ()


SPEC = """
host: pve1
sync: auto
connection: {address: 198.51.100.11, host_keys: [
  ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPJ0d4IQ8PmyrgdZoD3WiFkvdLBD6ZfSzLw0mZ2mJ0N]}
interfaces:
  enp1s0: {addresses: [198.51.100.11/24], gateway: 198.51.100.1}
  wan2.30: {addresses: [203.0.113.7/24]}
bridges:
  vmbr0: {addresses: [10.10.10.1/24]}
  vmbr1: {addresses: [10.10.11.1/24]}
  vmbr2: {addresses: [10.20.0.1/24]}
nat: [{source: 10.10.10.0/23, out: enp1s0}]
guests: {web: {mac: "bc:24:11:00:00:01", address: 10.20.0.5}}
forwards: [{in: wan2.30, ports: [443], to: web}]
"""


def test_every_interface_on_the_packets_way_is_looked_at() -> None:
    tree = Tree({p: BlobEntry(p, p, t.encode()) for p, t in {
        "fleet.yaml": "passerelle: 1\n", "hosts/pve1.yaml": SPEC}.items()})  # fmt: skip
    fleet = read_fleet(tree, KINDS)
    assert not fleet.has_errors, "\n".join(map(str, fleet.findings))
    wanted = {s.key: s.cause for s in desire(fleet.hosts["pve1"], KINDS).of_type(Sysctl)}
    nat, forward = "nat: 10.10.10.0/23 leaves through enp1s0", "forwards: wan2.30 to web"
    filtered = "forwards: wan2.30, but the default route is through enp1s0"
    assert wanted == {
        "net.ipv4.ip_forward": f"{forward}; {nat}",
        "net.ipv4.conf.enp1s0.forwarding": nat,
        "net.ipv4.conf.vmbr0.forwarding": nat,
        "net.ipv4.conf.vmbr1.forwarding": nat,
        "net.ipv4.conf.vmbr2.forwarding": forward,
        "net.ipv4.conf.wan2/30.forwarding": forward,
        "net.ipv4.conf.wan2/30.rp_filter": filtered,
    }
