"""Values that hosts share: `defaults` of fleet.yaml, groups of hosts, and what a host's own file overrides."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.kinds import KINDS
from service.kinds.desire import desire
from service.spec import layers
from service.spec.document import Document, load
from service.spec.fleet import Fleet
from service.spec.host import HostSpec
from service.spec.layers import Layer
from service.spec.merging import merged
from service.spec.yaml_text import flow
from tests.documents import TOP

Read = Callable[..., Fleet]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPnMuRArpXCMB2oMafDHiIjr90HGUiuvwRcPlZ9pAPrT"
FLEET = f"""\
passerelle: 1
defaults:
  sync: auto
  connection:
    host_keys: [{KEY}]
    console: https://console.example.net/
    port: 2222
  bridges:
    vmbr0: {{addresses: [10.10.10.1/24]}}
  dnsmasq:
    local: [/example.lan/]
    cache_size: 500
    dhcp:
      - {{interface: vmbr0, start: 10.10.10.100, end: 10.10.10.200, lease_time: 12h}}
  packages: {{dnsmasq: present}}
"""
PARIS = """\
group: paris
hosts: [pve1, "pve-paris-*"]
values:
  dnsmasq:
    cache_size: 900
    local_ttl: 60
  services: {named: disabled}
"""
SHORT = """\
host: {name}
connection: {{address: {address}}}
interfaces:
  enp1s0: {{addresses: [{address}/24], gateway: 198.51.100.1}}
