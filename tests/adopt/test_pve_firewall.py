"""Proxmox's firewall files: live in the spec where they mean exactly the same, else left, and the report says why."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from service.adopt import Adopted, Material, adopt
from service.adopt.against import against
from service.cli import run
from service.model.plans import Plan
from service.plan.make import make_plan
from service.resources.desired import LastApplied
from tests.adopt.test_styles import changed, planned, shared_of
from tests.adopt.trees import STYLES, material

STYLE = "pve-firewall"
CLUSTER, HOST = "/etc/pve/firewall/cluster.fw", "/etc/pve/local/host.fw"
REAL_HOST = "/etc/pve/nodes/pve1/host.fw"
GUEST = "/etc/pve/firewall/101.fw"


def with_file(path: str, old: str, new: str) -> Material:
    """The style with other words in one file."""
    given = material(STYLE)
    text = given.files[path].decode()
    assert text.count(old) >= 1, text
    return replace(given, files={**given.files, path: text.replace(old, new, 1).encode()})


def left(made: Adopted) -> dict[str, str]:
    """Why files are left to Proxmox, by file."""
    notes = [note for note in made.report.of("unmanaged") if ".fw:" in note.where]
    return {note.where.rpartition(":")[0]: note.what.partition("left to Proxmox: ")[2] for note in notes}


@pytest.mark.parametrize(
    ("file", "old", "new", "path", "gone", "added"),
    [
        ("hosts", "proto: tcp, dport: 8006", "proto: tcp, dport: 8007", REAL_HOST,
         ["IN ACCEPT -p tcp -dport 8006"], ["IN ACCEPT -p tcp -dport 8007"]),
        ("fleet.yaml", "62.210.16.0/24", "62.210.16.0/25", CLUSTER,
         ["IN Ping(ACCEPT) -source 62.210.16.0/24 # the hoster's monitors"],
         ["IN Ping(ACCEPT) -source 62.210.16.0/25 # the hoster's monitors"]),
        ("fleet.yaml", '"!203.0.113.66"', '"!203.0.113.67"', CLUSTER, ["!203.0.113.66 # not he"], ["!203.0.113.67"]),
        ("fleet.yaml", "policy_in: drop", "policy_in: reject", CLUSTER, [], ["policy_in: REJECT"]),
        ("groups/web.yaml", "macro: HTTP}", "macro: HTTP, log: info}", CLUSTER,
         ["IN HTTP(ACCEPT)"], ["IN HTTP(ACCEPT) -log info"]),
        ("hosts", "policy_out: reject", "policy_out: drop", GUEST, ["policy_out: REJECT"], ["policy_out: DROP"]),
        ("hosts", "        - {type: out, action: accept, macro: Web}\n", "", GUEST, ["OUT Web(ACCEPT)"], []),
    ],
)  # fmt: skip
def test_one_rule_changed_in_git_changes_that_line_of_that_file(
    file: str, old: str, new: str, path: str, gone: list[str], added: list[str]
) -> None:
    made = adopt(material(STYLE))
    texts = {**shared_of(made), "hosts": made.text}
    assert texts[file].count(old) == 1, texts[file]
    texts[file] = texts[file].replace(old, new)
    host_text = texts.pop("hosts")
    plan, host, _ = planned(host_text, material(STYLE), texts)
    assert plan.refusals == ()
    assert changed(plan, host) == {path: (gone, added)}


NOT_THE_SAME = [
    (HOST, "[RULES]", "[OPTIONS]\n\nnosmurfs: 0\n\n[RULES]", "host.fw: no key of the spec says `nosmurfs: 0`"),
    (HOST, "[RULES]", "[OPTIONS]\n\nenable: 0\n\n[RULES]", "host.fw: `option enable 0` would be 1"),
    (HOST, "IN SSH(ACCEPT)", "IN SSH(accept)", "host.fw:4: Proxmox skips `IN SSH(accept)`"),
    (HOST, "IN SSH(ACCEPT)", "FORWARD DROP -dest 10.10.10.0/24",
     "Proxmox's firewall does not filter routed packets, so the rule would have no effect"),
    (HOST, "IN DNS(ACCEPT) -i vmbr0", "", "guests on vmbr0 cannot resolve names, "),
    (HOST, "-p udp -dport 67", "-p udp -dport 067", "`067` is not a port"),
    (CLUSTER, "enable: 1", "policy_in: DROP", "the datacenter's firewall is not on"),
    (CLUSTER, "enable: 1", "enable: 1\nebtables: 0", "cluster.fw: no key of the spec says `ebtables: 0`"),
    (CLUSTER, "[IPSET friends]", "[IPSET ipfilter-net0]\n\n203.0.113.7\n\n[IPSET friends]",
     "`ipfilter-net0` has a special meaning on Proxmox"),
    (CLUSTER, "office 203.0.113.0/24", "Office 203.0.113.0/24", "`Office` is not a valid name of an alias"),
    ("/etc/pve/.members", '"nodename": "pve1"', '"nodename": "pve7"', "the node is named pve7, and its host.fw "),
    ("/etc/pve/.members", '"name": "home"', '"name": "my home"', "`my home` is not a "),
]  # fmt: skip


@pytest.mark.parametrize(("path", "old", "new", "why"), NOT_THE_SAME, ids=lambda value: str(value)[:20])
def test_what_the_spec_cannot_say_is_left_with_the_reason(path: str, old: str, new: str, why: str) -> None:
    given = with_file(path, old, new)
    made = adopt(given)
    assert why in left(made)[HOST]
    assert left(made)[CLUSTER] == left(made)[HOST]
    assert "needs that of its host" in left(made)[GUEST]
    assert "\nfirewall:" not in made.text
    assert "\n# firewall:\n" in made.text
    assert "\ncluster:" not in made.text
    assert "vmid" not in made.text
    assert made.groups == {}
    assert made.fleet_text.startswith("passerelle: 1\n# firewall:")
    plan, _, _ = planned(made.text, given, shared_of(made))
    assert (plan.drifts, plan.steps, plan.refusals) == ((), (), ())


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("[RULES]", "[ALIASES]\n\nmine 10.10.10.9\n\n[RULES]", "101.fw: no key of the spec says `alias mine: 10."),
        ("IN SSH(ACCEPT) -source", "IN SSH(ACCEPT) -i net0 -source", "a rule of a guest takes no interface"),
        ("enable: 1", "enable: 1\nlog_level_in: info", "101.fw: no key of the spec says `log_level_in: info`"),
        ("GROUP web", "GROUP wep", "no group is named wep"),
    ],
)  # fmt: skip
def test_a_guest_whose_file_says_more_is_left_alone_and_the_host_is_not(old: str, new: str, why: str) -> None:
    given = with_file(GUEST, old, new)
    made = adopt(given)
    assert why in left(made)[GUEST]
    assert CLUSTER not in left(made)
    assert "\nfirewall:\n" in made.text
    assert "vmid" not in made.text
    plan, _, _ = planned(made.text, given, shared_of(made))
    assert (plan.drifts, plan.steps, plan.refusals) == ((), (), ())


def test_what_is_written_out_as_usual_means_the_same() -> None:
    given = with_file(HOST, "[RULES]", "[OPTIONS]\n\nenable: 1\nnosmurfs: 1\nlog_level_in: nolog\n\n[RULES]")
    assert adopt(given).text == adopt(material(STYLE)).text
    own = "[IPSET ipfilter-net0]\n\n10.10.10.20\nfe80::be24:11ff:fe00:2\n\n[RULES]"
    filtered = adopt(with_file(GUEST, "[RULES]", own))
    assert "ipfilter" not in filtered.text
    assert "vmid: 101" in filtered.text


def test_proxmoxs_own_sets_are_sets_of_the_fleet() -> None:
    sets = "[IPSET blacklist]\n\n192.0.2.0/24\n\n[IPSET management]\n\noffice\n\n[IPSET friends]"
    given = with_file(CLUSTER, "[IPSET friends]", sets)
    made = adopt(given)
    assert "    management: [office]\n" in made.fleet_text
    plan, _, _ = planned(made.text, given, shared_of(made))
    assert (plan.drifts, plan.steps, plan.refusals) == ((), (), ())


def test_nothing_is_switched_off_where_nothing_would_follow() -> None:
    given = material(STYLE)
    lines = given.files["/etc/network/interfaces"].decode().splitlines(keepends=True)
    quiet = "".join(line for line in lines if "post-" not in line).encode()
    files = {path: data for path, data in given.files.items() if path != "/etc/dnsmasq.d/containers"}
    made = adopt(replace(given, files={**files, "/etc/network/interfaces": quiet}))
    assert left(made)[GUEST] == "the spec does not name proxy, as dnsmasq does not"
    assert "\nfirewall:\n  rules:\n" in made.text


def test_a_node_without_a_file_of_its_own_has_an_empty_section() -> None:
    given = material(STYLE)
    lines = given.files["/etc/network/interfaces"].decode().splitlines(keepends=True)
    quiet = "".join(line for line in lines if "post-" not in line).encode()
    files = {p: d for p, d in given.files.items() if p not in ("/etc/dnsmasq.d/containers", HOST)}
    bare = replace(given, files={**files, "/etc/network/interfaces": quiet})
    made = adopt(bare)
    assert "\nfirewall: {}\n" in made.text
    plan, _, _ = planned(made.text, bare, shared_of(made))
    assert (plan.drifts, plan.steps) == ((), ())


def test_a_fleet_that_is_there_is_what_the_host_is_compared_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["adopt", "--root", str(STYLES / STYLE / "root"), "--repo", str(tmp_path)]
    assert run([*words, "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert sorted(told["shared"]) == ["fleet.yaml", "groups/web.yaml"]
    assert {path: (tmp_path / path).read_text() for path in told["shared"]} == told["shared"]
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.yaml")) == [
        "fleet.yaml", "groups/web.yaml", "hosts/pve1.yaml"
    ]  # fmt: skip
    spec, fleet = tmp_path / "hosts" / "pve1.yaml", tmp_path / "fleet.yaml"
    text = spec.read_text()
    assert run(words) == 0
    spec.unlink()
    assert run(words) == 0
    assert spec.read_text() == text
    shared = {"fleet.yaml": fleet.read_text().replace("62.210.16.0/24", "62.210.17.0/24")}
    shared["groups/web.yaml"] = (tmp_path / "groups" / "web.yaml").read_text()
    other = adopt(material(STYLE), shared=shared)
    assert left(other)[CLUSTER].startswith("with the fleet.yaml that is there: cluster.fw: of rules, in place of ")
    assert [note.what for note in other.report.of("danger") if note.where == "fleet.yaml"] == [
        "has a `firewall`, which holds for this host, too: the next plan makes its files say that"
    ]


def test_what_a_person_says_otherwise_or_beyond_adopts_reach_is_kept() -> None:
    made = adopt(material(STYLE))
    assert against(made.text, made).text == made.text
    other = made.text.replace("dport: 8006", "dport: 8007")
    assert against(other, made).text == made.text
    assert "# without these no guest has an address" in against(other, made).text
    without = adopt(with_file(HOST, "[RULES]", "[OPTIONS]\n\nnosmurfs: 0\n\n[RULES]"))
    assert against(made.text, without).text == made.text


def test_a_firewall_that_a_person_says_in_other_words_is_not_touched() -> None:
    made = adopt(material(STYLE))
    other = made.text.replace("      policy_out: reject\n", "      policy_in: drop\n      policy_out: reject\n")
    other = other.replace(
        "derive: {dnsmasq: false, nat: open}", "policy_in: drop\n  derive: {dnsmasq: false, nat: open}"
    )
    other = other.replace("cluster: home\n", "")
    assert against(other, made).text == other


def test_a_plan_that_was_applied_is_empty_again() -> None:
    made = adopt(material(STYLE))
    _, host, desired = planned(made.text, material(STYLE), shared_of(made))
    plan: Plan = make_plan(desired, LastApplied.from_json(desired.as_json()), host)
    assert (plan.drifts, plan.steps) == ((), ())
