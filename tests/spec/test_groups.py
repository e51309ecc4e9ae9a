"""The files of groups/: security groups, aliases and sets that every host may name."""

from collections.abc import Callable

import pytest

from service.cli import run
from service.firewall.nft.table import render_table
from service.kinds import KINDS
from service.kinds.desire import desire
from service.resources.firewall import FirewallTable
from service.spec.fleet import Fleet, read_fleet
from tests.spec.conftest import tree_of

Read = Callable[..., Fleet]
RULE = "firewall: {rules: [{type: in, action: accept, macro: SSH}]}\n"
WEB = """\
group: web
comment: what web servers need
aliases: {office: 192.0.2.0/24}
ipsets: {friends: [office, "!192.0.2.66", 198.51.100.7]}
rules:
  - {type: in, action: accept, macro: Web}
  - {type: in, action: accept, macro: SSH, source: +friends}
"""
NAMES = "group: names\naliases: {printer: 192.0.2.9}\n"
USED = """\
firewall:
  rules:
    - {type: in, action: accept, macro: SSH}
    - {type: group, action: web, iface: enp1s0}
    - {type: in, action: drop, source: printer}
    - {type: in, action: accept, source: +friends, proto: tcp, dport: 9}
"""


def table_of(fleet: Fleet) -> str:
    assert not fleet.has_errors, "\n".join(map(str, fleet.findings))
    [table] = [r for r in desire(fleet.hosts["pve1"], KINDS).resources if isinstance(r, FirewallTable)]
    assert table.firewall is not None
    return render_table(table.firewall).load


def test_hosts_use_what_the_files_of_groups_define(read: Read, host: str) -> None:
    files = {"groups/web.yaml": WEB, "groups/names.yaml": NAMES, "hosts/pve1.yaml": host.replace(RULE, USED)}
    load = table_of(read(files))
    assert 'iifname "enp1s0" tcp dport 80 accept' in load
    friends = "{ 192.0.2.0-192.0.2.65, 192.0.2.67-192.0.2.255, 198.51.100.7 }"
    assert f'iifname "enp1s0" ip saddr {friends} tcp dport 22 accept' in load
    assert "ip saddr 192.0.2.9 drop" in load
    assert f"ip saddr {friends} tcp dport 9 accept" in load


def test_fleet_yaml_and_groups_use_each_others_names(read: Read, host: str) -> None:
    fleet = "passerelle: 1\nfirewall:\n  aliases: {desk: 203.0.113.9}\n  rules: [{type: group, action: web}]\n"
    web = WEB + "  - {type: in, action: accept, macro: Ping, source: desk}\n"
    load = table_of(read({"fleet.yaml": fleet, "groups/web.yaml": web, "hosts/pve1.yaml": host}))
    assert "ip saddr 203.0.113.9 icmp type 8 accept" in load


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"groups/web.yaml": WEB.replace("+friends", "+nobody")},
            "groups/web.yaml:7:52: rules.1.source: no such ipset 'nobody' [firewall.rule]",
        ),
        (
            {"groups/web.yaml": WEB.replace("macro: Web", "macro: Wob")},
            "groups/web.yaml:6:39: rules.0.macro: `Wob` is not a macro. Fix: write Web, if you mean that [value]",
        ),
        (
            {"groups/mail.yaml": WEB},
            "groups/mail.yaml:1:8: group: `group` differs from the name of the file groups/mail.yaml. Fix: write "
            "mail, or rename the file to web.yaml [group.file-name]",
        ),
        (
            {"groups/web.yaml": WEB, "groups/zoo.yaml": "group: zoo\naliases: {office: 192.0.2.1}\n"},
            "groups/zoo.yaml:2:19: aliases.office: the alias office is already defined in groups/web.yaml. Fix: "
            "keep one of the two [firewall.rule]",
        ),
        (
            {"groups/web.yaml": WEB.replace("198.51.100.7]", "nowhere]")},
            "groups/web.yaml:4:43: ipsets.friends.2: no alias is named nowhere. Fix: add it to `aliases` "
            "[firewall.rule]",
        ),
        (
            {"groups/web.yaml": WEB.replace("macro: Web}", "macro: Web, iface: vmbr0}")},
            "groups/web.yaml:6:51: rules.0.iface: a rule of a group takes no iface. Fix: write it in the rule "
            "that uses the group [firewall.rule]",
        ),
        (
            {"fleet.yaml": "passerelle: 1\nfirewall: {groups: {web: []}}\n", "groups/web.yaml": WEB},
            "groups/web.yaml:1:8: group: the group web is already defined in fleet.yaml. Fix: keep one of the "
            "two [firewall.rule]",
        ),
        (
            {"groups/web.yaml": "group: web\nrulez: []\n"},
            "groups/web.yaml:2:1: rulez: unknown key `rulez`. Fix: write `rules`, if you mean that [unknown-key]",
        ),
        ({"groups/web.yaml": "- x\n"}, "groups/web.yaml:1:1: the file is not a mapping. Fix: write `key: value` "
                                       "lines [yaml.empty]"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(read: Read, host: str, files: dict[str, str], said: str) -> None:
    fleet = read({**files, "hosts/pve1.yaml": host})
    assert fleet.has_errors
    assert said in [f"{found} [{found.rule}]" for found in fleet.findings]


def test_a_host_is_read_again_when_a_group_changes(read: Read, host: str) -> None:
    files = {"groups/web.yaml": WEB, "groups/names.yaml": NAMES, "hosts/pve1.yaml": host.replace(RULE, USED)}
    first = read(files)
    assert read(files, known=first.parsed).hosts["pve1"] is first.hosts["pve1"]
    again = read({**files, "groups/names.yaml": NAMES.replace("192.0.2.9", "192.0.2.8")}, known=first.parsed)
    assert "ip saddr 192.0.2.8 drop" in table_of(again)
    without = read({**files, "groups/names.yaml": "group: names\n"}, known=first.parsed)
    assert without.has_errors


def test_there_is_a_schema_for_the_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", "group"]) == 0
    assert '"ipsets"' in capsys.readouterr().out


def test_without_a_kind_for_them_the_files_are_refused() -> None:
    fleet = read_fleet(tree_of({"fleet.yaml": "passerelle: 1\n", "groups/web.yaml": WEB}), ())
    assert "groups/web.yaml:1:1: no section uses this file, so nothing enforces it. Fix: remove the file" in [
        str(found) for found in fleet.findings if found.rule == "groups"
    ]


def test_a_rule_of_the_datacenter_that_never_decides_is_said(read: Read, host: str) -> None:
    rules = "  rules:\n    - {type: in, action: accept, macro: Web}\n    - {type: in, action: drop, macro: HTTP}\n"
    found = read({"fleet.yaml": f"passerelle: 1\nfirewall:\n{rules}", "hosts/pve1.yaml": host}).findings
    assert [f"{one} [{one.rule}]" for one in found if one.file == "fleet.yaml"] == [
        "fleet.yaml:5:7: firewall.rules.1: the rule has no effect, because IN Web(ACCEPT) (fleet.yaml:4) matches "
        "all its packets first. Fix: put it in front of that rule, or remove it [firewall.shadowed]"
    ]
