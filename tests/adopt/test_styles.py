"""Hosts configured by hand in different styles: their spec and report, and the plan after it, which is empty."""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from service.adopt import Adopted, Material, adopt
from service.adopt.against import against
from service.adopt.alone import read_alone
from service.cli import run
from service.firewall.pve.node import Node, read_firewall
from service.firewall.pve.render import render
from service.kinds import KINDS
from service.kinds.desire import desire
from service.model.observed import HostObserved
from service.model.plans import Plan
from service.model.states import Seen
from service.model.trees import BlobEntry, Tree
from service.plan.make import Permission, make_plan
from service.resources.desired import Desired, LastApplied
from service.resources.dnsmasq_config import OWN_FILE
from service.resources.nat import NAT_FILE
from service.spec.fleet import read_fleet
from service.spec.host import HostSpec
from tests.adopt.trees import NAMES, STYLES, booted, material
from tests.documents import run_by
from tests.golden import same_as_golden
from tests.laws.host import after_plan, bare_host

ALONE = {"fleet.yaml": "passerelle: 1\n"}


def shared_of(made: Adopted) -> dict[str, str]:
    """What adopt writes next to the host's file."""
    return {"fleet.yaml": made.fleet_text, **made.groups}


def spec_of(text: str) -> HostSpec:
    return spec_in(text, ALONE)


def spec_in(text: str, shared: Mapping[str, str]) -> HostSpec:
    """The host's spec next to a fleet.yaml and groups/."""
    fleet = read_alone("pve1", text, shared)
    assert not fleet.has_errors, "\n".join(map(str, fleet.findings))
    return fleet.hosts["pve1"]


def planned(text: str, given: Material, shared: Mapping[str, str] = ALONE) -> tuple[Plan, HostObserved, Desired]:
    desired = desire(spec_in(text, shared), KINDS)
    host = booted(given, desired.watch)
    return make_plan(desired, LastApplied(), host), host, desired


def changed(plan: Plan, host: HostObserved) -> dict[str, tuple[list[str], list[str]]]:
    """{path: (lines gone, lines new)} of every file that a plan writes."""
    found = {}
    for step in plan.steps:
        if step.fact.startswith("file:"):
            path = step.fact.removeprefix("file:")
            old = host.texts.get(path)
            before = old.value.decode().splitlines() if isinstance(old, Seen) else []
            after = plan.blobs[step.after["sha256"]].decode().splitlines() if isinstance(step.after, dict) else []  # type: ignore[index]
            found[path] = ([x for x in before if x not in after], [x for x in after if x not in before])
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_style_gives_its_spec_and_its_report(name: str) -> None:
    made = adopt(material(name))
    same_as_golden(STYLES / name / "spec.yaml", made.text)
    same_as_golden(STYLES / name / "report.txt", made.report.as_text())
    if shared_of(made) != ALONE:
        text = "".join(f"# {path}\n{body}" for path, body in shared_of(made).items())
        same_as_golden(STYLES / name / "shared.yaml", text)


@pytest.mark.parametrize("name", NAMES)
def test_the_plan_after_adopting_is_empty(name: str) -> None:
    made = adopt(material(name))
    plan, _, _ = planned(made.text, material(name), shared_of(made))
    assert (plan.drifts, plan.steps, plan.packages, plan.refusals) == ((), (), (), ())


@pytest.mark.parametrize("name", NAMES)
def test_what_is_adopted_again_from_the_same_files_is_the_same_and_changes_no_spec(name: str) -> None:
    first, second = adopt(material(name)), adopt(material(name))
    assert first == second
    assert against(first.text, second).text == first.text


def test_a_spec_that_a_person_has_edited_is_not_changed_where_it_means_the_same() -> None:
    made = adopt(material("blog"))
    edited = made.text.replace("sync: approve", "sync: auto   # since May").replace(
        "  domain: madyanne.lan", "  domain: madyanne.lan  # the old name"
    )
    assert against(edited, made).text == edited
    other = edited.replace("cache_size: 256", "cache_size: 9")
    assert against(other, made).text == edited


def patched(name: str, old: str, new: str) -> tuple[Plan, HostObserved]:
    text = adopt(material(name)).text
    assert text.count(old) >= 1, text
    plan, host, _ = planned(text.replace(old, new, 1), material(name))
    return plan, host


