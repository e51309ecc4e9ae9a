"""A commit whose files cannot be read."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from service.errors import SourceError
from service.git.mirror import Mirror
from service.git.source import parse_source
from service.kinds import KINDS
from service.model.trees import Tree
from service.reconcile.watching import Watcher
from tests.git.forge import Forge
from tests.reconcile.book import Book
from tests.reconcile.clocks import StoppedClock
from tests.reconcile.test_watching import ALLOWS, files


async def test_a_commit_whose_files_cannot_be_read_is_told_and_the_last_one_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Torn(Mirror):
        """Its folder is damaged between the fetch and the reading."""

        def read_tree(self, commit: str, known: Mapping[str, bytes] | None = None) -> Tree:
            raise SourceError("the mirror cannot be read: an object is missing", hint="the next fetch checks it")

    forge, book = Forge(tmp_path / "forge" / "fleet.git"), Book()
    good = forge.push(files(), message="good")
    mirror = Mirror(tmp_path / "room", parse_source(str(forge.path), "main"))
    watcher = Watcher(mirror, book, book, KINDS, StoppedClock())  # type: ignore[arg-type]  # what a watcher uses of them
    assert await watcher.look()
    forge.push(files(ALLOWS), message="another")
    mirror.__class__ = Torn
    assert not await watcher.look()
    assert watcher.wanted.commit == good
    assert "the source is unreadable: the mirror cannot be read: an object is missing" in caplog.text
