"""Files that hold a secret: read only where nobody else can read them, too.

    read_private(path, "the SSH key") -> bytes        InputError with what to do
    refuse_writable(path, "the known_hosts file")     for files that decide whom we trust

A file in systemd's credentials folder is accepted as it is: there the service manager protects it, with an access list
that shows as a group's right (systemd.exec(5), Credentials).
"""

import os
import stat
from pathlib import Path

from service.errors import InputError

MOST_BYTES = 1 << 20
OTHERS_READ = stat.S_IRWXG | stat.S_IRWXO
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def read_private(path: Path, what: str, *, hint: str = "") -> bytes:
    """The file's content. InputError if it cannot be read (with `hint`), is not a plain file, is longer than 1 MiB, or
    its group or others may read or write it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise InputError(f"{what} {path} cannot be read: {error.strerror}", hint=hint) from None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"{what} {path} is not a plain file", hint=hint)
        if found.st_mode & OTHERS_READ and not _is_credential(path):
            raise InputError(
                f"{what} {path} can be read by other users (mode {stat.S_IMODE(found.st_mode):04o})",
                hint=f"run `chmod 600 {path}`. If others may have read it, create a new one",
            )
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise InputError(f"{what} {path} is longer than {MOST_BYTES} bytes", hint=hint)
    return data


def refuse_writable(path: Path, what: str) -> None:
    """InputError if the file cannot be looked at, or if its group or everybody may write to it."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise InputError(f"{what} {path} cannot be read: {error.strerror}") from None
    if mode & OTHERS_WRITE:
        raise InputError(
            f"{what} {path} can be changed by other users (mode {stat.S_IMODE(mode):04o})",
            hint=f"look at what it says, then chmod 644 {path}",
        )


def _is_credential(path: Path) -> bool:
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    return bool(folder) and path.resolve().is_relative_to(Path(folder).resolve())
