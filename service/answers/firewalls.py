"""A host's firewall as it is answered: every rule in the order in which it is tried, and what differs on the host."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from service.answers.packets import NO_FIREWALL, HostTracer
from service.firewall.host import PREROUTING
from service.firewall.trace.guest_chains import GUESTS
from service.firewall.trace.listing import BRIDGE, Entry, Tried
from service.kinds.packet_rules.levels import KEY
from service.model.changes import Drift
from service.model.observed import HostObserved
from service.model.states import Json
from service.observe.pve_node import backend_of
from service.spec.host import HostSpec

_TITLES = {
    PREROUTING: "Before routing", "in": "To the host", "out": "From the host", "forward": "Through the host",
    GUESTS: "Between guests on a bridge",
}  # fmt: skip
_OF_GUEST = {"in": "To guest {}", "out": "From guest {}", BRIDGE: "Guest {} on its bridge"}
_FIELDS = ("iface", "source", "dest", "proto", "dport", "sport", "icmp_type", "macro", "log")


def tables_as_json(tracer: HostTracer) -> dict[str, Json]:
    """The tables of a host. `why` says why there are no rules, "" where there are."""
    tables: list[Json] = [table_as_json(table) for table in tracer.tables]
    return {"is_filtered": tracer.is_filtered, "why": "" if tracer.is_filtered else NO_FIREWALL, "tables": tables}


def table_as_json(table: Tried) -> dict[str, Json]:
    """One table."""
    rules: list[Json] = [_rule(entry, position) for position, entry in enumerate(table.entries, 1)]
    title = _OF_GUEST[table.direction].format(table.guest) if table.guest else _TITLES[table.name]
    return {"id": table.name, "title": title, "direction": table.direction, "guest": table.guest, "rules": rules}


def _rule(entry: Entry, position: int) -> dict[str, Json]:
    rule = entry.rule
    fields: dict[str, Json] = {name: getattr(rule, name) if rule is not None else "" for name in _FIELDS}
    where = entry.where if entry.where is not None and entry.where.line else None
    return {
        "id": entry.name, "position": position, "level": entry.level, "action": entry.action, "text": entry.text,
        **fields, "family": (rule.family or None) if rule is not None else None,
        "comment": rule.comment if rule is not None and not entry.cause else "", "group": entry.group,
        "where": str(where) if where is not None else None, "cause": entry.cause, "decides": entry.decides,
        "earlier": [*entry.earlier],
    }  # fmt: skip


def backend_as_json(spec: HostSpec, observed: HostObserved | None) -> dict[str, Json] | None:
    """Which of Proxmox's programs has the rules; None on another host, or where it was never seen."""
    if spec.platform != "proxmox" or observed is None:
        return None
    found = backend_of(observed)
    return {"program": found.program, "why": found.why, "trouble": found.trouble}


def differing(drifts: Sequence[Drift]) -> list[Json]:
    """Where the rules on the host are not as wanted, line by line."""
    found = (drift for drift in drifts if drift.difference.kind == KEY)
    return [_differing(drift) for drift in found]


def _differing(drift: Drift) -> dict[str, Json]:
    one = drift.difference
    want, have = _lines(one.want), _lines(one.have)
    missing, extra = Counter(want) - Counter(have), Counter(have) - Counter(want)
    is_moved = not one.unknown and not missing and not extra
    return {
        "resource": one.resource, "field": one.field, "where": one.where, "moved": drift.moved, "unknown": one.unknown,
        "only_wanted": [*missing.elements()], "only_there": [*extra.elements()] if not one.unknown else [],
        "is_order": is_moved,
    }  # fmt: skip


def _lines(value: Json) -> list[str]:
    """A value as lines: those of a list, else one."""
    if value is None:
        return []
    return [*_texts(value)]


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, Mapping):
        yield from (f"{key}: {item}" for key, item in value.items())
    else:
        yield str(value)
