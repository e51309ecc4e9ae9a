"""Proxmox's own firewall files: written as Proxmox reads them, whole; what somebody edits in them is seen."""

from dataclasses import replace

import pytest

from service.answers.packets import HostTracer
from service.firewall.pve.files import read_cluster, read_guest, read_host
from service.kinds import KINDS
from service.kinds.desire import desire
from service.kinds.packet_rules.admins import admin_sources
from service.model.observed import HostObserved
from service.model.plans import Plan
from service.model.states import Seen
from service.model.trees import BlobEntry, Tree
from service.plan.make import make_plan
from service.resources.desired import Desired, LastApplied
from service.resources.pve_firewall import PveFirewallFile
from service.spec.fleet import Fleet, read_fleet
from tests.laws.host import after_plan, bare_host, file_fact
from tests.laws.specs import FOLDER, head

FLEET = """\
passerelle: 1
firewall:
  policy_in: drop
  policy_out: reject
  aliases: {office: 203.0.113.0/24, local_network: 203.0.113.7}
  ipsets: {friends: [office, "!203.0.113.66", 2001:db8::/32]}
  rules:
    - {type: in, action: accept, macro: Ping, source: 62.210.16.0/24, comment: "the hoster's monitors"}
"""
WEB = "group: web\ncomment: for web servers\nrules: [{type: in, action: accept, macro: Web}]\n"
FIREWALL = """\
firewall:
  rules:
    - {type: in, action: accept, macro: SSH, source: 198.18.0.10}
    - {type: in, action: accept, proto: tcp, dport: 8006, source: office, log: info}
    - {type: in, action: drop, source: +friends, enable: false}
    - {type: out, action: accept}
"""
GUEST = """\
  dev:
    mac: "BC:24:11:00:00:01"
    address: 10.10.10.10
    vmid: 100
    firewall:
      policy_out: drop
      rules:
        - {type: group, action: web}
        - {type: in, action: accept, macro: SSH, source: office, comment: by hand}
        - {type: out, action: accept, macro: DNS, dest: 10.10.10.1}
"""
CLUSTER_FW, HOST_FW, GUEST_FW = (
    "/etc/pve/firewall/cluster.fw", "/etc/pve/nodes/pve1/host.fw", "/etc/pve/firewall/100.fw"
)  # fmt: skip


def host_text(name: str = "pve1", extra: str = "") -> str:
    text = head().replace("platform: debian", f"platform: proxmox\n{extra}").replace("host: pve1", f"host: {name}")
    seed = (FOLDER / "seed.yaml").read_text().replace('  dev:   {mac: "BC:24:11:00:00:01"}\n', GUEST)
    assert "vmid" in seed
    return text + seed + FIREWALL


def fleet_of(hosts: dict[str, str]) -> Fleet:
    files = {"fleet.yaml": FLEET, "groups/web.yaml": WEB, **{f"hosts/{name}.yaml": t for name, t in hosts.items()}}
    tree = Tree({path: BlobEntry(path, path + text, text.encode()) for path, text in files.items()})
    fleet = read_fleet(tree, KINDS)
    assert not fleet.has_errors, "\n".join(map(str, fleet.findings))
    return fleet


def desired_of(host: str = "pve1", hosts: dict[str, str] | None = None) -> Desired:
    return desire(fleet_of(hosts or {"pve1": host_text()}).hosts[host], KINDS)


def pve_files(desired: Desired) -> dict[str, PveFirewallFile]:
    return {file.path: file for file in desired.resources if isinstance(file, PveFirewallFile)}


@pytest.fixture(scope="module")
def desired() -> Desired:
    return desired_of()


def settled(desired: Desired) -> tuple[HostObserved, Plan]:
    host = bare_host(desired.watch)
    plan = make_plan(desired, LastApplied(), host)
    assert plan.refusals == ()
    return after_plan(host, plan), plan


