"""What was made of files and can be made again, kept in a folder across starts.

    cache = Cache(folder)
    cache.get("…")           the bytes that were put there, or None
    cache.put("…", bytes)    never raises

What is there is of the code that made it: with other code, or another Python, there is nothing. What is damaged is
nothing either. The folder is the user's own, with mode 0700; where others may write to it, nothing is read or written.
"""

import hashlib
import os
import stat
import sys
import time
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

MOST_FILES = 20_000
MOST_BYTES = 256 << 20
"""In one folder. Beyond either, what was not used for longest goes."""
MOST_OF_ONE = 4 << 20
KEPT_PART = 0.75
"""How much of the limits is left after that."""
_LIBRARIES = ("pydantic", "pydantic_core", "yaml")
"""What else decides what is made of a file."""
_DAY_S = 86_400
_DIGEST = 64


class Cache:
    """Bytes by key in one folder. Several processes may use it at once."""

    def __init__(self, folder: Path, *, most_files: int = MOST_FILES, most_bytes: int = MOST_BYTES) -> None:
        self._folder = folder
        self._most_files, self._most_bytes = most_files, most_bytes
        self._is_ours: bool | None = None
        self._files = self._bytes = -1

    def get(self, key: str) -> bytes | None:
        """What was put under a key, None where there is nothing."""
        if not self._is_usable():
            return None
        path = self._path(key)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb") as file:
                seen = os.fstat(descriptor)
                if not stat.S_ISREG(seen.st_mode) or seen.st_uid != os.geteuid() or seen.st_size > MOST_OF_ONE:
                    return None
                digest, _, content = file.read(MOST_OF_ONE).partition(b"\n")
            if digest != _digest(content):
                return None
            if time.time() - seen.st_mtime > _DAY_S:
                os.utime(path)
        except OSError:
            return None
        return content

    def put(self, key: str, content: bytes) -> None:
        """Keep some bytes; where that is not possible, nothing is kept."""
        if len(content) + _DIGEST >= MOST_OF_ONE or not self._is_usable():
            return
        path = self._path(key)
        beside = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(_digest(content) + b"\n" + content)
            beside.replace(path)
            self._count(len(content) + _DIGEST)
        except OSError:
            beside.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / hashlib.sha256(f"{code_version()} {key}".encode()).hexdigest()

    def _is_usable(self) -> bool:
        if self._is_ours is None:
            try:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                seen = self._folder.lstat()
                self._is_ours = (
                    stat.S_ISDIR(seen.st_mode)
                    and seen.st_uid == os.geteuid()
                    and not seen.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
                )
            except OSError:
                self._is_ours = False
        return self._is_ours

    def _count(self, more: int) -> None:
        """Note one more file of so many bytes; delete the oldest where there are too many."""
        if self._files < 0:
            sizes = [size for _, size, _ in self._listed()]
            self._files, self._bytes = len(sizes), sum(sizes)
        else:
            self._files, self._bytes = self._files + 1, self._bytes + more
        if self._files <= self._most_files and self._bytes <= self._most_bytes:
            return
        self._files = self._bytes = 0
        for _, size, path in sorted(self._listed(), reverse=True):
            if self._files < self._most_files * KEPT_PART and self._bytes + size <= self._most_bytes * KEPT_PART:
                self._files, self._bytes = self._files + 1, self._bytes + size
            else:
                Path(path).unlink(missing_ok=True)

    def _listed(self) -> Iterator[tuple[float, int, str]]:
        """When each file was last used, in epoch seconds, its bytes, and its path."""
        with os.scandir(self._folder) as entries:
            for entry in entries:
                seen = entry.stat(follow_symlinks=False)
                yield seen.st_mtime, seen.st_size, entry.path


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


@cache
def code_version() -> str:
    """Which code this is: a digest of the names, sizes and times of its files, and of those of the libraries that read
    and check files. No file is read."""
    found = hashlib.sha256(sys.version.encode())
    top = os.path.dirname(__file__)  # noqa: PTH120 (hundreds of names)
    for path in (*sorted(_sources(top)), *filter(None, map(_origin, _LIBRARIES))):
        seen = os.stat(path)  # noqa: PTH116
        found.update(f"{path} {seen.st_size} {seen.st_mtime_ns}\n".encode())
    return found.hexdigest()


def _sources(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                yield entry.path
            elif entry.is_dir(follow_symlinks=False) and entry.name != "__pycache__":
                yield from _sources(entry.path)


def _origin(library: str) -> str | None:
    found = find_spec(library)
    return found.origin if found else None
