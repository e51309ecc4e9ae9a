"""State folders that are made once: bringing a new database to the newest schema costs each test more than itself.

A kind of database is `sqlite`, the file in the folder, or `postgresql`, one on the server of `tests/postgres.py`.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from service.history import History, open_history
from service.model.secret import Secret
from tests.postgres import Cluster

NAME = "passerelle.sqlite"


@cache
def newest() -> bytes:
    """An empty database with the newest schema: brought there once in each process."""
    with tempfile.TemporaryDirectory() as folder:
        open_history(Path(folder) / NAME).close()
        return (Path(folder) / NAME).read_bytes()


def made(path: Path) -> Path:
    """`path`, which has such a database from now on if it had none."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(newest())
    return path


def in_both_kinds(metafunc: pytest.Metafunc, *, but: frozenset[str] = frozenset({"path"})) -> None:
    """What takes a `database` runs with each. Not what takes one of these fixtures: it is about a file."""
    if "database" in metafunc.fixturenames:
        server = pytest.param("postgresql", marks=pytest.mark.long)
        metafunc.parametrize("database", ["sqlite"] if but & set(metafunc.fixturenames) else ["sqlite", server])


@dataclass
class Patterns:
    """State folders with an empty database of either kind, and copies of them."""

    folder: Path
    server: Callable[[], Cluster]
    _urls: dict[Path, Secret] = field(default_factory=dict)
    _made: dict[tuple[str, str], tuple[Path, str]] = field(default_factory=dict)

    @contextmanager
    def opened(self, kind: str, folder: Path, fill: Callable[[History], object] | None = None) -> Iterator[History]:
        """A copy in `folder`, held as the service holds it, of what `fill` left in an empty one."""
        pattern, database = self._pattern(kind, fill)
        shutil.copytree(pattern, folder)
        url = self.server().made(of=database) if database else None
        if url is not None:
            self._urls[folder] = url
        try:
            with open_history(folder / NAME, serve=True, url=url) as history:
                yield history
        finally:
            self.drop(folder)

    @contextmanager
    def database(self, kind: str) -> Iterator[Secret | None]:
        """The address of an empty database with the newest schema; None stands for a file."""
        _, name = self._pattern(kind, None)
        url = self.server().made(of=name) if name else None
        try:
            yield url
        finally:
            if url is not None:
                self.server().dropped(url)

    def drop(self, folder: Path) -> None:
        """Drop the database on the server that belongs to a folder, whoever uses it."""
        if folder in self._urls:
            self.server().dropped(self._urls.pop(folder))

    def _pattern(self, kind: str, fill: Callable[[History], object] | None) -> tuple[Path, str]:
        """(folder, name of the database on the server or empty)"""
        name = "empty" if fill is None else fill.__qualname__.replace(".", "_")
        if (kind, name) not in self._made:
            folder = self.folder / f"{kind}-{name}"
            url = self.server().made(f"pattern_{name}") if kind == "postgresql" else None
            with open_history(made(folder / NAME) if url is None else folder / NAME, url=url) as history:
                if fill is not None:
                    fill(history)
            self._made[kind, name] = folder, f"pattern_{name}" if url is not None else ""
        return self._made[kind, name]
