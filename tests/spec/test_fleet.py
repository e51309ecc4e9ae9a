"""A repository's files to hosts and findings."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from service.kinds import KINDS
from service.kinds.claims import AddressClaim, DefaultRoute, NeedsForwarding, Reservation, Serves
from service.model.trees import Tree, TreeProblem
from service.spec.fleet import RULES, Fleet, all_rules, read_fleet
from service.spec.models import claims_of
from service.spec.report import as_text
from tests.spec.conftest import FLEET, HOST, tree_of

Read = Callable[..., Fleet]


def lines(fleet: Fleet) -> list[str]:
    return as_text(fleet.findings).splitlines()


def test_a_host_is_read_with_everything_in_it(read: Read, host: str) -> None:
    fleet = read({"hosts/paris/pve1.yaml": host})
    assert lines(fleet) == []
    spec = fleet.hosts["pve1"]
    assert (spec.name, spec.file, spec.platform, spec.sync) == ("pve1", "hosts/paris/pve1.yaml", "debian", "auto")
    assert spec.connection.address == "198.51.100.11"
    assert (spec.connection.user, spec.connection.port, spec.connection.confirm_timeout_s) == ("root", 22, 120)
    assert set(spec.sections) == {kind.name for kind in KINDS}
    assert spec.position(("guests", "proxy", "address")) == (22, 47)
    assert spec.position(("guests", "proxy", "address", "no", "deeper")) == (22, 47)
    assert spec.position(("bridges", "vmbr0")) == (11, 3)


def test_sections_tell_each_other_what_they_need(read: Read, host: str) -> None:
    claims = claims_of(read({"hosts/pve1.yaml": host}).hosts["pve1"], KINDS)
    assert AddressClaim("vmbr0", "10.10.10.1/24") in claims
    assert DefaultRoute("enp1s0", 4, "198.51.100.1") in claims
    assert Reservation("proxy", "bc:24:11:00:00:02", "10.10.10.20") in claims
    assert Reservation("dev", "bc:24:11:00:00:01") in claims
    assert NeedsForwarding("nat: 10.10.10.0/24 leaves through enp1s0") in claims
    assert Serves("dhcp", "vmbr0") in claims


def test_the_smallest_host_waits_for_approval(read: Read) -> None:
    text = HOST.partition("interfaces:")[0].replace("platform: debian\nsync: auto\n", "")
    spec = read({"hosts/pve1.yaml": text}).hosts["pve1"]
    assert (spec.platform, spec.sync, spec.sections) == ("debian", "approve", {})


@pytest.mark.parametrize(("written", "seconds"), [("5s", 5), ("120s", 120), ("2m", 120), ("1h", 3600)])
def test_the_confirm_timeout_is_a_duration(read: Read, host: str, written: str, seconds: int) -> None:
    text = host.replace("connection:\n", f"connection:\n  confirm_timeout: {written}\n")
    assert read({"hosts/pve1.yaml": text}).hosts["pve1"].connection.confirm_timeout_s == seconds


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "platform: debian",
            "platform: debain",
            "2:11: platform: the value is `debain`. Fix: write one of debian, proxmox [value]",
        ),
        (
            "sync: auto",
            "snyc: auto",
            "3:1: snyc: unknown key `snyc`. Fix: write `sync`, if you mean that [unknown-key]",
        ),
        (
            "    - {interface: vmbr0,",
            "    - {interfaces: [], interface: vmbr0,",
            "19:8: dnsmasq.dhcp.0.interfaces: unknown key `interfaces`. Fix: write `interface`, if you mean that "
            "[unknown-key]",
        ),
        (
            "stp: false",
            "spt: false",
            "11:50: bridges.vmbr0.spt: unknown key `spt`. Fix: write `stp`, if you mean that [unknown-key]",
        ),
        (
            "  cache_size: 256",
            "  cache-size: 256",
            "17:3: dnsmasq.cache-size: unknown key `cache-size`. Fix: write `cache_size`, if you mean that "
            "[unknown-key]",
        ),
        (
            "out: enp1s0",
            "to: 1",
            "13:29: nat.0.to: unknown key `to`. Fix: use one of the keys source, out [unknown-key]",
        ),
        (
            "cache_size: 256",
            "cache_size: many",
            "17:15: dnsmasq.cache_size: the value is `many`. Fix: write a whole number [type]",
        ),
        (
            "cache_size: 256",
            "cache_size: -1",
            "17:15: dnsmasq.cache_size: the value is the number -1. Fix: write 0 or more [value]",
        ),
        ("stp: false", "stp: off", "11:55: bridges.vmbr0.stp: the value is `off`. Fix: write true or false [type]"),
        (
            "ports: []",
            "ports: none",
            "11:46: bridges.vmbr0.ports: the value is `none`. Fix: write a list such as [a, b] [type]",
        ),
        (
            "lease_time: 12h",
            "lease_time: 12",
            "19:78: dnsmasq.dhcp.0.lease_time: the value is the number 12. Fix: write text, in quotes if it "
            "looks like a number [type]",
        ),
        (
            "services: {named: disabled}",
            "services: [named]",
            "24:1: services: the value is a list of 1. Fix: write keys and values [type]",
        ),
        (
            "  dev:    {mac",
            "  Dev:    {mac",
            "21:3: guests.Dev: `Dev` is not a host name. Fix: write dev [value]",
        ),
        (
            "  address: 198.51.100.11\n",
            "",
            "4:1: connection.address: the key is missing. Fix: add it [missing-key]",
        ),
        (
            "  host_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPnMuRArpXCMB2oMafDHiIjr90HGUiuvwRcPlZ9pAPrT]",
            "  host_keys: []",
            "7:3: connection.host_keys: the value is a list of 0. Fix: write at least 1 [value]",
        ),
        (
            "  host_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPnMuRArpXCMB2oMafDHiIjr90HGUiuvwRcPlZ9pAPrT]",
            "  host_keys: [22]",
            "7:15: connection.host_keys.0: the value is the number 22. Fix: write text, in quotes if it looks "
            "like a number [type]",
        ),
        (
            "host: pve1",
            "host: pve2",
            "1:7: host: `host` is pve2, but the file is named pve1. Fix: write `host: pve1`, or rename the file "
            "[host.file-name]",
        ),
        ("host: pve1\n", "", "1:1: host: the key is missing. Fix: add it [missing-key]"),
        (
            "address: 198.51.100.11\n",
            'address: "198.51.100.11\\n"\n',
            "5:12: connection.address: the string contains a line break. Fix: write one line of visible "
            "characters [yaml.character]",
        ),
        (
            "connection:\n",
            "connection:\n  confirm_timeout: 2h\n",
            "5:20: connection.confirm_timeout: `2h` is out of range. Fix: write 5s to 1h [value]",
        ),
        (
            "connection:\n",
            "connection:\n  user: Root\n",
            "5:9: connection.user: `Root` is not a user name. Fix: write a login name of the host, such as root "
            "[value]",
        ),
        (
            "https://console.example.net/pve1",
            "javascript:alert(1)",
            "6:12: connection.console: `javascript:alert(1)` is not a web address. Fix: write an https:// address "
            "without user and password [value]",
        ),
        (
            "end: 10.10.10.200",
            'end: 10.10.10.200, options: {router: 10.10.10.1, "77": a}',
            "19:96: dnsmasq.dhcp.0.options.77: `77` is not a DHCP option that passerelle can set. Fix: write its "
            "number or dnsmasq's name for it, such as 3 or router [value]",
        ),
        (
            "end: 10.10.10.200",
            "end: 10.10.10.200, options: {router: true}",
            "19:84: dnsmasq.dhcp.0.options.router: the value is not text, a number or a list of them. Fix: write "
            "10.10.10.1 or [10.10.10.1, 10.10.10.2] [value]",
        ),
        (
            "end: 10.10.10.200",
            "end: 10.10.10.200, options: {router: 10.10.10.1, 3: 10.10.10.1}",
            "19:99: dnsmasq.dhcp.0.options.3: option 3 is already set as `router`. Fix: keep one of the two "
            "[dnsmasq.option-twice]",
        ),
    ],
)
def test_an_error_says_where_what_and_what_would_be_right(
    read: Read, host: str, old: str, new: str, expected: str
) -> None:
    assert host.count(old) == 1
    fleet = read({"hosts/pve1.yaml": host.replace(old, new)})
    assert f"hosts/pve1.yaml:{expected}" in lines(fleet)
    assert "pve1" not in fleet.hosts
    assert fleet.has_errors


def test_everything_wrong_is_said_at_once(read: Read, host: str) -> None:
    text = (
        host.replace("sync: auto", "snyc: auto")
        .replace("  host_keys", "  hostkeys")
        .replace("gateway: 198.51.100.1}", "gateway: 198.51.101.1, mtu: big}")
        .replace("nat:\n", "nat:\n  - {source: 10.10.10.1/24, out: enp1s0}\n  - {source: 10.9.9.0/24, out: vmbr0}\n")
        .replace("  - {source: 10.9.9.0/24, out: vmbr0}\n", "  - &x {source: 10.10.10.0/24, out: vmbr0}\n")
        .replace("end: 10.10.10.200", "end: 10.10.10.50")
        .replace("named: disabled", 'named: "off\\n", bind9: disabled')
    )
    found = read({"hosts/pve1.yaml": text}).findings
    assert [(f.rule, f.line) for f in found] == [
        ("unknown-key", 3),
        ("missing-key", 4),
        ("unknown-key", 7),
        ("interfaces.gateway-outside-subnet", 9),
        ("type", 9),
        ("value", 13),
        ("yaml.anchor", 14),
        ("nat.out-is-source", 14),
        ("dnsmasq.range-reversed", 21),
        ("yaml.character", 26),
        ("services.alias", 26),
    ]


def test_what_is_only_misspelled_is_not_also_said_to_be_missing(read: Read, host: str) -> None:
    text = host.replace("interfaces:", "interfacse:").replace("packages:", "packagse:")
    assert [found.rule for found in read({"hosts/pve1.yaml": text}).findings] == ["unknown-key", "unknown-key"]


def test_a_line_break_in_any_string_is_refused_at_its_place(read: Read, host: str) -> None:
    """Every scalar of the file in turn, keys too, gets a line break."""
    scalars = [event for event in yaml.parse(host, Loader=yaml.SafeLoader) if isinstance(event, yaml.ScalarEvent)]
    assert len(scalars) > 60
    for event in scalars:
        start, end = event.start_mark, event.end_mark
        assert start is not None
        assert end is not None
        for tail in ("\\n", "\\npost-up id"):
            bad = f'"{event.value}{tail}"'
            text = host[: start.index] + bad + host[end.index :]
            fleet = read({"hosts/pve1.yaml": text})
            where = ("yaml.character", start.line + 1, start.column + 1)
            assert where in [(found.rule, found.line, found.col) for found in fleet.findings], text
            assert "pve1" not in fleet.hosts


def test_a_file_that_did_not_change_is_not_read_again(read: Read, host: str) -> None:
    first = read({"hosts/pve1.yaml": host})
    other = host.replace("pve1", "pve2").replace("198.51.100.11", "198.51.100.12").replace("BC:24:11", "BC:24:12")
    second = read({"hosts/pve1.yaml": host, "hosts/pve2.yaml": other}, first.parsed)
    assert second.hosts["pve1"] is first.hosts["pve1"]
    assert set(second.hosts) == {"pve1", "pve2"}


def test_the_same_bytes_under_another_name_are_read_again(read: Read, host: str) -> None:
    first = read({"hosts/pve1.yaml": host})
    moved = read({"hosts/pve2.yaml": host}, first.parsed)
    assert [found.rule for found in moved.findings] == ["host.file-name"]


def test_two_files_cannot_describe_one_host(read: Read, host: str) -> None:
    fleet = read({"hosts/pve1.yaml": host, "hosts/paris/pve1.yaml": host + "# moved\n"})
    assert [found.rule for found in fleet.findings] == ["host.duplicate"]
    assert fleet.findings[0].what in (
        f"hosts/{path} describes the same host" for path in ("pve1.yaml", "paris/pve1.yaml")
    )


def test_the_head_of_a_host_may_be_doubtful(read: Read, host: str) -> None:
    text = host.replace("  console: https://console.example.net/pve1\n", "  allow_management_change: true\n")
    fleet = read({"hosts/pve1.yaml": text})
    assert lines(fleet) == [
        "hosts/pve1.yaml:4:1: connection: `console` is missing. Fix: add the web address of the host's console, "
        "for the case that SSH fails (warning) [connection.no-console]",
        "hosts/pve1.yaml:6:28: connection.allow_management_change: this key only has an effect in the commit that "
        "adds it. Fix: remove it after that commit is applied (warning) [connection.allow-management-change]",
    ]
    assert fleet.hosts["pve1"].connection.allow_management_change


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"fleet.yaml": FLEET}, "hosts:1:1: the repository describes no host. Fix: add hosts/NAME.yaml [empty]"),
        (
            {"hosts/pve1.yaml": HOST},
            "fleet.yaml:1:1: the file is missing. Fix: add it with the line `passerelle: 1` [fleet.missing]",
        ),
        (
            {"fleet.yaml": "passerelle: 2\n", "hosts/pve1.yaml": HOST},
            "fleet.yaml:1:13: passerelle: the value is the number 2. Fix: write 1 or less [value]",
        ),
        (
            {"fleet.yaml": "passerelle: 1\nrollout: {waves: [1, 0%]}\n", "hosts/pve1.yaml": HOST},
            "fleet.yaml:2:22: rollout.waves.1: `0%` is not a number of hosts. Fix: write a number such as 1, or a "
            "percentage such as 10% [value]",
        ),
        (
            {"fleet.yaml": "passerelle: 1\nrollout: {waves: [5, 2]}\n", "hosts/pve1.yaml": HOST},
            "fleet.yaml:2:22: rollout.waves.1: after wave 2 there would be 2 in all, after the one before it 5. Fix: "
            "write how many hosts have the change in all [rollout.shrinking]",
        ),
        (
            {"fleet.yaml": "passerelle: 1\nrollout: {last: [pve7]}\n", "hosts/pve1.yaml": HOST},
            "fleet.yaml:2:18: rollout.last.0: no file of hosts/ describes `pve7`. Fix: correct it, or remove it "
            "[rollout.unknown-host]",
        ),
        (
            {"fleet.yaml": "passerelle: 1\n", "hosts/pve1.yaml": HOST + "depends_on: [pve1]\n"},
            "hosts/pve1.yaml:31:14: depends_on.0: pve1 waits for itself. Fix: remove one of the names [rollout.loop]",
        ),
        (
            {"fleet.yaml": "# nothing\n", "hosts/pve1.yaml": HOST},
            "fleet.yaml:1:1: the file is empty. Fix: write `key: value` lines [yaml.empty]",
        ),
    ],
)
def test_a_repository_that_is_not_whole_says_so(files: dict[str, str], expected: str) -> None:
    fleet = read_fleet(tree_of(files), KINDS)
    assert lines(fleet) == [expected]
    assert fleet.has_errors


def test_an_entry_that_cannot_be_used_is_a_finding_about_the_whole_file() -> None:
    whole = tree_of({"fleet.yaml": FLEET, "hosts/pve1.yaml": HOST})
    tree = Tree(whole.files, (TreeProblem("hosts/leak.yaml", "a symbolic link (mode 120000)"),))
    fleet = read_fleet(tree, KINDS)
    assert lines(fleet) == ["hosts/leak.yaml:1:1: a symbolic link (mode 120000) [tree]"]
    assert fleet.has_errors


def test_a_hostile_key_cannot_write_to_the_terminal(read: Read, host: str) -> None:
    fleet = read({"hosts/pve1.yaml": host + '"\\e]0;x\\a": 1\n<script>: 1\n' + "k" * 900 + ": 1\n"})
    text = as_text(fleet.findings)
    assert all(line.isprintable() and len(line) < 2500 for line in text.splitlines())
    assert len(text.splitlines()) == 3


def test_rule_ids_are_unique_and_stable_in_form() -> None:
    ids = [rule.id for rule in all_rules(KINDS)]
    assert len(ids) == len(set(ids))
    assert all(part.replace("-", "").isalnum() and part == part.lower() for rule in ids for part in rule.split("."))


def test_every_rule_of_the_files_themselves_is_met_in_these_tests() -> None:
    texts = [path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py")]
    for rule in RULES:
        assert any(f'"{rule.id}"' in text or f"[{rule.id}]" in text for text in texts), rule.id
