"""Every case in other words that mean the same to Proxmox: the verdicts stay."""

import re
from collections.abc import Callable
from itertools import count

import pytest

from service.firewall.pve.node import read_firewall
from service.firewall.trace.ignored import ignored_lines
from service.firewall.trace.verdict import Analyser
from tests.firewall.corpus import Case, cases

CASES = [case for case in cases() if case.facts["loads"]]
_RULE = re.compile(rb"\s*\|?(?:IN|OUT) ", re.IGNORECASE)
_FLAGS = re.compile(rb"(\|?(?:IN|OUT) \S+)((?: -\S+ \S+)+)")
_PORT = re.compile(rb"\A(\|?(?:IN|OUT) (?!.*(?:icmp|udplite)).*-dport )([1-9][0-9]{0,3})((?: .*)?)\Z")
_ADDRESS = re.compile(rb"(?m)^(\|?(?:IN|OUT) [^#\n]*?-(?:source|dest) )([0-9.]+|[0-9.]+\.0/24)(?= |$)")
_ACCEPTED = re.compile(rb"(?m)^(\|?(?:IN|OUT) )(\w+)\(")


def _by_line(reword: Callable[[bytes], bytes], data: bytes) -> bytes:
    return b"\n".join(reword(line) for line in data.split(b"\n"))


def with_comments(name: str, data: bytes) -> bytes:
    """Comment lines and blank lines everywhere, a comment behind every rule."""

    def reword(line: bytes) -> bytes:
        tail = b"  # trailing" if _RULE.match(line) and b"#" not in line else b""
        return b"# [RULES]\n \t\n" + line + tail

    return data if b"\r" in data else _by_line(reword, data)


def indented(name: str, data: bytes) -> bytes:
    return _by_line(lambda line: b"\t " + line + b" \t" if line.strip() else line, data)


def with_two_dashes(name: str, data: bytes) -> bytes:
    return re.sub(rb" -(dport|sport|source|dest|log|icmp-type) ", rb" --\1 ", data)


def with_long_names(name: str, data: bytes) -> bytes:
    return re.sub(rb" -p (\S)", rb" --proto \1", data)


def with_flags_backwards(name: str, data: bytes) -> bytes:
    def reword(line: bytes) -> bytes:
        found = _FLAGS.fullmatch(line)
        flags = re.findall(rb" -\S+ \S+", found[2]) if found else []
        if found is None or len({flag.split()[0] for flag in flags}) < len(flags):
            return line
        return found[1] + b"".join(reversed(flags))

    return _by_line(reword, data)


def with_types_in_lower_case(name: str, data: bytes) -> bytes:
    return re.sub(rb"(?m)^(\|?)(IN|OUT|GROUP) ", lambda found: found[1] + found[2].lower() + b" ", data)


def with_macros_in_other_case(name: str, data: bytes) -> bytes:
    return _ACCEPTED.sub(lambda found: found[1] + found[2].swapcase() + b"(", data)


def with_rules_switched_off(name: str, data: bytes) -> bytes:
    return data.replace(b"[RULES]\n", b"[RULES]\n|IN DROP\n|OUT REJECT\n|IN ACCEPT\n|GROUP none\n")


def with_ports_as_ranges(name: str, data: bytes) -> bytes:
    return _by_line(lambda line: _PORT.sub(rb"\1\2:\2\3", line), data)


def with_ports_in_lists(name: str, data: bytes) -> bytes:
    return _by_line(lambda line: _PORT.sub(rb"\g<1>1,\2,65001:65002\3", line), data)


def with_addresses_as_ranges(name: str, data: bytes) -> bytes:
    return re.sub(rb"(?m)^(\|?(?:IN|OUT) [^#\n]* -(?:source|dest) )([0-9.]+)(?= |$)", rb"\1\2-\2", data)


def with_addresses_as_aliases(name: str, data: bytes) -> bytes:
    names: list[bytes] = []

    def named(found: re.Match[bytes]) -> bytes:
        names.append(found[2])
        return found[1] + b"zz%d" % len(names)

    reworded = _ADDRESS.sub(named, data)
    if name != "cluster.fw" or b"[ALIASES]" in data.upper() or not names:
        return data
    return b"[ALIASES]\n" + b"".join(b"zz%d %s\n" % pair for pair in enumerate(names, 1)) + reworded


def with_addresses_in_sets(name: str, data: bytes) -> bytes:
    names: list[bytes] = []

    def named(found: re.Match[bytes]) -> bytes:
        names.append(found[2])
        return found[1] + b"+zz%d" % len(names)

    reworded = _ADDRESS.sub(named, data)
    if name != "cluster.fw":
        return data
    return b"".join(b"[IPSET zz%d]\n%s\n0.0.0.1\n" % pair for pair in enumerate(names, 1)) + reworded


def with_a_group_for_each_rule(name: str, data: bytes) -> bytes:
    """Rules of the cluster that name no interface."""
    if name != "cluster.fw" or b"\r" in data:
        return data
    numbers = count(1)
    groups: list[bytes] = []
    section = b""

    def reword(line: bytes) -> bytes:
        nonlocal section
        section = line.strip().lower() if line.lstrip().startswith(b"[") else section
        found = re.fullmatch(rb"(\|?)((?:IN|OUT) [^#]+)", line)
        if section != b"[rules]" or found is None or b" -i " in line or b"+" in line:
            return line
        groups.append(b"[group zg%d]\n%s\n" % (number := next(numbers), found[2]))
        return b"%sGROUP zg%d" % (found[1], number)

    return _by_line(reword, data) + b"\n" + b"".join(groups)


REWORDINGS = (
    with_comments, indented, with_two_dashes, with_long_names, with_flags_backwards, with_types_in_lower_case,
    with_macros_in_other_case, with_rules_switched_off, with_ports_as_ranges, with_ports_in_lists,
    with_addresses_as_ranges, with_addresses_as_aliases, with_addresses_in_sets, with_a_group_for_each_rule,
)  # fmt: skip


def _reworded(case: Case, reword: Callable[[str, bytes], bytes]) -> dict[str, bytes]:
    return {name: reword(name, data) if name.endswith(".fw") else data for name, data in case.files.items()}


@pytest.mark.parametrize("reword", REWORDINGS, ids=lambda reword: reword.__name__)
def test_other_words_for_the_same_rules_change_no_verdict(reword: Callable[[str, bytes], bytes]) -> None:
    changed, wrong = 0, []
    for case in CASES:
        files = _reworded(case, reword)
        changed += files != case.files
        analyser = Analyser(read_firewall(files, case.node).firewall)
        analyser.check()
        wrong += [
            (case.path.name, packet)
            for packet in case.packets
            if analyser.trace_packet(packet).verdict != packet["verdict"]
        ]
    assert wrong == []
    assert changed >= 5


@pytest.mark.parametrize(
    "reword",
    [with_comments, indented, with_two_dashes, with_long_names, with_flags_backwards, with_types_in_lower_case],
    ids=lambda reword: reword.__name__,
)
def test_other_words_for_the_same_rules_leave_as_many_lines_without_effect(
    reword: Callable[[str, bytes], bytes],
) -> None:
    for case in CASES:
        before = ignored_lines(case.files, case.node)
        after = ignored_lines(_reworded(case, reword), case.node)
        assert (case.path.name, len(after)) == (case.path.name, len(before))
