"""Files that survive a power cut: written whole or not at all."""

from __future__ import annotations

import base64
import contextlib
import ctypes
import errno
import hashlib
import os
import stat
from typing import Optional

from service.hostside.canonical import STATE
from service.hostside.errors import Json, Trouble
from service.hostside.host import Host

FILE_LIMIT_BYTES = 8 << 20


def sync_folder(path: str) -> None:
    """Make renames and unlinks in a folder survive a power cut (where the file system can)."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise
    finally:
        os.close(fd)


def worded(host: Host, error: BaseException) -> str:
    """An error in words for people; those of the disk say what is the matter with it."""
    code = error.errno if isinstance(error, OSError) else None
    if code == errno.EROFS:
        return "the disk is read-only; the kernel's log (dmesg) may say why"
    if code not in (errno.ENOSPC, errno.EDQUOT):
        return str(error)
    try:
        room = os.statvfs(host.path(os.path.dirname(STATE)))
    except OSError:
        return "the disk is full"
    if room.f_ffree == 0:
        return "the disk has no free inode. Fix: delete files"
    return f"the disk is full ({room.f_bavail * room.f_frsize >> 10} KiB free). Fix: delete files"


def remove(path: str) -> None:
    """Unlink and sync; nothing to do is fine."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        os.unlink(path)
        sync_folder(os.path.dirname(path))


def write_new(path: str, content: bytes, mode: int = 0o600, attributes: Optional[dict[str, Json]] = None) -> None:
    """A new file with its owner and extended attributes, on disk when this returns. Replaces a left-over of ours."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(fd, rest) :]
        wanted = attributes or {}
        found = os.fstat(fd)
        owner = (wanted.get("uid", 0), wanted.get("gid", 0))
        if attributes is not None and owner != (found.st_uid, found.st_gid):
            os.fchown(fd, *owner)
        for name, value in (wanted.get("xattrs") or {}).items():
            os.setxattr(fd, name, base64.b64decode(value))
        if mode != stat.S_IMODE(found.st_mode):
            os.fchmod(fd, mode)
        os.fsync(fd)
    except BaseException:
        os.close(fd)
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise
    os.close(fd)


def write_atomic(path: str, content: bytes, mode: int = 0o600) -> None:
    """Replace a file of our own state: after a crash it has the old or the new content, never a part."""
    write_new(path + ".new", content, mode)
    os.rename(path + ".new", path)
    sync_folder(os.path.dirname(path))


def make_folders(path: str) -> list[str]:
    """mkdir -p with 0755, synced; the folders that were made, outermost first."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for folder in reversed(missing):
        os.mkdir(folder, 0o755)
        sync_folder(os.path.dirname(folder))
    return missing[::-1]


def exchange(one: str, other: str) -> bool:
    """Swap two names atomically (renameat2(2), RENAME_EXCHANGE); False where the file system cannot."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    at_cwd, rename_exchange = -100, 2
    if renameat2(at_cwd, os.fsencode(one), at_cwd, os.fsencode(other), rename_exchange) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), other)


def read_file(path: str) -> tuple[Optional[dict[str, Json]], bytes]:
    """(file fact, content) read through one descriptor, so that both are of the same file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None, b""
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            return {"type": "symlink" if error.errno == errno.ELOOP else "special"}, b""
        raise
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        os.close(fd)
        return {"type": "dir" if stat.S_ISDIR(found.st_mode) else "special"}, b""
    with os.fdopen(fd, "rb") as file:
        content = file.read(FILE_LIMIT_BYTES + 1)
        if len(content) > FILE_LIMIT_BYTES:
            raise Trouble(f"{path} is larger than {FILE_LIMIT_BYTES >> 20} MiB")
        try:
            names = sorted(os.listxattr(fd))
        except OSError:  # a file system without them
            names = []
        xattrs = {name: base64.b64encode(os.getxattr(fd, name)).decode() for name in names}
    fact = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "mode": f"{stat.S_IMODE(found.st_mode):04o}",
        "uid": found.st_uid,
        "gid": found.st_gid,
        "size": found.st_size,
        "xattrs": xattrs,
    }
    return fact, content
