"""What files of dnsmasq's say that are not ours: where it stands, how it is changed there or moved."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

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
    """Every directive of some files; lists (`interface=a,b`) are one each."""
    found = [(path, d) for path in sorted(texts) for d in dnsmasq.parse(texts[path], path).directives]
    pairs = canonical([(d.key, d.value) for _, d in found])
    return [
        StandingElsewhere(key, item, path, directive.line)
        for (path, directive), (key, value) in zip(found, pairs, strict=True)
        for item in (value.split(",") if key in dnsmasq.LISTS else [value])
    ]


def is_rival(standing: StandingElsewhere, want: Mapping[str, Sequence[Json]]) -> bool:
    """Whether it says otherwise what dnsmasq takes once, or about one thing: a range's network, an option's number."""
    return rival_of(standing, want) is not None


def rival_of(standing: StandingElsewhere, want: Mapping[str, Sequence[Json]]) -> str | None:
    """The wanted value in whose way a directive stands."""
    wanted = [str(value) for value in want.get(standing.key, [])]
    if not wanted or standing.value in wanted:
        return None
    if standing.key in dnsmasq.SINGLE or (standing.key == "domain" and "," not in standing.value):
        return wanted[0]
    if standing.key in ("dhcp-range", "dhcp-option"):
        subject = _subject(standing.key, standing.value)
        return next((value for value in wanted if _subject(standing.key, value) == subject), None)
    return None


def _subject(key: str, value: str) -> tuple[str, ...]:
    """What a range or an option is about: the network by its first three numbers, the tags and the number."""
    parts = value.split(",")
    tags = tuple(part for part in parts if part.startswith(("tag:", "set:")) and "@" not in part)
    rest = [part for part in parts if not part.startswith(("tag:", "set:"))]
    first = rest[0] if rest else ""
    if key == "dhcp-range":
        return (*tags, first.rpartition(".")[0])
    return (*sorted(part for part in parts if part.startswith("tag:")), first)


def rivals(
    found: Iterable[StandingElsewhere], want: Mapping[str, Sequence[Json]], written: Mapping[Directive, Directive]
) -> Iterator[tuple[StandingElsewhere, str]]:
    """(directive, the value that it should have, as it is written) of all that stand in the way."""
    for standing in found:
        value = rival_of(standing, want)
        if value is not None:
            yield standing, written.get((standing.key, value), (standing.key, value))[1]


def refusal(standing: StandingElsewhere, new: str, host: str) -> Refusal:
    """A change that cannot be made where it stands."""
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
        f"{standing.where} says {text}, which the spec does not any more",
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
    """The files that change when some directives go."""
    by_path: dict[str, set[int]] = {}
    for standing in gone:
        by_path.setdefault(standing.path, set()).add(standing.line)
    return {path: without_lines(texts[path], lines) for path, lines in by_path.items()}
