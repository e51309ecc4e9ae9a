"""What a table opens and closes: the kernel's own as it is, against the one that would be loaded."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from service.firewall.nft.published import PUBLISHED, Published, shown_ports, with_port
from service.firewall.nft.reach import Change, TooManyBoxes, differences
from service.firewall.nft.reach_words import told
from service.firewall.nft.reading import Known, Labels, read_program
from service.firewall.nft.table import Table
from service.hostside.canonical import nft_normal
from service.model.observed import HostObserved
from service.model.plans import Passing
from service.model.states import Json, Observed, Seen, Unknown
from service.observe.derived import derived

HOOKS = {"in": ("input",), "forward": ("prerouting", "forward"), "out": ("output",)}
WHERE = {"in": "of what reaches the host", "forward": "of what passes through it", "out": "of what leaves it"}
MOST_SHOWN = 40


@dataclass(frozen=True, slots=True)
class TableChange:
    """The packets for which a table decides otherwise than the kernel's own, by direction; None where there is too
    much to compare. `labels` are the names that are as numbers in them."""

    by_direction: Mapping[str, tuple[Change, ...] | None]
    labels: Labels


@derived
def table_change(observed: HostObserved, fact: str, table: Table | None) -> TableChange | None:
    """What the table that is wanted changes; None where the kernel's has rules of another form. A table that could not
    be read counts as none."""
    seen = observed.fact(fact)
    before = listed(seen.value if isinstance(seen, Seen) else None)
    after: Json = table.normal if table is not None else None
    labels, known = Labels(), Known()
    try:
        now, then = (read_program(normal, labels, known) for normal in (before, after))
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, RuntimeError):
        return None
    found: dict[str, tuple[Change, ...] | None] = {}
    for direction, hooks in HOOKS.items():
        try:
            found[direction] = differences(now.through(hooks), then.through(hooks))
        except TooManyBoxes:
            found[direction] = None
    return TableChange(found, labels)


def filter_changes(observed: HostObserved, fact: str, table: Table | None) -> Iterator[Passing]:
    """What passes and did not, and the other way. `fact` is the table's, `table` what is wanted."""
    if isinstance(observed.fact(fact), Unknown):
        return
    change = table_change(observed, fact, table)
    if change is None:
        yield Passing("the present state is unknown, because the kernel's table has rules of another form", None, None)
        return
    for direction, changes in change.by_direction.items():
        if changes is None:
            yield Passing(f"changes more than can be compared {WHERE[direction]}", None, None)
            continue
        said = [*told(changes, direction, change.labels)]
        yield from (passing(sentence, opens=opens) for opens, sentence in said[:MOST_SHOWN])
        if more := [opens for opens, _ in said[MOST_SHOWN:]]:
            text = f"and {len(more)} more changes {WHERE[direction]}"
            yield Passing(text, more.count(True), more.count(False))


def passing(sentence: str, *, opens: bool) -> Passing:
    """One way that opens, or closes."""
    return Passing(sentence, int(opens), int(not opens))


def listed(value: Json) -> Json:
    """The objects in a table's fact."""
    return value.get("normal") if isinstance(value, dict) else None


def published_changes(seen: Observed[Json], table: Table | None, published: Sequence[Published]) -> Iterator[Passing]:
    """What is published and was not, and the other way."""
    if isinstance(seen, Unknown):
        return
    before = _rules(listed(seen.value if isinstance(seen, Seen) else None))
    after = _rules(_wanted(table))
    for key in [key for key in before if key not in after]:
        yield passing(f"closes what was published: {before[key]}", opens=False)
    yield from (passing(sentence, opens=True) for _, sentence in newly_published(seen, table, published))


def _wanted(table: Table | None) -> Json:
    if table is None:
        return None
    found: list[Json] = [*nft_normal([item for item in table.normal if isinstance(item, dict)])]
    return found


def newly_published(
    seen: Observed[Json], table: Table | None, published: Sequence[Published]
) -> Iterator[tuple[Published, str]]:
    """What is published that the kernel's table does not have, each with its sentence."""
    before = _rules(listed(seen.value if isinstance(seen, Seen) else None))
    for one, key in zip(published, _rules(_wanted(table)), strict=False):
        if key not in before:
            yield one, _opens(one)


def _opens(one: Published) -> str:
    who = ", ".join(one.sources) or "anywhere"
    return f"opens {one.proto}/{shown_ports(one.ports)} on {one.at} from {who}, which leads to {one.goal}"


def _rules(normal: Json) -> dict[str, str]:
    """The rules of what is published: {canonical form: in short}."""
    found: dict[str, str] = {}
    for item in normal if isinstance(normal, list) else []:
        rule = item.get("rule") if isinstance(item, dict) else None
        if isinstance(rule, dict) and rule.get("chain") == PUBLISHED:
            key = json.dumps(rule.get("expr"), sort_keys=True)
            found[key] = _short(rule.get("expr"))
    return found


def _short(expressions: Json) -> str:
    """Addresses, ports and goal of a rule as the kernel lists it."""
    words: list[str] = []
    for item in expressions if isinstance(expressions, list) else []:
        match item:
            case {"match": {"left": {"payload": {"protocol": str(protocol), "field": "dport"}}, "right": right}}:
                words.append(f"{protocol}/{_values(right)}")
            case {"match": {"left": {"payload": {"field": "daddr"}}, "right": right}}:
                words.append(f"on {_values(right)}")
            case {"match": {"left": {"payload": {"field": "saddr"}}, "right": right}}:
                words.append(f"from {_values(right)}")
            case {"dnat": {"addr": addr, **rest}}:
                words.append(f"to {with_port(str(addr))}:{rest['port']}" if "port" in rest else f"to {addr}")
            case _:
                words.append("by another rule")
    return " ".join(words)


def _values(right: Json) -> str:
    items = right.get("set", [right]) if isinstance(right, dict) else [right]
    shown = []
    for item in items if isinstance(items, list) else [items]:
        match item:
            case {"prefix": {"addr": addr, "len": length}}:
                shown.append(f"{addr}/{length}")
            case {"range": [first, last]}:
                shown.append(f"{first}-{last}")
            case _:
                shown.append(str(item))
    return ",".join(sorted(shown, key=lambda text: (len(text), text))[:12])
