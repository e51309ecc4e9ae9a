"""Reading a plain directory as a tree of spec files, for the commands that work without the service.

    read_directory(root: Path) -> Tree       raises InputError where root is not a directory

The same limits and names as in a commit, links refused. What Git would not see is not refused for its mode: a file
counts as executable only if its owner may execute it, as in Git.
"""

import errno
import hashlib
import os
import stat
from itertools import islice
from pathlib import Path

from service.errors import InputError
from service.model.trees import (
    FOLDER,
    MAX_DEPTH,
    MAX_FILE_BYTES,
    MAX_LISTED,
    PLAIN_FILE,
    BlobEntry,
    Listed,
    Tree,
    TreeProblem,
    choose,
    enters,
    take,
    too_deep,
    too_many_listed,
)


def read_directory(root: Path) -> Tree:
    """The spec files below `root` and what cannot be used."""
    if not root.is_dir():
        raise InputError(f"{root} is not a directory", hint="give the folder that holds fleet.yaml and hosts/")
    top = os.fsencode(root)
    listed, given_up = _list(top)
    if given_up:
        return Tree({}, tuple(given_up))
    chosen, misnamed = choose(listed)

    def size_of(entry: Listed) -> int:
        return os.lstat(_where(top, entry)).st_size

    def read(entry: Listed) -> BlobEntry:
        # The file may have been changed for a link or a pipe since it was listed.
        opened = os.open(_where(top, entry), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(opened, "rb") as file:
            if not stat.S_ISREG(os.fstat(opened).st_mode):
                raise OSError(errno.EINVAL, "not a plain file any more")
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise OSError(errno.EFBIG, "it grew while it was read")
        return BlobEntry(entry.path, blob_id_of(data), data)

    files, unread = take(chosen, size_of=size_of, read=read)
    return Tree(files, (*misnamed, *unread))


def blob_id_of(data: bytes) -> str:
    """Git's id of a blob with this content (gitformat, "blob <size>\\0<content>")."""
    return hashlib.sha1(b"blob %d\0%b" % (len(data), data), usedforsecurity=False).hexdigest()


def _list(top: bytes) -> tuple[list[Listed], list[TreeProblem]]:
    listed: list[Listed] = []
    folders: list[tuple[bytes, ...]] = [()]
    while folders:
        parts = folders.pop()
        try:
            found = _folder(top, parts)
        except OSError as error:
            where = Listed(parts or (b".",), FOLDER).path
            return [], [TreeProblem(where, f"cannot be listed: {error.strerror}")]
        for entry in found:
            listed.append(entry)
            if len(listed) > MAX_LISTED:
                return [], [too_many_listed()]
            if not enters(entry):
                continue
            if len(entry.parts) > MAX_DEPTH:
                return [], [too_deep(entry)]
            folders.append(entry.parts)
    return listed, []


def _folder(top: bytes, parts: tuple[bytes, ...]) -> list[Listed]:
    with os.scandir(os.path.join(top, *parts)) as entries:  # noqa: PTH118 (names as bytes)
        return [Listed((*parts, entry.name), _mode(entry.path)) for entry in islice(entries, MAX_LISTED + 1)]


def _mode(path: bytes) -> int:
    """The mode Git would record; other sorts of files (pipes, devices, sockets) as the kernel's."""
    mode = os.lstat(path).st_mode
    if stat.S_ISDIR(mode):
        return FOLDER
    if stat.S_ISLNK(mode):
        return 0o120000
    if stat.S_ISREG(mode):
        return 0o100755 if mode & stat.S_IXUSR else PLAIN_FILE
    return mode


def _where(top: bytes, entry: Listed) -> bytes:
    return os.path.join(top, *entry.parts)  # noqa: PTH118 (names as bytes)
