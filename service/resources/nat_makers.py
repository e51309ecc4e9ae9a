"""What makes a masquerade at the next boot, besides our own table: lines of the interfaces files, nft scripts,
iptables' rules that a service loads.

    makers(observed) -> tuple[Maker, …] | Unknown        NAT_WATCH is what has to be looked at for it
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from service.formats.interfaces import FILES as INTERFACES_FILES
from service.formats.interfaces import MasqueradeLine
from service.formats.nat_files import IPTABLES_FILE, NFT_FILES, NFT_MAIN, of_iptables_rules, of_nft_script
from service.formats.nat_found import MasqueradeRule, NatFound
from service.model.observed import HostObserved, Watch
from service.model.plans import Refusal
from service.model.states import Absent, Seen, Unknown
from service.observe.at_boot import effects_at_boot, texts_of
from service.observe.derived import derived
from service.resources.files import file_step, sha256
from service.resources.resource import Contribution, Phase

NFT_UNIT = "nftables.service"
IPTABLES_UNIT = "netfilter-persistent.service"
NAT_WATCH = Watch(
    files=frozenset({*INTERFACES_FILES, *NFT_FILES, IPTABLES_FILE}), units=frozenset({NFT_UNIT, IPTABLES_UNIT})
)

Rule = tuple[str, str]
"""(source network, outgoing interface)"""


@dataclass(frozen=True, slots=True)
class Maker:
    """One place that makes a rule at boot. A shell line belongs to the stanza of `interface`; if it is `alone`, it does
    nothing else."""

    rule: Rule
    path: str
    line: int
    sort: Literal["line", "script"]
    interface: str = ""
    alone: bool = True

    @property
    def where(self) -> str:
        """`path:line`."""
        return f"{self.path}:{self.line}"


@derived
def makers(observed: HostObserved) -> tuple[Maker, ...] | Unknown:
    """Every place that makes a masquerade at boot, in the order in which they are read."""
    lines = effects_at_boot(observed)
    if isinstance(lines, Unknown):
        return lines
    counts = Counter((line.path, line.line) for line in lines)
    found = [
        Maker(
            (line.effect.source, line.effect.out),
            line.path,
            line.line,
            "line",
            line.interface,
            alone=counts[line.path, line.line] == 1,
        )
        for line in lines
        if isinstance(line.effect, MasqueradeLine) and line.effect.action == "add"
    ]
    for unit, patterns in ((NFT_UNIT, NFT_FILES), (IPTABLES_UNIT, (IPTABLES_FILE,))):
        made = _of_unit(unit, patterns, observed)
        if isinstance(made, Unknown):
            return made
        found += made
    return tuple(found)


def _of_unit(unit: str, patterns: Sequence[str], observed: HostObserved) -> list[Maker] | Unknown:
    """What the files of a service make, if it starts at boot."""
    if isinstance(observed.text(patterns[0]), Absent):
        return []
    texts = texts_of(observed, patterns)
    if isinstance(texts, Unknown):
        return texts
    rules = [rule for rule in _rules_of(patterns[0], texts) if isinstance(rule, MasqueradeRule)]
    seen = observed.fact(f"unit:{unit}")
    if rules and isinstance(seen, Unknown):
        return seen
    starts = isinstance(seen, Seen) and isinstance(seen.value, dict) and seen.value.get("enabled") == "enabled"
    return [Maker((r.source, r.out), r.path, r.line, "script") for r in rules] if starts else []


def _rules_of(main: str, texts: Mapping[str, bytes]) -> tuple[NatFound, ...]:
    if main == NFT_MAIN:
        return of_nft_script(texts)
    return of_iptables_rules(texts.get(main, b""), main)


def without_makers(gone: Iterable[Maker], observed: HostObserved, why: str) -> Contribution:
    """The scripts without the lines that make some rules. Lines of the interfaces files are their stanzas' to change.

    A line that makes more than those rules is a refusal: it is not ours to take apart.
    """
    steps: dict[str, bytes] = {}
    refusals: list[Refusal] = []
    rules = {maker.rule for maker in gone}
    by_path: dict[str, set[int]] = {}
    for maker in gone:
        if maker.sort == "script":
            by_path.setdefault(maker.path, set()).add(maker.line)
    for path, lines in by_path.items():
        text = observed.text(path)
        if not isinstance(text, Seen):
            continue
        raw = text.value.splitlines(keepends=True)
        content = b"".join(line for n, line in enumerate(raw, 1) if n not in lines)
        is_whole = all(raw[n - 1].count(b"{") == raw[n - 1].count(b"}") for n in lines)
        texts = {p: t.value for p, t in observed.texts.items() if isinstance(t, Seen)}
        main = NFT_MAIN if path != IPTABLES_FILE else IPTABLES_FILE
        before, after = _rules_of(main, texts), _rules_of(main, {**texts, path: content})
        if is_whole and _kept(before, rules) == _kept(after, set()):
            steps[path] = content
        else:
            places = ", ".join(f"{path}:{line}" for line in sorted(lines))
            refusals.append(
                Refusal(
                    "not-ours",
                    f"{places} makes more than the rules that are taken over",
                    hint="write each of these rules on a line of its own first",
                )
            )
    return Contribution(
        steps=tuple((Phase.FILE, file_step(p, c, _mode(p, observed), observed, why)) for p, c in steps.items()),
        blobs={sha256(content): content for content in steps.values()},
        refusals=tuple(refusals),
    )


def _kept(found: Iterable[NatFound], gone: set[Rule]) -> list[NatFound]:
    """The other rules that are made, in any file, without those that go."""
    left = [f for f in found if not (isinstance(f, MasqueradeRule) and (f.source, f.out) in gone)]
    return [replace(f, path="", line=0) for f in left]


def _mode(path: str, observed: HostObserved) -> str:
    """A file that is somebody else's keeps its mode."""
    seen = observed.fact(f"file:{path}")
    mode = seen.value.get("mode") if isinstance(seen, Seen) and isinstance(seen.value, dict) else None
    return mode if isinstance(mode, str) else "0644"


def of_rule(rule: Rule, made: Iterable[Maker]) -> Iterator[Maker]:
    """The makers of one rule."""
    return (maker for maker in made if maker.rule == rule)