LINES = [
    ("blog", "[10.10.10.1/24], ports", "[10.10.10.3/24], ports", "/etc/network/interfaces",
     ["        address  10.10.10.1"], ["        address  10.10.10.3"]),
    ("blog", "cache_size: 256", "cache_size: 512", "/etc/dnsmasq.d/containers", ["cache-size=256"], ["cache-size=512"]),
    ("blog", "lease_time: 12h", "lease_time: 6h", "/etc/dnsmasq.d/containers",
     ["dhcp-range=10.10.10.100,10.10.10.200,255.255.255.0,12h"],
     ["dhcp-range=10.10.10.100,10.10.10.200,255.255.255.0,6h"]),
    ("pve", "forward_delay: 0}\n  # the guests", "forward_delay: 4}\n  # the guests", "/etc/network/interfaces",
     [], ["\tbridge-fd 4"]),
    ("interfaces-d", "forward_delay: 0", "forward_delay: 4", "/etc/network/interfaces.d/20-guests",
     ["\tbridge-fd 0"], ["\tbridge-fd 4"]),
    ("two-bridges", "end: 10.20.0.150", "end: 10.20.0.160", "/etc/dnsmasq.d/guests",
     ["dhcp-range=set:dmz,10.20.0.100,10.20.0.150,255.255.255.0,1h"],
     ["dhcp-range=set:dmz,10.20.0.100,10.20.0.160,255.255.255.0,1h"]),
]  # fmt: skip


@pytest.mark.parametrize("row", LINES, ids=lambda row: f"{row[0]}: {row[2]}")
def test_one_line_changed_in_git_changes_exactly_that(row: tuple[str, str, str, str, list[str], list[str]]) -> None:
    name, old, new, path, gone, added = row
    plan, host = patched(name, old, new)
    assert plan.refusals == ()
    assert changed(plan, host) == {path: (gone, added)}


def test_what_stands_in_several_files_is_refused_with_the_sentence_that_converts() -> None:
    plan, _ = patched("several-dnsmasq", "cache_size: 1000", "cache_size: 500")
    (refusal,) = plan.refusals
    assert refusal.what == "/etc/dnsmasq.conf:4 sets cache-size to 1000, the spec wants 500"
    assert "`passerelle adopt --take-over dnsmasq pve1`" in refusal.hint


def test_a_guest_that_ethers_names_otherwise_is_refused_with_the_sentence_that_converts() -> None:
    plan, _ = patched("ethers", "address: 10.10.10.21", "address: 10.10.10.22")
    (refusal,) = plan.refusals
    assert refusal.what.startswith("/etc/ethers:2 says dev 10.10.10.21 for bc:24:11:00:00:01")
    assert "`passerelle adopt --take-over guests pve1`" in refusal.hint


def after_adopting(name: str, old: str, new: str, *, mark: str = "") -> tuple[Plan, HostObserved]:
    """The plan of a changed spec on a host whose spec was adopted and in force before."""
    text = adopt(material(name)).text
    assert text.count(old) == 1, text
    before = desire(spec_of(text), KINDS)
    changed = text.replace(old, new).replace("sync: approve\n", f"sync: approve\n{mark}")
    desired = desire(spec_of(changed), KINDS)
    host = booted(material(name), desired.watch)
    return make_plan(desired, LastApplied.from_json(before.as_json()), host), host


def test_a_line_taken_out_in_git_is_taken_out_where_it_stands() -> None:
    plan, host = after_adopting("blog", "  bogus_priv: true\n", "")
    assert plan.refusals == ()
    assert changed(plan, host) == {"/etc/dnsmasq.d/containers": (["bogus-priv"], [])}


