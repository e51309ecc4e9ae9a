"""Laws of the report, over every host that the tests have.

- Every line that was read is in exactly one of understood, unmanaged and dangerous.
- What is reported to be in the spec, the written spec asks for; what is reported not to be, it does not.
- The first plan is empty, or each of its differences and refusals is announced.
- A section that is taken over keeps every meaning, and after it the plan is empty.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import pytest

from service.adopt import Adopted, Material, adopt, of_observed
from service.adopt.against import against
from service.errors import InputError
from service.formats import dnsmasq
from service.formats.dnsmasq_tags import without_tag_names
from service.formats.interfaces import FILES, Stanza, load
from service.formats.interfaces.meant import read_address
from service.kinds import KINDS
from service.kinds.desire import desire
from service.model.observed import HostObserved
from service.model.plans import Plan
from service.model.states import Absent, Seen
from service.plan.make import make_plan
from service.resources.desired import Desired, LastApplied
from service.resources.dnsmasq_config import DnsmasqConfig
from service.resources.guest_names import GuestNames
from service.resources.guests_known import known_guests
from service.resources.nat import SourceNat
from service.resources.stanzas import InterfaceStanza
from tests.adopt.test_styles import shared_of, spec_in
from tests.adopt.trees import booted
from tests.laws.host import after_plan

COUNTED = (
    "/etc/network/", "/etc/dnsmasq.", "/etc/nftables.", "/etc/iptables/", "/etc/fail2ban/jail.local",
    "/etc/fail2ban/jail.d/", "/etc/pve/firewall/", "/etc/pve/local/", "/etc/ethers", "/etc/sysctl.", "/etc/netplan/",
    "/etc/systemd/network/",
)  # fmt: skip
"""Files that a report is about. The others name the host, or are Proxmox's settings of a guest, which has a part of
its own."""
SEMICOLON = ("/etc/fail2ban/", "/etc/sysctl.", "/etc/systemd/")


def made_of(given: Material) -> Adopted | None:
    """What adopt says; None for a host that it cannot place, or refuses to read, which it says."""
    try:
        made = adopt(given)
    except InputError as error:
        assert error.hint, error
        return None
    return None if made.report.refusal else made


def lines_read(given: Material) -> set[tuple[str, int]]:
    found = set()
    for path, data in given.files.items():
        if path.startswith(COUNTED):
            signs = (b"#", b";") if path.startswith(SEMICOLON) else (b"#",)
            for number, line in enumerate(data.split(b"\n"), 1):
                text = line.strip(b" \t\r\n\x0b\x0c")
                if text and not text.startswith(signs):
                    found.add((path, number))
    return found


def each_line_once(given: Material, made: Adopted) -> None:
    """Every line that was read is in exactly one part."""
    counts: Counter[tuple[str, int]] = Counter()
    for note in made.report.notes:
        path = note.where if note.where in given.files else note.where.rpartition(":")[0]
        counts.update((path, line) for line in note.lines)
    assert {place: count for place, count in counts.items() if count > 1} == {}
    assert lines_read(given) - set(counts) == set()
    assert all(note.what for note in made.report.notes)
    assert all((note.sort == "understood") <= (note.in_spec is True) for note in made.report.notes)
    assert all((note.sort == "unmanaged") <= (note.in_spec is False) for note in made.report.notes)


def desired_of(made: Adopted) -> Desired:
    return desire(spec_in(made.text, shared_of(made)), KINDS)


def told(made: Adopted, path: str) -> Mapping[int, bool]:
    """{line: whether it is in the spec} of one file."""
    return {
        line: note.in_spec is True
        for note in made.report.notes
        if note.where.rpartition(":")[0] == path
        for line in note.lines
    }


def directives_wanted(desired: Desired) -> set[tuple[str, str]]:
    return {
        (key, value)
        for config in desired.of_type(DnsmasqConfig)
        for key, values in config.wanted().items()
        for value in map(str, values)
    }


def dnsmasq_as_said(given: Material, made: Adopted) -> None:
    """Lines of dnsmasq that are reported as in the spec are in it."""
    desired = desired_of(made)
    wanted = directives_wanted(desired)
    macs = {mac for names in desired.of_type(GuestNames) for _, mac, _ in names.guests}
    (config, *_) = [*desired.of_type(DnsmasqConfig), None]
    for path in dnsmasq.read_order(given.files):
        file = dnsmasq.parse(given.files[path], path)
        pairs = [(d.key, d.value) for d in file.directives]
        said = config.canonical_pairs(pairs) if config is not None else pairs
        for directive, (key, value) in zip(file.directives, said, strict=True):
            items = {(key, item) for item in (value.split(",") if key in dnsmasq.LISTS else [value])}
            is_asked = items <= wanted if key != "dhcp-host" else any(mac in value for mac in macs)
            where = f"{path}:{directive.line} {directive}"
            assert told(made, path)[directive.line] <= is_asked, where


def links_and_nat_as_said(given: Material, made: Adopted) -> None:
    """Interfaces and NAT that are reported as in the spec are in it, and none is missing."""
    desired = desired_of(made)
    stanzas = {stanza.name for stanza in desired.of_type(InterfaceStanza) if not stanza.gone}
    rules = {rule for nat in desired.of_type(SourceNat) for rule in nat.rules}
    for note in made.report.notes:
        if note.section in ("interfaces", "bridges") and note.lines and note.what.startswith("the stanza of"):
            pytest.fail(f"nobody says what becomes of {note}")
        if note.section in ("interfaces", "bridges") and note.sort == "understood":
            assert note.what.split()[0].rstrip(":;") in stanzas, note
        if note.section == "nat" and note.sort == "understood" and " leaves through " in note.what:
            words = note.what.split()
            assert (words[0], words[3]) in rules, note
    address_lines_as_said(given, made, desired)
    for stanza in stanzas:
        is_told = any(note.in_spec and note.what.split()[0].rstrip(":;") == stanza for note in made.report.notes)
        assert is_told, stanza


def address_lines_as_said(given: Material, made: Adopted, desired: Desired) -> None:
    """An `address` or `gateway` line that is reported as in the spec is there, on its interface."""
    held = {
        s.name: {address.partition("/")[0] for address in s.addresses} | {*s.gateways}
        for s in desired.of_type(InterfaceStanza)
    }
    config = load(given.below(*FILES), program=given.boot_program())
    for path, file in config.files.items():
        for stanza in (item for item in file.items if isinstance(item, Stanza)):
            for option in stanza.options:
                if option.name in ("address", "gateway") and told(made, path)[option.line]:
                    address = read_address(option.value.partition("/")[0])
                    assert address in held.get(stanza.name, ()), f"{path}:{option.line} {option.key} {option.value}"


def running(given: Material, made: Adopted) -> HostObserved:
    """The host after a boot, with the packages of its sort."""
    host = booted(given, desired_of(made).watch)
    is_pve = any(path.startswith("/etc/pve/") for path in given.files)
    absent = {} if is_pve else {package: Absent() for package in host.packages if package.startswith("pve-")}
    return replace(host, packages={**host.packages, **absent})


def seen_plan(made: Adopted, host: HostObserved) -> Plan:
    return make_plan(desired_of(made), LastApplied(), host)


def first_plan_announced(given: Material, made: Adopted) -> None:
    """The first plan is empty, or each of its differences is announced."""
    host = running(given, made)
    again = adopt(of_observed(host))
    plan = seen_plan(again, host)
    known = {drift.difference.key for drift in plan.drifts if not drift.difference.unknown}
    assert known <= {difference.key for difference in again.report.plan.changes}
    if not known:
        assert (plan.steps, plan.packages, plan.refusals) == ((), (), ())
    in_files = {drift.difference.key for drift in seen_plan(made, host).drifts if drift.difference.where != "live"}
    assert in_files <= {difference.key for difference in made.report.plan.changes}


def meant(texts: Mapping[str, bytes], networks: tuple[str, ...]) -> set[tuple[str, str]]:
    """What dnsmasq's files say together; guests by what counts of each, of one option given twice the last."""
    files = [dnsmasq.parse(texts[path], path) for path in dnsmasq.read_order(texts)]
    pairs = without_tag_names([(d.key, d.value) for file in files for d in file.directives])
    everything = dnsmasq.DnsmasqFile("", tuple(dnsmasq.Directive(key, value) for key, value in pairs))
    found = {(key, value) for key, values in dnsmasq.meaning([everything], networks).items() for value in values}
    options = [dnsmasq.canonical_value(k, v).split(",") for k, v in pairs if k == "dhcp-option"]
    last = {tuple(words[: 1 + words[0].startswith("tag:")]): words for words in options}
    dead = {("dhcp-option", ",".join(words)) for words in options if words not in last.values()}
    guests = {("guest", f"{g.mac} {g.name} {g.address} {g.extra}") for g in known_guests(texts).values()}
    return {pair for pair in found - dead if pair[0] not in ("dhcp-host", "dhcp-hostsdir")} | guests


