"""The JSON Schema: the same keys as the models, described."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from service.kinds import KINDS
from service.spec import document
from service.spec.schema import fleet_schema, host_schema
from tests.spec.conftest import FLEET, HOST

CASES = [
    case
    for case in sorted(Path(__file__).parent.parent.glob("kinds/*/*/spec.yaml"))
    if (findings := case.with_name("findings.txt")).exists()
    and all("(warning)" in line for line in findings.read_text().splitlines())
]


def as_lists(value: Any) -> Any:
    """What a JSON parser would give."""
    if isinstance(value, dict):
        return {key: as_lists(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [as_lists(item) for item in value]
    return value


def instance(text: str | bytes) -> Any:
    read = document.load(text.encode() if isinstance(text, str) else text)
    assert read.problems == ()
    return as_lists(read.value)


def properties(schema: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(schema, dict):
        for name, item in schema.get("properties", {}).items():
            yield f"{at}.{name}", item
        for name, item in schema.items():
            yield from properties(item, f"{at}.{name}")
    elif isinstance(schema, list):
        for number, item in enumerate(schema):
            yield from properties(item, f"{at}.{number}")


@pytest.mark.parametrize("schema", [host_schema(KINDS), fleet_schema(KINDS)], ids=["host", "fleet"])
def test_a_schema_is_valid_and_describes_every_property(schema: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    found = list(properties(schema))
    assert found
    for name, item in found:
        assert item.get("description"), name


def test_the_schema_takes_what_the_models_take() -> None:
    Draft202012Validator(host_schema(KINDS)).validate(instance(HOST))
    Draft202012Validator(fleet_schema(KINDS)).validate(instance(FLEET))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.parent.name}-{case.parent.name}")
def test_the_schema_takes_every_case_without_errors(case: Path) -> None:
    Draft202012Validator(host_schema(KINDS)).validate(instance(case.read_bytes()))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sync: auto", "snyc: auto"),
        ("sync: auto", "sync: always"),
        ("sync: auto", "web: {}"),
        ("stp: false", "spt: false"),
        ("stp: false", "stp: off"),
        ("cache_size: 256", "cache_size: -1"),
        ("lease_time: 12h", "lease_time: 12"),
        ("enp1s0: {addresses", "eth0.10: {addresses"),
        ("host: pve1\n", ""),
        ("{named: disabled}", "{named: off}"),
    ],
)
def test_the_schema_refuses_what_the_models_refuse(old: str, new: str) -> None:
    assert HOST.count(old) == 1
    with pytest.raises(ValidationError):
        Draft202012Validator(host_schema(KINDS)).validate(instance(HOST.replace(old, new)))


def test_no_key_takes_null() -> None:
    assert '"null"' not in str(host_schema(KINDS)).replace("'", '"')
