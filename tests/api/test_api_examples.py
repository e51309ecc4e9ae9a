"""The examples of the description are real: each is made by a request of its operation, and fits its schema."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jsonschema
import pytest

from service.api import examples
from service.api.openapi import document
from tests.api.test_api_gate import address, body_for
from tests.api.test_api_matrix import ASKS
from tests.api.test_receivers import Forge
from tests.api.world import World
from tests.golden import same_as_golden

KEPT = Path(examples.__file__).with_name("examples.json")
MOST_ITEMS = 2
"""Of a list so many are shown."""
DESCRIBES_ITSELF = {"openapi"}
"""Its answer is the whole document."""
ULID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")
OTHER_IDS = {"request_id": 16, "token": 12, "hash": 64, "previous": 64, "previous_hash": 64}
"""Fields that are different each time, with their length."""


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every operation that takes or answers JSON. Those after which others are not possible any more are the last."""
    paths = sorted(document()["paths"], key=lambda path: (path.endswith("/forget"), path.endswith("/abort"), path))
    described = document()["paths"]
    for path in paths:
        for method, operation in sorted(described[path].items()):
            answered = any(examples.JSON in one.get("content", {}) for one in operation["responses"].values())
            takes = "requestBody" in operation or operation.get("parameters")
            if (answered or takes) and operation["operationId"] not in DESCRIBES_ITSELF:
                yield method.upper(), path, operation


class Steady:
    """Ids as they are each time: the same id is the same everywhere, and ids count from 1."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def of(self, value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {key: self.of(one, key) for key, one in value.items()}
        if isinstance(value, list):
            return [self.of(one, name) for one in value]
        if not isinstance(value, str):
            return value
        if OTHER_IDS.get(name) == len(value):
            return self._counted(value, len(value))
        return ULID.sub(lambda found: self._counted(found[0], 26), self._tokens(value))

    def knows(self, token: str) -> None:
        """A token's id is random, too."""
        self._counted(token[4:16], 12)

    def _tokens(self, value: str) -> str:
        for known, steady in self._known.items():
            if len(known) == 12:
                value = value.replace(known, steady)
        return value

    def _counted(self, value: str, length: int) -> str:
        return self._known.setdefault(value, str(len(self._known) + 1).rjust(length, "0"))


async def made(world: World) -> dict[str, Any]:
    """The examples, of this application."""
    steady, found = Steady(), dict[str, Any]()
    steady.knows(world.token())
    forge = Forge(world, "github")
    assert (await forge.send(forge.push())).status_code == 202
    world.rollout_id(), world.suspension_id(), world.drill_id("pve2")
    for method, path, operation in operations():
        if path.startswith("/hooks/"):
            continue
        where = address(world, path)
        body = body_for(world, path) if method == "POST" else None
        query = ASKS.get(path, "")
        answer = await world.ask(method, where + query, json=body)
        content = operation["responses"].get(str(answer.status_code), {}).get("content", {})
        assert answer.status_code < 300 or method == "DELETE" or "{code}" in path, (method, path, answer.text)
        one: dict[str, Any] = {"status": str(answer.status_code)}
        given = parameters(path, where + query)
        if given:
            one["parameters"] = given
        if body is not None and "requestBody" in operation:
            one["body"] = body
        if examples.JSON in content:
            one["answer"] = shortened(answer.json())
        found[operation["operationId"]] = one
    refused = await world.ask("GET", "/api/v1/hosts", token="")
    return steady.of({**found, examples.REFUSED: refused.json()})  # type: ignore[no-any-return]


def parameters(path: str, where: str) -> dict[str, Any]:
    """The values of an address, by the names of the path and of the query."""
    parts = urlsplit(where)
    pieces = re.split(r"(\{\w+\})", path)
    form = "".join(f"(?P<{one[1:-1]}>[^/]+)" if one[:1] == "{" else re.escape(one) for one in pieces)
    matched = re.fullmatch(form, parts.path)
    assert matched, path
    named: dict[str, Any] = {**matched.groupdict(), **dict(parse_qsl(parts.query))}
    return {name: int(value) if name == "number" else value for name, value in named.items()}


def shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shortened(one) for key, one in value.items()}
    return [shortened(one) for one in value[:MOST_ITEMS]] if isinstance(value, list) else value


async def test_the_examples_are_what_the_application_answers(world: World) -> None:
    same_as_golden(KEPT, json.dumps(await made(world), indent=1, sort_keys=True) + "\n")


def fit(value: Any, schema: dict[str, Any], described: dict[str, Any]) -> list[str]:
    """What of a value is not as its schema says."""
    whole = {**schema, "components": described["components"]}
    checked = jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker())
    return [f"{list(error.absolute_path)}: {error.message}" for error in checked.iter_errors(value)]


def described_examples(described: dict[str, Any]) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    for path, found in described["paths"].items():
        for method, operation in found.items():
            name = f"{method.upper()} {path}"
            for one in operation.get("parameters", ()):
                if "example" in one:
                    yield f"{name}: {one['name']}", one["example"], one["schema"]
            for content in operation.get("requestBody", {}).get("content", {}).values():
                yield f"{name}: body", content["example"], content["schema"]
            for status, response in operation["responses"].items():
                for content in response.get("content", {}).values():
                    if "example" in content:
                        yield f"{name}: {status}", content["example"], content["schema"]


def test_each_example_fits_its_schema() -> None:
    described = document()
    wrong = {name: fit(value, schema, described) for name, value, schema in described_examples(described)}
    assert len(wrong) > 100
    assert {name: found for name, found in wrong.items() if found} == {}


def test_each_operation_has_an_example_of_its_body_and_of_its_answer() -> None:
    names = {name for name, _, _ in described_examples(document())}
    for method, path, operation in operations():
        if path.startswith("/hooks/"):
            continue
        if "requestBody" in operation:
            assert f"{method} {path}: body" in names
        answers = operation["responses"].items()
        good = [status for status, one in answers if status < "3" and examples.JSON in one.get("content", {})]
        assert not good or any(f"{method} {path}: {status}" in names for status in good), (method, path)
        for one in operation.get("parameters", ()):
            assert one["in"] != "path" or f"{method} {path}: {one['name']}" in names


@pytest.mark.parametrize("broken", [{"items": 1}, {"next_cursor": None}, [], None])
def test_an_answer_that_is_something_else_does_not_fit(broken: Any) -> None:
    described = document()
    found = {name: (value, schema) for name, value, schema in described_examples(described)}
    value, schema = found["GET /api/v1/hosts: 200"]
    assert fit(value, schema, described) == []
    assert value["items"][0]["host"] == "pve1"
    assert fit(broken, schema, described)
