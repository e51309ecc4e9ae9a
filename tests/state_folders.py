"""State folders that are made once: bringing a new database to the newest schema costs each test more than itself."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from service.history import History, open_history

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


@contextmanager
def opened_copy(pattern: Path, folder: Path) -> Iterator[History]:
    """The database of a copy of a state folder, held as the service holds it."""
    shutil.copytree(pattern, folder)
    with open_history(folder / NAME, serve=True) as history:
        yield history
