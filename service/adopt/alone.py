"""The spec of a host next to the files that adopt writes with it, as if there were no other hosts.

read_alone(host, text, shared) -> Fleet
"""

from collections.abc import Mapping
from functools import lru_cache

from service.kinds import KINDS
from service.model.trees import BlobEntry, Tree
from service.spec.fleet import Fleet, read_fleet

KEPT = 8
"""Texts whose reading is kept: lint, the first plan and what it looks at read the same text one after the other."""


def read_alone(host: str, text: str, shared: Mapping[str, str]) -> Fleet:
    """`text` in hosts/, and `shared`: each text by its path. Nobody may change what is returned."""
    return _read(tuple(sorted({**shared, f"hosts/{host}.yaml": text}.items())))


@lru_cache(maxsize=KEPT)
def _read(files: tuple[tuple[str, str], ...]) -> Fleet:
    return read_fleet(Tree({path: BlobEntry(path, path, text.encode()) for path, text in files}), KINDS)
