"""The file that runs on hosts, for tests: as it is shipped, with texts of its rooms replaced, or compiled.

shipped() -> Path                         what the service brings to hosts, in a folder of this process
with_cuts(name, cuts) -> {room: text}     NoFit where a text is not there exactly once
compiled(texts, folder) -> Path           an archive of bytecode: the same code, which starts in a third of the time
"""

import atexit
import functools
import gzip
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from service.apply.host_file import archive, host_file, rooms
from service.lab.waiting import grown_s

PYTHON = ("/usr/bin/python3", "-I", "-S")
NAME = "passerelle_host.py"
# Of the Python that runs it: an archive of sources in, an archive of bytecode out (PEP 552: a header of 16 bytes).
COMPILE = """\
import importlib.util, marshal, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as given, zipfile.ZipFile(sys.argv[2], "w") as made:
    for name in given.namelist():
        if name.endswith("c"):
            continue
        code = marshal.dumps(compile(given.read(name), name, "exec", dont_inherit=True))
        made.writestr(name + "c", importlib.util.MAGIC_NUMBER + bytes(12) + code)
"""
Cuts = Iterable[tuple[str, str]]


class NoFit(Exception):  # noqa: N818
    """The host-side file has changed so that a control can no longer be made from it: the control must be fixed."""


@functools.cache
def shipped() -> Path:
    """It ends when this process does."""
    folder = Path(tempfile.mkdtemp(prefix="passerelle-file-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return put(host_file().content, folder)


def earlier_version() -> bytes:
    """The file as it was while it was one: what hosts have that are upgraded."""
    content = gzip.decompress((Path(__file__).parent / "released" / "one-file-0.1.0.py.gz").read_bytes())
    assert hashlib.sha256(content).hexdigest() == "62d0c7b1e5cd385756dcea87a066a0c22cbf592bdd42c3ecec6b65ed7ce5dd17"
    return content


def put(content: bytes, folder: Path) -> Path:
    """An archive as a file in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NAME).write_bytes(content)
    return folder / NAME


def with_cuts(name: str, cuts: Cuts, texts: Mapping[str, str] | None = None) -> dict[str, str]:
    """The rooms with (text, what takes its place) of each cut. Each text is in one room, once."""
    changed = dict(texts or rooms())
    for text, instead in cuts:
        found = [room for room, whole in changed.items() for _ in range(whole.count(text))]
        if len(found) != 1:
            line = text.strip().splitlines()[0]
            raise NoFit(f"control {name!r}: {line!r} is there {len(found)} times")
        changed[found[0]] = changed[found[0]].replace(text, instead)
    return changed


def compiled(texts: Mapping[str, str], folder: Path) -> Path:
    """Made in a folder, by the Python of this machine that runs it."""
    source = put(archive(texts), folder / "source")
    command = [*PYTHON, "-c", COMPILE, str(source), str(folder / NAME)]
    subprocess.run(command, check=True, timeout=grown_s(60))
    return folder / NAME
