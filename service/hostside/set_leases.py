"""dnsmasq's lease file: it moves all the time, and only dnsmasq or we write it, never both."""

from __future__ import annotations

import errno
import os
from typing import Collection

from service.hostside.canonical import lease_lines
from service.hostside.capture import HostLook
from service.hostside.durable import make_folders, read_file, remove, sync_folder, write_atomic, write_new
from service.hostside.errors import Json
from service.hostside.host import Host, read_text
from service.hostside.set_files import Files
from service.hostside.set_units import Units

LEASES_DAEMON = "dnsmasq.service"  # while it runs, nobody else writes the lease file


def renamed(
    lines: list[list[str]], unnamed: Collection[str], names: dict[str, str]
) -> tuple[list[list[str]], list[str]]:
    """The lines of a lease file with other names, and which were given ("MAC NAME"). Pure."""
    made, given = [], []
    for words in lines:
        if len(words) == 5:
            name = "*" if f"{words[1]} {words[3]}" in unnamed else words[3]
            if name == "*" and words[1] in names and ":" not in words[2]:
                name = names[words[1]]
                given.append(f"{words[1]} {name}")
            words = [*words[:3], name, words[4]]  # noqa: PLW2901 (the same line)
        made.append(words)
    return made, given


class Leases:
    """Carries leases to another place, takes names out of them or gives them some, and back. What it did is marked in
    the transaction's folder."""

    def __init__(self, host: Host, units: Units, files: Files) -> None:
        self.host = host
        self.units = units
        self.files = files

    def set(self, name: str, wanted: Json) -> None:
        """Change the lease file while dnsmasq does not run, and start it again: then it reads all its files again."""
        active = (HostLook(self.host).units([LEASES_DAEMON])[LEASES_DAEMON] or {}).get("active")
        write_atomic(self._mark("leases-paused"), b"active" if active else b"")
        if active:
            self.units.systemctl("stop", LEASES_DAEMON)
        if "from" in wanted:
            fact, content = read_file(self.host.path(wanted["from"]))
            if fact is not None and "type" not in fact:
                self._write(name, content, fact)
                write_atomic(self._mark("leases-carried"), b"")
        self._rename(name, set(wanted.get("unnamed", [])), dict(pair.split(" ") for pair in wanted.get("named", [])))
        if active:
            self.units.systemctl("start", LEASES_DAEMON)

    def put_back(self, name: str, wanted: Json, was_there: bool) -> None:
        """Undo `set`: what was given out meanwhile is kept, where it was before. Names come from other files, but for
        those that `set` gave."""
        paused, place, is_new = self._mark("leases-paused"), name, not was_there and "from" in wanted
        if not os.path.exists(paused):
            return
        if not self.units.no_block and read_text(paused):
            self.units.systemctl("stop", LEASES_DAEMON)
        if os.path.exists(self._mark("leases-carried")):
            fact, content = read_file(self.host.path(name))
            if fact is not None and "type" not in fact:
                try:
                    self._write(wanted["from"], content, fact)
                except OSError as error:
                    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                        raise
                    os.rename(self.host.path(name), self.host.path(wanted["from"]))  # a full disk has room for this
            remove(self._mark("leases-carried"))
            place = wanted["from"]
        if given := read_text(self._mark("leases-named"), 1 << 20).splitlines():
            self._rename(place, set(given), {})
            remove(self._mark("leases-named"))
        if is_new:
            remove(self.host.path(name))
        if not self.units.no_block and read_text(paused):
            self.units.systemctl("start", LEASES_DAEMON)
        remove(paused)

    def _rename(self, name: str, unnamed: Collection[str], names: dict[str, str]) -> None:
        """Take names ("MAC NAME") off their leases, and give {MAC: name} to IPv4 leases without one. What is given is
        marked first: `put_back` takes it off again."""
        fact, content = read_file(self.host.path(name))
        if not (unnamed or names) or fact is None or "type" in fact:
            return
        lines, given = renamed(lease_lines(content), unnamed, names)
        if given:
            before = read_text(self._mark("leases-named"), 1 << 20).splitlines()
            write_atomic(self._mark("leases-named"), "\n".join([*before, *given]).encode())
        text = "\n".join(" ".join(words) for words in lines)
        self._write(name, text.encode("utf-8", "surrogateescape"), fact)

    def _write(self, name: str, content: bytes, fact: dict[str, Json]) -> None:
        path = self.host.path(name)
        make_folders(os.path.dirname(path))
        write_new(self.files.temporary(path), content, int(fact["mode"], 8), fact)
        os.rename(self.files.temporary(path), path)
        sync_folder(os.path.dirname(path))

    def _mark(self, name: str) -> str:
        return self.host.state("txn", self.files.tag, name)
