"""The mutants of a package: mutmut's changes (`mutmut.mutation.mutators`), without those that no test could tell.

    mutants(tree, package) -> [Mutant]         in a fixed order
    sampled(found, size, seed) -> [Mutant]     so many of them by chance, all for None

Only code in functions is changed, as mutmut does it. Code outside of functions, such as the fields of a dataclass, runs
before a test begins. Left out by rule, never one by one:
- Text for people: a literal with a blank between two words, and code that only removes it. Words are held
  by tests/test_said_words.py and by goldens; which word it is changes nothing that is done. Commands are lists of words
  here, and are changed.
- What is written to the log (`logger.…(…)`), and how a value prints itself (`__repr__`, `__str__`).
- The name of an encoding: in upper case it is the same one, and without it that of a UTF-8 machine.
- What a method of a protocol is given where nobody gives it: the class that fits the protocol says it again, and that
  is changed.
- Types: annotations (mutmut leaves them out) and the first argument of `cast`, which does nothing when it runs.
"""

import difflib
import functools
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.file_mutation import create_mutations

SPOKEN = re.compile(r"[a-z,.;:)}] +[\w{('\"]", re.IGNORECASE)
SILENT = ("__repr__", "__str__")


@dataclass(frozen=True, eq=False)
class Mutant:
    """One change of one file. `lines` are those of the statement in which it is, both counted."""

    name: str
    file: str
    lines: tuple[int, int]
    module: cst.Module
    before: cst.CSTNode
    after: cst.CSTNode

    @functools.cached_property
    def text(self) -> str:
        """The whole file with the change."""
        changed = self.module.deep_replace(self.before, self.after)
        assert isinstance(changed, cst.Module)
        return changed.code

    @property
    def diff(self) -> str:
        """As `git apply` takes it."""
        before, after = self.module.code.splitlines(keepends=True), self.text.splitlines(keepends=True)
        return "".join(difflib.unified_diff(before, after, f"a/{self.file}", f"b/{self.file}", n=2))


def mutants(tree: Path, package: str) -> list[Mutant]:
    """All mutants of `service/PACKAGE` in a tree."""
    found = []
    for path in sorted((tree / "service" / package).rglob("*.py")):
        found += list(_of_file(str(path.relative_to(tree)), path.read_text(encoding="utf-8")))
    return found


def sampled(found: Sequence[Mutant], size: int | None, seed: int) -> list[Mutant]:
    """In the order in which chance draws them, so that a longer sample begins with the shorter one."""
    drawn = sorted(found, key=lambda mutant: mutant.name)
    random.Random(seed).shuffle(drawn)
    return drawn if size is None else drawn[:size]


def _of_file(file: str, text: str) -> Iterator[Mutant]:
    module, changes, _, _ = create_mutations(file, text)
    places = _Places()
    wrapper = MetadataWrapper(module, unsafe_skip_copy=True)
    wrapper.visit(places)
    for number, change in enumerate(changes):
        before, after = change.original_node, change.mutated_node
        within = change.contained_by_top_level_function  # mutmut has statements of a class's body here, too
        if not isinstance(within, cst.FunctionDef) or before in places.silent or _is_untold(before, after):
            continue
        yield Mutant(f"{file}:{places.lines[before][0]}#{number}", file, places.lines[before], module, before, after)


def _is_untold(before: cst.CSTNode, after: cst.CSTNode) -> bool:
    """Whether all that the change touches is left out by a rule above."""
    if isinstance(before, cst.Call) and isinstance(after, cst.Call):
        kept = {id(each) for each in after.args}
        touched = [each for each in before.args if id(each) not in kept]
        is_cast = _is_call_of("cast", before) and touched[:1] == [before.args[0]]
        return bool(touched) and (is_cast or all(_is_spoken(each.value) or _is_encoding(each) for each in touched))
    if isinstance(before, cst.Assign | cst.AnnAssign):
        return before.value is not None and _is_spoken(before.value)
    return _is_spoken(before)


def _is_spoken(node: cst.CSTNode) -> bool:
    """Text for people: a literal, or a sum or a choice of literals, with a blank between two words."""
    if isinstance(node, cst.SimpleString):
        return bool(SPOKEN.search(node.value))
    if isinstance(node, cst.FormattedString):
        return bool(SPOKEN.search(cst.Module(body=[]).code_for_node(node)))
    if isinstance(node, cst.ConcatenatedString | cst.BinaryOperation):
        return _is_spoken(node.left) or _is_spoken(node.right)
    return isinstance(node, cst.IfExp) and _is_spoken(node.body) and _is_spoken(node.orelse)


def _is_call_of(name: str, node: cst.Call) -> bool:
    return isinstance(node.func, cst.Name) and node.func.value == name


def _is_encoding(argument: cst.Arg) -> bool:
    return argument.keyword is not None and argument.keyword.value == "encoding"


class _Places(cst.CSTVisitor):
    """{node: the lines of its statement}, and the nodes whose changes no test could tell."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[cst.CSTNode, tuple[int, int]] = {}
        self.silent: set[cst.CSTNode] = set()
        self._within: list[tuple[int, int]] = [(1, 1)]
        self._mute: list[cst.CSTNode] = []
        self._types: set[cst.CSTNode] = set()

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.BaseSmallStatement | cst.BaseCompoundStatement | cst.Else | cst.ExceptHandler):
            spot = self.get_metadata(PositionProvider, node)
            body = getattr(node, "body", None)
            first = _first_to_run(node) or body
            last = self.get_metadata(PositionProvider, first).start.line if first is not None else spot.end.line
            self._within.append((spot.start.line, last))
        if isinstance(node, cst.Call) and _is_call_of("cast", node):
            self._types.add(node.args[0])
        if node in self._types or _is_silent(node):
            self._mute.append(node)
        if self._mute:
            self.silent.add(node)
        self.lines[node] = self._within[-1]
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if isinstance(original_node, cst.BaseSmallStatement | cst.BaseCompoundStatement | cst.Else | cst.ExceptHandler):
            self._within.pop()
        if self._mute and self._mute[-1] is original_node:
            self._mute.pop()


def _first_to_run(node: cst.CSTNode) -> cst.CSTNode | None:
    """Of a function with a docstring, the statement after it: a default was set long before any test began, and who
    reaches the function reaches what it is set to."""
    if not isinstance(node, cst.FunctionDef) or node.get_docstring() is None:
        return None
    return next(iter(node.body.body[1:]), None)


def _is_silent(node: cst.CSTNode) -> bool:
    if isinstance(node, cst.FunctionDef):
        return node.name.value in SILENT
    if isinstance(node, cst.ClassDef):
        return any(isinstance(each.value, cst.Name) and each.value.value == "Protocol" for each in node.bases)
    if isinstance(node, cst.Arg):
        return _is_encoding(node)
    if isinstance(node, cst.FormattedString):
        return _is_spoken(node)
    if isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute) and isinstance(node.func.value, cst.Name):
        return node.func.value.value == "logger"
    return False