def test_the_files_are_written_in_proxmoxs_order_and_spelling(desired: Desired) -> None:
    files = {path: (file.content or b"").decode() for path, file in pve_files(desired).items()}
    assert files == {
        CLUSTER_FW: """\
[OPTIONS]

enable: 1
policy_in: DROP
policy_out: REJECT

[ALIASES]

local_network 203.0.113.7
office 203.0.113.0/24

[IPSET friends]

2001:db8::/32
!203.0.113.66
office

[RULES]

IN Ping(ACCEPT) -source 62.210.16.0/24 # the hoster's monitors

[group web] # for web servers

IN Web(ACCEPT)

""",
        HOST_FW: """\
[OPTIONS]

enable: 1

[RULES]

IN SSH(ACCEPT) -source 198.18.0.10
IN ACCEPT -source office -p tcp -dport 8006 -log info
|IN DROP -source +friends
OUT ACCEPT
IN ACCEPT -i vmbr0 -p udp -dport 53 # dnsmasq answers DNS on vmbr0
IN ACCEPT -i vmbr0 -p tcp -dport 53 # dnsmasq answers DNS on vmbr0
IN ACCEPT -i vmbr0 -p udp -dport 67 # dnsmasq serves DHCP on vmbr0
OUT ACCEPT -i vmbr0 -p udp -dport 68 -sport 67 # dnsmasq serves DHCP on vmbr0

""",
        GUEST_FW: """\
[OPTIONS]

enable: 1
policy_in: DROP
policy_out: DROP

[IPSET ipfilter-net0]

10.10.10.10
fe80::be24:11ff:fe00:1

[RULES]

GROUP web
IN SSH(ACCEPT) -source office # by hand
OUT DNS(ACCEPT) -dest 10.10.10.1

""",
    }


def test_what_is_written_is_read_as_it_was_meant(desired: Desired) -> None:
    files = pve_files(desired)
    cluster = read_cluster(files[CLUSTER_FW].content or b"")
    host = read_host(files[HOST_FW].content or b"", "host.fw", cluster.level)
    guest = read_guest(files[GUEST_FW].content or b"", "100.fw", "100", "ct", cluster.level)
    for reading, path in ((cluster, CLUSTER_FW), (host, HOST_FW), (guest, GUEST_FW)):
        assert (reading.ignored, reading.warnings) == ((), ())
        assert reading.level.rules == files[path].level.rules
        assert reading.level.groups == files[path].level.groups


def test_the_files_belong_to_root_and_www_data(desired: Desired) -> None:
    host, plan = settled(desired)
    written = {step.fact: step.after for step in plan.steps if "/etc/pve/" in step.fact}
    assert {(after["mode"], after["uid"], after["gid"]) for after in written.values() if isinstance(after, dict)} == {
        ("0640", 0, 33)
    }
    assert set(written) == {f"file:{path}" for path in (CLUSTER_FW, HOST_FW, GUEST_FW)}
    again = make_plan(desired, LastApplied.from_json(desired.as_json()), host)
    assert (again.steps, again.drifts) == ((), ())


def edited(host: HostObserved, path: str, old: bytes, new: bytes) -> HostObserved:
    text = host.texts[path]
    assert isinstance(text, Seen)
    assert old in text.value
    content = text.value.replace(old, new)
    fact = {**file_fact(content, "0640"), "gid": 33}
    return replace(host, facts={**host.facts, f"file:{path}": Seen(fact)}, texts={**host.texts, path: Seen(content)})


