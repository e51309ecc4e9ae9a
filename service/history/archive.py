"""One file with what a service needs to continue elsewhere: its database, the pepper of its tokens, its SSH key.

    made = make(file, {"passerelle.sqlite": …, "token.pepper": …, "ssh_key": …}, at=…)     while the service runs
    made = restore(file, folder)                                 into a folder that has none of these files

It is a tar file, and its first member is `manifest.json`: the digest of each file, the rows of each table. What is not
as the manifest says is not restored. The mirror of the repository is not in it, because it is fetched again.
"""

import errno
import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from service import __version__
from service.errors import InputError, StoreError
from service.history.sqlite.file import fsync
from service.history.sqlite.snapshot import contents, snapshot
from service.history.versions import head
from service.private_files import read_private

FORMAT = 1
DATABASE, PEPPER, KEY = "passerelle.sqlite", "token.pepper", "ssh_key"
NAMES = (PEPPER, KEY, DATABASE)
"""What may be in it, in this order. A folder with a database has the rest, too."""
MANIFEST = "manifest.json"
MOST_MANIFEST_BYTES = 1 << 20
CHUNK_BYTES = 1 << 20
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What link(2) says on a file system without hard links: FAT, and many that are mounted over a network."""
_ROOM = "is there room on the disk, and may this user write there?"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive has: `files` are digests (SHA-256, hexadecimal), `tables` rows. `schema` is 0 without a database,
    which is on a PostgreSQL server then."""

    made_at: str
    version: str
    schema: int = 0
    files: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, int] = field(default_factory=dict)
    format: int = FORMAT

    @classmethod
    def of(cls, data: bytes) -> "Manifest":
        """What it says as JSON. ValueError where it is none."""
        found = json.loads(data)
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise ValueError("its format is not known")
        files, tables = found["files"], found["tables"]
        known = set(files) <= set(NAMES) and all(isinstance(one, str) for one in files.values())
        if not known or not isinstance(found["schema"], int) or not all(type(one) is int for one in tables.values()):
            raise ValueError("its manifest is not one")
        return cls(str(found["made_at"]), str(found["version"]), found["schema"], files, tables)


def make(file: Path, sources: Mapping[str, Path], *, at: datetime) -> Manifest:
    """Write an archive of these files, by their name in it. The service may run. InputError where the file exists
    already, or where one of the secrets cannot be read. StoreError where the database cannot be copied, or the archive
    cannot be written."""
    try:
        return _made(file, sources, at)
    except OSError as error:
        raise StoreError(f"{file} cannot be written: {error.strerror}", hint=_ROOM) from None


def _made(file: Path, sources: Mapping[str, Path], at: datetime) -> Manifest:
    if file.exists():
        raise InputError(f"{file} exists already; nothing was written", hint="name another file")
    if not file.parent.is_dir():
        raise InputError(f"{file.parent} is not a folder", hint="make it first, for example by install -d -m 700")
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=file.parent) as name, ExitStack() as opened:
        room = Path(name)
        schema, tables = 0, dict[str, int]()
        streams: dict[str, IO[bytes]] = {}
        for each in (one for one in NAMES if one in sources):
            if each == DATABASE:
                snapshot(sources[each], room / each)
                schema, counted = contents(room / each)
                tables.update(counted)
                streams[each] = opened.enter_context((room / each).open("rb"))
            else:
                streams[each] = io.BytesIO(read_private(sources[each], f"the file {each}"))
        digests = {each: _digest(stream) for each, stream in streams.items()}
        manifest = Manifest(at.isoformat(), __version__, schema, digests, tables)
        _write(room / "archive", manifest, streams, int(at.timestamp()))
        try:
            _put(room / "archive", file)
        except FileExistsError:
            raise InputError(f"{file} exists already; nothing was written", hint="name another file") from None
    fsync(file.parent)
    return manifest


def restore(file: Path, folder: Path, entered: Callable[[Path, Manifest], None] = lambda *_: None) -> Manifest:
    """Put what an archive has into a folder, which is made where there is none. All of it is checked before. InputError
    where the folder has one of the files already. StoreError where the archive is not whole, or of a newer version, or
    where the folder cannot be written to. `entered` may write to the database, if there is one, before it has its name:
    in a folder that nobody else can enter."""
    try:
        return _restored(file, folder, entered)
    except OSError as error:
        raise StoreError(f"{folder} cannot be written to: {error.strerror}", hint=_ROOM) from None


