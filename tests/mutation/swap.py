"""Puts a mutant into a process that has imported the original: every function of the file gets its changed code.

A process with everything imported and all tests collected forks one child for each mutant, which therefore costs its
tests alone. Functions keep their identity, so whoever holds one (`from … import`) has the changed one. What an argument
is set to where nobody gives it is not part of a function's code: it is worked out again where the mutant changes it.
"""

import ast
import functools
import gc
from collections import Counter
from types import CodeType, FunctionType

Spot = tuple[str, int]
"""A function's qualified name, and which of those of that name it is."""


def swap(path: str, original: str, changed: str) -> None:
    """`path` is as the functions know it. What was cached is forgotten."""
    before, after = _codes(path, original), _codes(path, changed)
    given, then = _arguments(original), _arguments(changed)
    spots = {(code.co_qualname, code.co_firstlineno): spot for spot, code in before.items()}
    gc.unfreeze()
    for each in gc.get_objects():
        if isinstance(each, FunctionType) and each.__code__.co_filename == path:
            spot = spots.get((each.__code__.co_qualname, each.__code__.co_firstlineno))
            new = after.get(spot) if spot else None
            if new is not None and new.co_freevars == each.__code__.co_freevars:
                each.__code__ = new
                if spot in given and ast.dump(given[spot]) != ast.dump(then[spot]):
                    _set_defaults(each, then[spot])
        elif isinstance(each, functools._lru_cache_wrapper) and str(each.__module__).startswith(("service.", "tests.")):
            each.cache_clear()


def _codes(path: str, text: str) -> dict[Spot, CodeType]:
    found: dict[Spot, CodeType] = {}
    times: Counter[str] = Counter()

    def walk(code: CodeType) -> None:
        for inner in code.co_consts:
            if isinstance(inner, CodeType):
                found[inner.co_qualname, times[inner.co_qualname]] = inner
                times[inner.co_qualname] += 1
                walk(inner)

    walk(compile(text, path, "exec", dont_inherit=True))
    return found


def _arguments(text: str) -> dict[Spot, ast.arguments]:
    """Of the functions that are made once, when the file is imported: not of those within others."""
    found: dict[Spot, ast.arguments] = {}
    times: Counter[str] = Counter()

    def walk(node: ast.AST, prefix: str) -> None:
        for inner in ast.iter_child_nodes(node):
            if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                name = prefix + inner.name
                found[name, times[name]] = inner.args
                times[name] += 1
            elif isinstance(inner, ast.ClassDef):
                walk(inner, f"{prefix}{inner.name}.")
            elif isinstance(inner, ast.stmt | ast.ExceptHandler):
                walk(inner, prefix)

    walk(ast.parse(text), "")
    return found


def _set_defaults(function: FunctionType, asked: ast.arguments) -> None:
    """As `def` sets them."""

    def value(default: ast.expr) -> object:
        code = compile(ast.Expression(default), function.__code__.co_filename, "eval", dont_inherit=True)
        return eval(code, function.__globals__)

    named = {
        one.arg: value(default) for one, default in zip(asked.kwonlyargs, asked.kw_defaults, strict=True) if default
    }
    function.__defaults__ = tuple(map(value, asked.defaults)) or None
    function.__kwdefaults__ = named
