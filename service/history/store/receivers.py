"""Writes about webhooks: receivers, their secrets, and the ledger of deliveries.

Events: `receiver.added`, `receiver.removed`, `receiver.rotated`, `receiver.suspended`, `receiver.resumed`.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert, not_, select, update
from sqlalchemy.exc import IntegrityError

from service.errors import InputError
from service.history.pepper import CLOSED, Pepper, new_secret, new_signing_token
from service.history.store.audit import Recording
from service.history.store.writing import clean, tell
from service.history.tables import deliveries, receivers, tokens
from service.model.access import RECEIVER_TYPES, DeliveryOutcome, ReceiverType, is_name
from service.model.events import ReceiverAdded, ReceiverRemoved, ReceiverResumed, ReceiverRotated, ReceiverSuspended
from service.model.secret import Secret

KEPT_DELIVERIES = 10_000
KEPT_REFUSED = 1_000
OVERLAP_DEFAULT = timedelta(days=1)
OVERLAP_MAX = timedelta(days=30)
MAX_LISTED = 20
SECRETS = (receivers.c.secret, receivers.c.old_secret)
_SECRET = re.compile(r"[!-~]{16,200}")
_WORD = re.compile(r"[!-~](?:[ -~]{0,198}[!-~])?")


class ReceiverWrites(Recording):
    """The transitions of receivers and deliveries: one transaction each."""

    _pepper: Pepper

    def close_secrets(self) -> None:
        """Encrypt the secrets that an earlier version kept as they are. Where all tokens are of another pepper, this
        may be the wrong one. What it encrypts nobody could read with the right one, so nothing is done."""
        plain = not_(receivers.c.secret.startswith(CLOSED))
        with self._database.read() as connection:
            peppers = set(connection.execute(select(tokens.c.pepper_id).distinct()).scalars())
            if peppers and self._pepper.id not in peppers:
                return
            found = connection.execute(select(receivers.c.name).where(plain)).scalars().all()
        for name in found:
            with self._database.write() as connection:
                row = connection.execute(select(receivers).where(receivers.c.name == name)).mappings().one_or_none()
                kept = {one.name: self._closed(row[one.name], name) for one in SECRETS} if row else {}
                if kept:
                    connection.execute(update(receivers).where(receivers.c.name == name).values(kept))

    def _closed(self, text: str, name: str) -> str:
        return text if not text or text.startswith(CLOSED) else self._pepper.closed(Secret(text.encode()), name)

    def add_receiver(
        self, name: str, type_: ReceiverType, *, by: str, at: datetime, secret: str | None = None,
        events: Sequence[str] = (), branches: Sequence[str] = (),
    ) -> str:  # fmt: skip
        """Make a receiver and return its secret, to be given to the forge. InputError if the name is bad or taken, or
        the given secret is none."""
        if not is_name(name):
            raise InputError(f"{clean(name)!r} is not a receiver's name", hint="small letters, digits, . - _")
        if type_ not in RECEIVER_TYPES:
            raise InputError(f"no receiver type {clean(type_)!r}", hint=f"one of {', '.join(RECEIVER_TYPES)}")
        _check_words("event", events)
        _check_words("branch", branches)
        good = _new_secret(type_, secret)
        values = {"name": name, "type": type_, "secret": self._closed(good, name), "created_at": at}
        try:
            with self._database.write() as connection:
                values |= {"events": list(events), "branches": list(branches)}
                connection.execute(insert(receivers).values(values))
                tell(connection, ReceiverAdded(by=clean(by), called=name), at=at)
                self._acted(connection, "add_receiver", by=by, at=at, receiver=name, type=type_)
        except IntegrityError:
            raise InputError(f"there is a receiver {name} already", hint=f"passerelle receiver remove {name}") from None
        return good

    def remove_receiver(self, name: str, *, by: str, at: datetime) -> bool:
        """The receiver takes no calls from now on. False if there is none of this name."""
        with self._database.write() as connection:
            changed = connection.execute(delete(receivers).where(receivers.c.name == name))
            if changed.rowcount:
                tell(connection, ReceiverRemoved(by=clean(by), called=name), at=at)
                self._acted(connection, "remove_receiver", by=by, at=at, receiver=name)
        return changed.rowcount > 0

    def rotate_receiver(
        self, name: str, *, by: str, at: datetime, overlap: timedelta = OVERLAP_DEFAULT, secret: str | None = None
    ) -> str:
        """Make a new secret and return it. The present one is good for `overlap` more; one that was replaced before is
        not good any more. InputError where there is no such receiver, or the overlap or the given secret is bad."""
        if not timedelta(0) <= overlap <= OVERLAP_MAX:
            raise InputError(f"the old secret stays good for 0 to {OVERLAP_MAX.days} days")
        with self._database.write() as connection:
            type_, present = _receiver(connection, name)
            good = _new_secret(type_, secret)
            if Secret(good.encode()) == self._pepper.opened(present, name):
                raise InputError(f"the receiver {name} has this secret already", hint="give another one")
            connection.execute(
                update(receivers)
                .where(receivers.c.name == name)
                .values(secret=self._closed(good, name), old_secret=self._closed(present, name), old_until=at + overlap)
            )
            tell(connection, ReceiverRotated(by=clean(by), called=name), at=at)
            kept = (at + overlap).isoformat(timespec="seconds")
            self._acted(connection, "rotate_receiver", by=by, at=at, receiver=name, old_until=kept)
        return good

    def suspend_receiver(self, name: str, reason: str, *, by: str, at: datetime) -> None:
        """Turn its calls away until it is resumed. InputError where there is none of this name, or no reason."""
        if not clean(reason):
            raise InputError("a suspension needs a reason", hint="--reason TEXT")
        values = {"suspended": clean(reason), "suspended_by": clean(by)}
        with self._database.write() as connection:
            _receiver(connection, name)
            connection.execute(update(receivers).where(receivers.c.name == name).values(values))
            tell(connection, ReceiverSuspended(by=clean(by), called=name, why=clean(reason)), at=at)
            self._acted(connection, "suspend_receiver", by=by, at=at, receiver=name, reason=reason)

    def resume_receiver(self, name: str, *, by: str, at: datetime) -> bool:
        """Take its calls again. False if it was not suspended. InputError where there is none of this name."""
        with self._database.write() as connection:
            _receiver(connection, name)
            is_one = (receivers.c.name == name, receivers.c.suspended != "")
            changed = connection.execute(update(receivers).where(*is_one).values(suspended="", suspended_by=""))
            if changed.rowcount:
                tell(connection, ReceiverResumed(by=clean(by), called=name), at=at)
                self._acted(connection, "resume_receiver", by=by, at=at, receiver=name)
        return changed.rowcount > 0

    def record_delivery(
        self, receiver: str, delivery: str, *, outcome: DeliveryOutcome, at: datetime, event: str = "",
        branch: str = "", commit: str = "", message: str = "",
    ) -> bool:  # fmt: skip
        """A call to a receiver. False if this delivery was seen before and the same came of it; then its repetition is
        counted. Of each outcome the newest 10,000 are kept, of those that were refused the newest 1,000."""
        told = {"event": clean(event), "branch": clean(branch), "commit": clean(commit), "message": clean(message)}
        values = {"receiver": receiver, "delivery": clean(delivery), "outcome": outcome, "repeats": 0}
        values |= told | {"at": at, "last_at": at}
        try:
            with self._database.write() as connection:
                known = _known(connection, receiver, clean(delivery))
                if known is not None:
                    return _again(connection, known, values)
                connection.execute(insert(deliveries).values(values))
                _drop_oldest(connection, outcome)
        except IntegrityError:  # another process recorded it a moment ago
            return False
        return True


def _drop_oldest(connection: Connection, outcome: DeliveryOutcome) -> None:
    """Each new delivery drives out the oldest of which the same came, once there are as many as are kept. So whoever
    has no secret cannot clear the ledger of the others."""
    kept = KEPT_REFUSED if outcome == "refused" else KEPT_DELIVERIES
    alike = select(deliveries.c.id).where(deliveries.c.outcome == outcome).order_by(deliveries.c.id.desc())
    oldest = connection.execute(alike.offset(kept).limit(1)).scalar()
    if oldest is not None:
        connection.execute(delete(deliveries).where(deliveries.c.id == oldest))


def _known(connection: Connection, receiver: str, delivery: str) -> tuple[int, str] | None:
    """The id and the outcome of a delivery that was seen before."""
    is_one = (deliveries.c.receiver == receiver, deliveries.c.delivery == delivery)
    row = connection.execute(select(deliveries.c.id, deliveries.c.outcome).where(*is_one)).first()
    return (row.id, row.outcome) if row is not None else None


def _again(connection: Connection, known: tuple[int, str], values: Mapping[str, Any]) -> bool:
    """It came once more. True if something else comes of it now, since somebody changed the receiver meanwhile."""
    number, before = known
    is_other = before != str(values["outcome"])
    news = {name: values[name] for name in ("outcome", "message")} if is_other else {}
    counted = news | {"repeats": deliveries.c.repeats + 1, "last_at": values["last_at"]}
    connection.execute(update(deliveries).where(deliveries.c.id == number).values(counted))
    return is_other


def _receiver(connection: Connection, name: str) -> tuple[ReceiverType, str]:
    row = connection.execute(select(receivers.c.type, receivers.c.secret).where(receivers.c.name == name)).first()
    if row is None:
        raise InputError(f"no receiver {clean(name)}", hint="see `passerelle receiver list`")
    return row.type, row.secret


def _new_secret(type_: ReceiverType, given: str | None) -> str:
    if given is None:
        return new_signing_token() if type_ == "gitlab" else new_secret()
    if not _SECRET.fullmatch(given):
        raise InputError(
            "a receiver's secret has 16 to 200 printable ASCII characters without blanks",
            hint="leave it out, and one is made",
        )
    return given


def _check_words(what: str, words: Sequence[str]) -> None:
    if len(words) > MAX_LISTED:
        raise InputError(f"a receiver obeys at most {MAX_LISTED} values of --{what}")
    if odd := [word for word in words if not _WORD.fullmatch(word)]:
        raise InputError(f"{clean(odd[0])!r} is no --{what}", hint="printable ASCII characters, at most 200")
