"""Comment lines of a Proxmox firewall file, kept when the file is written again.

    keep_comments(new, old) -> bytes

Proxmox ignores every line that begins with `#`, so keeping one changes nothing that is enforced. A comment stays above
the line it was above. If that line is gone, it is above the next remaining line of its section, or at the section's
end. If the section is gone, it is at the end of the file. A blank line parts the comments at a section's end from those
of the next head.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

MAX_KEPT_BYTES = 64 << 10
"""pmxcfs takes files of up to 1 MiB (pmxcfs(8)); comments never fill them."""

_BLANKS = b" \t\xa0\r"
_TOP = b""

_Place = tuple[bytes, bytes]
"""A section's head and a line in it; b"" for its end."""

_HEAD: _Place = (_TOP, b"head")
_END: _Place = (_TOP, b"end")


def keep_comments(new: bytes, old: bytes) -> bytes:
    """`new` with the comment lines of `old`; just `new` where there are more than `MAX_KEPT_BYTES` of them."""
    present: dict[bytes, set[bytes]] = defaultdict(set)
    for section, line in _sectioned(new.split(b"\n")):
        if line:
            present[section].add(_spelling(line))
    kept = _by_place(old, present)
    if not kept or sum(len(line) + 1 for lines in kept.values() for line in lines) > MAX_KEPT_BYTES:
        return new
    return b"\n".join(_woven(new, kept))


def _by_place(old: bytes, present: Mapping[bytes, set[bytes]]) -> dict[_Place, list[bytes]]:
    """Where in the new file each run of comments belongs."""
    kept: dict[_Place, list[bytes]] = defaultdict(list)
    loose: list[bytes] = []  # with a blank line below them
    waiting: list[bytes] = []
    within = _TOP
    for section, line in _sectioned(old.split(b"\n")):
        if section != within:
            head = _HEAD if within == _TOP else (within, b"") if within in present else _END
            kept[head] += loose
            kept[(section, section) if section in present else head] += waiting
            loose, waiting, within = [], [], section
        elif line.startswith(b"#"):
            waiting.append(line)
        elif not line:
            loose, waiting = [*loose, *waiting], []
        elif _spelling(line) in present.get(section, ()):
            kept[section, _spelling(line)] += [*loose, *waiting]
            loose, waiting = [], []
    kept[_HEAD if within == _TOP else (within, b"") if within in present else _END] += [*loose, *waiting]
    return {place: lines for place, lines in kept.items() if lines}


def _woven(new: bytes, kept: dict[_Place, list[bytes]]) -> Iterator[bytes]:
    """The lines of the new file with the comments between them; each run once."""
    lines = list(_sectioned(new.split(b"\n")))
    yield from kept.pop(_HEAD, ())
    for index, (section, line) in enumerate(lines):
        yield from kept.pop((section, _spelling(line)), ()) if line else ()
        last = index + 1 == len(lines) or lines[index + 1][0] != section
        if last and section != _TOP:
            yield from kept.pop((section, b""), ())
        if index + 1 == len(lines):
            yield from kept.pop(_END, ())
        yield line


def _sectioned(lines: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """(the head of its section, the line) of each line; a head is in its own section."""
    section = _TOP
    for raw in lines:
        line = raw.strip(_BLANKS)
        if line.startswith(b"["):
            section = _spelling(line)
        yield section, line


def _spelling(line: bytes) -> bytes:
    """A line without what does not tell it from another: its comment, blanks, case of a head."""
    text = b" ".join(line.split(b"#", 1)[0].split())
    return text.lower() if text.startswith(b"[") else text
