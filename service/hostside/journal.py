"""Transactions on the disk: a folder each, and its journal, which is the truth about it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil

from service.hostside.canonical import as_bytes
from service.hostside.durable import write_atomic
from service.hostside.errors import BadInput, Json, Trouble, UnknownFormat, need
from service.hostside.host import Host, boottime_s, read_json, read_text
from service.hostside.setter import Setter

FORMAT = 1  # of the document and of the journal
KEPT_TRANSACTIONS = 20
# The states of a journal. Terminal before anything is armed: refused (a conflict leaves no journal at all).
ENDED = ("confirmed", "rolled_back", "rollback_failed", "released", "refused")
KEPT_COPY = "passerelle_host.py"  # of the archive that armed a transaction, in its folder: all versions name it so


class Transaction:
    """One transaction's folder: its journal (the truth about it), document, snapshot and bytes."""

    def __init__(self, host: Host, identifier: str) -> None:
        self.host = host
        self.id = identifier
        self.folder = host.state("txn", identifier)
        self.journal: dict[str, Json] = {}

    def load(self) -> "Transaction":
        """Read the journal. BadInput when there is none, UnknownFormat when it is not of ours."""
        try:
            journal = read_json(os.path.join(self.folder, "journal.json"))
        except ValueError:
            raise UnknownFormat(f"the journal of {self.id} is damaged; nothing of it was touched") from None
        if journal is None:
            raise BadInput(f"there is no transaction {self.id} on this host")
        if not isinstance(journal, dict) or journal.get("format") != FORMAT:
            raise UnknownFormat(f"the journal of {self.id} has a format that is not known here; nothing was touched")
        self.journal = journal
        return self

    def save(self, **changes: Json) -> None:
        self.journal.update(changes)
        write_atomic(os.path.join(self.folder, "journal.json"), as_bytes(self.journal))

    def try_save(self, **changes: Json) -> None:
        """Save if the disk lets us: a restore continues without."""
        with contextlib.suppress(OSError):
            self.save(**changes)

    @property
    def state(self) -> str:
        return str(self.journal.get("state"))

    @property
    def steps(self) -> list[dict[str, Json]]:
        return list(self.journal["steps"])

    def document(self) -> dict[str, Json]:
        return dict(read_json(os.path.join(self.folder, "document.json")))

    def snapshot(self) -> dict[str, Json]:
        """{"facts": {fact: value}, "detail": …, "folders": [those that the files will need]}."""
        return dict(read_json(os.path.join(self.folder, "old", "facts.json")))

    def setter(self, age: str, detail: dict[str, Json]) -> Setter:
        """Sets values whose bytes are below `old` or `new`."""

        def contents(sha256: str) -> bytes:
            with open(os.path.join(self.folder, age, sha256), "rb") as file:
                content = file.read()
            if hashlib.sha256(content).hexdigest() != sha256:
                raise Trouble(f"the kept bytes {sha256[:12]} of {self.id} are damaged")
            return content

        return Setter(self.host, contents, self.id, detail)

    @property
    def deadline_s(self) -> float:
        """When the time to confirm is over, on the boot clock of the boot that armed it."""
        return float(self.journal.get("deadline_boottime_s") or 0)

    def past_deadline(self) -> bool:
        """Is the time to confirm over? A reboot ends it as well."""
        if self.journal.get("boot_id") != self.host.boot_id():
            return True
        return boottime_s() >= self.deadline_s

    def answer(self, **more: Json) -> dict[str, Json]:
        """The result line for this transaction."""
        kept = ("id", "state", "cause", "error", "verified_old", "generation")
        return {**{key: self.journal.get(key) for key in kept}, "steps": self.steps, **more}


def transactions(host: Host) -> list[str]:
    """The ids of all transactions on this host, oldest first (a ULID sorts by its time)."""
    try:
        names = os.listdir(host.state("txn"))
    except FileNotFoundError:
        return []
    return sorted(name for name in names if re.fullmatch(r"[0-9A-Z]{26}", name))


def armed_id(host: Host) -> str:
    """The id of the armed transaction, "" when there is none."""
    return read_text(host.state("armed"))


def quarantined(host: Host) -> str:
    """The id of a transaction whose rollback failed and that nobody has released yet."""
    for identifier in reversed(transactions(host)):
        with contextlib.suppress(BadInput, Trouble):
            if Transaction(host, identifier).load().state == "rollback_failed":
                return identifier
    return ""


def discard(host: Host, identifier: str) -> None:
    """Delete a transaction's folder: first its name, so that no half of it is ever taken for a whole."""
    trash = host.state("txn", ".trash-" + identifier)
    shutil.rmtree(trash, ignore_errors=True)
    with contextlib.suppress(OSError):  # where nothing can be written, whoever begins next does it
        os.rename(host.state("txn", identifier), trash)
    shutil.rmtree(trash, ignore_errors=True)


def find(host: Host, identifier: str) -> Transaction:
    need(bool(re.fullmatch(r"[0-9A-Z]{26}", identifier)), "a transaction's id is a ULID")
    return Transaction(host, identifier).load()
