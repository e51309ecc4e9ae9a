"""What of a newer OpenAPI description breaks a client of an older one. Pure: two documents in, sentences out.

An answer may get new fields and new words of a list of words. A request may get new optional parameters. All else of
what a client relies on stays: paths, fields, types, what may be left out, the words that are taken.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

Json = Mapping[str, Any]
Side = Literal["request", "answer"]
METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
_AT_MOST = ("maximum", "maxLength", "maxItems", "exclusiveMaximum")
_AT_LEAST = ("minimum", "minLength", "minItems", "exclusiveMinimum")


def broken(old: Json, new: Json) -> list[str]:
    """One sentence for each break, in the order of the paths."""
    return [line for path, item in sorted(old["paths"].items()) for line in _of_path(path, item, old, new)]


def _of_path(path: str, item: Json, old: Json, new: Json) -> Iterator[str]:
    if path not in new["paths"]:
        yield f"the path {path} is gone"
        return
    for method in METHODS:
        if method not in item:
            continue
        name, then = f"{method.upper()} {path}", new["paths"][path].get(method)
        if then is None:
            yield f"{name} is gone"
            continue
        yield from _parameters(name, _Both(old, new), item[method], then)
        yield from _body(name, _Both(old, new), item[method], then)
        yield from _answers(name, _Both(old, new), item[method], then)


class _Both:
    """Two documents, and the pairs of their schemas that are being compared: schemas may name themselves."""

    def __init__(self, old: Json, new: Json) -> None:
        self._old, self._new = old, new
        self._seen: set[tuple[str, str, Side]] = set()

    def compare(self, where: str, old: Json, new: Json, side: Side) -> Iterator[str]:
        """The breaks of one schema."""
        names = old.get("$ref", ""), new.get("$ref", ""), side
        if names[0] and names in self._seen:
            return
        self._seen.add(names)
        was, is_ = list(_alternatives(self._old, old)), list(_alternatives(self._new, new))
        lost = _types(was) - _types(is_) if side == "request" else _types(is_) - _types(was)
        if lost and "any" not in _types(is_ if side == "request" else was):
            verb = "does not take" if side == "request" else "may be"
            yield f"{where} {verb} {', '.join(sorted(lost))} {'any more' if side == 'request' else 'now'}"
        for before in was:
            after = _alike(before, is_)
            if after is not None:
                yield from self._one(where, before, after, side)

    def _one(self, where: str, old: Json, new: Json, side: Side) -> Iterator[str]:
        yield from _words(where, old, new, side)
        if side == "request":
            yield from _bounds(where, old, new)
        yield from self._fields(where, old, new, side)
        if "items" in old and "items" in new:
            yield from self.compare(f"each of {where}", old["items"], new["items"], side)

    def _fields(self, where: str, old: Json, new: Json, side: Side) -> Iterator[str]:
        had, has = old.get("properties", {}), new.get("properties", {})
        needed_before, needed = set(old.get("required", ())), set(new.get("required", ()))
        for name in sorted(had):
            field = f"`{name}` of {where}"
            if name not in has:
                yield f"{field} is gone"
                continue
            if side == "answer" and name in needed_before and name not in needed:
                yield f"{field} may be missing now"
            yield from self.compare(field, had[name], has[name], side)
        if side == "request":
            for name in sorted(needed - needed_before):
                yield f"`{name}` of {where} is needed now"


def _parameters(name: str, both: _Both, old: Json, new: Json) -> Iterator[str]:
    had, has = ({(one["in"], one["name"]): one for one in of.get("parameters", ())} for of in (old, new))
    for key, one in had.items():
        where = f"the {key[0]} parameter `{key[1]}` of {name}"
        if key not in has:
            yield f"{where} is gone"
            continue
        if has[key].get("required") and not one.get("required"):
            yield f"{where} is needed now"
        yield from both.compare(where, one.get("schema", {}), has[key].get("schema", {}), "request")
    for key in sorted(has.keys() - had.keys()):
        if has[key].get("required"):
            yield f"the {key[0]} parameter `{key[1]}` of {name} is new and needed"


def _body(name: str, both: _Both, old: Json, new: Json) -> Iterator[str]:
    had, has = old.get("requestBody"), new.get("requestBody")
    where = f"the body of {name}"
    if has is not None and has.get("required") and not (had or {}).get("required"):
        yield f"{where} is needed now"
    if had is None:
        return
    if has is None:
        yield f"{where} is not taken any more"
        return
    yield from _contents(where, both, had, has, "request")


def _answers(name: str, both: _Both, old: Json, new: Json) -> Iterator[str]:
    for status, answer in old["responses"].items():
        if not status.startswith("2"):
            continue
        if status not in new["responses"]:
            yield f"{name} does not answer {status} any more"
            continue
        yield from _contents(f"the answer {status} of {name}", both, answer, new["responses"][status], "answer")


def _contents(where: str, both: _Both, old: Json, new: Json, side: Side) -> Iterator[str]:
    for media, content in old.get("content", {}).items():
        if media not in new.get("content", {}):
            yield f"{where} is not {media} any more"
            continue
        yield from both.compare(where, content.get("schema", {}), new["content"][media].get("schema", {}), side)


def _words(where: str, old: Json, new: Json, side: Side) -> Iterator[str]:
    if side == "answer":  # clients have to bear words that they do not know
        return
    had, has = _enum(old), _enum(new)
    if has is None:
        return
    if had is None:
        yield f"{where} takes only {', '.join(sorted(map(str, has)))} now"
    elif gone := sorted(str(one) for one in had if one not in has):
        yield f"{where} does not take {', '.join(gone)} any more"


def _enum(schema: Json) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _bounds(where: str, old: Json, new: Json) -> Iterator[str]:
    for key in _AT_MOST + _AT_LEAST:
        was, now = old.get(key), new.get(key)
        is_narrower = now is not None and (was is None or (now < was if key in _AT_MOST else now > was))
        if is_narrower:
            yield f"{where} has {key} {now} now, {'no limit' if was is None else was} before"
    if new.get("pattern") not in (None, old.get("pattern")):
        yield f"{where} has another pattern now"


def _alternatives(document: Json, schema: Json) -> Iterator[Json]:
    """The schemas of which a value has to fit one, with what their names stand for."""
    if "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        yield from ({"title": schema["$ref"], **one} for one in _alternatives(document, found))
        return
    several = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
    if not several:
        yield schema
        return
    for one in several:
        yield from _alternatives(document, one)


def _types(schemas: list[Json]) -> set[str]:
    found: set[str] = set()
    for one in schemas:
        said = one.get("type", "any" if _enum(one) is None else "string")
        found |= set(said) if isinstance(said, list) else {said}
    return found | ({"integer"} if "number" in found else set())


def _alike(schema: Json, others: list[Json]) -> Json | None:
    """The schema that one became: the very same, the one of its name, or the first of its type."""
    if schema in others:
        return schema
    same = [one for one in others if _types([one]) & _types([schema])]
    return next((one for one in same if one.get("title") == schema.get("title")), same[0] if same else None)
