"""A document against its model: every finding in the file's own words, and as much of a value as can be made.

Values that do not fit are removed and the rest is tried again, so that rules beyond types can be checked in the same
run.
"""

import difflib
from collections.abc import Mapping, Sized
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from service.model.trees import shown
from service.spec.document import Document, DocumentProblem, Value
from service.spec.findings import WHOLE_FILE, Hit, LintRule, Path
from service.spec.host import nearest

TYPE = LintRule("type", "error", "a value has the type that its key asks for")
VALUE = LintRule("value", "error", "a value follows its key's grammar and bounds")
MISSING_KEY = LintRule("missing-key", "error", "required keys are there")
UNKNOWN_KEY = LintRule("unknown-key", "error", "every key is known and enforced")
RULES = (TYPE, VALUE, MISSING_KEY, UNKNOWN_KEY)

MAX_FINDINGS = 1000
"""Findings in one file; after so many nothing more is tried."""

_ROUNDS = 12
_KEY_MARK = "[key]"
_WRONG_TYPES = {
    "string_type": "write text, in quotes if it looks like a number",
    "int_type": "write a whole number",
    "bool_type": "write true or false",
    "tuple_type": "write a list such as [a, b]",
    "dict_type": "write keys and values",
    "mapping_type": "write keys and values",
    "model_type": "write keys and values",
    "model_attributes_type": "write keys and values",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "write {} or more"),
    "greater_than": ("gt", "write more than {}"),
    "less_than_equal": ("le", "write {} or less"),
    "less_than": ("lt", "write less than {}"),
    "too_short": ("min_length", "write at least {}"),
}

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Fitted(Generic[M]):
    """`value` is None when nothing could be made. `removed` are the paths of the values that were removed to make
    it.
    """

    value: M | None
    problems: tuple[DocumentProblem, ...] = ()
    removed: frozenset[Path] = frozenset()

    def original(self, path: Path) -> Path:
        """The path in the file of a path in `value`: list elements that were removed count again."""
        done: Path = ()
        for part in path:
            index = part
            if isinstance(part, int):
                gone = sorted(int(p[-1]) for p in self.removed if p[:-1] == done and isinstance(p[-1], int))
                position = part
                for other in gone:
                    position += other <= position
                index = position
            done = (*done, index)
        return done


@dataclass(slots=True)
class _Fitting(Generic[M]):
    model: type[M]
    document: Document
    stand_ins: Mapping[str, Value]
    removed: set[Path] = field(default_factory=set)
    problems: list[DocumentProblem] = field(default_factory=list)

    def run(self) -> Fitted[M]:
        for _ in range(_ROUNDS):
            data = _without(self.document.value, frozenset(self.removed))
            for path in self.removed:
                if len(path) == 1 and path[0] in self.stand_ins and isinstance(data, dict):
                    data[str(path[0])] = self.stand_ins[str(path[0])]
            try:
                return self.fitted(self.model.model_validate(data))
            except ValidationError as error:
                before = len(self.removed)
                fitted = self.fitted(None)
                for detail in error.errors(include_url=False)[:MAX_FINDINGS]:
                    self.note(detail, fitted)
                if error.error_count() > MAX_FINDINGS:
                    self.note_rest(error.error_count() - MAX_FINDINGS)
                    break
                if len(self.removed) == before or () in self.removed:
                    break
        return self.fitted(None)

    def fitted(self, value: M | None) -> Fitted[M]:
        return Fitted(value, tuple(self.problems), frozenset(self.removed))

    def note(self, detail: ErrorDetails, fitted: Fitted[M]) -> None:
        loc: Path = detail["loc"]
        at_key = loc[-1:] == (_KEY_MARK,)
        path = fitted.original(loc[:-1] if at_key else loc)
        sort = detail["type"]
        if not self._is_known(path, sort):
            hit = _hit(path, detail, _known_keys(self.model, path))
            places = self.document.keys if at_key or sort == "extra_forbidden" else self.document.places
            self.problems.append(DocumentProblem(nearest(places, path) if path in places else self._around(path), hit))
        is_top_stand_in = len(path) == 1 and path[0] in self.stand_ins
        self.removed.add(path[:-1] if sort == "missing" and not is_top_stand_in else path)

    def note_rest(self, count: int) -> None:
        hit = VALUE.hit(
            (), f"the file has {count} more findings of this kind", "correct the first ones, and run lint again"
        )
        self.problems.append(DocumentProblem(WHOLE_FILE, hit))

    def _around(self, path: Path) -> tuple[int, int]:
        return nearest(self.document.places, path)

    def _is_known(self, path: Path, sort: str) -> bool:
        """The document's own problem, or the consequence of a removed value."""
        spoiled, gaps = self.document.spoiled, self.document.gaps
        if path in self.removed or (sort == "missing" and path[:-1] in gaps):
            return True
        if sort == "too_short" and any(removed[:-1] == path for removed in self.removed):
            return True
        return any(path[:n] in spoiled for n in range(1, len(path) + 1))


