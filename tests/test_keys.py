"""`passerelle explain` and deploy/docs/keys.md: every key of the models and no other, each with a good example."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from service.cli import run
from service.kinds import KINDS
from service.model.trees import BlobEntry, Tree
from service.spec.fleet import read_fleet
from service.spec.reference import FILES, Key, example_files, found, keys_of
from service.spec.yaml_text import flow
from tests.documents import TOP
from tests.golden import same_as_golden
from tests.test_fields import declared

KEYS = keys_of(KINDS)
ALL = [key for keys in KEYS.values() for key in keys]
MOST_WORDS = 8
OPENING = """\
# Every key of a spec

This page is made from the models that read the specs. `passerelle explain KEY` prints the same for one key, with all
its values.

`NAME` is a name that the spec chooses, `[]` an entry of a list. *required* is for the whole spec of a host, which may
come from [several files](shared.md). [fields.md](fields.md) shows the place of each key on a host. All keys exist
since 0.1.0, the first version.
"""


def in_fields(file: str) -> set[str]:
    """The keys in the words of tests/test_fields.py, which walks the models itself."""
    return {path for path in declared()[file] if not path.startswith(("defaults", "values"))}


@pytest.mark.parametrize(
    ("file", "there"), [("host", "host"), ("fleet", "fleet"), ("rules", "group"), ("group", "hostgroup")]
)
def test_every_key_of_the_models_is_in_the_reference_and_no_other(file: str, there: str) -> None:
    known = {key.dotted.replace(".NAME", ".*") for key in KEYS[file]}
    leaves = {path.replace("[]", "[]") for path in in_fields(there)}
    missing = {path for path in leaves if path not in known and not path.endswith("[]")}
    assert missing == set()
    rules = ("rules[].", "groups.*[].")
    beyond = {path for path in known if not any(rule in path for rule in rules)}
    assert {
        path for path in beyond if not any(one.startswith(path) for one in leaves | {"defaults", "values"})
    } == set()


@pytest.mark.parametrize("key", ALL, ids=lambda key: f"{key.file}:{key.dotted}")
def test_a_key_has_a_meaning_a_type_and_an_example(key: Key) -> None:
    assert key.meaning
    assert key.type
    assert key.example is not None
    assert len(key.names) == key.path.count("NAME")


def test_the_examples_are_a_fleet_without_a_finding() -> None:
    files = {path: BlobEntry(path, path, text.encode()) for path, text in example_files().items()}
    assert [str(one) for one in read_fleet(Tree(files), KINDS).findings] == []


def test_the_page_is_what_the_models_say() -> None:
    parts = [OPENING]
    for file, keys in KEYS.items():
        parts += [f"\n## {FILES[file]}\n", *rows(keys)]
    same_as_golden(TOP / "deploy/docs/keys.md", "\n".join(parts) + "\n")


def rows(keys: tuple[Key, ...]) -> Iterator[str]:
    yield "| key | meaning | type | allowed | default | example |"
    yield "|---|---|---|---|---|---|"
    for key in keys:
        if "rules" in key.path[:-1] and key.path[:2] != ("firewall", "rules"):
            continue  # the same in every list of rules
        if key.file == "fleet" and key.path[:1] == ("firewall",) and key.path[-2:-1] == ("[]",):
            continue
        default = "" if key.default is None else code(flow(key.default))
        example = code(flow(key.example)) if not isinstance(key.example, dict | list) or not key.below else ""
        required = ", required" if key.required else ""
        cells = (code(key.dotted), key.meaning, key.type + required, short(key.allowed), default, example)
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def code(text: str) -> str:
    return f"`{text}`"


def short(allowed: str) -> str:
    words = allowed.split(", ")
    more = len(words) - MOST_WORDS
    return f"{', '.join(words[:MOST_WORDS])} and {more} more" if more > MOST_WORDS else allowed


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("guests.NAME.address", "guests.NAME.address"),
        ("guests.*.address", "guests.NAME.address"),
        ("guests.web1.address", "guests.NAME.address"),
        ("dnsmasq.dhcp[].start", "dnsmasq.dhcp[].start"),
        ("dnsmasq.dhcp.0.start", "dnsmasq.dhcp[].start"),
        ("dnsmasq.dhcp[0].start", "dnsmasq.dhcp[].start"),
        ("dnsmasq.dhcp.start", "dnsmasq.dhcp[].start"),
        ("connection.jump.address", "connection.jump.address"),
        ("defaults.connection.port", "connection.port"),
        ("values.guests.dev.mac", "guests.NAME.mac"),
        ("packages.dnsmasq", "packages.NAME"),
        ("nat[0]", "nat"),
        ("nat.0", "nat"),
        ("bridges.vmbr0.addresses[]", "bridges.NAME.addresses"),
        ("dnsmasq.dhcp[1]", "dnsmasq.dhcp"),
        ("defaults.connection.host_keys[0]", "connection.host_keys"),
    ],
)
def test_a_path_is_understood_as_it_is_in_a_spec(written: str, key: str) -> None:
    assert found(written, KEYS).keys[0].dotted == key


@pytest.mark.parametrize(
    ("written", "nearest"),
    [
        ("dnsmasq.chache_size", "dnsmasq.cache_size"),
        ("guests.web1.adress", "guests.NAME.address"),
        ("cache_size", "dnsmasq.cache_size"),
        ("confirm_timeout", "connection.confirm_timeout"),
        ("brigdes", "bridges"),
        ("guests[0]", "guests"),  # names, and no list
        ("sync[0]", "sync"),
    ],
)
def test_an_unknown_key_leads_to_the_nearest(written: str, nearest: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert nearest in found(written, KEYS).nearest
    assert run(["explain", written]) == 1
    assert nearest in capsys.readouterr().err


@pytest.mark.parametrize("written", ["", "...", "x" * 10_000, "[" * 100, "guests.\x1b[31m.address\n", "é"])
def test_any_text_has_an_answer(written: str) -> None:
    found(written, KEYS)


def test_explain_prints_what_a_key_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "connection.port"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "connection.port  (hosts/NAME.yaml)",
        "  TCP port of the host's sshd.",
        "  type:     whole number",
        "  allowed:  1 to 65535",
        "  default:  22",
        "  example:  connection: {port: 22}",
        "  since:    0.1.0",
    ]


def test_explain_lists_the_top_and_answers_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {kind.name} " in text for kind in KINDS)
    assert run(["explain", "firewall.rules", "-o", "json"]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [key["file"] for key in answer["keys"]] == ["host", "fleet"]
    assert "firewall.rules[].macro" in answer["keys"][0]["below"]
