"""nft's JSON in nft's own words: what people read of a rule, whoever wrote it.

    rule_words(body) -> str          `tcp dport 22 accept`; statement_words(item) has one part of it
    chain_words(body) -> str         `type filter hook input priority 0; policy drop`, empty without a hook
    table_words(normal) -> [str]     the whole table, a line for each thing in it

`body` is in the normal form of `nft_normal`, so a rule has the same words before and after it was loaded. Two different
bodies never have the same words: what has no words here is as nft's JSON, whole (nft(8), libnftables-json(5)).
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import IPv6Address, ip_address

from service.model.states import Json

_PLAIN = re.compile(r"(?=.*[^0-9])[A-Za-z0-9_./:*+-]+")
_PLACE = frozenset({"family", "table", "name", "chain"})
_NAMES = frozenset({"iifname", "oifname", "ibrname", "obrname", "iif", "oif"})
"""Keys of `meta` that are interfaces: nft puts their names in quotes and leaves out the word meta."""
_FLAGS = frozenset({"state", "status", "flags"})
"""A set of flags: compared by `in`, which is not written."""
_BARE = frozenset({"accept", "drop", "return", "continue", "masquerade", "redirect", "notrack", "counter", "log"})


class _NoWords(Exception):  # noqa: N818 (an answer: it is as JSON then)
    """There are no words here for this."""


def rule_words(body: Json) -> str:
    """A rule without its place: statements, then what else nft lists of it, as its comment."""
    if not isinstance(body, dict):
        return _json(body)
    said = body.get("expr")
    parts = [statement_words(item) for item in said] if isinstance(said, list) else [_json({"expr": said})]
    comment = body.get("comment")
    parts += [f"comment {json.dumps(comment)}"] if isinstance(comment, str) else []
    known = {*_PLACE, "expr", *(["comment"] if isinstance(comment, str) else [])}
    return " ".join([*parts, *_rest(body, known)])


def chain_words(body: Mapping[str, Json]) -> str:
    """What nft lists of a chain besides its place."""
    match body:
        case {"type": str(sort), "hook": str(hook), "prio": int(priority), "policy": str(policy)}:
            head = f"type {sort} hook {hook} priority {priority}; policy {policy}"
            return " ".join([head, *_rest(body, {*_PLACE, "type", "hook", "prio", "policy"})])
    return " ".join(_rest(body, _PLACE))


def thing_words(kind: str, body: Mapping[str, Json]) -> str:
    """Anything of a table that is neither chain nor rule: a set, a map, a counter, with what is in it."""
    return " ".join([kind, *([str(body["name"])] if "name" in body else []), *_rest(body, _PLACE)])


def table_words(normal: Json) -> list[Json]:
    """A table line by line."""
    return [*_lines(normal)] if isinstance(normal, list) else []


def _lines(normal: Sequence[Json]) -> Iterator[str]:
    for item in normal:
        kind, body = next(iter(item.items())) if isinstance(item, dict) and len(item) == 1 else ("", None)
        if not isinstance(body, dict):
            yield _json(item)
        elif kind == "chain":
            yield f"chain {body.get('name')}: {chain_words(body)}".removesuffix(": ")
        elif kind == "rule":
            yield f"{body.get('chain')}: {rule_words(body)}"
        elif kind != "table" or set(body) - _PLACE:
            yield thing_words(kind, body)


def _rest(body: Mapping[str, Json], known: set[str] | frozenset[str]) -> list[str]:
    """The keys that have no words."""
    left: dict[str, Json] = {key: value for key, value in body.items() if key not in known}
    return [_json(left)] if left else []


def _json(value: Json) -> str:
    return json.dumps(value, sort_keys=True)


def statement_words(item: Json) -> str:
    """One statement of a rule."""
    try:
        return _said(item)
    except _NoWords:
        return _json(item)


def _only(value: Json) -> tuple[str, Json]:
    """The key and the value of an object that has one."""
    if not isinstance(value, dict) or len(value) != 1:
        raise _NoWords
    return next(iter(value.items()))


def _fields(body: Json, *names: str) -> list[Json]:
    """The values of an object that has these keys and no other."""
    if not isinstance(body, dict) or set(body) != set(names):
        raise _NoWords
    return [body[name] for name in names]


def _said(item: Json) -> str:
    kind, body = _only(item)
    if kind in _BARE and body is None:
        return kind
    said = _STATEMENTS.get(kind)
    if said is None:
        raise _NoWords
    return said(kind, body)


def _match(_kind: str, body: Json) -> str:
    op, left, right = _fields(body, "op", "left", "right")
    return " ".join([_left(left), *_sign(op, left), _right(left, right)])


def _vmap(_kind: str, body: Json) -> str:
    key, data = _fields(body, "key", "data")
    [pairs] = _fields(data, "set")
    if not isinstance(pairs, list):
        raise _NoWords
    return f"{_left(key)} vmap {{ {', '.join(_targets(pairs))} }}"


def _leads(kind: str, body: Json) -> str:
    return f"{kind} {_text(*_fields(body, 'target'))}"


def _reject(_kind: str, body: Json) -> str:
    if body == {"type": "icmpx", "expr": "port-unreachable"}:  # what nft(8) does by default
        return "reject"
    if body == {"type": "tcp reset"}:
        return "reject with tcp reset"
    sort, answer = _fields(body, "type", "expr")
    return f"reject with {_text(sort)} {_text(answer)}"


def _limit(_kind: str, body: Json) -> str:
    rate, burst, per = _fields(body, "rate", "burst", "per")
    return f"limit rate {_element(rate)}/{_text(per)} burst {_element(burst)} packets"


def _log(_kind: str, body: Json) -> str:
    if not isinstance(body, dict) or set(body) - {"prefix", "level"}:
        raise _NoWords
    prefix = [f"prefix {json.dumps(body['prefix'])}"] if isinstance(body.get("prefix"), str) else []
    level = [f"level {_text(body['level'])}"] if "level" in body else []
    if len(prefix) + len(level) != len(body):
        raise _NoWords
    return " ".join(["log", *prefix, *level])


def _translated(kind: str, body: Json) -> str:
    """dnat and snat."""
    has_port = isinstance(body, dict) and "port" in body
    family, address, *port = _fields(body, "family", "addr", *(["port"] if has_port else []))
    shown = _text(address)
    if port:
        shown = f"[{shown}]:{_element(port[0])}" if ":" in shown else f"{shown}:{_element(port[0])}"
    return f"{kind} {_text(family)} to {shown}"


_STATEMENTS: Mapping[str, Callable[[str, Json], str]] = {
    "match": _match, "vmap": _vmap, "jump": _leads, "goto": _leads, "reject": _reject, "limit": _limit, "log": _log,
    "dnat": _translated, "snat": _translated,
}  # fmt: skip


def _sign(op: Json, left: Json) -> list[str]:
    """The sign of a comparison, none for the usual one."""
    inner = next(iter(left.values())) if isinstance(left, dict) and left else None
    field = (inner.get("field") or inner.get("key")) if isinstance(inner, dict) else None
    if op not in ("==", "!=", "<", ">", "<=", ">=", "in"):
        raise _NoWords
    return [] if op == ("in" if field in _FLAGS else "==") else [str(op)]


def _left(value: Json) -> str:
    kind, body = _only(value)
    if kind == "concat" and isinstance(body, list):
        return " . ".join(map(_left, body))
    if kind == "payload":
        protocol, field = _fields(body, "protocol", "field")
        return " ".join([_text(protocol), *map(_text, str(field).split(" "))])
    if kind not in ("meta", "ct"):
        raise _NoWords
    [key] = _fields(body, "key")
    return str(key) if kind == "meta" and key in _NAMES else f"{kind} {_text(key)}"


def _right(left: Json, value: Json) -> str:
    quotes = isinstance(left, dict) and isinstance(meta := left.get("meta"), dict) and meta.get("key") in _NAMES
    match value:
        case {"set": list(items), **others} if not others:
            return f"{{ {', '.join(_element(item, quotes=quotes) for item in sorted(items, key=_order))} }}"
        case list(flags) if len(flags) > 1:
            return ",".join(map(_text, flags))
    return _element(value, quotes=quotes)


def _element(value: Json, *, quotes: bool = False) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value}"
    if isinstance(value, str):
        return json.dumps(value) if quotes else _text(value)
    kind, body = _only(value)
    if kind == "prefix":
        address, length = _fields(body, "addr", "len")
        return f"{_text(address)}/{_element(length)}"
    if kind in _JOINED and isinstance(body, list) and len(body) > 1:
        return _JOINED[kind].join(_element(part, quotes=quotes) for part in body)
    raise _NoWords


_JOINED = {"range": "-", "concat": " . "}


def _targets(pairs: Sequence[Json]) -> Iterator[str]:
    for pair in sorted(pairs, key=_order):
        if not isinstance(pair, list) or len(pair) != 2:
            raise _NoWords
        yield f"{_element(pair[0])} : {_said(pair[1])}"


def _text(text: Json) -> str:
    """A word as it is; in quotes where it could be taken for something else."""
    if not isinstance(text, str):
        raise _NoWords
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


def _order(item: Json) -> tuple[int, int, str]:
    """As people count: numbers and addresses by their value, words by the alphabet."""
    match item:
        case [first, _]:
            return _order(first)
        case int():
            return 0, item, ""
        case {"prefix": {"addr": first}} | {"range": [first, _]}:
            return (*_order(first)[:2], _json(item))
        case str():
            try:
                address = ip_address(item)
            except ValueError:
                return 3, 0, item
            return (2 if isinstance(address, IPv6Address) else 1), int(address), item
    return 4, 0, _json(item)
