"""The file that runs on hosts: the rooms of `service.hostside` in one zip archive, which Python runs as it is.

    host_file() -> HostFile(content, digest)      read once, when it is first requested
    archive(rooms) -> bytes                       of {file's name: text}, as `rooms()` reads them

The same rooms give the same bytes: order, times and modes are fixed. Python knows an archive by its end, whatever its
name is, so a half of one is not run at all (zipapp in the library reference; APPNOTE.TXT of PKWARE).

Next to each room is its bytecode, of the service's own Python. A host with the same Python starts in half the time: it
has nothing to compile. Any other takes the sources, as zipimport does whenever the magic number is another one.
"""

import functools
import hashlib
import importlib.resources
import importlib.util
import io
import marshal
import zipfile
from collections.abc import Mapping
from typing import NamedTuple

ROOMS = "service.hostside"
FOLDER = "service/hostside"
START = "__main__.py"
NO_EARLIER = (1980, 1, 1, 0, 0, 0)
"""Of all files: an archive knows no earlier time."""
UNCHECKED = importlib.util.MAGIC_NUMBER + b"\1" + bytes(11)
"""The header of bytecode that is not compared with its source (PEP 552): both are of one archive."""
SAME_BYTES = 2
"""The newest version of marshal in which the same code gives the same bytes: later ones also write down which objects
this process happened to share."""


class HostFile(NamedTuple):
    """The archive and its SHA-256 in hex, by which a host keeps it."""

    content: bytes
    digest: str


@functools.cache
def host_file() -> HostFile:
    """What this process brings to hosts: what it read first, whatever becomes of its own files meanwhile."""
    content = archive(rooms())
    return HostFile(content, hashlib.sha256(content).hexdigest())


def rooms() -> dict[str, str]:
    """{name of a room's file: its text}, as they are installed."""
    folder = importlib.resources.files(ROOMS)
    return {each.name: each.read_text(encoding="utf-8") for each in folder.iterdir() if each.name.endswith(".py")}


def archive(texts: Mapping[str, str]) -> bytes:
    """The archive of these rooms: where Python begins comes first, then all by name."""
    files = {START: texts[START].encode(), "service/__init__.py": b""}
    for name, text in sorted(texts.items()):
        if name != START:
            path = f"{FOLDER}/{name}"
            files[path] = text.encode()
            files |= bytecode(path, text)
    return zipped(files)


def bytecode(path: str, text: str) -> dict[str, bytes]:
    """{the path of a room's bytecode: its content}; empty where marshal's old version has no word for some of it."""
    code = compile(text, path, "exec", dont_inherit=True)
    try:
        return {f"{path}c": UNCHECKED + marshal.dumps(code, SAME_BYTES)}
    except ValueError:
        return {}


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip archive of files in this order, the same for the same bytes."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as made:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, NO_EARLIER)
            entry.create_system = 3  # Unix, wherever it is made
            entry.external_attr = 0o644 << 16
            made.writestr(entry, content, zipfile.ZIP_DEFLATED, 9)
    return written.getvalue()
