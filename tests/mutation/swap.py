"""Puts a mutant into a process that has imported the original: every function of the file gets its changed code.

A process with everything imported and all tests collected forks one child for each mutant, which therefore costs its
tests alone. Functions keep their identity, so whoever holds one (`from … import`) has the changed one.
"""

import functools
import gc
from collections import Counter
from types import CodeType, FunctionType

Spot = tuple[str, int]
"""A function's qualified name, and which of those of that name it is."""


def swap(path: str, original: str, changed: str) -> None:
    """`path` is as the functions know it. What was cached is forgotten."""
    before, after = _codes(path, original), _codes(path, changed)
    spots = {(code.co_qualname, code.co_firstlineno): spot for spot, code in before.items()}
    gc.unfreeze()
    for each in gc.get_objects():
        if isinstance(each, FunctionType) and each.__code__.co_filename == path:
            spot = spots.get((each.__code__.co_qualname, each.__code__.co_firstlineno))
            new = after.get(spot) if spot else None
            if new is not None and new.co_freevars == each.__code__.co_freevars:
                each.__code__ = new
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
