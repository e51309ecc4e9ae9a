"""Settings in files of dnsmasq that are not ours: their places, and how they are changed there or moved to our file."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from service.formats import dnsmasq
from service.model.plans import Refusal
from service.model.states import Json
from service.resources.guest_names import take_over_hint, without_lines

Directive = tuple[str, str]
"""(key as in dnsmasq(8), value; empty for a switch)"""


@dataclass(frozen=True, slots=True)
class StandingElsewhere:
    """A directive in its place, in canonical form."""

    key: str
    value: str
    path: str
    line: int

    @property
    def where(self) -> str:
        """`path:line`."""
        return f"{self.path}:{self.line}"


def standings(
    texts: Mapping[str, bytes], canonical: Callable[[Sequence[Directive]], list[Directive]]
) -> list[StandingElsewhere]:
    """Every directive of some files in dnsmasq's order; lists (`interface=a,b`) are one each."""
    found = [(path, d) for path in dnsmasq.read_order(texts) for d in dnsmasq.parse(texts[path], path).directives]
    pairs = canonical([(d.key, d.value) for _, d in found])
    return [
        StandingElsewhere(key, item, path, directive.line)
        for (path, directive), (key, value) in zip(found, pairs, strict=True)
        for item in (value.split(",") if key in dnsmasq.LISTS else [value])
    ]


def in_force(found: Sequence[StandingElsewhere], want: Mapping[str, Sequence[Json]]) -> list[StandingElsewhere]:
    """Without those that a later one overrules with the wanted value: of two domains, or of one option given twice,
    dnsmasq takes the last (2.90)."""
    last = {subject: standing for standing in found if (subject := _subject(standing))}
    return [s for s in found if s.value in want.get(s.key, []) or not _is_overruled(s, last.get(_subject(s)), want)]


def _is_overruled(
    standing: StandingElsewhere, last: StandingElsewhere | None, want: Mapping[str, Sequence[Json]]
) -> bool:
    return last is not None and last != standing and last.value in want.get(last.key, [])


def _subject(standing: StandingElsewhere) -> tuple[str, ...]:
    """What only one line can say; empty where each line counts."""
    if standing.key == "dhcp-option":
        return (standing.key, *_option(standing.value))
    return (standing.key,) if standing.key == "domain" and "," not in standing.value else ()


def is_rival(standing: StandingElsewhere, want: Mapping[str, Sequence[Json]]) -> bool:
    """Whether it has another value for something that dnsmasq accepts once, or once for one thing: a range's network,
    an option's number.
    """
    return rival_of(standing, want) is not None


def rival_of(standing: StandingElsewhere, want: Mapping[str, Sequence[Json]]) -> str | None:
    """The wanted value that a directive contradicts."""
    wanted = [str(value) for value in want.get(standing.key, [])]
    if not wanted or standing.value in wanted:
        return None
    if standing.key in dnsmasq.SINGLE or (standing.key == "domain" and "," not in standing.value):
        return wanted[0]
    if standing.key == "dhcp-range":
        return next((value for value in wanted if _is_one_range(standing.value, value)), None)
    if standing.key == "dhcp-option":
        subject = _option(standing.value)
        return next((value for value in wanted if _option(value) == subject), None)
    return None


def _is_one_range(have: str, want: str) -> bool:
    """Whether two ranges are the same thing with other values: the same tags, and addresses in common."""
    home = re.search(r"constructor:[^,]+", have)
    if home:  # of one interface
        return home[0] in want.split(",")
    tags, span = _range(have)
    others, wanted = _range(want)
    if tags != others or span is None or wanted is None:
        return False
    return span[0] <= wanted[1] and wanted[0] <= span[1]


def _range(value: str) -> tuple[tuple[str, ...], tuple[int, int] | None]:
    """The tags of a range that mean something, and its first and last address; None where it gives none out."""
    parts = value.split(",")
    tags = tuple(part for part in parts if part.startswith(("tag:", "set:")) and "@" not in part)
    rest = [part for part in parts if not part.startswith(("tag:", "set:"))]
    try:
        return tags, (int(IPv4Address(rest[0])), int(IPv4Address(rest[1])))
    except (ValueError, IndexError):
        return tags, None


def _option(value: str) -> tuple[str, ...]:
    """What an option is about: its tags and its number."""
    parts = value.split(",")
    rest = [part for part in parts if not part.startswith(("tag:", "set:"))]
    return (*sorted(part for part in parts if part.startswith("tag:")), rest[0] if rest else "")


def rivals(
    found: Iterable[StandingElsewhere], want: Mapping[str, Sequence[Json]], written: Mapping[Directive, Directive]
) -> Iterator[tuple[StandingElsewhere, str]]:
    """(directive, the value that it should have, as it is written) of all that are in the way."""
    for standing in found:
        value = rival_of(standing, want)
        if value is not None:
            yield standing, written.get((standing.key, value), (standing.key, value))[1]


def refusal(standing: StandingElsewhere, new: str, host: str) -> Refusal:
    """A change that cannot be made where it is."""
    return Refusal(
        "not-ours",
        f"{standing.where} sets {standing.key} to {standing.value or 'on'}, the spec wants {new or 'on'}",
        hint=take_over_hint("dnsmasq", host, standing.path),
    )


def not_gone(standing: StandingElsewhere, host: str) -> Refusal:
    """What the spec does not say any more, and a file that is not ours does."""
    text = f"{standing.key}={standing.value}" if standing.value else standing.key
    return Refusal(
        "not-ours",
        f"{standing.where} still has {text}, which the spec no longer has",
        hint=take_over_hint("dnsmasq", host, standing.path),
    )


def with_values(data: bytes, changes: Iterable[tuple[StandingElsewhere, str]]) -> bytes:
    """A file in which some directives have other values; indentation, key, names of tags and line end stay."""
    lines = data.split(b"\n")
    for standing, new in changes:
        raw = lines[standing.line - 1]
        head, equals, old = raw.partition(b"=")
        end = b"\r" if raw.endswith(b"\r") else b""
        tags = [part for part in old.decode("utf-8", "replace").strip().split(",") if _is_tag(part)]
        rest = [part for part in new.split(",") if not _is_tag(part)]
        lines[standing.line - 1] = head + equals + ",".join([*tags, *rest]).encode() + end
    return b"\n".join(lines)


def _is_tag(part: str) -> bool:
    return part.strip().startswith(("tag:", "set:"))


def without(texts: Mapping[str, bytes], gone: Iterable[StandingElsewhere]) -> dict[str, bytes]:
    """The files that change when some directives go. Of a list (`interface=a,b`) the other values stay."""
    by_path: dict[str, dict[int, set[str]]] = {}
    for standing in gone:
        by_path.setdefault(standing.path, {}).setdefault(standing.line, set()).add(standing.value)
    return {path: _without(texts[path], path, lines) for path, lines in by_path.items()}


def _without(data: bytes, path: str, lines: Mapping[int, set[str]]) -> bytes:
    """A file without some values of some lines."""
    left: dict[int, list[str]] = {}
    for directive in dnsmasq.parse(data, path).directives:
        if directive.line in lines and directive.key in dnsmasq.LISTS:
            items = [item.strip() for item in directive.value.split(",")]
            left[directive.line] = [item for item in items if item not in lines[directive.line]]
    raw = data.split(b"\n")
    for number, items in left.items():
        if items:
            head, _, old = raw[number - 1].partition(b"=")
            raw[number - 1] = head + b"=" + ",".join(items).encode() + (b"\r" if old.endswith(b"\r") else b"")
    return without_lines(b"\n".join(raw), [number for number in lines if not left.get(number)])
