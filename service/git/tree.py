"""Reading commits, trees and blobs of the bare mirror with GitPython: object ids only, no names, no checkout.

    read_tree(mirror, commit, known) -> Tree
    read_file_at(mirror, commit, path) -> bytes | None
    read_commits(mirror, commits) -> list[Commit]
    All raise SourceError where the commit or one of its folders cannot be read.

GitPython reads through two `git cat-file` processes; the repository is opened for one call and closed after
it, which ends them. They get the same isolation as every other git of ours.
"""

import contextlib
import io
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import git

from service.errors import SourceError
from service.git.commands import ISOLATED, is_commit_id
from service.model.trees import (
    FOLDER,
    MAX_DEPTH,
    MAX_FILE_BYTES,
    MAX_LISTED,
    PLAIN_FILE,
    BlobEntry,
    Commit,
    Listed,
    Tree,
    TreeProblem,
    choose,
    enters,
    shown,
    take,
    too_deep,
    too_many_listed,
)

_MAX_COMMIT_BYTES = 1 << 20
"""So much of a commit is looked at. What follows can only be more of its message."""

_MAX_MESSAGE_BYTES = 64 << 20
_MAX_FOLDER_BYTES = 8 << 20
_LAST_SECOND = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())
# What reading a broken or missing object raises: ValueError where cat-file says "missing", GitPython's errors
# of its ended process, gitdb's own, and OSError from its pipes.
_UNREADABLE = (ValueError, OSError, EOFError, LookupError, git.exc.GitError, git.exc.ODBError)


class TooBig(SourceError):  # noqa: N818 (no damage of ours: the mirror is whole)
    """A commit that nobody reads whole. The revision before it stays in force."""


class _IsolatedGit(git.Git):
    """The wrapper that starts GitPython's cat-file processes, with our environment over the inherited one."""

    def __init__(self, working_dir: Any = None) -> None:
        super().__init__(working_dir)
        self.update_environment(**ISOLATED, GIT_DIR=str(working_dir), GIT_CONFIG_COUNT="0", GIT_ALLOW_PROTOCOL="none")


class _MirrorRepo(git.Repo):
    """A bare repository of ours, for reading objects."""

    GitCommandWrapperType = _IsolatedGit


def read_tree(mirror: Path, commit: str, known: Mapping[str, bytes]) -> Tree:
    """The spec files at `commit`; a blob whose id is in `known` is taken from there."""
    with _opened(mirror) as repo:
        told, root = _commit_and_root(repo, commit)
        listed, given_up = _list(repo, root)
        if given_up:
            return Tree({}, tuple(given_up), told)
        chosen, misnamed = choose(listed)
        sizes: dict[str, int] = {}

        def size_of(entry: Listed) -> int:
            data = known.get(entry.blob_id)
            with _readable():
                size = _size(repo, entry.blob_id, b"blob") if data is None else len(data)
            return sizes.setdefault(entry.blob_id, size)

        def read(entry: Listed) -> BlobEntry:
            data = known.get(entry.blob_id)
            if data is None:
                with _readable():
                    data = _content(repo, entry.blob_id, sizes[entry.blob_id])
            return BlobEntry(entry.path, entry.blob_id, data)

        files, unread = take(chosen, size_of=size_of, read=read)
        return Tree(files, (*misnamed, *unread), told)


def read_file_at(mirror: Path, commit: str, path: str) -> bytes | None:
    """One plain file, None where the path leads to nothing, to something else, or to too much."""
    with _opened(mirror) as repo:
        _, inside = _commit_and_root(repo, commit)
        *folders, name = path.encode("utf-8", "surrogateescape").split(b"/")
        steps = [(folder, FOLDER) for folder in folders] + [(name, PLAIN_FILE)]
        for part, mode in steps:
            if _size(repo, inside, b"tree") > _MAX_FOLDER_BYTES:
                return None
            entries = _entries(repo, inside, ())
            found = next((entry for entry in entries if (entry.parts[-1], entry.mode) == (part, mode)), None)
            if found is None:
                return None
            inside = found.blob_id
        size = _size(repo, inside, b"blob")
        return _content(repo, inside, size) if size <= MAX_FILE_BYTES else None


def read_commits(mirror: Path, commits: Iterable[str]) -> list[Commit]:
    """Author, time and subject of each."""
    with _opened(mirror) as repo:
        return [_commit_and_root(repo, commit)[0] for commit in commits]


