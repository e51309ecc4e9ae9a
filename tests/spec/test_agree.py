"""Lint and the JSON Schema say the same of every value: what an editor marks is what lint refuses."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from service.kinds import KINDS
from service.kinds.dnsmasq.lint import OPTION_VALUE, lint_dnsmasq
from service.kinds.dnsmasq.section import DnsmasqSection
from service.spec import document, shape
from service.spec.document import Document
from service.spec.groups import group_kind
from service.spec.models import fleet_model, host_model
from service.spec.schema import fleet_schema, group_schema, host_schema
from tests.spec.values import POOL, Place, described, places, replaced, values

EVERY_KEY = Path(__file__).parent / "every_key"
FILES = ("host", "fleet", "group")

HOST_BITS = "a network has no bits of a host"
NO_CERTIFICATE = f"-----BEGIN CERTIFICATE----- {'A' * 64} -----END CERTIFICATE-----"
ORDER = "the lower one comes first"
LOOSER: dict[str, tuple[Any, str]] = {
    "connection.host_keys[]": ("ssh-ed25519 AAAA", "a key's bytes are those of its type"),
    "connection.jump.host_keys[]": ("ssh-ed25519 AAAA", "a key's bytes are those of its type"),
    "interfaces.*.addresses[]": ("10.10.10.0/24", "it is neither the network's own nor its broadcast address"),
    "bonds.*.addresses[]": ("10.10.10.255/24", "it is neither the network's own nor its broadcast address"),
    "bridges.*.addresses[]": ("10.10.10.255/24", "it is neither the network's own nor its broadcast address"),
    "vlans.*.addresses[]": ("10.10.30.0/24", "it is neither the network's own nor its broadcast address"),
    "nat[].source": ("10.10.10.1/24", HOST_BITS),
    "dnsmasq.dhcp[].options.*": ([".".join(["a" * 60] * 4)] * 2, "a DHCP option has at most 255 bytes"),
    "dnsmasq.dhcp[].options.*[]": (".".join(["a"] * 120), "a DHCP option has at most 255 bytes"),
    "forwards[].ports": ("8010:8000", ORDER),
    "forwards[].ports[]": ("8010:8000", ORDER),
    "forwards[].ports.*": ("8010:8000", ORDER),
    "forwards[].source": ("10.10.10.1/24", HOST_BITS),
    "forwards[].source[]": ("10.10.10.1/24", HOST_BITS),
    "fail2ban.ignoreip": ("10.10.10.1/24", HOST_BITS),
    "fail2ban.ignoreip[]": ("2001:DB8:0::/48", "a network is written in its usual form, without bits of a host"),
    "web.acme.ca": (NO_CERTIFICATE, "a certificate is whole"),
    "web.acme.ca[]": (NO_CERTIFICATE, "a certificate is whole"),
    "web.sites.*.allow": ("10.10.10.1/24", HOST_BITS),
    "web.sites.*.allow[]": ("2001:db8::1/32", HOST_BITS),
    "web.sites.*.deny": ("10.10.10.1/24", HOST_BITS),
    "rules[].source": ("192.0.2.9-192.0.2.1", f"{HOST_BITS}; in ranges {ORDER}"),
    "rules[].dest": ("10.10.10.1/24", f"{HOST_BITS}; in ranges {ORDER}"),
    "rules[].dport": ("no-such-service", f"names are those of /etc/services; in ranges {ORDER}"),
    "rules[].sport": ("443:22", f"names are those of /etc/services; in ranges {ORDER}"),
    "rules[].comment": ("a\u200bb", "every character shows"),
    "comment": ("a\tb", "every character shows"),
    "windows[].comment": ("a\tb", "every character shows"),
    "windows[].zone": ("Paris", "the machine knows the time zone"),
    "aliases.*": ("10.10.10.1/24", HOST_BITS),
    "ipsets.*[]": ("10.10.10.1/24", HOST_BITS),
}
"""{field: (a value that only lint refuses, why no schema says it)}. deploy/docs/fields.md has them, too."""
FIELDS_PAGE = Path(__file__).parent.parent.parent / "deploy/docs/fields.md"


def short(field: str) -> str:
    """The name of a field in `LOOSER`: rules are the same in every place."""
    return field.replace("groups.*[]", "rules[]").removeprefix("firewall.").removeprefix("guests.*.firewall.")


def python_ends(schema: Any) -> Any:
    """A schema in which `$` is the very end, as in ECMA 262; Python's would let a line break follow."""
    if isinstance(schema, dict):
        ended = {(k.replace("$", r"\Z") if k.startswith("^") else k): python_ends(v) for k, v in schema.items()}
        return ended | (
            {"pattern": schema["pattern"].replace("$", r"\Z")} if isinstance(schema.get("pattern"), str) else {}
        )
    return [python_ends(item) for item in schema] if isinstance(schema, list) else schema


@cache
def schema_of(file: str) -> Any:
    """The schema of a file; of fleet.yaml without `defaults`, whose values are those of a host's file."""
    made = {"host": host_schema, "fleet": fleet_schema, "group": group_schema}[file](KINDS)
    if file == "group":
        made = {**made["$defs"]["RulesFile"], "$defs": made["$defs"]}
    made["properties"].pop("defaults", None)
    return python_ends(made)