@pytest.mark.parametrize(
    ("name", "old", "said"),
    [
        ("several-dnsmasq", "  bogus_priv: true\n",
         "/etc/dnsmasq.conf:3 still has bogus-priv, which the spec no longer has"),
        ("nft-file", "nat:\n  - {source: 10.10.10.0/24, out: enp1s0}\n",
         "/etc/nftables.conf:11 makes 10.10.10.0/24>enp1s0, which the spec does not name any more"),
        ("iptables-legacy", "nat:\n  - {source: 10.10.10.0/24, out: enp1s0}\n",
         "/etc/network/interfaces:16 makes 10.10.10.0/24>enp1s0, which the spec does not name any more"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_out_where_it_stands_is_refused_until_it_is_taken_over(
    name: str, old: str, said: str
) -> None:
    plan, _ = after_adopting(name, old, "")
    (refusal,) = plan.refusals
    assert (refusal.rule, refusal.what) == ("not-ours", said)
    section = "dnsmasq" if "dnsmasq" in name else "nat"
    assert f"`passerelle adopt --take-over {section} pve1`" in refusal.hint
    plan, host = after_adopting(name, old, "", mark=f"take_over: [{section}]\n")
    assert plan.refusals == ()
    assert any(gone for gone, _ in changed(plan, host).values())


def taken(name: str, *sections: str) -> tuple[Plan, HostObserved, Desired]:
    text = adopt(material(name)).text
    return planned(
        text.replace("sync: approve\n", f"sync: approve\ntake_over: [{', '.join(sections)}]\n"), material(name)
    )


@pytest.mark.parametrize(
    ("name", "section", "path", "own"),
    [
        ("blog", "nat", "/etc/network/interfaces", NAT_FILE),
        ("iptables-legacy", "nat", "/etc/network/interfaces", NAT_FILE),
        ("nft-file", "nat", "/etc/nftables.conf", NAT_FILE),
        ("rules-v4", "nat", "/etc/iptables/rules.v4", NAT_FILE),
        ("several-dnsmasq", "dnsmasq", "/etc/dnsmasq.d/20-dhcp", OWN_FILE),
        ("several-dnsmasq", "guests", "/etc/dnsmasq.d/30-guests", "/etc/passerelle/dhcp-hosts.d/guests"),
        ("ethers", "guests", "/etc/ethers", "/etc/passerelle/dhcp-hosts.d/guests"),
    ],
    ids=lambda value: value if "/" not in value else "",
)
def test_taking_over_moves_it_into_our_own_files_and_is_then_done(name: str, section: str, path: str, own: str) -> None:
    plan, host, desired = taken(name, section)
    assert plan.refusals == ()
    files = changed(plan, host)
    gone, added = files[path]
    assert gone
    assert added == []
    assert own in files
    done = after_plan(host, plan)
    assert make_plan(desired, LastApplied(), done).steps == ()
    assert make_plan(desired, LastApplied(), done).drifts == ()


def test_a_line_of_a_script_that_holds_more_than_the_rule_is_not_taken_apart() -> None:
    given = material("nft-file")
    script = given.files["/etc/nftables.conf"].decode().replace("\tchain post {\n", "\tchain post {")
    one_line = script.replace("priority srcnat; policy accept;\n", "priority srcnat; policy accept;")
    broken = replace(given, files={**given.files, "/etc/nftables.conf": one_line.encode()})
    text = adopt(broken).text.replace("sync: approve\n", "sync: approve\ntake_over: [nat]\n")
    plan, _, _ = planned(text, broken)
    assert [r.what for r in plan.refusals] == ["/etc/nftables.conf:9 makes more than the rules that are taken over"]


def test_what_was_taken_over_is_adopted_again_as_the_same() -> None:
    plan, host, _ = taken("several-dnsmasq", "dnsmasq", "guests")
    done = after_plan(host, plan)
    files = {p: t.value for p, t in done.texts.items() if isinstance(t, Seen)}
    before, after = adopt(material("several-dnsmasq")), adopt(replace(material("several-dnsmasq"), files=files))
    assert against(before.text, after).text == before.text


@pytest.mark.parametrize("name", NAMES)
def test_what_passerelle_writes_of_an_adopted_spec_is_adopted_as_the_same_spec(name: str) -> None:
    made = adopt(material(name))
    text, spec = made.text, spec_in(made.text, shared_of(made))
    desired = desire(spec, KINDS)
    host = bare_host(desired.watch)
    plan = make_plan(desired, LastApplied(), host, permission=Permission(management_change=True))
    assert plan.refusals == ()
    done = after_plan(host, plan)
    files = {path: seen.value for path, seen in done.texts.items() if isinstance(seen, Seen)}
    kept = {path: data for path, data in material(name).files.items() if path.startswith(("/etc/pve/", "/etc/ssh"))}
    local = {p.replace("/nodes/pve1/", "/local/"): d for p, d in files.items() if "/nodes/" in p}
    files = {**kept, **files, **local}
    packages = dict.fromkeys(spec.sections.get("packages", ()), True)  # type: ignore[call-overload]
    again = adopt(Material({**files, "/etc/hostname": b"pve1"}, packages=packages))
    assert against(text, again).text == text
    after = spec_in(again.text, shared_of(again))
    assert (after.shared.sections, after.shared.groups) == (spec.shared.sections, spec.shared.groups)


def test_a_cluster_without_quorum_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    given = material("pve")
    members = given.files["/etc/pve/.members"].replace(b'"quorate": 1', b'"quorate": 0')
    made: Adopted = adopt(replace(given, files={**given.files, "/etc/pve/.members": members}))
    assert made.text == ""
    assert "no quorum" in made.report.refusal


def test_a_change_that_waits_for_a_reboot_is_told() -> None:
    given = material("pve")
    path, same = "/etc/network/interfaces.new", given.files["/etc/network/interfaces"]
    report = adopt(replace(given, files={**given.files, path: same + b"\n# later\n"})).report
    assert [n.where for n in report.of("danger") if "the next reboot moves it over" in n.what] == [path]
    report = adopt(replace(given, files={**given.files, path: same})).report
    assert [n.where for n in report.of("danger") if n.where == path] == []
    (note,) = (n for n in report.of("unmanaged") if n.where == path)
    assert note.what.startswith("identical to /etc/network/interfaces, so no change waits. Fix: ")


@pytest.mark.parametrize(
    ("version", "addresses", "told"),
    [
        ("3.0.0-1.1", "", "Fix: remove the line, and adopt again. The spec has what the next boot sets"),
        ("", "addresses: [10.10.10.1/24], ", "Fix: remove the line"),
        ("3.2.0-1+pmx9", "addresses: [10.10.10.1/24], ", None),
    ],
    ids=["Debian 12's ifupdown2", "nobody knows", "a later one"],
)
def test_a_broadcast_line_that_costs_the_address_at_boot_is_dangerous(
    version: str, addresses: str, told: str | None
) -> None:
    given, path = material("classic"), "/etc/network/interfaces"
    lines = given.files[path].replace(b"\tbridge_ports", b"\tbroadcast 10.10.10.255\n\tbridge_ports")
    host = replace(given, files={**given.files, path: lines}, ifupdown2=version)
    made = adopt(host)
    assert f"  vmbr0: {{{addresses}ports: []" in made.text
    notes = [(n.where, n.what) for n in made.report.of("danger") if "fails at this line" in n.what]
    words = "vmbr0: ifupdown2 3.0.0 fails at this line, so neither a boot nor ifreload sets 10.10.10.1/24. "
    assert notes == ([] if told is None else [(f"{path}:23", words + told)])


ON_A_VLAN = b"""
auto enp1s0.30
iface enp1s0.30 inet manual

auto vmbr30
iface vmbr30 inet static
\taddress 10.30.30.1/24
\tbridge-ports enp1s0.30
\tbridge-stp off
\tbridge-fd 0
"""


def test_a_bridge_on_a_vlan_keeps_its_port_and_the_plan_after_it_is_empty() -> None:
    given, path = material("classic"), "/etc/network/interfaces"
    given = replace(given, files={**given.files, path: given.files[path] + ON_A_VLAN})
    made = adopt(given)
    assert "  enp1s0.30: {}\n" in made.text
    assert "  vmbr30: {addresses: [10.30.30.1/24], ports: [enp1s0.30]" in made.text
    assert not [note for note in made.report.notes if "enp1s0.30" in note.what and note.sort != "understood"]
    plan, _, _ = planned(made.text, given)
    assert (plan.steps, plan.drifts, plan.refusals) == ((), (), ())


def test_a_spec_is_written_once_and_never_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["adopt", "--root", str(STYLES / "blog" / "root"), "--repo", str(tmp_path)]
    assert run(words) == 0
    spec = tmp_path / "hosts" / "pve1.yaml"
    assert spec.read_text() == (STYLES / "blog" / "spec.yaml").read_text()
    assert run(["lint", str(tmp_path)]) == 0
    assert run(words) == 0
    spec.write_text(spec.read_text().replace("cache_size: 256", "cache_size: 300  # more"))
    kept = spec.read_text()
    capsys.readouterr()
    assert run(words) == 1
    assert spec.read_text() == kept
    assert "--diff" in capsys.readouterr().err
    assert run([*words, "--diff"]) == 0
    patch = capsys.readouterr().out
    assert re.findall(r"^[-+][^-+].*$", patch, re.MULTILINE) == [
        "-  cache_size: 300  # more",
        "+  cache_size: 256  # more",
    ]


def test_a_bare_tree_without_name_and_key_gives_a_spec_that_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = tmp_path / "old-host"
    (tree / "etc" / "network").mkdir(parents=True)
    interfaces = (STYLES / "blog" / "root" / "etc" / "network" / "interfaces").read_text()
    (tree / "etc" / "network" / "interfaces").write_text(interfaces)
    assert run(["adopt", "--root", str(tree), "--repo", str(tmp_path / "repo"), "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["file"], told["state"]) == ("hosts/old-host.yaml", "written")
    assert [n["section"] for n in told["danger"] if "no host key" in n["what"]] == ["connection"]
    text = (tmp_path / "repo" / "hosts" / "old-host.yaml").read_text()
    assert "  # host_keys: [" in text
    assert "AAAAAAAA" not in text
    assert run(["lint", str(tmp_path / "repo")]) == 1
    assert "connection.host_keys: the key is missing" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["nft-file", "rules-v4"])
def test_what_is_suggested_is_a_good_spec_without_the_signs(name: str) -> None:
    text = adopt(material(name)).text
    assert "# forwards:" in text
    (forward,) = spec_of(re.sub(r"^# (?=forwards:|  )", "", text, flags=re.MULTILINE)).sections["forwards"]  # type: ignore[misc]
    assert (forward.interface, forward.to, forward.ports) == ("enp1s0", "10.10.10.20", ((80, 80, 0), (443, 443, 0)))


def test_the_datacenters_firewall_is_suggested_for_the_fleet() -> None:
    made = adopt(material("pve"))
    signed = made.fleet_text.removeprefix("passerelle: 1\n")
    fleet = "passerelle: 1\n" + re.sub(r"^# ", "", signed, flags=re.MULTILINE)
    assert '{type: in, action: accept, macro: Ping, source: 62.210.16.0/24, comment: "the hoster\'s monitors"}' in fleet
    files = {"fleet.yaml": fleet, "hosts/pve1.yaml": made.text}
    tree = Tree({p: BlobEntry(p, p, t.encode()) for p, t in files.items()})
    assert not [f for f in read_fleet(tree, KINDS).findings if f.file == "fleet.yaml" and f.severity == "error"]


def test_the_seeds_firewall_as_proxmoxs_files_round_trips() -> None:
    files = {
        "cluster.fw": b"[OPTIONS]\n\nenable: 1\npolicy_in: DROP\npolicy_out: ACCEPT\n\n[RULES]\n\n"
        b"IN Ping(ACCEPT) -source 62.210.16.0/24 # the hoster's monitors\n\n",
        "host.fw": b"[RULES]\n\nIN ACCEPT -p tcp -dport 8006\nIN SSH(ACCEPT)\nIN HTTP(ACCEPT)\nIN HTTPS(ACCEPT)\n"
        b"IN ACCEPT -i vmbr0 -p udp -dport 67:68\n\n",
    }
    read = read_firewall(files, Node())
    assert (read.ignored, read.warnings, read.fatal) == ((), (), "")
    cluster, host = read.firewall.cluster, read.firewall.host
    assert (render(cluster), render(host, cluster)) == (files["cluster.fw"], files["host.fw"])


def test_taking_over_marks_the_spec_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["adopt", "--root", str(STYLES / "blog" / "root"), "--repo", str(tmp_path)]) == 0
    capsys.readouterr()
    for _ in range(2):
        assert run(["adopt", "--take-over", "nat", "pve1", "--repo", str(tmp_path)]) == 0
    assert "take_over: [nat]\n" in (tmp_path / "hosts" / "pve1.yaml").read_text()
    assert run(["adopt", "--take-over", "nat", "pve9", "--repo", str(tmp_path)]) == 64
    assert run(["adopt", "--root", "/nowhere", "--repo", str(tmp_path)]) == 1
    assert run(["adopt"]) == 64


def test_the_pages_commands_work_on_a_folder(tmp_path: Path) -> None:
    shutil.copytree(STYLES / "several-dnsmasq" / "root", tmp_path / "mnt" / "backup", symlinks=True)
    for command in run_by("test_the_pages_commands_work_on_a_folder"):
        words = [word.replace("/mnt", str(tmp_path / "mnt")) for word in command.words]
        assert run([w.replace("my-repository", str(tmp_path / "my-repository")) for w in words]) == 0
    text = (tmp_path / "my-repository" / "hosts" / "pve1.yaml").read_text()
    assert "take_over: [dnsmasq]\n" in text