@contextlib.contextmanager
def _opened(mirror: Path) -> Iterator[git.Repo]:
    if not mirror.is_dir():
        raise SourceError("there is no mirror to read", hint="it is made by the next fetch")
    with _readable(), _MirrorRepo(mirror, expand_vars=False, search_parent_directories=False) as repo:
        yield repo


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """What a commit names is in a whole mirror: an object that cannot be read is the mirror's damage."""
    try:
        yield
    except _UNREADABLE as error:
        what = shown(str(error))
        raise SourceError(f"the mirror cannot be read: {what}", hint="the next fetch checks it") from error


def _commit_and_root(repo: git.Repo, commit: str) -> tuple[Commit, str]:
    if not is_commit_id(commit):
        raise SourceError(f"{shown(commit, 60)!r} is not a full commit hash")
    size = _size(repo, commit, b"commit")
    if size > _MAX_MESSAGE_BYTES:
        raise TooBig(
            f"the commit {commit} has {size} bytes; at most {_MAX_MESSAGE_BYTES} are read",
            hint="commit again with a shorter message",
        )
    read = _commit(repo, commit)
    seconds = min(max(int(read.committed_date), 0), _LAST_SECOND)
    message = read.message if isinstance(read.message, str) else read.message.decode("utf-8", "replace")
    told = Commit(
        hash=commit,
        author_name=shown(read.author.name or ""),
        author_email=shown(read.author.email or ""),
        committed_at=datetime.fromtimestamp(seconds, UTC),
        subject=shown(message.strip().partition("\n")[0]),
        parents=tuple(parent.hexsha for parent in read.parents),
    )
    return told, read.tree.hexsha


def _commit(repo: git.Repo, commit: str) -> git.Commit:
    """The commit by its first bytes; a message of any length is read to its end and forgotten, as the pipe wants."""
    stream = repo.odb.stream(bytes.fromhex(commit))
    start = stream.read(_MAX_COMMIT_BYTES)
    while stream.read(_MAX_COMMIT_BYTES):
        continue
    if len(start) == _MAX_COMMIT_BYTES and b"\n\n" not in start:
        raise TooBig(f"the commit {commit} has a header of more than {_MAX_COMMIT_BYTES} bytes")
    return git.Commit(repo, bytes.fromhex(commit))._deserialize(io.BytesIO(start))


def _list(repo: git.Repo, root: str) -> tuple[list[Listed], list[TreeProblem]]:
    """The top level and what is below our folders; a problem alone where there is too much of it."""
    listed: list[Listed] = []
    folders: list[tuple[tuple[bytes, ...], str]] = [((), root)]
    while folders:
        parts, tree_id = folders.pop()
        if _size(repo, tree_id, b"tree") > _MAX_FOLDER_BYTES:
            return [], [too_many_listed()]
        for entry in _entries(repo, tree_id, parts):
            listed.append(entry)
            if not enters(entry):
                continue
            if len(entry.parts) > MAX_DEPTH:
                return [], [too_deep(entry)]
            folders.append((entry.parts, entry.blob_id))
        if len(listed) > MAX_LISTED:
            return [], [too_many_listed()]
    return listed, []


def _entries(repo: git.Repo, tree_id: str, above: tuple[bytes, ...]) -> Iterator[Listed]:
    """The entries of one tree object as they are; GitPython's parser refuses the whole for one odd mode."""
    raw = _content(repo, tree_id, _size(repo, tree_id, b"tree"))
    at = 0
    while at < len(raw):
        space, end = raw.find(b" ", at), raw.find(b"\0", at)
        identity = raw[end + 1 : end + 21]
        if not at < space < end or len(identity) != 20:
            raise ValueError("a folder with a broken entry")
        yield Listed((*above, raw[space + 1 : end]), int(raw[at:space], 8), identity.hex())
        at = end + 21


def _size(repo: git.Repo, object_id: str, kind: bytes) -> int:
    """The size of an object, by its header alone; ValueError for another kind of object."""
    found = repo.odb.info(bytes.fromhex(object_id))
    if found.type != kind:
        raise ValueError(f"{object_id} is a {found.type.decode()}, not a {kind.decode()}")
    return int(found.size)


def _content(repo: git.Repo, object_id: str, size: int) -> bytes:
    """The bytes of an object whose size was checked before, and is small enough."""
    data: bytes = repo.odb.stream(bytes.fromhex(object_id)).read()
    if len(data) != size:
        raise ValueError(f"{object_id} ends early")
    return data
