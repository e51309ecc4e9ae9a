"""A newer service takes what a client of the released one sends, and answers what it reads."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.api.openapi import document
from tests.api.openapi_changes import broken

RELEASED = Path(__file__).parents[2] / "openapi" / "released.json"
Doc = dict[str, Any]


def test_a_description_breaks_nothing_of_itself() -> None:
    assert not broken(document(), document())


def test_no_change_breaks_a_client_of_the_released_api() -> None:
    lines = broken(json.loads(RELEASED.read_text(encoding="utf-8")), document())
    assert not lines, (
        "this change breaks clients of the released API:\n  "
        + "\n  ".join(lines)
        + "\nFix: keep the old form next to the new one. With a new version of the API in its path, copy"
        " openapi/openapi.json to openapi/released.json"
    )


OLD: Doc = {
    "paths": {
        "/hosts": {
            "get": {
                "parameters": [
                    {"in": "query", "name": "sync", "schema": {"enum": ["Synced", "OutOfSync"], "type": "string"}},
                    {"in": "query", "name": "limit", "schema": {"type": "integer", "maximum": 200, "minimum": 1}},
                ],
                "responses": {
                    "200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Hosts"}}}}
                },
            },
            "post": {
                "requestBody": {
                    "required": False,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Asked"}}},
                },
                "responses": {"202": {}, "404": {}},
            },
        }
    },
    "components": {
        "schemas": {
            "Hosts": {
                "type": "object", "required": ["items"],
                "properties": {"items": {"type": "array", "items": {"$ref": "#/components/schemas/Host"}}},
            },
            "Host": {
                "type": "object", "required": ["host", "seen"],
                "properties": {
                    "host": {"type": "string"}, "seen": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                    "part_of": {"$ref": "#/components/schemas/Host"}, "state": {"enum": ["a", "b"], "type": "string"},
                },
            },
            "Asked": {
                "type": "object", "required": ["host"],
                "properties": {
                    "host": {"type": "string", "maxLength": 63},
                    "age": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                },
            },
        }
    },
}  # fmt: skip


def at(new: Doc, *path: Any) -> Any:
    for part in path:
        new = new[part]
    return new


GET, POST = ("paths", "/hosts", "get"), ("paths", "/hosts", "post")
HOST, ASKED = ("components", "schemas", "Host"), ("components", "schemas", "Asked")
NEW_PARAMETER = {"in": "query", "name": "x", "required": True, "schema": {"type": "string"}}
BREAKS: list[tuple[Callable[[Doc], object], str]] = [
    (lambda new: new["paths"].clear(), "the path /hosts is gone"),
    (lambda new: at(new, "paths", "/hosts").pop("post"), "POST /hosts is gone"),
    (lambda new: at(new, *GET, "parameters").pop(0), "the query parameter `sync` of GET /hosts is gone"),
    (
        lambda new: at(new, *GET, "parameters").append(NEW_PARAMETER),
        "the query parameter `x` of GET /hosts is new and needed",
    ),
    (
        lambda new: at(new, *GET, "parameters", 0).update(required=True),
        "the query parameter `sync` of GET /hosts is needed now",
    ),
    (
        lambda new: at(new, *GET, "parameters", 0, "schema", "enum").remove("Synced"),
        "the query parameter `sync` of GET /hosts does not take Synced any more",
    ),
    (
        lambda new: at(new, *GET, "parameters", 1, "schema").update(maximum=100),
        "the query parameter `limit` of GET /hosts has maximum 100 now, 200 before",
    ),
    (
        lambda new: at(new, *GET, "parameters", 1, "schema").update(minimum=2),
        "the query parameter `limit` of GET /hosts has minimum 2 now, 1 before",
    ),
    (
        lambda new: at(new, *HOST, "properties").pop("host"),
        "`host` of each of `items` of the answer 200 of GET /hosts is gone",
    ),
    (
        lambda new: at(new, *HOST, "required").remove("host"),
        "`host` of each of `items` of the answer 200 of GET /hosts may be missing now",
    ),
    (
        lambda new: at(new, *HOST, "properties", "host").update(type="integer"),
        "`host` of each of `items` of the answer 200 of GET /hosts may be integer now",
    ),
    (
        lambda new: at(new, *HOST, "properties").update(host={"anyOf": [{"type": "string"}, {"type": "null"}]}),
        "`host` of each of `items` of the answer 200 of GET /hosts may be null now",
    ),
    (
        lambda new: at(new, *GET, "responses").update({"206": at(new, *GET, "responses").pop("200")}),
        "does not answer 200",
    ),
    (
        lambda new: at(new, *GET, "responses", "200").update(content={"text/csv": {}}),
        "the answer 200 of GET /hosts is not application/json any more",
    ),
    (lambda new: at(new, *ASKED, "required").append("age"), "`age` of the body of POST /hosts is needed now"),
    (lambda new: at(new, *ASKED, "properties").pop("age"), "`age` of the body of POST /hosts is gone"),
    (
        lambda new: at(new, *ASKED, "properties").update(age={"type": "integer"}),
        "`age` of the body of POST /hosts does not take null any more",
    ),
    (
        lambda new: at(new, *ASKED, "properties", "host").update(enum=["pve1"]),
        "`host` of the body of POST /hosts takes only pve1 now",
    ),
    (
        lambda new: at(new, *ASKED, "properties", "host").update(pattern="^a"),
        "`host` of the body of POST /hosts has another pattern now",
    ),
    (lambda new: at(new, *POST, "requestBody").update(required=True), "the body of POST /hosts is needed now"),
    (lambda new: at(new, *POST).pop("requestBody"), "the body of POST /hosts is not taken any more"),
]


@pytest.mark.parametrize(("change", "said"), BREAKS, ids=[said for _, said in BREAKS])
def test_each_break_is_one_sentence(change: Callable[[Doc], object], said: str) -> None:
    new = copy.deepcopy(OLD)
    change(new)
    [line] = broken(OLD, new)
    assert said in line


FINE: list[Callable[[Doc], object]] = [
    lambda new: None,
    lambda new: new["paths"].update({"/more": {}}),
    lambda new: at(new, *GET, "parameters").append(NEW_PARAMETER | {"required": False}),
    lambda new: at(new, *GET, "parameters", 0, "schema", "enum").append("Unknown"),
    lambda new: at(new, *GET, "parameters", 1, "schema").update(maximum=500),
    lambda new: at(new, *HOST, "properties").update(more={"type": "string"}),
    lambda new: at(new, *HOST, "properties", "state", "enum").append("c"),
    lambda new: at(new, *HOST, "properties").update(seen={"type": "string"}),
    lambda new: at(new, *ASKED, "properties").update(more={"type": "string"}),
    lambda new: at(new, *ASKED, "required").remove("host"),
    lambda new: at(new, *ASKED, "properties", "host").pop("maxLength"),
    lambda new: at(new, *ASKED, "properties", "age").update(anyOf=[{"type": "number"}, {"type": "null"}]),
    lambda new: at(new, *POST, "responses").pop("404"),
]


@pytest.mark.parametrize("change", FINE)
def test_what_clients_bear_is_no_break(change: Callable[[Doc], object]) -> None:
    new = copy.deepcopy(OLD)
    change(new)
    assert broken(OLD, new) == []


def test_a_break_of_the_real_document_is_seen() -> None:
    released = json.loads(RELEASED.read_text(encoding="utf-8"))
    new = copy.deepcopy(released)
    for name, schema in released["components"]["schemas"].items():
        fields = new["components"]["schemas"][name].get("properties", {})
        for field, kept in schema.get("properties", {}).items():
            del fields[field]
            if name not in ("Problem", "ProblemError"):
                assert broken(released, new), f"nobody misses {field} of {name}"
            fields[field] = kept