def taken_over(given: Material, made: Adopted, section: str) -> None:
    """Taking over keeps every meaning, and is then done."""
    if section not in made.values:
        return
    text = made.text.replace("sync: approve\n", f"sync: approve\ntake_over: [{section}]\n")
    desired = desire(spec_in(text, shared_of(made)), KINDS)
    host = booted(given, desired.watch)
    plan = make_plan(desired, LastApplied(), host)
    if plan.refusals:
        return
    done = after_plan(host, plan)
    left = make_plan(desired, LastApplied(), done)
    before_it = [drift.difference for drift in seen_plan(made, host).drifts]
    assert [drift for drift in left.drifts if drift.difference not in before_it] == []
    assert (left.steps, left.refusals) == ((), ())
    networks = next((config.networks for config in desired.of_type(DnsmasqConfig)), ())
    before, after = (
        meant({p: t.value for p, t in one.texts.items() if isinstance(t, Seen)}, networks) for one in (host, done)
    )
    assert before - after == set()
    files = {path: seen.value for path, seen in done.texts.items() if isinstance(seen, Seen)}
    again = adopt(replace(given, files={**given.files, **files}))
    assert against(made.text, again).text == made.text
    assert {pair for pair in after - before if pair[0] != "dhcp-ignore-names"} == set()
