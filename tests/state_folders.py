"""State folders that are made once: bringing a new database to the newest schema costs each test more than itself."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.history import History, open_history

NAME = "passerelle.sqlite"


@contextmanager
def opened_copy(pattern: Path, folder: Path) -> Iterator[History]:
    """The database of a copy of a state folder, held as the service holds it."""
    shutil.copytree(pattern, folder)
    with open_history(folder / NAME, serve=True) as history:
        yield history
