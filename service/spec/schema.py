"""JSON Schema (draft 2020-12) of the spec files, from the models that read them."""

from collections.abc import Sequence
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from service.errors import InputError
from service.spec.fleet import SpecKind, fleet_model, host_model
from service.spec.groups import group_kind

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class _Schema(GenerateJsonSchema):
    """No key takes null: a spec has a value or leaves the key out. Mappings take no key outside their grammar."""

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        made = super().dict_schema(schema)
        return {**made, "additionalProperties": False} if "patternProperties" in made else made

    def field_title_should_be_set(self, schema: object) -> bool:
        return False

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        if made.get("default", ...) is None:
            del made["default"]
        return made


def host_schema(kinds: Sequence[SpecKind]) -> dict[str, Any]:
    """The schema of hosts/**.yaml."""
    return {"$schema": DIALECT, **host_model(kinds).model_json_schema(schema_generator=_Schema)}


def fleet_schema(kinds: Sequence[SpecKind]) -> dict[str, Any]:
    """The schema of fleet.yaml."""
    return {"$schema": DIALECT, **fleet_model(kinds).model_json_schema(schema_generator=_Schema)}


def group_schema(kinds: Sequence[SpecKind]) -> dict[str, Any]:
    """The schema of groups/*.yaml."""
    kind = group_kind(kinds)
    if kind is None:
        raise InputError("nothing reads the files of groups/")
    return {"$schema": DIALECT, **kind.group_section.model_json_schema(schema_generator=_Schema)}
