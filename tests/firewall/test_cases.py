"""Every case: what Proxmox reads, says, ignores and refuses, and the verdict on every packet."""

import re

import pytest

from service.errors import InputError
from service.firewall.pve.node import PveFolder
from service.firewall.terms.model import Level, Rule
from service.firewall.trace.ignored import ignored_lines
from service.firewall.trace.verdict import Analyser
from tests.firewall.corpus import Case, as_parsed, cases, without_empty

ALL = [pytest.param(case, id=case.path.name) for case in cases()]
_LINE = re.compile(r"(\S+) \(line ([0-9]+)\)")


def _levels(folder: PveFolder) -> list[Level]:
    firewall = folder.firewall
    return [firewall.cluster, firewall.host, *firewall.guests.values()]


@pytest.mark.parametrize("case", ALL)
def test_the_reader_says_what_proxmox_says(case: Case) -> None:
    assert list(case.read().warnings) == case.facts["warnings"]


@pytest.mark.parametrize("case", ALL)
def test_the_reader_keeps_what_proxmox_keeps(case: Case) -> None:
    parsed = case.parsed
    if parsed is None:
        assert case.read().fatal
        return
    firewall = case.read().firewall
    guests = parsed["guests"]
    assert isinstance(guests, dict)
    assert isinstance(parsed["host"], dict)
    assert as_parsed(firewall.cluster) == parsed["cluster"]
    assert without_empty(as_parsed(firewall.host)) == without_empty(parsed["host"])
    assert {vmid: as_parsed(level) for vmid, level in firewall.guests.items()} == guests


@pytest.mark.parametrize("case", ALL)
def test_rules_and_entries_in_error_are_proxmoxs(case: Case) -> None:
    levels = _levels(case.read())
    rules = [rule for level in levels for rule in _in_file_order(level) if rule.errors]
    shown = [
        {"file": rule.where.file, "line": rule.where.line, "text": rule.text, "errors": dict(rule.errors)}
        for rule in rules
    ]
    assert shown == case.facts["rules_in_error"]
    entries = [
        {
            "file": entry.where.file,
            "line": entry.where.line,
            "text": entry.text,
            "errors": dict(entry.errors),
            "ipset": ipset.name,
        }
        for level in levels
        for ipset in level.ipsets.values()
        for entry in ipset.entries
        if entry.errors
    ]
    assert entries == case.facts["ipset_entries_in_error"]


def _in_file_order(level: Level) -> list[Rule]:
    rules = [*level.rules, *(rule for group in level.groups.values() for rule in group.rules)]
    return sorted(rules, key=lambda rule: rule.where.line)


@pytest.mark.parametrize("case", ALL)
def test_the_rule_set_loads_where_the_kernel_loads_it(case: Case) -> None:
    folder = case.read()
    analyser = Analyser(folder.firewall) if not folder.fatal else None
    assert (analyser is not None and not analyser.refused) == case.facts["loads"]
    if analyser is not None and analyser.refused:
        with pytest.raises(InputError, match="would not load this rule set"):
            analyser.check()


@pytest.mark.parametrize("case", ALL)
def test_every_packet_gets_its_verdict(case: Case) -> None:
    folder = case.read()
    if folder.fatal:
        assert case.packets == []
        return
    analyser = Analyser(folder.firewall)
    wrong = [
        (packet, found.as_json())
        for packet in case.packets
        if (found := analyser.trace_packet(packet)).verdict != packet["verdict"]
    ]
    assert wrong == []


@pytest.mark.parametrize("case", ALL)
def test_every_line_that_proxmox_complains_of_is_listed(case: Case) -> None:
    listed = {(item.where.file, item.where.line): item for item in ignored_lines(case.files, case.node)}
    warnings = case.facts["warnings"]
    assert isinstance(warnings, list)
    told = {(found[1], int(found[2])) for warning in warnings if (found := _LINE.match(warning))}
    silent = {place for place in listed if place not in told}
    assert told <= set(listed)
    for place in silent:
        # what Proxmox says only when it compiles, what the kernel's tools say, or what it replaces silently
        reason = listed[place].reason
        assert listed[place].fatal or reason.startswith("left out when compiled: ") or " has it again, " in reason
