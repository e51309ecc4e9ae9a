"""Who did what: one entry for each action, each with the hash of the one before it.

    Act(by="ann", how="api", action="create_apply", …)     what is recorded of an action
    hash_of(previous, number, at, act)                     the hash that an entry has
    check(portions)                           the first entry that is not what was recorded

An entry's hash is the SHA-256 of the previous entry's hash and of the entry's own fields (`canonical`). Old entries may
be deleted from the beginning only, and an entry of the action `TRIM` names the last of them and its hash.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from service.errors import InputError

How = Literal["api", "web", "cli", "receiver", "service"]
Outcome = Literal["begun", "refused", "done"]

FIRST = "0" * 64
"""What the first of all entries has in place of the hash of a previous one."""
TRIM = "delete_old_acts"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """An action: who (`by`, and the id of the `token`), how, from where (`client`), in which request, about what.

    begun: the API was about to carry it out. refused: it did not, and `detail` says why; the request id is that of the
    entry before. done: it was carried out in the transaction that wrote this. `host` is empty where it concerns no one
    host.
    """

    by: str
    how: How
    action: str
    token: str = ""
    client: str = ""
    request_id: str = ""
    host: str = ""
    outcome: Outcome = "done"
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(Act):
    """A recorded action. `id` counts from 1 without gaps; `previous` is the hash of the entry before."""

    id: int
    at: datetime
    previous: str
    hash: str


@dataclass(frozen=True, slots=True)
class Portion:
    """Entries in their order. `head` is the number and the hash of the newest of all, as they are kept apart from it;
    None where nobody kept them. `is_last`: no entry comes after these."""

    entries: Sequence[Entry]
    head: tuple[int, str] | None = None
    is_last: bool = True


@dataclass(frozen=True, slots=True)
class Checked:
    """What a look through the entries found: how many there are, the last one's id and hash; or the first that is
    wrong (`broken`), and `why`."""

    entries: int
    last: int = 0
    hash: str = FIRST
    broken: int | None = None
    why: str = ""


class Expected:
    """An entry that somebody kept the number and the hash of."""

    def __init__(self, number: int, digest: str) -> None:
        self._number, self._digest = number, digest
        self._found = ""
        self._first = 0
        self._before_first = ""

    @classmethod
    def of(cls, text: str) -> "Expected":
        """`12:9f…`, or nothing. InputError for anything else."""
        match = re.fullmatch(r"([0-9]{1,18}):([0-9a-f]{64})", text or f"0:{FIRST}")
        if match is None:
            raise InputError(f"{text!r} is not NUMBER:HASH", hint="give what an earlier check printed")
        return cls(int(match[1]), match[2])

    def watch(self, portions: Iterable[Portion]) -> Iterator[Portion]:
        """The same portions; the entry is noted when it comes by."""
        for portion in portions:
            for entry in portion.entries:
                if not self._first:
                    self._first, self._before_first = entry.id, entry.previous
                if entry.id == self._number:
                    self._found = entry.hash
            yield portion

    def begin_again(self) -> None:
        """The entries come once more."""
        self._found, self._first, self._before_first = "", 0, ""

    def judge(self, found: Checked) -> Checked:
        """The result of the check, or that the expected entry is another one. Of one that was deleted by its age only
        the newest deleted one can be compared. Whoever made a whole new chain could have it begin after any other."""
        here = self._before_first if self._number == self._first - 1 else self._found
        if not self._number or here == self._digest:
            return found
        why = f"entry {self._number} has another hash than expected: the chain is not the one of then"
        if not here and self._number < self._first:
            newer = f"expect entry {self._first - 1} or a newer one"
            why = f"entry {self._number} was deleted, and it is not known whether by its age only: {newer}"
        elif not here:
            why = f"entry {self._number} is expected, and the last one is {found.last}"
        return replace(found, broken=self._number, why=why)


def canonical(number: int, at: datetime, act: Act) -> bytes:
    """The fields of an entry in one form: a JSON list without blanks, keys sorted, ASCII, the time in microseconds."""
    at_us = (at - _EPOCH) // timedelta(microseconds=1)
    values = [
        number, at_us, act.by, act.token, act.how, act.client, act.request_id, act.action, act.host, act.outcome,
        act.detail,
    ]  # fmt: skip
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def hash_of(previous: str, number: int, at: datetime, act: Act) -> str:
    """The hash of an entry, as 64 hexadecimal digits."""
    return hashlib.sha256(previous.encode() + b"\n" + canonical(number, at, act)).hexdigest()


def check(portions: Iterable[Portion]) -> Checked:
    """Whether these are the entries that were recorded, all of them and in their order."""
    anchors = {("0", FIRST)}
    first: Entry | None = None
    count, last, last_hash = 0, 0, FIRST
    head: tuple[int, str] | None = None
    for portion in portions:
        head = portion.head
        for entry in portion.entries:
            if first is None:
                first, last, last_hash = entry, entry.id - 1, entry.previous
            if why := _fault(entry, last, last_hash):
                return Checked(count, last, last_hash, entry.id if entry.id <= last + 1 else last + 1, why)
            count, last, last_hash = count + 1, entry.id, entry.hash
            if entry.action == TRIM and entry.how == "service" and isinstance(entry.detail, dict):
                anchors.add((str(entry.detail.get("through")), str(entry.detail.get("hash"))))
    if first is not None and (str(first.id - 1), first.previous) not in anchors:
        why = f"what was before entry {first.id} is gone, and no entry says that passerelle deleted it"
        return Checked(count, last, last_hash, first.id - 1, why)
    if head is not None and head != (last, last_hash):
        why = f"entry {last + 1} is gone, and all after it" if head[0] > last else f"entry {last} is not the last one"
        return Checked(count, last, last_hash, last + 1 if head[0] > last else last, why)
    return Checked(count, last, last_hash)


def _hash_of_any(entry: Entry) -> str:
    """The hash of what anybody may have written; empty where it has none, as of a number that JSON does not have."""
    try:
        return hash_of(entry.previous, entry.id, entry.at, entry)
    except (ValueError, TypeError, RecursionError):
        return ""


def _fault(entry: Entry, last: int, last_hash: str) -> str:
    """What is wrong with the entry that comes after `last`; empty where nothing is."""
    if entry.id > last + 1:
        is_one = entry.id == last + 2
        return f"entry {last + 1} is gone" if is_one else f"the entries {last + 1} to {entry.id - 1} are gone"
    if entry.id <= last:
        return f"entry {entry.id} comes after entry {last}"
    if entry.previous != last_hash:
        return (
            f"entry {entry.id} was not recorded after entry {last}: one of the two was replaced, inserted or reordered"
        )
    if entry.hash != _hash_of_any(entry):
        return f"entry {entry.id} was changed after it was recorded"
    return ""
