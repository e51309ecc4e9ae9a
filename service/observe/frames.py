"""The frames of a collector's answer: bytes ↔ sections. Pure.

sections(answer, nonce) -> Sections
Sections.get(name) -> Section | Unknown        beyond a limit (service/observe/limits.py) it is Unknown, unparsed
Section(name, body, words, status)       status None = there is no such program on the host
digest(section) -> str                   of what does not change on its own
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from service.model.states import Unknown
from service.model.trees import shown
from service.observe.limits import excess


@dataclass(frozen=True, slots=True)
class Section:
    """What one program printed (`body`) and complained of (`words`), and how it ended."""

    name: str
    body: bytes
    words: bytes
    status: int | None

    def text(self) -> str:
        """The body as text; bytes that are not UTF-8 become U+FFFD."""
        return self.body.decode("utf-8", "replace")

    def complaint(self) -> str:
        """One showable line: how the program ended and the last thing it said."""
        said = [line for line in self.words.decode("utf-8", "replace").splitlines() if line.strip()]
        how = "is not installed" if self.status is None else f"ended with status {self.status}"
        return f"{how}: {shown(said[-1])}" if said else how


@dataclass(frozen=True, slots=True)
class Sections:
    """An answer's whole sections. One that is not whole is Unknown, with the reason."""

    whole: Mapping[str, Section]
    broken: Mapping[str, str] = field(default_factory=dict)
    complete: bool = True

    def get(self, name: str) -> Section | Unknown:
        """One section, or why there is none."""
        if name in self.whole:
            return self.whole[name]
        rest = "it is not in the host's answer" if self.complete else "the host's answer was cut before it"
        return Unknown(f"{name}: {self.broken.get(name, rest)}")


# A literal beginning, so that searching is fast. Whose mark it is, and that it begins a line, is looked at after.
_MARK = re.compile(rb"@@(\w{1,64}) (begin|words|end|done)(?: ([a-z0-9_]+))?(?: (\w+))?\n")


def sections(answer: bytes, nonce: str) -> Sections:
    """Take an answer apart. Text outside of frames (a shell's greeting) is left out."""
    secret = nonce.encode()
    whole: dict[str, Section] = {}
    broken: dict[str, str] = {}
    began: tuple[str, int] | None = None
    spoke: re.Match[bytes] | None = None
    complete = False
    for found in _MARK.finditer(answer):
        word, name = found[2], (found[3] or b"").decode()
        if found[1] != secret or (found.start() and answer[found.start() - 1] != ord("\n")):
            continue
        if word == b"begin":
            if began:
                broken[began[0]] = "it has a beginning and no end"
            began, spoke = (name, found.end()), None
        elif word == b"words":
            spoke = found
        elif word == b"end" and began and spoke and began[0] == name:
            # The newline before these two marks is the script's own.
            body, words = answer[began[1] : spoke.start() - 1], answer[spoke.end() : found.start() - 1]
            _add(whole, broken, Section(name, body, words, _status(found[4])))
            began = None
        elif word == b"done":
            complete = True
    if began:
        broken[began[0]] = "the host's answer was cut inside of it"
    return _without_batch(Sections(whole, broken, complete))


def _add(whole: dict[str, Section], broken: dict[str, str], section: Section) -> None:
    if section.name in whole or section.name in broken:
        whole.pop(section.name, None)
        broken[section.name] = "it is in the host's answer twice"
    elif section.status is not None and section.status < 0:
        broken[section.name] = "its status is garbled"
    elif why := excess(section.name, section.body, section.words):
        broken[section.name] = why
    else:
        whole[section.name] = section


def _status(word: bytes | None) -> int | None:
    if word in {b"missing", b"127"}:
        return None
    return int(word) if word and word.isdigit() and len(word) <= 3 else -1


_BATCH = ("addresses", "routes4")


def _without_batch(found: Sections) -> Sections:
    """`ip -batch` answers two questions at once, a line each: make them two sections."""
    batch = found.get("ip")
    whole, broken = dict(found.whole), dict(found.broken)
    if isinstance(batch, Unknown):
        broken |= dict.fromkeys(_BATCH, batch.why)
        return Sections(whole, broken, found.complete)
    del whole["ip"]
    lines = batch.body.strip(b"\n").split(b"\n", len(_BATCH))
    if batch.status == 0 and len(lines) != len(_BATCH):
        broken |= dict.fromkeys(_BATCH, f"`ip` answered {len(lines)} of {len(_BATCH)} questions")
    else:
        parts = lines if batch.status == 0 else [b""] * len(_BATCH)
        for name, body in zip(_BATCH, parts, strict=True):
            _add(whole, broken, Section(name, body, batch.words, batch.status))
    return Sections(whole, broken, found.complete)


# What changes on its own and means nothing: lifetimes, counters, process numbers, queue lengths, times of printing.
_VOLATILE: Mapping[str, Callable[[bytes], bytes]] = {
    "addresses": lambda body: re.sub(rb'"(valid|preferred)_life_time":\d+|"tentative":true,?', b"", body),
    "routes4": lambda body: re.sub(rb'"expires":\d+', b"", body),
    "ip6": lambda body: re.sub(rb'"expires":\d+', b"", body),
    "nft": lambda body: re.sub(rb'"(packets|bytes|used|expires|handle)": \d+', b"", body),
    "iptables": lambda body: b"\n".join(line for line in body.split(b"\n") if line[:1] == b"-"),
    "iptables_legacy": lambda body: b"\n".join(line for line in body.split(b"\n") if line[:1] == b"-"),
    "listeners": lambda body: b"\n".join(
        sorted(re.sub(rb"^(\S+\s+\S+\s+)\d+\s+\d+|pid=\d+|fd=\d+", rb"\1", line) for line in body.split(b"\n"))
    ),
}


def raw_digest(section: Section) -> bytes:
    """Of all that was sent: equal only for equal sections."""
    words = b"%d %d\0" % (-1 if section.status is None else section.status, len(section.words))
    return hashlib.sha256(words + section.words + section.body).digest()


def digest(section: Section) -> str:
    """`sha256:<hex>`; equal for answers that differ only in what changes on its own."""
    body = _VOLATILE.get(section.name, bytes)(section.body)
    status = "missing" if section.status is None else str(section.status)
    return "sha256:" + hashlib.sha256(b"\0".join((status.encode(), section.words, body))).hexdigest()
