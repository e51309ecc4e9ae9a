"""A sketch as YAML: short mappings in one line, comments where they belong, quotes where they are needed."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from service.adopt.sketch import Sketch
from service.model.states import Json
from service.model.trees import shown
from service.spec.findings import Path
from service.spec.yaml_text import flow, key_text

WIDTH = 110
_COMMENT = 300
_LINE = 4000


def write(sketch: Sketch, head: Mapping[str, Json], opening: str) -> str:
    """The text of a host's file: `opening` as a comment, the head's keys, the sections with their comments."""
    return f"# {opening}\n{body(sketch, head)}"


def body(sketch: Sketch, head: Mapping[str, Json] = MappingProxyType({})) -> str:
    """The head's keys and the sections, with their comments."""
    lines = _comments(sketch.above.get((), []), "")
    for key, value in {**head, **sketch.values}.items():
        lines += _entry(sketch, key, value, (key,), "")
        lines += [_suggested(line) for line in sketch.suggestions.get(key, [])]
    for key, suggested in sketch.suggestions.items():
        if key not in sketch.values:
            lines += [_suggested(line) for line in [f"{key}:", *suggested]]
    return "".join(f"{line}\n" for line in lines)


def _suggested(line: str) -> str:
    """A line of the spec behind a sign."""
    return f"# {line[: len(line) - len(line.lstrip())]}{shown(line, _LINE)}"


def _comments(found: list[str], indent: str) -> list[str]:
    return [f"{indent}# {text}".rstrip() for line in found if (text := shown(line, _COMMENT))]


def _entry(sketch: Sketch, key: str, value: Json, path: Path, indent: str) -> Iterator[str]:
    """One key of a mapping, over as many lines as it needs."""
    yield from _comments(sketch.above.get(path, []), indent)
    beside = f"  # {shown(sketch.beside[path], _COMMENT)}" if path in sketch.beside else ""
    head = f"{indent}{key_text(key)}:"
    if _fits(sketch, value, path, len(head)):
        yield f"{head} {flow(value)}{beside}"
        return
    yield f"{head}{beside}"
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _entry(sketch, name, item, (*path, name), f"{indent}  ")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _element(sketch, item, (*path, index), f"{indent}  ")


def _element(sketch: Sketch, value: Json, path: Path, indent: str) -> Iterator[str]:
    yield from _comments(sketch.above.get(path, []), indent)
    if _fits(sketch, value, path, len(indent) + 1) or not isinstance(value, dict):
        beside = f"  # {shown(sketch.beside[path], _COMMENT)}" if path in sketch.beside else ""
        yield f"{indent}- {flow(value)}{beside}"
        return
    sign = "- "
    for name, item in value.items():
        for line in _entry(sketch, name, item, (*path, name), f"{indent}  "):
            is_comment = line.lstrip().startswith("#")
            yield line if is_comment or not sign else f"{indent}{sign}{line[len(indent) + 2 :]}"
            sign = sign if is_comment else ""


def _fits(sketch: Sketch, value: Json, path: Path, taken: int) -> bool:
    """Whether a value goes into one line: a leaf, or a short collection of leaves that has no comments inside."""
    if not isinstance(value, dict | list) or not value:
        return True
    if len(path) == 1 and isinstance(value, dict) and any(isinstance(item, dict) for item in value.values()):
        return False
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return False
    if len(path) == 1 and len(value) > 2 and path[0] not in ("packages", "services", "take_over"):
        return False
    inside = [p for p in (*sketch.above, *sketch.beside) if len(p) > len(path) and p[: len(path)] == path]
    return not inside and taken + 1 + len(flow(value)) <= WIDTH
