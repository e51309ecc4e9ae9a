"""Plays scenarios on the service with some of its files exchanged, each in a fork of one process that has imported all.

    python -m tests.scenarios.mutants     a line of JSON in: {"files": {"service/errors.py": PATH}, "scenario": NAME}
                                          a line of JSON out: {"status": …, "said": …} as of tests.scenarios.play

Importing the service takes longer than most scenarios, and bringing a database to its newest schema too: both happen
once. In the fork the exchanged modules, and all that have imported them, are imported again.
"""

import builtins
import gc
import importlib
import importlib.util
import json
import os
import resource
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from sqlmodel import SQLModel

PLAY, TABLES = "tests.scenarios.play", "service.history.tables"
OURS = ("service", "tests")
CPU_S = 60
"""A fault may let the loop spin; one that lets it wait for ever is found out by the stage."""
Importers = dict[str, set[str]]


def name_of(file: str) -> str:
    """The module in a file of the tree."""
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@contextmanager
def written_down(importers: Importers) -> Iterator[None]:
    """Who imports whom, of all that is imported meanwhile."""
    real = builtins.__import__

    def noting(
        name: str, given: Mapping[str, Any] | None = None, local: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (), level: int = 0,
    ) -> ModuleType:  # fmt: skip
        for module in (name, *(f"{name}.{item}" for item in fromlist or ())):
            importers[module].add(str((given or {}).get("__name__")))
        return real(name, given, local, fromlist or (), level)

    builtins.__import__ = noting  # type: ignore[assignment]  # its arguments are reported by place
    try:
        yield
    finally:
        builtins.__import__ = real


def reached(names: set[str], importers: Importers) -> set[str]:
    """The modules and all that imported them, directly or not."""
    found, left = set[str](), set(names)
    while left:
        name = left.pop()
        found.add(name)
        left |= importers.get(name, set()) - found
    return found


class Exchanged(MetaPathFinder):
    """Finds the modules whose files are exchanged."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._paths = {name_of(file): path for file, path in files.items()}
        self.names = set(self._paths)

    def find_spec(self, fullname: str, _path: object, _target: object = None) -> ModuleSpec | None:
        path = self._paths.get(fullname)
        return importlib.util.spec_from_file_location(fullname, path) if path else None


def forget(names: set[str]) -> None:
    """Import these modules again when they are needed."""
    for name in names & sys.modules.keys():
        del sys.modules[name]
        parent, _, last = name.rpartition(".")
        if parent in sys.modules and hasattr(sys.modules[parent], last):
            delattr(sys.modules[parent], last)


def play(files: Mapping[str, str], scenario: str, importers: Importers) -> int:
    """The status of the scenario with these files."""
    exchanged = Exchanged(files)
    anew = {name for name in reached(exchanged.names, importers) if name.startswith(OURS)}
    if TABLES in anew:  # their library keeps them by name
        SQLModel.metadata.clear()
    sys.meta_path.insert(0, exchanged)
    forget(anew)
    return int(importlib.import_module(PLAY).main([scenario]))


def forked(files: Mapping[str, str], scenario: str, importers: Importers) -> dict[str, Any]:
    """How it ended, and what it printed."""
    with tempfile.TemporaryFile() as said:
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
            for number in (1, 2):
                os.dup2(said.fileno(), number)
            status = 70
            try:
                status = play(files, scenario, importers)
            except BaseException:
                sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]  # there is one
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        _, status = os.waitpid(child, 0)
        said.seek(0)
        return {"status": os.waitstatus_to_exitcode(status), "said": said.read().decode(errors="replace")}


def main() -> None:
    """Answer each line until there is none."""
    importers: Importers = defaultdict(set)
    with written_down(importers):
        importlib.import_module(PLAY)
    importlib.import_module("tests.state_folders").newest()
    gc.freeze()
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(forked(asked["files"], asked["scenario"], importers)), flush=True)


if __name__ == "__main__":
    main()
