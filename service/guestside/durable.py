"""Files that survive a power cut: written whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from typing import Any, Iterator

Json = Any
LIMIT_BYTES = 1 << 20


def sync_folder(path: str) -> None:
    """Make renames and unlinks in a folder survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_new(path: str, content: bytes, mode: int = 0o600) -> None:
    """A new file, on disk when this returns. Replaces a left-over of ours; never follows a link."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fchmod(fd, mode)
        os.fsync(fd)


def write_atomic(path: str, content: bytes, mode: int = 0o600) -> None:
    """Replace a file: after a crash it has the old or the new content, never a part."""
    write_new(path + ".new", content, mode)
    os.rename(path + ".new", path)
    sync_folder(os.path.dirname(path))


def write_json(path: str, value: Json) -> None:
    """Replace a file of JSON, readable by root only."""
    write_atomic(path, json.dumps(value, indent=1, sort_keys=True).encode() + b"\n")


def read_bytes(path: str, limit: int = LIMIT_BYTES) -> bytes:
    """A regular file's content; ValueError when it is larger than the limit, OSError as open(2)."""
    with open(path, "rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"{path} is larger than {limit >> 10} KiB")
    return content


def read_json(path: str) -> Json:
    """A file of JSON; None when there is none. ValueError when it is not JSON."""
    try:
        return json.loads(read_bytes(path))
    except FileNotFoundError:
        return None


def make_folder(path: str, mode: int = 0o700) -> None:
    """mkdir -p, with this mode for what is made, synced."""
    if os.path.isdir(path):
        return
    make_folder(os.path.dirname(path), mode)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, mode)
    os.chmod(path, mode)
    sync_folder(os.path.dirname(path))


@contextlib.contextmanager
def locked(path: str, patience_s: float) -> Iterator[bool]:
    """Hold a lock (flock(2), freed by the kernel when the holder dies); False when it was not to be had in time."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        until_s = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until_s:
                    yield False
                    return
            time.sleep(0.05)
        yield True
    finally:
        os.close(fd)
