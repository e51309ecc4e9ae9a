"""What somebody changed on a host, accepted into Git: the patch says what the host has, and changes nothing else."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from service.answers.accept import Accepted, accept
from service.errors import InputError
from service.kinds import KINDS
from service.kinds.desire import desire
from service.model.changes import Difference
from service.model.observed import HostObserved
from service.model.states import Absent, Json, Observed, Seen
from service.model.trees import BlobEntry, Tree
from service.plan.diff import drift
from service.plan.make import make_plan
from service.resources.desired import Desired, LastApplied
from service.resources.dnsmasq_config import OWN_FILE
from service.resources.resource import compare
from service.spec.editing import unified
from service.spec.fleet import Fleet, read_fleet
from tests.laws.host import after_plan, bare_host, file_fact
from tests.laws.specs import head, spec_of

SPEC = head(extra="  console: https://console.example.net/pve1\n") + """\
# towards the hoster
interfaces: {enp1s0: {addresses: [198.51.100.11/24], gateway: 198.51.100.1}}   # do not touch
bridges:
  # the guests
  vmbr0:
    addresses:
      - 10.10.10.1/24   # their gateway
    ports: []
nat:
  - {source: 10.10.10.0/24, out: enp1s0}   # out they go
dnsmasq:
  cache_size: 256   # names
  expand_hosts: true
  dhcp: [{interface: vmbr0, start: 10.10.10.100, end: 10.10.10.200, lease_time: 12h}]
packages: {dnsmasq: present}
services: {named: disabled}
"""  # fmt: skip


def settled() -> tuple[Desired, HostObserved]:
    """The host as the spec wants it."""
    desired = desire(spec_of(SPEC), KINDS)
    host = bare_host(desired.watch)
    return desired, after_plan(host, make_plan(desired, LastApplied(), host))


def with_fact(host: HostObserved, fact: str, value: Json) -> HostObserved:
    return replace(host, facts={**host.facts, fact: Seen(value)})


def with_text(host: HostObserved, path: str, old: str, new: str) -> HostObserved:
    text = host.texts[path]
    assert isinstance(text, Seen)
    assert old in text.value.decode()
    changed = text.value.decode().replace(old, new).encode()
    facts: dict[str, Observed[Json]] = {**host.facts, f"file:{path}": Seen(file_fact(changed))}
    return replace(host, texts={**host.texts, path: Seen(changed)}, facts=facts)


def address_added(host: HostObserved) -> HostObserved:
    live = with_fact(host, "addresses:vmbr0", ["10.10.10.1/24", "10.10.11.1/24"])
    wanted = "\taddress 10.10.10.1/24\n"
    return with_text(live, "/etc/network/interfaces", wanted, wanted + "\taddress 10.10.11.1/24\n")


def cache_changed(host: HostObserved) -> HostObserved:
    return with_text(host, OWN_FILE, "cache-size=256", "cache-size=900")


def switch_taken_out(host: HostObserved) -> HostObserved:
    return with_text(host, OWN_FILE, "expand-hosts\n", "")


def range_changed(host: HostObserved) -> HostObserved:
    return with_text(host, OWN_FILE, "10.10.10.200,255.255.255.0,12h", "10.10.10.150,255.255.255.0,6h")


def package_removed(host: HostObserved) -> HostObserved:
    return replace(host, packages={**host.packages, "dnsmasq": Absent()})


def service_enabled(host: HostObserved) -> HostObserved:
    return with_fact(host, "unit:named.service", {"enabled": "enabled", "active": True})


def bridge_down(host: HostObserved) -> HostObserved:
    link = host.facts["link:vmbr0"]
    assert isinstance(link, Seen)
    assert isinstance(link.value, dict)
    return with_fact(host, "link:vmbr0", {**link.value, "up": False})


EDITS = {
    "an address more, in the kernel and in the file": (
        address_added, ["-      - 10.10.10.1/24   # their gateway", "-    addresses:",
                        "+    addresses: [10.10.10.1/24, 10.10.11.1/24]   # their gateway"],
    ),
    "another cache": (cache_changed, ["-  cache_size: 256   # names", "+  cache_size: 900   # names"]),
    "a switch less": (switch_taken_out, ["-  expand_hosts: true"]),
    "another range": (range_changed, [
        "-  dhcp: [{interface: vmbr0, start: 10.10.10.100, end: 10.10.10.200, lease_time: 12h}]",
        "+  dhcp: [{interface: vmbr0, start: 10.10.10.100, end: 10.10.10.150, lease_time: 6h}]",
    ]),
    "a service on": (service_enabled, ["-services: {named: disabled}", "+services: {named: enabled}"]),
}  # fmt: skip


def accepted(host: HostObserved, desired: Desired) -> tuple[Accepted, list[Difference]]:
    found = [d.difference for d in drift(desired, LastApplied(), compare(desired.resources, host))]
    assert found
    return accept(SPEC, spec_of(SPEC), found), found


@pytest.mark.parametrize("name", EDITS)
def test_a_patch_says_what_the_host_has_and_the_host_is_then_as_git_wants(name: str) -> None:
    desired, host = settled()
    edit, lines = EDITS[name]
    changed = edit(host)
    made, found = accepted(changed, desired)
    patch = unified("hosts/pve1.yaml", SPEC, made.text)
    assert sorted(re.findall(r"^[-+](?![-+]).*$", patch, re.MULTILINE)) == sorted(lines)
    labels = {f"{d.kind} {d.resource} {d.field}" for d in found}
    assert set(made.taken) == labels - {"services named.service active"}
    assert {label for label, _ in made.left} == labels - set(made.taken)
    now = desire(spec_of(made.text), KINDS)
    assert [d.difference.field for d in drift(now, LastApplied(), compare(now.resources, changed))] == []


def test_what_no_key_says_is_left_out_with_the_reason() -> None:
    desired, host = settled()
    made, _ = accepted(bridge_down(host), desired)
    assert dict(made.left) == {
        "bridges vmbr0 up": "no key of the spec can describe it. Fix: restore it on the host, or write the spec by hand"
    }
    assert made.taken == ()
    assert made.text == SPEC


def test_what_the_kernel_and_the_files_do_not_agree_on_is_left_out() -> None:
    desired, host = settled()
    made, _ = accepted(with_fact(address_added(host), "addresses:vmbr0", ["10.10.10.1/24", "10.9.9.1/24"]), desired)
    assert made.text == SPEC
    assert {why for _, why in made.left} == {
        "the kernel and the files have different values, and both differ from the spec"
    }


def test_a_host_that_makes_no_good_spec_is_not_accepted() -> None:
    desired, host = settled()
    with pytest.raises(InputError, match="is not a valid spec"):
        accepted(package_removed(host), desired)


FLEET = """\
passerelle: 1
defaults:
  dnsmasq:
    cache_size: 256
    expand_hosts: true
    local_ttl: 60
    dhcp: [{interface: vmbr0, start: 10.10.10.100, end: 10.10.10.200, lease_time: 12h}]
  packages: {dnsmasq: present}
  services: {named: disabled}
