"""The findings of a folder of specs. Those of a folder that did not change since the last `passerelle lint` are kept:
neither the kinds nor a reader of YAML is loaded.

They are in `$XDG_CACHE_HOME/passerelle`, else in `~/.cache/passerelle`. To have them made again, delete that folder.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from service.cache import Cache
from service.model.trees import Tree
from service.spec.findings import Finding, Ignored

Linted = tuple[tuple[Finding, ...], tuple[Ignored, ...]]
"""What is wrong, and what comments silence."""


def linted(tree: Tree) -> Linted:
    """All findings of a tree."""
    cache, key = own_cache(), _key(tree)
    content = cache.get(key) if cache is not None else None
    found = _read(content) if content is not None else None
    if found is not None:
        return found
    from service.kinds import KINDS
    from service.spec.fleet import read_fleet

    fleet = read_fleet(tree, KINDS, kept=cache)
    if cache is not None:
        ignored = [[*astuple(one.finding), one.because] for one in fleet.ignored]
        cache.put(key, json.dumps([[astuple(one) for one in fleet.findings], ignored]).encode())
    return fleet.findings, fleet.ignored


def own_cache() -> Cache | None:
    """The cache of whoever runs the command (XDG Base Directory Specification); None where there is no home."""
    folder, home = os.environ.get("XDG_CACHE_HOME", ""), os.environ.get("HOME", "")
    if not Path(folder).is_absolute():
        if not Path(home).is_absolute():
            return None
        folder = f"{home}/.cache"
    return Cache(Path(folder, "passerelle"))


def _key(tree: Tree) -> str:
    """What the findings depend on, next to the code: the files by name and content, and what is wrong with others."""
    files = [[path, entry.blob_id] for path, entry in sorted(tree.files.items())]
    problems = [[problem.path, problem.what] for problem in tree.problems]
    return f"lint {hashlib.sha256(json.dumps([files, problems]).encode()).hexdigest()}"


def _read(content: bytes) -> Linted | None:
    """What was kept; None for anything else."""
    try:
        match json.loads(content):
            case [list(findings), list(ignored)]:
                silenced = tuple(Ignored(_finding(row[:-1]), str(row[-1])) for row in ignored)
                return tuple(map(_finding, findings)), silenced
    except (TypeError, ValueError, RecursionError):
        pass
    return None


def _finding(row: Sequence[Any]) -> Finding:
    match row:
        case [str(file), int(line), int(col), list(path), "error" | "warning" as severity, str(rule), *texts]:
            return Finding(file, line, col, tuple(path), severity, rule, *texts)
    raise ValueError("not a finding")