"""


def short(name: str = "pve1", number: int = 11, more: str = "") -> str:
    return SHORT.format(name=name, address=f"198.51.100.{number}") + more


def said(fleet: Fleet) -> list[str]:
    return [f"{found} [{found.rule}]" for found in fleet.findings]


def dnsmasq(spec: HostSpec) -> Any:
    return spec.sections["dnsmasq"]


def test_a_host_has_the_defaults_the_groups_and_its_own_values_the_last_wins(read: Read) -> None:
    late = (
        PARIS.replace("paris", "zone")
        .replace("cache_size: 900", "cache_size: 700")
        .replace("local_ttl: 60", "no_ping: true")
    )
    files = {
        "fleet.yaml": FLEET,
        "groups/paris.yaml": PARIS,
        "groups/zone.yaml": late,
        "hosts/pve1.yaml": short(more="dnsmasq: {local_ttl: 30}\n"),
        "hosts/pve2.yaml": short("pve2", 12),
        "hosts/pve-paris-1.yaml": short("pve-paris-1", 13),
        "hosts/pve-zone-1.yaml": short("pve-zone-1", 14),
    }
    fleet = read(files)
    assert said(fleet) == []
    one, two, three = (fleet.hosts[name] for name in ("pve1", "pve2", "pve-paris-1"))
    assert (one.sync, one.connection.port, one.connection.address) == ("auto", 2222, "198.51.100.11")
    assert [dnsmasq(spec).cache_size for spec in (one, two, three)] == [700, 500, 900]
    assert [dnsmasq(spec).local_ttl for spec in (one, two, three)] == [30, None, 60]
    assert dnsmasq(one).no_ping is True
    assert dnsmasq(one).local == ("example.lan",)
    assert "services" in one.sections
    assert "services" not in two.sections


def test_what_is_merged_means_the_same_as_one_long_file(read: Read) -> None:
    files = {"fleet.yaml": FLEET, "groups/paris.yaml": PARIS, "hosts/pve1.yaml": short()}
    shared = read(files).hosts["pve1"]
    lines = FLEET.splitlines(keepends=True)[2:]
    long = "".join(line[2:] for line in lines).replace("cache_size: 500", "cache_size: 900\n  local_ttl: 60")
    long = (
        long.replace("port: 2222", "port: 2222\n  address: 198.51.100.11")
        + short().partition("\n")[2].partition("\n")[2]
    )
    alone = read({"hosts/pve1.yaml": f"host: pve1\nservices: {{named: disabled}}\n{long}"}).hosts["pve1"]
    assert shared.connection == alone.connection
    assert desire(shared, KINDS).digest == desire(alone, KINDS).digest


def test_forty_hosts_that_differ_in_five_lines_are_forty_short_files(read: Read) -> None:
    hosts = {f"hosts/pve{n}.yaml": short(f"pve{n}", 10 + n) for n in range(1, 41)}
    assert {len(text.splitlines()) for text in hosts.values()} == {4}
    fleet = read({"fleet.yaml": FLEET, **hosts})
    assert said(fleet) == []
    assert len({desire(spec, KINDS).digest for spec in fleet.hosts.values()}) == 40


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        (
            {"fleet.yaml": FLEET.replace("cache_size: 500", "cache_size: lots")},
            "fleet.yaml:12:17: defaults.dnsmasq.cache_size: the value is `lots`. Fix: write a whole number [type]",
        ),
        (
            {"fleet.yaml": FLEET.replace("cache_size: 500", "cash_size: 500")},
            "fleet.yaml:12:5: defaults.dnsmasq.cash_size: unknown key `cash_size`. Fix: write `cache_size`, "
            "if you mean that [unknown-key]",
        ),
        (
            {"fleet.yaml": FLEET.replace("interface: vmbr0, start", "start")},
            "fleet.yaml:14:9: defaults.dnsmasq.dhcp.0.interface: the key is missing. Fix: add it [missing-key]",
        ),
        (
            {"fleet.yaml": FLEET.replace("interface: vmbr0", "interface: vmbr7")},
            "fleet.yaml:14:21: defaults.dnsmasq.dhcp.0.interface: the spec has no interface or bridge vmbr7 (hosts "
            "pve1, pve2). Fix: name one of enp1s0, vmbr0 [dnsmasq.unknown-interface]",
        ),
        (
            {"groups/paris.yaml": PARIS.replace("cache_size: 900", "cache_size: -1")},
            "groups/paris.yaml:5:17: values.dnsmasq.cache_size: the value is the number -1. Fix: write 0 or "
            "more [value]",
        ),
        (
            {"groups/paris.yaml": PARIS.replace("pve1", "pve3")},
            "groups/paris.yaml:2:9: hosts.0: no file of hosts/ describes `pve3`. Fix: write `pve2`, if you "
            "mean that [host-group.unknown-host]",
        ),
        (
            {"groups/paris.yaml": PARIS.replace("group: paris", "group: rome")},
            "groups/paris.yaml:1:8: group: the group is `rome` in a file named paris. Fix: write `group: paris`, "
            "or name the file rome.yaml [host-group.file-name]",
        ),
        (
            {"groups/paris.yaml": PARIS + "rules: []\n"},
            "groups/paris.yaml:8:1: rules: unknown key `rules`. Fix: use one of the keys group, comment, hosts, "
            "values [unknown-key]",
        ),
        (
            {"fleet.yaml": FLEET + "  host: pve1\n"},
            "fleet.yaml:16:3: defaults.host: the key belongs to one host. Fix: write it in the "
            "host's own file [shared.own-key]",
        ),
        (
            {"fleet.yaml": FLEET.replace("port: 2222", "allow_management_change: true")},
            "fleet.yaml:7:5: defaults.connection.allow_management_change: the key belongs to one host. Fix: "
            "write it in the host's own file; it counts in one commit only [shared.own-key]",
        ),
        (
            {"fleet.yaml": "passerelle: 1\ndefaults: [x]\n"},
            "fleet.yaml:2:1: defaults: the value is a list of 1. Fix: write keys and values [type]",
        ),
    ],
)  # fmt: skip
def test_a_finding_points_to_where_the_value_stands(read: Read, changed: Mapping[str, str], line: str) -> None:
    hosts = {"hosts/pve1.yaml": short(), "hosts/pve2.yaml": short("pve2", 12)}
    files = {"fleet.yaml": FLEET, "groups/paris.yaml": PARIS, **hosts}
    fleet = read({**files, **changed})
    errors = [f"{found} [{found.rule}]" for found in fleet.findings if found.severity == "error"]
    assert errors == [line]


def test_a_pattern_that_matches_nothing_is_a_warning(read: Read) -> None:
    fleet = read({"fleet.yaml": FLEET, "groups/paris.yaml": PARIS, "hosts/pve1.yaml": short()})
    assert said(fleet) == [
        "groups/paris.yaml:2:15: hosts.1: `pve-paris-*` matches no host. Fix: correct it, or remove it "
        "[host-group.no-match]"
    ]
    assert not fleet.has_errors


def test_a_shared_file_that_cannot_be_read_does_not_make_every_host_wrong(read: Read) -> None:
    hosts = {f"hosts/pve{n}.yaml": short(f"pve{n}", 10 + n) for n in range(1, 4)}
    fleet = read({"fleet.yaml": FLEET + "\t", **hosts})
    assert {found.file for found in fleet.findings} == {"fleet.yaml"}
    assert fleet.has_errors
    assert not fleet.hosts


def test_what_a_host_leaves_to_nobody_is_missing_in_its_own_file(read: Read) -> None:
    fleet = read({"fleet.yaml": FLEET, "hosts/pve1.yaml": "host: pve1\nsync: auto\n"})
    assert "hosts/pve1.yaml:1:1: connection.address: the key is missing. Fix: add it [missing-key]" in said(fleet)


def test_a_change_of_a_group_reads_only_its_hosts_again(read: Read) -> None:
    hosts = {"hosts/pve1.yaml": short(), "hosts/pve2.yaml": short("pve2", 12)}
    files = {"fleet.yaml": FLEET, "groups/paris.yaml": PARIS, **hosts}
    first = read(files)
    again = read({**files, "groups/paris.yaml": PARIS.replace("900", "800")}, known=first.parsed)
    assert dnsmasq(again.hosts["pve1"]).cache_size == 800
    assert again.hosts["pve2"] is first.hosts["pve2"]
    all_of_them = read({**files, "fleet.yaml": FLEET.replace("500", "600")}, known=first.parsed)
    assert dnsmasq(all_of_them.hosts["pve2"]).cache_size == 600
    assert (
        dnsmasq(
            read({"fleet.yaml": FLEET, **files, "groups/paris.yaml": PARIS}, known=all_of_them.parsed).hosts["pve2"]
        ).cache_size
        == 500
    )


def test_a_rule_of_the_firewall_is_known_by_the_file_that_has_it(read: Read) -> None:
    shared = FLEET + "  firewall:\n    rules:\n      - {type: in, action: accept, macro: SSH}\n"
    fleet = read({"fleet.yaml": shared, "hosts/pve1.yaml": short()})
    spec = fleet.hosts["pve1"]
    assert spec.where(("firewall", "rules", 0)) == ("fleet.yaml", 18)
    assert spec.where(("interfaces", "enp1s0")) == ("hosts/pve1.yaml", 4)
    assert spec.where(("connection", "port")) == ("fleet.yaml", 7)
    assert spec.where(("connection", "user")) == ("hosts/pve1.yaml", 2)


def test_groups_have_a_bounded_number_of_patterns(read: Read) -> None:
    many = ", ".join(f"a{n}*" for n in range(layers.MAX_PATTERNS))
    group = f"group: many\nhosts: [{many}]\nvalues: {{sync: auto}}\n"
    fleet = read({"fleet.yaml": FLEET, "groups/many.yaml": group, "hosts/pve1.yaml": short()})
    what = "groups/many.yaml:2:1: hosts: the groups have more than 200 patterns in all"
    assert f"{what}. Fix: write the names of the hosts [host-group.too-many]" in said(fleet)


def test_the_example_of_the_page_is_a_fleet_without_errors(read: Read) -> None:
    page = (TOP / "deploy/docs/shared.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```yaml\n# (\S+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    fleet = read({path: f"# {path}\n{text}" for path, text in blocks})
    assert {found.rule for found in fleet.findings} == {"host-group.no-match"}
    assert dnsmasq(fleet.hosts["pve1"]).cache_size == 900


values = st.recursive(
    st.integers(0, 9) | st.booleans() | st.sampled_from(["a", "b"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=8,
)
mappings = st.dictionaries(st.sampled_from("xyz"), values, max_size=3)


def over(weak: Any, strong: Any) -> Any:
    if isinstance(weak, dict) and isinstance(strong, dict):
        return {key: over(weak[key], strong[key]) if key in weak and key in strong else {**weak, **strong}[key]
                for key in {**weak, **strong}}  # fmt: skip
    return strong


def listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: listed(item) for key, item in value.items()}
    return [listed(item) for item in value] if isinstance(value, tuple | list) else value


def read_text(text: str) -> Document:
    read = load(text.encode())
    assert read.problems == ()
    return read


@given(st.lists(mappings, min_size=1, max_size=4))
def test_law_a_merge_is_a_fold_and_every_value_stands_where_it_says(stack: list[dict[str, Any]]) -> None:
    texts = [flow(one) for one in stack]
    held = [Layer(str(number), (), read_text(text)) for number, text in enumerate(texts)]
    whole = merged(held[-1].document, held[:-1])
    expected: Any = stack[0]
    for one in stack[1:]:
        expected = over(expected, one)
    assert listed(whole.document.value) == expected
    for path, position in whole.document.places.items():
        source = whole.sources.get(path)
        document = held[int(source.file)].document if source is not None else held[-1].document
        assert document.places[path] == position
    assert () in whole.document.places
