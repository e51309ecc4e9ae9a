"""JSON Schema (draft 2020-12) of the spec files, from the models that read them."""

from collections.abc import Sequence
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from service.errors import InputError
from service.spec.findings import Path
from service.spec.groups import group_kind
from service.spec.layers import DEFAULTS, HOSTS, OWN_KEYS, VALUES, HostGroupFile
from service.spec.models import SpecKind, fleet_model, host_model

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class _Schema(GenerateJsonSchema):
    """No key takes null: a spec has a value or leaves the key out. Mappings take no key outside their grammar."""

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        made = super().dict_schema(schema)
        if "patternProperties" not in made:
            return made
        keys = self.generate_inner(schema["keys_schema"]) if "keys_schema" in schema else {}
        words = {"$comment": f"names: {keys['$comment']}"} if "$comment" in keys else {}
        return {**made, **words, "additionalProperties": False}

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
    """The schema of hosts/**.yaml. Of the keys it requires only `host`: fleet.yaml and groups/ may have the others."""
    whole = whole_host_schema(kinds)
    parts = _Parts(whole.pop("$defs", {}))
    made = parts.part(whole)
    return {"$schema": DIALECT, **made, "required": ["host"], "$defs": parts.made | parts.defs}


def whole_host_schema(kinds: Sequence[SpecKind]) -> dict[str, Any]:
    """The schema of a host's whole spec, wherever its values come from."""
    return host_model(kinds).model_json_schema(schema_generator=_Schema)


def fleet_schema(kinds: Sequence[SpecKind]) -> dict[str, Any]:
    """The schema of fleet.yaml."""
    made = fleet_model(kinds).model_json_schema(schema_generator=_Schema)
    _put_values(made, made, DEFAULTS, kinds)
    return {"$schema": DIALECT, **made}


def group_schema(kinds: Sequence[SpecKind]) -> dict[str, Any]:
    """The schema of groups/*.yaml: of a file that lists hosts, and of one with rules of the firewall."""
    rules, hosts = rules_schema(kinds), host_group_schema(kinds)
    made: dict[str, Any] = {"$defs": {**rules.pop("$defs", {}), **hosts.pop("$defs", {})}}
    made["$defs"] |= {"RulesFile": rules, "HostGroupFile": hosts}
    lists_hosts = {"anyOf": [{"required": [HOSTS]}, {"required": [VALUES]}]}
    return {
        "$schema": DIALECT, "type": "object", "if": lists_hosts, "then": {"$ref": "#/$defs/HostGroupFile"},
        "else": {"$ref": "#/$defs/RulesFile"}, **made,
    }  # fmt: skip


def rules_schema(kinds: Sequence[SpecKind]) -> dict[str, Any]:
    """The schema of a file of groups/ with rules of the firewall."""
    kind = group_kind(kinds)
    if kind is None:
        raise InputError("no section uses the files of groups/")
    made: dict[str, Any] = kind.group_section.model_json_schema(schema_generator=_Schema)
    return made


def host_group_schema(kinds: Sequence[SpecKind]) -> dict[str, Any]:
    """The schema of a file of groups/ that lists hosts."""
    made = HostGroupFile.model_json_schema(schema_generator=_Schema)
    _put_values(made, made, VALUES, kinds)
    return made


def _put_values(made: dict[str, Any], file: dict[str, Any], key: str, kinds: Sequence[SpecKind]) -> None:
    """Let a key of a file have the keys of a host's file; what they need of `$defs` goes into those of `made`."""
    host = whole_host_schema(kinds)
    parts = _Parts(host.pop("$defs", {}))
    values = parts.part(host)
    for path in OWN_KEYS:
        parts.remove(values, path)
    described = file["properties"][key]
    file["properties"][key] = {**values, "title": key, "description": described["description"]}
    made["$defs"] = {**parts.defs, **parts.made, **made.get("$defs", {})}


class _Parts:
    """Schemas of which any key may be missing. An element of a list stays whole: lists are not merged."""

    def __init__(self, defs: dict[str, Any]) -> None:
        self.defs = defs
        self.made: dict[str, Any] = {}

    def part(self, schema: Any) -> Any:
        """The same without `required`."""
        if isinstance(schema, list):
            return [self.part(item) for item in schema]
        if not isinstance(schema, dict):
            return schema
        made: dict[str, Any] = {}
        for key, item in schema.items():
            if key == "$ref":
                made[key] = self._named(item)
            elif key in ("properties", "patternProperties"):
                made[key] = {name: self.part(inner) for name, inner in item.items()}
            elif key in ("anyOf", "allOf", "oneOf", "additionalProperties"):
                made[key] = self.part(item)
            elif key != "required":
                made[key] = item
        return made

    def remove(self, schema: dict[str, Any], path: Path) -> None:
        """Take a key out."""
        for key in path[:-1]:
            schema = schema["properties"][key]
            if "$ref" in schema:
                schema = self.made[schema["$ref"].rpartition("/")[2]]
        schema["properties"].pop(path[-1], None)

    def _named(self, ref: str) -> str:
        name = ref.rpartition("/")[2]
        if f"{name}Part" not in self.made:
            self.made[f"{name}Part"] = {}
            self.made[f"{name}Part"] = self.part(self.defs[name])
        return f"#/$defs/{name}Part"
