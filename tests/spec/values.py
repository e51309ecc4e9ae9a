"""Values to put into a spec: what a schema describes, what is next to it, and what people write in its place.

places(document, schema) -> every scalar and key of a document with its schema
values(schema, good) -> a strategy
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

Path = tuple[str | int, ...]
Schema = Mapping[str, Any]
WORDS = r"""
a - % # $(id) null ~ true yes 0 1 -1 007 22 65535 65536 4294967296 99999999999 1.5 1e3 0x10 10.10.10.1 10.10.10.01
10.10.10.256 0.0.0.0 127.0.0.1 224.0.0.1 255.255.255.255 10.10.10 10.10.10.0/24 10.10.10.1/24 10.10.10.255/24
10.10.10.1/32 10.10.10.0/33 10.10.10.0/024 0.0.0.0/0 192.0.2.1-192.0.2.9 192.0.2.9-192.0.2.1 192.0.2.1,192.0.2.3
192.0.2.1,2001:db8::1 !192.0.2.1 2001:db8::1 2001:DB8:0:0::1 2001:db8::1/64 2001:db8::/32 2001:db8::1/129 fe80::1
fe80::1%eth0 :: ::1 0:0:0:0:0:0:0:1 ff02::1 ::ffff:192.0.2.1 ::ffff:c000:201 ::192.0.2.1 1::2::3 [::1] 1.1.1.1#53
1.1.1.1#053 1.1.1.1@192.0.2.1#053
1.1.1.1#0 1.1.1.1#65536 2001:db8::53#5353 1.1.1.1@eth0 1.1.1.1@192.0.2.1#99 1.1.1.1@::1 /a.lan/1.1.1.1
/a.lan/b.lan/2001:db8::53@vmbr0 /a.lan/# /a.lan/ //1.1.1.1 /A.lan/1.1.1.1 # example.lan Example.lan example.lan.
.lan a..b a_b.lan 1.2.3.400 localhost xn--a lo all default eth0 eth0.10 eth0:1 vmbr0 aaaaaaaaaaaaaaa
aaaaaaaaaaaaaaaa bc:24:11:00:00:01 BC:24:11:00:00:01 bd:24:11:00:00:01 00:00:00:00:00:00 bc-24-11-00-00-01
bc:24:11:0:0:1 5s 4s 120s 2m 1m 61m 1h 12h 1d 366d 367d 7101w 7102w infinite Infinite 255.255.255.0 255.255.255.000
255.0.255.0 255.255.255.255 / /tmp/x /var/log/dnsmasq.log /var/../x /var/lib/misc/dnsmasq.leases /health
https://example.net/x http://u:p@example.net ftp://x https://[::1]/ tcp TCP 6 255 256 icmp 80 80,443 8000:8010
8010:8000 https 80: echo-request any accept ACCEPT web +bad dc/office office ssh SSH dnsmasq- g++ named.service
ssh.socket dnsmasq@vnet1 declared open sshd present enabled nolog DAEMON daemon local0 local8
"""
POOL: list[Any] = [
    *WORDS.split(),
    *(
        "",
        " ",
        "é",
        "a b",
        "a\tb",
        "a\u200bb",
        "a\n",
        "1 s",
        "/a b",
        "x" * 64,
        "a" * 63 + ".lan",
        "x" * 254,
        "x" * 2049,
    ),
    *(".".join(["a"] * 120), ".".join(["ab"] * 90), "a" * 15, "a" * 16, "1.1.1.1 #53"),
    *(0.0, 1.0, -1.0, 22.0, 4096.0, 65536.0, 1e15),
    *(0, 1, -1, 7, 22, 53, 4096, 65535, 65536, 2**31, 2**32, 2**63, True, False, None, [], {}, ["a"], [1], {"a": "b"}),
]


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a value or a key; its schema; its name in the reference, as in `bridges.*.addresses[]`."""

    path: Path
    schema: Schema
    good: Any
    field: str
    is_key: bool = False


def resolved(schema: Schema, root: Schema) -> Schema:
    """A schema behind its reference."""
    while "$ref" in schema:
        schema = root["$defs"][str(schema["$ref"]).rpartition("/")[2]]
    return schema


def places(value: Any, schema: Schema, root: Schema, path: Path = (), field: str = "") -> Iterator[Place]:
    """Every scalar, list and free key below a value that fits a schema."""
    schema = resolved(schema, root)
    if path:
        yield Place(path, schema, value, field)
    sort = "object" if isinstance(value, dict) else "array" if isinstance(value, list) else ""
    choices = [resolved(one, root) for one in schema.get("anyOf", ())]
    schema = next((one for one in choices if sort and one.get("type") == sort), schema)
    if isinstance(value, dict):
        is_free = "patternProperties" in schema or "properties" not in schema
        for key, item in value.items():
            inner = f"{field}.{'*' if is_free else key}".lstrip(".")
            if is_free:
                yield Place((*path, key), schema, key, inner, is_key=True)
            yield from places(item, below(schema, key, root), root, (*path, key), inner)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from places(item, below(schema, number, root), root, (*path, number), f"{field}[]")


