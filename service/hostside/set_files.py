"""Files: replaced whole, and other people's edits are never lost."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import Callable

from service.hostside.durable import exchange, make_folders, read_file, remove, sync_folder, write_new
from service.hostside.errors import Foreign, Json, Trouble
from service.hostside.facts import same
from service.hostside.host import UNITS, Host
from service.hostside.set_units import Units


class Files:
    """Brings files to values. `contents` gives the bytes of a file value by its sha256; `tag` names our temporary
    files; `detail` is that of `capture_detail`. `taken` is reported (fact, path) of each file that made way for another
    one, while it is still there."""

    def __init__(
        self, host: Host, contents: Callable[[str], bytes], tag: str, detail: dict[str, Json], units: Units
    ) -> None:
        self.host = host
        self.contents = contents
        self.tag = tag
        self.detail = detail
        self.units = units
        self.taken: Callable[[str, str], None] = lambda _fact, _path: None

    def temporary(self, path: str) -> str:
        folder, name = os.path.split(path)
        return os.path.join(folder, f".{name[:180]}.passerelle-{self.tag}")

    def set(self, name: str, value: Json, expected: Json = Ellipsis) -> None:
        """Write, replace or delete a file; with `expected`, only if it is still that (else `Foreign`).

        What has to go changes places with what comes, atomically, and is looked at before it is deleted: an edit in
        the last moment is restored, or kept by `taken`.
        """
        path = self.host.path(name)
        temporary = self.temporary(path)
        found, _ = read_file(path)
        if found is not None and "type" in found:
            raise Trouble(f"{name} is not a regular file")
        if expected is not Ellipsis and found != expected:
            raise Foreign(f"{name} was changed by someone else")
        if value is None and found is None:
            with contextlib.suppress(OSError):
                remove(temporary)
            return
        self.units.reload_due = self.units.reload_due or name.startswith(UNITS + "/")
        if value is None:
            os.rename(path, temporary)
            self._let_go(name, temporary, expected, lambda: os.link(temporary, path))
            sync_folder(os.path.dirname(path))
            return
        make_folders(os.path.dirname(path))
        old = found or {"mode": "0644", "uid": 0, "gid": 0, "xattrs": {}}
        wanted = {**old, **value}
        write_new(temporary, self.contents(value["sha256"]), int(wanted["mode"], 8), wanted)
        if old.get("sha256") == value["sha256"]:
            # the same text: only mode or owner change, and no daemon has to read it again
            then = os.stat(path)
            os.utime(temporary, ns=(then.st_atime_ns, then.st_mtime_ns))
        digest, changed_ns = self.detail.get("changed", {}).get(name, ("", 0))
        if digest == value["sha256"]:  # the old file is back: it did not change after its daemon started
            os.utime(temporary, ns=(changed_ns, changed_ns))
        if found is None:
            self._create(temporary, path, name)
        elif exchange(temporary, path):
            self._let_go(name, temporary, expected, lambda: exchange(temporary, path), value)
        else:  # a file system that cannot exchange
            if expected is Ellipsis:
                self.taken("file:" + name, path)
            os.rename(temporary, path)
        sync_folder(os.path.dirname(path))

    def _let_go(
        self, name: str, temporary: str, expected: Json, put_back: Callable[[], object], ours: Json = None
    ) -> None:
        """Delete what made way and lies at `temporary` now, if it is what was expected; else `Foreign`, and it is back.

        Whoever writes a third file meanwhile keeps the place: what was restored is left at `temporary` for `taken`.
        """
        found, _ = read_file(temporary)
        if expected is Ellipsis:
            self.taken("file:" + name, temporary)
        elif found != expected:
            with contextlib.suppress(FileExistsError, FileNotFoundError):
                put_back()
                if ours is not None and not same("file:" + name, ours, read_file(temporary)[0]):
                    put_back()
                else:
                    os.unlink(temporary)
            raise Foreign(f"{name} was changed by someone else")
        os.unlink(temporary)

    def _create(self, temporary: str, path: str, name: str) -> None:
        try:
            os.link(temporary, path)  # fails when someone made the file meanwhile; rename would replace it
        except FileExistsError:
            os.unlink(temporary)
            raise Foreign(f"{name} was made by someone else") from None
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL):
                raise
            os.rename(temporary, path)
            return
        os.unlink(temporary)