@pytest.mark.parametrize(
    ("path", "old", "new", "field", "op"),
    [
        (HOST_FW, b"OUT ACCEPT\n", b"", "rules", "changed"),
        (HOST_FW, b"IN SSH(ACCEPT)", b"|IN SSH(ACCEPT)", "rules", "changed"),
        (HOST_FW, b"enable: 1", b"enable: 1\nnosmurfs: 0", "option nosmurfs", "extra"),
        (CLUSTER_FW, b"policy_in: DROP", b"policy_in: ACCEPT", "option policy_in", "changed"),
        (CLUSTER_FW, b"office 203.0.113.0/24", b"office 203.0.113.0/25", "alias office", "changed"),
        (CLUSTER_FW, b"!203.0.113.66\n", b"", "ipset friends", "changed"),
        (GUEST_FW, b"GROUP web\n", b"GROUP web\nIN ACCEPT -p tcp -dport 99999\n", "rules", "changed"),
        (GUEST_FW, b"[RULES]", b"nonsense\n[RULES]", "ignored", "extra"),
    ],
)
def test_an_edit_in_proxmoxs_gui_is_drift(
    desired: Desired, path: str, old: bytes, new: bytes, field: str, op: str
) -> None:
    host = edited(settled(desired)[0], path, old, new)
    plan = make_plan(desired, LastApplied.from_json(desired.as_json()), host)
    found = {(d.difference.resource, d.difference.field, d.difference.op, d.moved) for d in plan.drifts}
    assert (path, field, op, "host") in found
    assert {step.fact for step in plan.steps} == {f"file:{path}"}


def test_blanks_and_lower_case_types_are_no_difference(desired: Desired) -> None:
    host = edited(settled(desired)[0], HOST_FW, b"OUT ACCEPT\n", b"\n# a remark\n  out   ACCEPT\n\n")
    assert make_plan(desired, LastApplied.from_json(desired.as_json()), host).drifts == ()


def test_who_is_in_the_set_management_is_let_in_by_proxmox_alone() -> None:
    fleet = FLEET.replace("ipsets: {", "ipsets: {management: [203.0.113.9, office], blacklist: [192.0.2.0/24], ")
    texts = {"fleet.yaml": fleet, "groups/web.yaml": WEB, "hosts/pve1.yaml": host_text()}
    made = read_fleet(Tree({p: BlobEntry(p, p + t, t.encode()) for p, t in texts.items()}), KINDS)
    assert not made.has_errors, made.findings
    spec = made.hosts["pve1"]
    content = pve_files(desire(spec, KINDS))[CLUSTER_FW].content or b""
    assert b"[IPSET management]\n\n203.0.113.9\noffice\n" in content
    assert "203.0.113.9/32" in admin_sources(spec)
    asked = {"to": "host", "proto": "tcp", "dport": 22}
    tracer = HostTracer(spec, KINDS)
    assert tracer.trace({**asked, "from": "203.0.113.9"}).verdict.verdict == "ACCEPT"
    assert tracer.trace({**asked, "from": "192.0.2.9"}).verdict.verdict == "DROP"
    texts["hosts/pve1.yaml"] = head() + "firewall: {}\n"
    made = read_fleet(Tree({p: BlobEntry(p, p + t, t.encode()) for p, t in texts.items()}), KINDS)
    said = sorted(f.message.partition(" has ")[0] for f in made.findings if f.rule == "firewall.reserved-set")
    assert said == ["the name of the set blacklist", "the name of the set management"]


def test_one_host_of_a_cluster_writes_its_file() -> None:
    hosts = {
        name: host_text(name, "cluster: paris\n").replace("198.51.100.11", f"198.51.100.1{number}")
        for number, name in enumerate(("pve1", "pve2"), 1)
    }
    hosts["pve2"] = hosts["pve2"].replace("BC:24:11:00:00:0", "BC:24:11:00:01:0").replace("vmid: 100", "vmid: 101")
    assert CLUSTER_FW in pve_files(desired_of("pve1", hosts))
    assert set(pve_files(desired_of("pve2", hosts))) == {"/etc/pve/nodes/pve2/host.fw", "/etc/pve/firewall/101.fw"}


def test_questions_are_answered_as_proxmox_would() -> None:
    tracer = HostTracer(fleet_of({"pve1": host_text()}).hosts["pve1"], KINDS)

    def ask(source: str, dest: str, port: int, **more: str) -> str:
        said = tracer.trace({"from": source, "to": dest, "proto": "tcp", "dport": port, **more})
        return said.verdict.verdict

    assert ask("198.18.0.10", "host", 22) == "ACCEPT"
    assert ask("outside", "host", 22) == "DROP"
    assert ask("203.0.113.7", "host", 8006) == "ACCEPT"
    assert ask("proxy", "host", 53) == "ACCEPT"
    assert ask("proxy", "dev", 80) == "ACCEPT"
    assert ask("proxy", "dev", 22) == "DROP"
    assert ask("dev", "outside", 443) == "DROP"