def fit(model: type[M], document: Document, stand_ins: Mapping[str, Value] | None = None) -> Fitted[M]:
    """Validate a document. `stand_ins` take the place of required top keys that are missing or wrong, so that the
    rest can still be looked at; the value is then good for nothing else."""
    return _Fitting(model, document, stand_ins or {}).run()


def problems_of_part(model: type[BaseModel], document: Document) -> tuple[DocumentProblem, ...]:
    """What is wrong with a part of a document of `model`: keys may be missing, but not in an element of a list."""
    fitting = _Fitting(model, document, {})
    try:
        model.model_validate(_without(document.value, frozenset()))
    except ValidationError as error:
        fitted = fitting.fitted(None)
        for detail in error.errors(include_url=False)[:MAX_FINDINGS]:
            if detail["type"] != "missing" or any(isinstance(part, int) for part in detail["loc"]):
                fitting.note(detail, fitted)
        if error.error_count() > MAX_FINDINGS:
            fitting.note_rest(error.error_count() - MAX_FINDINGS)
    return tuple(fitting.problems)


def _without(value: Value, removed: frozenset[Path], at: Path = ()) -> Value:
    if not removed:
        return dict(value) if isinstance(value, dict) else value
    if isinstance(value, dict):
        return {key: _without(item, removed, (*at, key)) for key, item in value.items() if (*at, key) not in removed}
    if isinstance(value, tuple):
        return tuple(
            _without(item, removed, (*at, index)) for index, item in enumerate(value) if (*at, index) not in removed
        )
    return value


def _hit(path: Path, detail: ErrorDetails, known: tuple[str, ...]) -> Hit:
    sort = detail["type"]
    ctx: Mapping[str, Any] = detail.get("ctx", {})
    value: object = detail["input"]
    if sort == "missing":
        return MISSING_KEY.hit(path, "the key is missing", "add it")
    if sort == "extra_forbidden":
        return UNKNOWN_KEY.hit(path, *_unknown(str(path[-1]), known))
    if sort == "grammar":
        return VALUE.hit(path, str(ctx["what"]), str(ctx["right"]))
    if sort == "literal_error":
        wanted = str(ctx["expected"]).replace("'", "").replace(" or ", ", ")
        return VALUE.hit(path, f"the value is {_described(value)}", f"write one of {wanted}")
    if sort == "too_long" and isinstance(value, Sized):
        return VALUE.hit(path, f"the list has {len(value)} entries", f"write at most {ctx['max_length']}")
    if sort in _BOUNDS:
        key, right = _BOUNDS[sort]
        return VALUE.hit(path, f"the value is {_described(value)}", right.format(ctx[key]))
    return TYPE.hit(path, f"the value is {_described(value)}", _WRONG_TYPES.get(sort, detail["msg"]))


def _unknown(key: str, known: tuple[str, ...]) -> tuple[str, str]:
    what = f"unknown key `{shown(key, 60)}`"
    close = difflib.get_close_matches(key.replace("-", "_").lower(), known, n=1, cutoff=0.6)
    if close:
        return what, f"write `{close[0]}`, if you mean that"
    return what, f"use one of the keys {', '.join(known)}" if known else "remove the key"


def _known_keys(model: type[BaseModel], path: Path) -> tuple[str, ...]:
    """The keys of the model in which `path` ends, found by walking the annotations."""
    here: Any = model
    for part in path[:-1]:
        if isinstance(here, type) and issubclass(here, BaseModel):
            named = here.model_fields.get(str(part))
            here = named.annotation if named else None
        else:
            here = _inner(here)
        here = _model_in(here) or here
    if not (isinstance(here, type) and issubclass(here, BaseModel)):
        return ()
    return tuple(named.alias or name for name, named in here.model_fields.items())


def _arguments(annotation: object) -> tuple[Any, ...]:
    return tuple(getattr(annotation, "__args__", ()))


def _inner(annotation: object) -> object:
    """What a mapping or list holds."""
    inner = [part for part in _arguments(annotation) if part is not Ellipsis and part is not type(None)]
    if len(inner) == 1 and _arguments(inner[0]) and not _is_model(inner[0]):
        return _inner(inner[0])
    return inner[-1] if inner else None


def _is_model(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _model_in(annotation: object) -> object:
    """The model itself, or the one in `Model | None`, with or without annotations."""
    if hasattr(annotation, "__metadata__"):
        annotation = _arguments(annotation)[0]
    if _is_model(annotation):
        return annotation
    parts = [part for part in _arguments(annotation) if part is not type(None)]
    if type(None) in _arguments(annotation) and len(parts) == 1:
        return _model_in(parts[0]) or parts[0]
    return None


def _described(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"the number {value}"
    if isinstance(value, str):
        return f"`{shown(value, 60)}`"
    if isinstance(value, tuple | list):
        return f"a list of {len(value)}"
    if isinstance(value, Mapping):
        return "a mapping"
    return "nothing"