"""
OWN = SPEC.partition("dnsmasq:\n")[0]


def ttl_gone(host: HostObserved) -> HostObserved:
    return with_text(host, OWN_FILE, "local-ttl=60\n", "")


@pytest.mark.parametrize(
    ("edit", "added"),
    [
        (cache_changed, ["+dnsmasq: {cache_size: 900}"]),
        (switch_taken_out, ["+dnsmasq: {expand_hosts: false}"]),
        (
            range_changed,
            ["+dnsmasq: {dhcp: [{interface: vmbr0, start: 10.10.10.100, end: 10.10.10.150, lease_time: 6h}]}"],
        ),
        (service_enabled, ["+services: {named: enabled}"]),
        (lambda host: switch_taken_out(cache_changed(host)), ["+dnsmasq: {expand_hosts: false, cache_size: 900}"]),
    ],
)
def test_a_value_that_hosts_share_is_overridden_in_the_hosts_own_file(
    edit: Callable[[HostObserved], HostObserved], added: list[str]
) -> None:
    fleet = shared_fleet(OWN)
    spec, layers = fleet.hosts["pve1"], fleet.members.of("pve1")
    desired = desire(spec, KINDS)
    bare = bare_host(desired.watch)
    changed = edit(after_plan(bare, make_plan(desired, LastApplied(), bare)))
    found = [d.difference for d in drift(desired, LastApplied(), compare(desired.resources, changed))]
    made = accept(OWN, spec, found, layers)
    patch = unified("hosts/pve1.yaml", OWN, made.text)
    assert re.findall(r"^[-+](?![-+]).*$", patch, re.MULTILINE) == added
    now = desire(shared_fleet(made.text).hosts["pve1"], KINDS)
    assert drift(now, LastApplied(), compare(now.resources, changed)) == ()


def test_a_key_that_only_a_shared_file_could_take_away_is_left_out_with_its_place() -> None:
    fleet = shared_fleet(OWN)
    spec, layers = fleet.hosts["pve1"], fleet.members.of("pve1")
    desired = desire(spec, KINDS)
    bare = bare_host(desired.watch)
    changed = ttl_gone(after_plan(bare, make_plan(desired, LastApplied(), bare)))
    found = [d.difference for d in drift(desired, LastApplied(), compare(desired.resources, changed))]
    made = accept(OWN, spec, found, layers)
    assert made.text == OWN
    assert made.taken == ()
    assert [why for _, why in made.left] == [
        "dnsmasq.local_ttl comes from fleet.yaml:6, and a host's file cannot take a shared key away"
    ]


def test_a_change_of_the_defaults_is_one_that_git_made_for_every_host() -> None:
    before, after = (shared_fleet(OWN, text) for text in (FLEET, FLEET.replace("cache_size: 256", "cache_size: 300")))
    for name in ("pve1", "pve2"):
        was = desire(before.hosts[name], KINDS)
        bare = bare_host(was.watch)
        host = after_plan(bare, make_plan(was, LastApplied(), bare))
        plan = make_plan(desire(after.hosts[name], KINDS), LastApplied.from_json(was.as_json()), host)
        assert {(d.difference.field, d.moved) for d in plan.drifts} == {("cache-size", "git")}


def shared_fleet(text: str, fleet: str = FLEET) -> Fleet:
    """Two hosts that share values."""
    other = text.replace("pve1", "pve2").replace("198.51.100.11", "198.51.100.12")
    files = {"fleet.yaml": fleet, "hosts/pve1.yaml": text, "hosts/pve2.yaml": other}
    made = read_fleet(Tree({path: BlobEntry(path, body, body.encode()) for path, body in files.items()}), KINDS)
    assert not made.has_errors, "\n".join(map(str, made.findings))
    return made