def _restored(file: Path, folder: Path, entered: Callable[[Path, Manifest], None]) -> Manifest:
    if there := [name for name in (*NAMES, f"{DATABASE}-wal") if (folder / name).exists()]:
        raise InputError(
            f"{folder} has {' and '.join(there)} already; nothing was changed",
            hint="move the files to another folder first, with the service stopped",
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=folder) as name:
        room = Path(name)
        manifest = _unpacked(file, room, folder.stat())
        _check(file, manifest, room)
        if DATABASE in manifest.files:
            entered(room / DATABASE, manifest)
            _own(room / DATABASE, folder.stat())
        for each in (one for one in NAMES if one in manifest.files):
            os.link(room / each, folder / each)
    fsync(folder)
    return manifest


def _put(made: Path, file: Path) -> None:
    """Give it its name: whole, or not at all, and never in place of another one, which is a FileExistsError."""
    try:
        os.link(made, file)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))  # the name is ours now
        made.replace(file)


def _write(path: Path, manifest: Manifest, streams: Mapping[str, IO[bytes]], at_s: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
            text = io.BytesIO(json.dumps(asdict(manifest), indent=2).encode())
            for name, stream in {MANIFEST: text, **streams}.items():
                member = tarfile.TarInfo(name)
                member.size, member.mode, member.mtime = stream.seek(0, os.SEEK_END), 0o600, at_s
                stream.seek(0)
                archive.addfile(member, stream)
        out.flush()
        os.fsync(out.fileno())


def _unpacked(file: Path, room: Path, owner: os.stat_result) -> Manifest:
    """Its files, in an empty folder, and its manifest. If this is root, they belong to the owner. StoreError where they
    are not what the manifest says."""
    try:
        with tarfile.open(file, mode="r:") as archive:
            first = archive.next()
            if first is None or first.name != MANIFEST or not first.isreg() or first.size > MOST_MANIFEST_BYTES:
                raise ValueError("it does not begin with a manifest")
            manifest = Manifest.of(_stream(archive, first).read())
            left = dict(manifest.files)
            while (member := archive.next()) is not None:
                wanted = left.pop(member.name, None)
                if wanted is None or not member.isreg():
                    raise ValueError(f"{member.name!r} is not in its manifest")
                if _copied(_stream(archive, member), room / member.name, owner) != wanted:
                    raise ValueError(f"{member.name} is not what was backed up")
            if left:
                raise ValueError(f"{' and '.join(left)} is missing")
    except OSError as error:
        raise StoreError(f"{file} cannot be read: {error.strerror}", hint="name the file of a backup") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, tarfile.TarError) as error:
        raise StoreError(f"{file} is not a whole backup: {error}", hint="restore another one") from None
    return manifest


def _check(file: Path, manifest: Manifest, room: Path) -> None:
    """StoreError where the database is another one than the manifest says, or one that this program does not know."""
    if manifest.schema > int(head()):
        raise StoreError(
            f"{file} is of version {manifest.version}, with schema {manifest.schema}; this program knows {int(head())}",
            hint="install that version, or a newer one",
        )
    if DATABASE in manifest.files and contents(room / DATABASE) != (manifest.schema, manifest.tables):
        raise StoreError(f"{file} has another database than its manifest says", hint="restore another one")


def _stream(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    stream = archive.extractfile(member)
    if stream is None:
        raise ValueError(f"{member.name!r} is not a file")
    return stream


def _copied(stream: IO[bytes], path: Path, owner: os.stat_result) -> str:
    """The digest of what was copied. The new file itself gets its owner, never what its path names a moment later: the
    folder belongs to the service, which could put something else there."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w+b") as out:
        if os.geteuid() == 0:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        shutil.copyfileobj(stream, out, CHUNK_BYTES)
        out.flush()
        os.fsync(descriptor)
        out.seek(0)
        return _digest(out)


def _own(path: Path, owner: os.stat_result) -> None:
    """Give a file to the owner, if this is root, and see that it is on the disk."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.geteuid() == 0:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(stream: Any) -> str:
    found = hashlib.sha256()
    while chunk := stream.read(CHUNK_BYTES):
        found.update(chunk)
    return found.hexdigest()