@cache
def good(file: str) -> Any:
    read = document.load((EVERY_KEY / f"{file}.yaml").read_bytes())
    assert read.problems == ()
    return thawed(read.value)


@cache
def part_of(file: str, top: str | int) -> Any:
    """Of the whole file what has to be there, and one section: each value is judged within its own."""
    fields = model_of(file).model_fields
    return {key: value for key, value in good(file).items() if key == top or fields[key].is_required()}


@cache
def places_of(file: str) -> tuple[Place, ...]:
    return tuple(places(good(file), schema_of(file), schema_of(file)))


@cache
def model_of(file: str) -> type[BaseModel]:
    group: Any = group_kind(KINDS)
    models: dict[str, type[BaseModel]] = {
        "host": host_model(KINDS), "fleet": fleet_model(KINDS), "group": group.group_section,
    }  # fmt: skip
    return models[file]


def thawed(value: Any) -> Any:
    """Lists as a reader of JSON gives them."""
    if isinstance(value, dict):
        return {key: thawed(item) for key, item in value.items()}
    return [thawed(item) for item in value] if isinstance(value, tuple) else value


def frozen(value: Any) -> Any:
    """Lists as the reader of YAML gives them."""
    if isinstance(value, dict):
        return {key: frozen(item) for key, item in value.items()}
    return tuple(frozen(item) for item in value) if isinstance(value, list) else value


def lint_takes(file: str, place: Place, new: Any) -> bool:
    """Whether lint accepts a value on its own: its characters, type, grammar and bounds. Keys of what is
    outside a list may be in another file."""
    written = {new: 1} if place.is_key else {"value": new}
    read = document.load(json.dumps(written, ensure_ascii=False).encode())
    if read.problems:
        return False
    if isinstance(new, float):
        new = thawed((read.value or {})["value"])
    fitted = shape.fit(model_of(file), Document(frozen(replaced(part_of(file, place.path[0]), place, new))))
    problems = [
        problem
        for problem in fitted.problems
        if problem.hit.rule != shape.MISSING_KEY.id or any(isinstance(part, int) for part in problem.hit.path)
    ]
    section = getattr(fitted.value, "dnsmasq", None)
    options = lint_dnsmasq(section, ()) if isinstance(section, DnsmasqSection) and not problems else ()
    return not problems and not any(hit.rule == OPTION_VALUE.id for hit in options)


def schema_takes(file: str, place: Place, new: Any) -> bool:
    """Whether an editor marks nothing."""
    inner = Draft202012Validator(schema_of(file)).evolve(schema=place.schema)
    if place.is_key:
        whole = good(file)
        for part in place.path[:-1]:
            whole = whole[part]
        return bool(inner.is_valid({(new if key == place.path[-1] else key): item for key, item in whole.items()}))
    return bool(inner.is_valid(new))


def disagreement(file: str, place: Place, new: Any) -> str:
    lint, schema = lint_takes(file, place, new), schema_takes(file, place, new)
    if lint == schema or (schema and short(place.field) in LOOSER):
        return ""
    return f"{file}: {place.field} = {new!r}: lint {'takes' if lint else 'refuses'} it, the schema does not agree"


@pytest.mark.parametrize("file", FILES)
def test_the_document_with_every_key_has_every_key_and_no_mistake(file: str) -> None:
    schema = schema_of(file)
    assert sorted(set(described(schema, schema)) - {place.field for place in places_of(file)}) == []
    assert Draft202012Validator(schema).is_valid(good(file))
    assert shape.fit(model_of(file), Document(frozen(good(file)))).problems == ()


@pytest.mark.parametrize("file", FILES)
@given(data=st.data())
def test_lint_and_the_schema_agree_on_every_value(file: str, data: st.DataObject) -> None:
    place = data.draw(st.sampled_from(places_of(file)))
    assert disagreement(file, place, data.draw(values(place, schema_of(file)))) == ""


@pytest.mark.long
@pytest.mark.parametrize(("file", "top"), [(file, top) for file in FILES for top in good(file)])
def test_they_agree_on_what_people_write_wherever_they_write_it(file: str, top: str) -> None:
    places_there = [place for place in places_of(file) if place.path[0] == top]
    found = [disagreement(file, p, v) for p in places_there for v in POOL if isinstance(v, str) or not p.is_key]
    assert places_there
    assert [text for text in found if text] == []


@pytest.mark.parametrize("field", LOOSER)
def test_what_only_lint_says_is_so_and_is_documented(field: str) -> None:
    value, why = LOOSER[field]
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \|$", FIELDS_PAGE.read_text(), re.MULTILINE)
    assert (field, why) in rows
    found = [(f, place) for f in FILES for place in places_of(f) if short(place.field) == field]
    fitting = [(f, place) for f, place in found if isinstance(value, str) or not place.is_key]
    said = {(lint_takes(f, place, value), schema_takes(f, place, value)) for f, place in fitting}
    assert (False, True) in said
    assert (True, False) not in said
