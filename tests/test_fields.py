"""Every field of a spec has its row in deploy/docs/fields.md: its place on a host, and what is allowed there."""

import re
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from pydantic import BaseModel, ConfigDict

from service.kinds import KINDS
from service.kinds.packet_rules.section import FirewallRule
from service.spec.groups import group_kind
from service.spec.layers import HostGroupFile
from service.spec.models import fleet_model, host_model
from tests.documents import TOP

ROW = re.compile(r"\| `([^`]+)` \| ([^|]+) \| ([^|]+) \|")
TEXT = (TOP / "deploy/docs/fields.md").read_text(encoding="utf-8")


def fields(annotation: Any, path: str) -> Iterator[str]:
    """The fields below an annotation: `[]` is an entry of a list, `*` a name that the spec chooses, itself a field."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation is FirewallRule and path:
        yield path  # its fields have a table of their own: rules are in many places
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, declared in annotation.model_fields.items():
            yield from fields(declared.annotation, f"{path}.{declared.alias or name}".lstrip("."))
    elif origin is Annotated:
        yield from fields(inner[0], path)
    elif origin in (Union, types.UnionType):
        yield from dict.fromkeys(found for one in inner if one is not types.NoneType for found in fields(one, path))
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        below = [found for found in fields(inner[1], f"{path}.*") if found != f"{path}.*"]
        yield f"{path}.*"
        yield from below
    elif isinstance(origin, type) and issubclass(origin, Sequence):
        item = inner[0]
        yield from fields(item, f"{path}[]") if below_of(item) else [path]
    else:
        yield path


def below_of(annotation: Any) -> bool:
    """Whether there are fields below the entries of a list."""
    return annotation is FirewallRule or list(fields(annotation, "")) != [""]


def declared() -> dict[str, list[str]]:
    """{file: its fields}."""
    groups = group_kind(KINDS)
    assert groups is not None
    models: dict[str, Any] = {"host": host_model(KINDS), "fleet": fleet_model(KINDS), "group": groups.group_section}
    models["hostgroup"] = HostGroupFile
    models["rule"] = FirewallRule
    return {file: sorted(set(fields(model, ""))) for file, model in models.items()}


def told() -> dict[str, list[str]]:
    """{file: the fields that have a row}."""
    parts = re.split(r"^## (\w+)", TEXT, flags=re.MULTILINE)[1:]
    found = {name: ROW.findall(text) for name, text in zip(parts[::2], parts[1::2], strict=True)}
    return {file: [row[0] for row in found.get(file.capitalize(), [])] for file in declared()}


@pytest.mark.parametrize("file", sorted(declared()))
def test_every_field_has_its_row_and_every_row_its_field(file: str) -> None:
    rows = told()[file]
    assert sorted(rows) == declared()[file]
    assert len(rows) == len(set(rows))


@pytest.mark.parametrize("row", ROW.findall(TEXT), ids=lambda row: row[0])
def test_a_row_says_where_a_field_goes_and_what_is_allowed(row: tuple[str, str, str]) -> None:
    assert all(len(cell.strip()) > 3 for cell in row[1:])


def test_a_field_that_is_added_without_a_row_is_found() -> None:
    class Below(BaseModel):
        model_config = ConfigDict(extra="forbid")
        path: str | None = None

    class Section(BaseModel):
        entries: tuple[Below, ...] = ()
        named: dict[str, Below] = {}
        words: tuple[str, ...] = ()

    assert list(fields(Section, "x")) == ["x.entries[].path", "x.named.*", "x.named.*.path", "x.words"]