def below(schema: Schema, part: str | int, root: Schema) -> Schema:
    """The schema of a member or element; an empty one where it may not be there."""
    schema = resolved(schema, root)
    if isinstance(part, int) and "items" in schema:
        return resolved(schema["items"], root)
    if isinstance(part, str) and "properties" in schema and part in schema["properties"]:
        return resolved(schema["properties"][part], root)
    for pattern, inner in schema.get("patternProperties", {}).items():
        if isinstance(part, str) and re.search(pattern, part):
            return resolved(inner, root)
    more = schema.get("additionalProperties")
    return resolved(more, root) if isinstance(more, dict) else {}


def described(schema: Schema, root: Schema, field: str = "") -> Iterator[str]:
    """The fields that a schema describes, as `Place.field` names them."""
    schema = resolved(schema, root)
    for key, inner in schema.get("properties", {}).items():
        name = f"{field}.{key}".lstrip(".")
        yield name
        yield from described(inner, root, name)
    more = schema.get("additionalProperties")
    for inner in [*schema.get("patternProperties", {}).values(), *([more] if isinstance(more, dict) else [])]:
        yield f"{field}.*"
        yield from described(inner, root, f"{field}.*")
    if isinstance(schema.get("items"), dict):
        yield from described(schema["items"], root, f"{field}[]")
    for one in schema.get("anyOf", ()):
        yield from described(one, root, field)


def scalars(schema: Schema, root: Schema) -> Iterator[Schema]:
    """The schemas of single values among the choices of one."""
    schema = resolved(schema, root)
    if "anyOf" in schema:
        for one in schema["anyOf"]:
            yield from scalars(one, root)
    elif isinstance(schema.get("type"), list):
        yield from ({**schema, "type": sort} for sort in schema["type"])
    else:
        yield schema


def of_schema(schema: Schema) -> st.SearchStrategy[Any]:
    """What one scalar schema describes."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    if schema.get("type") == "integer":
        low, high = schema.get("minimum", -1000), schema.get("maximum", 1_000_000)
        return st.one_of(st.integers(low - 2, high + 2), st.sampled_from([low, low - 1, high, high + 1]))
    if schema.get("type") == "boolean":
        return st.booleans()
    if "pattern" in schema:
        plain = schema["pattern"].removeprefix("^").removesuffix(r"\Z")
        return st.from_regex(re.compile(plain, re.ASCII), fullmatch=True)
    return st.text(alphabet="abcZ019 .:/,-_#@+!é", max_size=20)


EDITS = [*"abfxAF019 .:/,-_#@+!%[]\n\té", "::", "//", "..", "/24", "#53", ",,", "00", "255", "256"]


@st.composite
def edited(draw: st.DrawFn, good: str) -> str:
    """A good text with one or two small mistakes."""
    text = good
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(text)))
        gone = draw(st.integers(0, 2))
        text = text[:at] + draw(st.sampled_from(["", *EDITS])) + text[at + gone :]
    return text


def fitting(place: Place, root: Schema) -> st.SearchStrategy[Any]:
    """What the schema describes for a place; anything, where it describes no single value."""
    found = [of_schema(one) for one in scalars(place.schema, root) if one.get("type") not in ("array", "object")]
    return st.one_of(found) if found and not place.is_key else values(place, root)


def key_patterns(schema: Schema) -> list[str]:
    """What the keys of a mapping may be."""
    named = schema.get("propertyNames", {}).get("pattern")
    return [*schema.get("patternProperties", {}), *([named] if named else [])]


def values(place: Place, root: Schema) -> st.SearchStrategy[Any]:
    """The allowed and the forbidden values of a place."""
    if place.is_key:
        patterns = [re.compile(p.removeprefix("^").removesuffix("$"), re.ASCII) for p in key_patterns(place.schema)]
        texts = [st.sampled_from([v for v in POOL if isinstance(v, str)]), edited(str(place.good))]
        return st.one_of(*texts, *(st.from_regex(p, fullmatch=True) for p in patterns))
    found = [of_schema(one) for one in scalars(place.schema, root) if one.get("type") not in ("array", "object")]
    if isinstance(place.good, list):
        found.append(st.integers(0, 300).map(lambda count: (place.good * 300)[:count]))
    near = [edited(str(place.good))] if isinstance(place.good, str | int) else []
    return st.one_of(st.sampled_from(POOL), *near, *found)


def replaced(value: Any, place: Place, new: Any) -> Any:
    """A document with another value in one place."""
    return _replaced(value, place.path, new, is_key=place.is_key)


def _replaced(value: Any, path: Sequence[str | int], new: Any, *, is_key: bool) -> Any:
    first, *rest = path
    if isinstance(value, dict):
        if not rest and is_key:
            return {(new if key == first else key): item for key, item in value.items()}
        return {
            key: (_replaced(item, rest, new, is_key=is_key) if rest else new) if key == first else item
            for key, item in value.items()
        }
    return [
        (_replaced(item, rest, new, is_key=is_key) if rest else new) if number == first else item
        for number, item in enumerate(value)
    ]