def test_a_plan_that_shuts_the_service_out_is_refused() -> None:
    text = host_text().replace("source: 198.18.0.10", "source: 198.18.0.99")
    desired = desired_of("pve1", {"pve1": text})
    plan = make_plan(desired, LastApplied(), bare_host(desired.watch))
    assert [refusal.rule for refusal in plan.refusals] == ["management-path"]
    assert "policy_in DROP of the cluster" in plan.refusals[0].what


def test_a_file_that_says_only_the_usual_need_not_be_there() -> None:
    quiet = head().replace("platform: debian", "platform: proxmox") + "firewall: {}\n"
    files = pve_files(desired_of("pve1", {"pve1": quiet}))
    assert list(files[HOST_FW].differences(bare_host(files[HOST_FW].watch()))) == []
    assert [d.field for d in files[CLUSTER_FW].differences(bare_host(files[CLUSTER_FW].watch()))] == ["file"]


def test_what_stands_in_a_file_by_hand_stays_where_another_line_changes(desired: Desired) -> None:
    before = settled(desired)[0]
    old = b"# mine\n[RULES]\n\n  out   ACCEPT\nIN SSH(ACCEPT) -source 198.18.0.10 -log info\n"
    file = pve_files(desired)[HOST_FW]
    whole = before.texts[HOST_FW]
    assert isinstance(whole, Seen)
    host = edited(before, HOST_FW, whole.value, old)
    made = file.beside(host.texts[HOST_FW])
    assert made is not None
    assert made.startswith(b"# mine\n[RULES]\n\nIN SSH(ACCEPT) -source 198.18.0.10\n")
    assert b"\n  out   ACCEPT\n" in made
    assert b"enable" not in made
    assert file.meaning(made) == file.meaning(file.content or b"")


def test_the_hosts_choice_of_back_end_is_no_drift_and_stays(desired: Desired) -> None:
    host = edited(settled(desired)[0], HOST_FW, b"enable: 1\n", b"enable: 1\nnftables: 1\n")
    base = LastApplied.from_json(desired.as_json())
    assert make_plan(desired, base, host).drifts == ()
    changed = edited(host, HOST_FW, b"OUT ACCEPT\n", b"")
    file = pve_files(desired)[HOST_FW]
    made = file.beside(changed.texts[HOST_FW])
    assert made is not None
    assert read_host(made, "host.fw", read_cluster(b"").level).level.on("nftables", default=False)
    assert b"OUT ACCEPT\n" in made
    assert file.meaning(made) == file.meaning(file.content or b"")


def test_a_hole_that_would_keep_the_service_out_with_nftables_is_refused() -> None:
    sets = 'ipsets: {friends: [198.18.0.10, "!198.18.0.0/16"]}'
    fleet = FLEET.replace('ipsets: {friends: [office, "!203.0.113.66", 2001:db8::/32]}', sets)
    text = host_text().replace("source: 198.18.0.10}", "source: +friends}")
    texts = {"fleet.yaml": fleet, "groups/web.yaml": WEB, "hosts/pve1.yaml": text}
    made = read_fleet(Tree({p: BlobEntry(p, p + t, t.encode()) for p, t in texts.items()}), KINDS)
    assert not made.has_errors, made.findings
    wanted = desire(made.hosts["pve1"], KINDS)
    plan = make_plan(wanted, LastApplied(), bare_host(wanted.watch))
    assert [refusal.rule for refusal in plan.refusals] == ["management-path"]
    assert plan.refusals[0].what.startswith("with proxmox-firewall (nftables), the firewall would keep 198.18.0.10")
