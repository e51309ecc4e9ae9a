"""What follows from `web`: each thing with its cause and its place, and what a push changes on a host."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from service.kinds import KINDS
from service.kinds.desire import desire
from service.kinds.published import published_of
from service.model.observed import HostObserved
from service.model.plans import Plan
from service.model.states import Absent, Seen
from service.model.trees import BlobEntry, Tree
from service.plan.make import make_plan
from service.resources.desired import Desired, LastApplied
from service.resources.dnsmasq_config import DnsmasqConfig
from service.resources.ending import watch_of
from service.resources.pve_firewall import PveFirewallFile
from service.spec.fleet import read_fleet
from service.spec.host import HostSpec
from service.spec.models import claims_of
from tests.laws.host import after_plan, bare_host, file_fact
from tests.laws.specs import FOLDER, spec_of, whole

TEXT = whole((FOLDER / "web.yaml").read_text())
GUEST = "/etc/passerelle/guests/proxy"
SITE = f"{GUEST}/sites/www.example.org.conf"


def spec(text: str = TEXT) -> HostSpec:
    return spec_of(text)


def wanted(text: str = TEXT) -> Desired:
    return desire(spec(text), KINDS)


def causes(text: str = TEXT) -> dict[str, str]:
    return dict(wanted(text).derived())


def applied(desired: Desired) -> HostObserved:
    host = bare_host(desired.watch)
    return after_plan(host, make_plan(desired, LastApplied(), host))


def pushed(old: str, new: str, text: str = TEXT) -> Plan:
    """The plan after a push that changes this text, on a host that has what was wanted before."""
    assert text.count(old) == 1
    before, after = wanted(text), wanted(text.replace(old, new))
    host = applied(before)
    base = LastApplied.from_json(before.as_json())
    missing = watch_of(after, base).files - watch_of(before, base).files
    texts = {**host.texts, **{path: Absent() for path in missing if not path.endswith("*")}}
    facts = {**host.facts, **{f"file:{path}": Absent() for path in missing if not path.endswith("*")}}
    return make_plan(after, base, replace(host, texts=texts, facts=facts))


def changed(plan: Plan) -> list[str]:
    return sorted(step.fact for step in plan.steps)


def test_what_is_published_has_the_place_of_the_section() -> None:
    host = spec()
    (one,) = published_of(claims_of(host, KINDS), host)
    assert (one.section, one.interface, one.ports, one.target) == (
        "web",
        "enp1s0",
        ((80, 80), (443, 443)),
        "10.10.10.20",
    )
    line = TEXT.splitlines().index("web:") + 1
    assert str(one.where) == f"hosts/pve1.yaml:{line}"


@pytest.mark.parametrize(
    ("thing", "cause"),
    [
        ("DNAT 198.51.100.11 tcp/80,443 to 10.10.10.20", "web: tcp/80,443 on enp1s0 to proxy (10.10.10.20)"),
        ("MASQUERADE 10.10.10.0/24 to proxy", "web: guests of 10.10.10.0/24 reach proxy by the host's address"),
        ("FORWARD ACCEPT -dest 10.10.10.20 -p tcp -dport 80,443", "web: tcp/80,443 on enp1s0 to proxy (10.10.10.20)"),
        ("FORWARD ACCEPT -source 10.10.10.20 -dest 10.20.0.30 -p tcp -dport 8090", "web: proxy leads to db"),
        ("FORWARD ACCEPT -source 10.10.10.20 -p tcp -dport 443", "web: proxy orders certificates"),
        ("IN ACCEPT -p tcp -dport 80,443 (guest proxy)", "web: proxy answers for sites"),
        ("OUT ACCEPT -dest 10.10.10.0/24 -p tcp -dport 8080 (guest proxy)", "web: proxy leads to dev"),
        ("OUT ACCEPT -dest 10.20.0.30 -p tcp -dport 8090 (guest proxy)", "web: proxy leads to db"),
        ("OUT ACCEPT -dest 10.10.10.1 -p udp -dport 53 (guest proxy)", "web: proxy resolves names"),
        ("OUT ACCEPT -p tcp -dport 443 (guest proxy)", "web: proxy orders certificates"),
        ("IN ACCEPT -source 10.10.10.20 -p tcp -dport 8090 (guest db)", "web: proxy leads to db"),
    ],
)
def test_each_thing_that_follows_is_shown_with_its_cause(thing: str, cause: str) -> None:
    assert causes()[thing] == cause


def test_guests_resolve_all_names_to_the_proxy() -> None:
    (names,) = [one.directives for one in wanted().resources if isinstance(one, DnsmasqConfig)]
    found = {value for key, value in names if key == "host-record"}
    assert found == {f"{name},10.10.10.20" for name in ("www.example.org", "example.org", "wiki.example.org")}


def test_another_interface_than_that_of_the_default_route() -> None:
    text = TEXT.replace("bridges:\n", "  enp2s0: {addresses: [203.0.113.11/24]}\nbridges:\n")
    text = text.replace("  proxy: proxy\n", "  proxy: proxy\n  in: enp2s0\n")
    found = causes(text)
    assert found["DNAT 203.0.113.11 tcp/80,443 to 10.10.10.20"] == "web: tcp/80,443 on enp2s0 to proxy (10.10.10.20)"
    assert "web: enp2s0 to proxy" in found["sysctl:net.ipv4.conf.enp2s0.forwarding"]


def test_an_authority_on_a_port_of_its_own_leaves_the_way_to_the_package_index_open() -> None:
    found = causes(TEXT.replace("directory: letsencrypt", "directory: 'https://ca.example:8443/dir'"))
    assert found["FORWARD ACCEPT -source 10.10.10.20 -p tcp -dport 8443"] == "web: proxy orders certificates"
    assert (
        found["FORWARD ACCEPT -source 10.10.10.20 -p tcp -dport 443"] == "web: proxy installs what orders certificates"
    )
    assert "OUT ACCEPT -p tcp -dport 443 (guest proxy)" in found


def test_a_site_of_the_host_itself_is_open_to_the_proxy_alone() -> None:
    text = TEXT.replace(
        "www.example.org: {to: dev, port: 8080", "www.example.org: {to: 10.10.10.1, port: 8006, scheme: https"
    )
    rule = "IN ACCEPT -source 10.10.10.20 -dest 10.10.10.1 -p tcp -dport 8006"
    assert causes(text)[rule] == "web: proxy leads to 10.10.10.1"
    proxmox = text.replace("platform: debian", "platform: proxmox").replace("  policy_forward: drop\n", "")
    proxmox = proxmox.replace('"BC:24:11:00:00:02"', '"BC:24:11:00:00:02"\n    vmid: 102')
    proxmox = proxmox.replace('"BC:24:11:00:00:03"', '"BC:24:11:00:00:03"\n    vmid: 103')
    files = {
        one.id: one.content.decode()
        for one in wanted(proxmox).resources
        if isinstance(one, PveFirewallFile) and one.content
    }
    assert rule in files["file:/etc/pve/nodes/pve1/host.fw"]
    assert "IN ACCEPT -p tcp -dport 80,443 # web: proxy answers for sites" in files["file:/etc/pve/firewall/102.fw"]
    assert "IN ACCEPT -source 10.10.10.20 -p tcp -dport 8090" in files["file:/etc/pve/firewall/103.fw"]


def test_derive_false_switches_the_rules_off_and_lint_says_what_is_missing() -> None:
    text = TEXT.replace("  policy_forward: drop\n", "  policy_forward: drop\n  derive: {web: false}\n")
    tree = {"fleet.yaml": b"passerelle: 1\n", "hosts/pve1.yaml": text.encode()}
    fleet = read_fleet(Tree({path: BlobEntry(path, path, data) for path, data in tree.items()}), KINDS)
    said = [one.what for one in fleet.findings if one.rule == "firewall.forward-blocked"]
    assert any("tcp/80 is published for proxy, but the firewall blocks it" in what for what in said)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("port: 8080", "port: 8081"),
        ("{X-Frame-Options: DENY}", "{X-Frame-Options: SAMEORIGIN}"),
        ("headers: {X-Frame-Options: DENY}", "max_body_size: 1g"),
    ],
)
def test_a_push_that_changes_one_site_writes_one_file(old: str, new: str) -> None:
    plan = pushed(old, new)
    files = [fact for fact in changed(plan) if fact.startswith("file:")]
    ways = [fact for fact in changed(plan) if fact.startswith("nft:") or "/nft.d/" in fact]
    assert [fact for fact in files if fact not in ways] == [f"file:{SITE}"]
    assert bool(ways) == ("port" in old)  # the proxy's own firewall has another port then
    assert "proxy:proxy@bc:24:11:00:00:02" in changed(plan)


def test_a_second_site_is_its_file_its_certificate_and_its_name() -> None:
    line = "    www.example.org:"
    plan = pushed(line, f"    files.example.org: {{to: db, port: 8090}}\n{line}")
    assert [fact for fact in changed(plan) if fact.startswith("file:")] == [
        "file:/etc/dnsmasq.d/passerelle.conf",
        f"file:{GUEST}/certificates.json",
        f"file:{GUEST}/sites/files.example.org.conf",
    ]


def test_a_site_that_leaves_takes_its_file_along_and_a_file_that_nobody_wants_goes() -> None:
    """Whoever wrote it: nginx would load it."""
    desired = wanted()
    host = applied(desired)
    stranger = f"{GUEST}/sites/other.example.org.conf"
    facts = {**host.facts, f"file:{stranger}": Seen(file_fact(b"server {}"))}
    host = replace(host, facts=facts, texts={**host.texts, stranger: Seen(b"server {}")})
    plan = make_plan(desired, LastApplied.from_json(desired.as_json()), host)
    assert [(step.fact, step.after) for step in plan.steps if step.fact.startswith("file:")] == [
        (f"file:{stranger}", None)
    ]


def test_what_left_the_spec_is_looked_at() -> None:
    before, after = wanted(), wanted(TEXT[: TEXT.index("web:")])
    base = LastApplied.from_json(before.as_json())
    watch = watch_of(after, base)
    gone = [path for path in watch.files if path.startswith(GUEST)]
    assert SITE in gone and f"{GUEST}/nginx.conf" in gone
    assert ("proxy", "bc:24:11:00:00:02", 0) in watch.guests
    host = applied(before)
    steps = {step.fact: step.after for step in make_plan(after, base, host).steps}
    assert {steps[f"file:{path}"] for path in gone} == {None}
    assert steps["proxy:proxy@bc:24:11:00:00:02"] == {"loaded": ""}


def test_a_name_on_two_hosts_is_doubtful() -> None:
    other = TEXT.replace("host: pve1", "host: pve2").replace("198.51.100.11", "198.51.100.12")
    files = {"fleet.yaml": b"passerelle: 1\n", "hosts/pve1.yaml": TEXT.encode(), "hosts/pve2.yaml": other.encode()}
    fleet = read_fleet(Tree({path: BlobEntry(path, path, data) for path, data in files.items()}), KINDS)
    said: Sequence[str] = [one.what for one in fleet.findings if one.rule == "web.name-on-two-hosts"]
    assert said == [f"{name} is also a name on pve1" for name in ("www.example.org", "example.org", "wiki.example.org")]
