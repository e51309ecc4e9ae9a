"""The JSON Schema: the same keys as the models, described."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from service.kinds import KINDS
from service.model.trees import BlobEntry
from service.spec import document
from service.spec.findings import has_errors
from service.spec.reading import read_file
from service.spec.schema import fleet_schema, group_schema, host_schema
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


@pytest.mark.parametrize(
    "schema", [host_schema(KINDS), fleet_schema(KINDS), group_schema(KINDS)], ids=["host", "fleet", "group"]
)
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
        ("sync: auto", "rollout: {}"),
        ("stp: false", "spt: false"),
        ("stp: false", "stp: off"),
        ("cache_size: 256", "cache_size: -1"),
        ("lease_time: 12h", "lease_time: 12"),
        ("enp1s0: {addresses", "eth0.4095: {addresses"),
        ("host: pve1\n", ""),
        ("{named: disabled}", "{named: off}"),
    ],
)
def test_the_schema_refuses_what_the_models_refuse(old: str, new: str) -> None:
    assert HOST.count(old) == 1
    with pytest.raises(ValidationError):
        Draft202012Validator(host_schema(KINDS)).validate(instance(HOST.replace(old, new)))


def test_a_hosts_file_may_leave_to_shared_files_what_they_may_have() -> None:
    schema = Draft202012Validator(host_schema(KINDS))
    schema.validate(instance("host: pve1\nconnection: {address: 198.51.100.11}\n"))
    schema.validate(instance("host: pve1\nguests: {dev: {address: 10.10.10.9}}\n"))
    for text in ("connection: {address: 198.51.100.11}\n", "host: pve1\nnat: [{source: 10.10.10.0/24}]\n"):
        assert not schema.is_valid(instance(text))


def test_no_key_takes_null() -> None:
    assert '"null"' not in str(host_schema(KINDS)).replace("'", '"')


DEFAULTS = """\
  connection: {port: 2222}
  guests: {dev: {address: 10.10.10.9}}
  nat: [{source: 10.10.10.0/24, out: enp1s0}]
"""
GROUP = "group: paris\nhosts: [pve1, pve-*]\nvalues:\n" + DEFAULTS
RULES = "group: web\nrules: [{type: in, action: accept, macro: SSH}]\n"
SHARED = {"fleet": f"passerelle: 1\ndefaults:\n{DEFAULTS}", "group": GROUP}
SCHEMAS = {"fleet": fleet_schema(KINDS), "group": group_schema(KINDS)}


def taken(file: str, text: str) -> bool:
    valid: bool = Draft202012Validator(SCHEMAS[file]).is_valid(instance(text))
    return valid


def read_without_errors(file: str, text: str) -> bool:
    path = {"fleet": "fleet.yaml", "group": f"groups/{instance(text).get('group', 'x')}.yaml"}[file]
    found = read_file(BlobEntry(path, "", text.encode()), KINDS).findings
    return not has_errors(found)


@pytest.mark.parametrize("file", SCHEMAS)
def test_the_schema_of_values_that_hosts_share_is_whole(file: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[file])
    assert taken(file, SHARED[file])
    assert read_without_errors(file, SHARED[file])


@pytest.mark.parametrize("file", SCHEMAS)
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("port: 2222", "port: ssh"),
        ("port: 2222", "prot: 22"),
        ("port: 2222", "allow_management_change: true"),
        ("address: 10.10.10.9", "adress: 10.10.10.9"),
        (", out: enp1s0", ""),
        ("  connection:", "  host: pve1\n  connection:"),
        ("  connection:", "  rollout: {}\n  connection:"),
    ],
)
def test_schema_and_lint_refuse_the_same_values_that_hosts_share(file: str, old: str, new: str) -> None:
    text = SHARED[file].replace(old, new)
    assert text != SHARED[file]
    assert not taken(file, text)
    assert not read_without_errors(file, text)


@pytest.mark.parametrize(
    "text",
    [
        GROUP.replace("hosts: [pve1, pve-*]\n", ""),
        GROUP + "rules: []\n",
        RULES + "values: {}\n",
        "group: x\nhosts: []\n",
    ],
)
def test_a_file_of_groups_is_for_hosts_or_for_rules(text: str) -> None:
    assert taken("group", RULES)
    assert read_without_errors("group", RULES)
    assert not taken("group", text)
    assert not read_without_errors("group", text)
