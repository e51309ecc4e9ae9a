"""A firewall file of Proxmox changed where it is: lines that say what they should stay byte for byte.

    in_place(new, old, read) -> bytes | None        None where the file's form allows no such change

`new` is the file as Proxmox writes it, `read` what Proxmox reads of either. The rules of a section keep their order;
of options, aliases and entries of a set the order says nothing, so those that are there stay where they are. An option
that is as usual is not written where it was not. Whether the result means what it should is for the caller to compare.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from service.firewall.pve.options import DEFAULTS
from service.firewall.pve.render import rule_line
from service.firewall.terms.model import Level

MAX_LINES = 4000
_BLANKS = b" \t\xa0\r"
_TOP = b""


@dataclass(frozen=True, slots=True)
class _Line:
    """`says` is what the line means, "" for blanks, comments and what Proxmox skips; `name` is what it sets."""

    raw: bytes
    says: str = ""
    name: str = ""

    @property
    def is_kept(self) -> bool:
        """Whether the line stays whatever the spec says."""
        return not self.raw.strip(_BLANKS) or self.is_comment

    @property
    def is_comment(self) -> bool:
        return self.raw.strip(_BLANKS).startswith(b"#")


@dataclass(slots=True)
class _Section:
    head: bytes
    lines: list[_Line] = field(default_factory=list)


def in_place(new: bytes, old: bytes, read: Callable[[bytes], Level]) -> bytes | None:
    """The old file with as few other lines as it takes."""
    if max(new.count(b"\n"), old.count(b"\n")) > MAX_LINES:
        return None
    wanted, there = _sections(new, read(new)), _sections(old, read(old))
    if wanted is None or there is None:
        return None
    usual = {f"{name}: {value}" for name, value in DEFAULTS[read(new).kind].items()}
    found: list[_Section] = [_Section(_TOP, there.pop(_TOP, []))]
    for head, lines in there.items():
        if head not in wanted:
            found[-1].lines += [line for line in lines[1:] if line.is_comment]
        else:
            is_ordered = head == b"[rules]" or head.startswith(b"[group")
            merged = _in_order(lines, wanted[head]) if is_ordered else _by_name(lines, wanted[head], usual)
            found.append(_Section(head, merged))
    for head in _added(wanted, there, usual):
        lines = [line for line in wanted[head] if head != b"[options]" or line.says not in usual]
        _insert(found, _Section(head, lines), list(wanted))
    raw = [line.raw for section in found for line in section.lines]
    return b"\n".join(raw if raw[-1:] == [b""] else [*raw, b""])


def _sections(data: bytes, level: Level) -> dict[bytes, list[_Line]] | None:
    """The lines by section, heads first; None where a section is twice."""
    meant = dict(_meant(level))
    found: dict[bytes, list[_Line]] = {_TOP: []}
    within = _TOP
    for number, raw in enumerate(data.split(b"\n"), 1):
        text = raw.strip(_BLANKS)
        if text.startswith(b"["):
            within = text.split(b"#", 1)[0].strip(_BLANKS).lower()
            if within in found:
                return None
            found[within] = [_Line(raw)]
        else:
            says, name = meant.get(number, ("", ""))
            found[within].append(_Line(raw, says, name))
    return found


def _meant(level: Level) -> Iterator[tuple[int, tuple[str, str]]]:
    """(number of a line, (what it says, what it sets))."""
    for name, number in level.option_lines.items():
        yield number, (f"{name}: {level.options[name]}", name)
    for alias in level.aliases.values():
        yield alias.where.line, (f"{alias.name} {alias.cidr}", alias.name)
    for ipset in level.ipsets.values():
        for entry in ipset.entries:
            yield entry.where.line, (f"{'!' if entry.nomatch else ''}{entry.cidr}", entry.cidr)
    for rule in (*level.rules, *(rule for group in level.groups.values() for rule in group.rules)):
        yield rule.where.line, (rule_line(rule), "")


def _by_name(old: Sequence[_Line], new: Sequence[_Line], usual: set[str]) -> list[_Line]:
    """Where the order says nothing."""
    wanted = {line.name: line for line in new if line.says}
    found: list[_Line] = [old[0]]
    for line in old[1:]:
        want = wanted.pop(line.name, None) if line.says else None
        if want is not None:
            found.append(line if line.says == want.says else want)
        elif line.is_kept:
            found.append(line)
    added = [line for line in wanted.values() if line.says not in usual]
    return _put(found, _end(found), added)


def _in_order(old: Sequence[_Line], new: Sequence[_Line]) -> list[_Line]:
    """Where the first rule that matches decides."""
    have, want = [line for line in old if line.says], [line for line in new if line.says]
    matcher = SequenceMatcher(None, [line.says for line in have], [line.says for line in want], autojunk=False)
    instead: dict[int, list[_Line]] = {}
    before: dict[int, list[_Line]] = {}
    for what, i1, i2, j1, j2 in matcher.get_opcodes():
        if what == "insert":
            before[i1] = list(want[j1:j2])
        elif what != "equal":
            instead |= {i: [] for i in range(i1, i2)} | {i1: list(want[j1:j2])}
    found: list[_Line] = [old[0]]
    index = 0
    for line in old[1:]:
        if not line.says:
            found += [line] if line.is_kept else []
            continue
        found = _put(found, _end(found) if index else _above(found), before.get(index, []))
        found += instead.get(index, [line])
        index += 1
    return _put(found, _end(found), before.get(index, []))


def _end(lines: Sequence[_Line]) -> int:
    """Below the last line that says something; in an empty section below its head and the blank after it."""
    last = next((i for i in range(len(lines) - 1, 0, -1) if lines[i].says), 0)
    return last + 1 if last else 1 + (len(lines) > 1 and not lines[1].raw.strip(_BLANKS))


def _above(lines: Sequence[_Line]) -> int:
    """Above the comments at the end: they belong to what comes next."""
    at = len(lines)
    while at > 1 and lines[at - 1].is_comment:
        at -= 1
    return at


def _put(lines: list[_Line], at: int, added: Sequence[_Line]) -> list[_Line]:
    return [*lines[:at], *added, *lines[at:]]


def _added(wanted: Mapping[bytes, list[_Line]], there: Mapping[bytes, list[_Line]], usual: set[str]) -> list[bytes]:
    """Sections that are new, but for options that are all as usual."""
    return [
        head
        for head, lines in wanted.items()
        if head not in (_TOP, *there)
        and not (head == b"[options]" and all(line.says in usual for line in lines if line.says))
    ]


def _insert(found: list[_Section], section: _Section, order: Sequence[bytes]) -> None:
    """A whole new section, where Proxmox would write it; blank lines around it."""
    rank = {head: index for index, head in enumerate(order)}
    earlier = [i for i, s in enumerate(found) if rank.get(s.head, -1) < rank[section.head]]
    at = earlier[-1] if earlier else 0
    while section.lines and not section.lines[-1].raw.strip(_BLANKS):
        section.lines.pop()
    section.lines.append(_Line(b""))
    if found[at].lines and found[at].lines[-1].raw.strip(_BLANKS):
        found[at].lines.append(_Line(b""))
    found.insert(at + 1, section)
