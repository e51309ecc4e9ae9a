"""Writes about who may do what: tokens, keys of repeated requests.

Events: `token.created`, `token.revoked`.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import RowMapping, delete, insert, select, update

from service.errors import InputError, StoreError
from service.history.claims import Claims, OwnClaims
from service.history.database import Database
from service.history.pepper import Pepper, new_token, parse_token, token_text
from service.history.store.audit import Recording
from service.history.store.known_tokens import KnownToken, KnownTokens
from service.history.store.writing import clean, tell
from service.history.tables import idempotency_keys, tokens
from service.model.access import SCOPES, Principal, Scope, is_name, is_selector
from service.model.events import TokenCreated, TokenRevoked
from service.model.states import Json

LIFETIME_DEFAULT = timedelta(days=90)
LIFETIME_MAX = timedelta(days=366)
LAST_USED_EVERY = timedelta(minutes=1)
KEY_LIFETIME = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Claim:
    """The state of an Idempotency-Key: `new` (carry it out), `busy` (the first request is under way), `other` (used for
    another request), `done` (answer as before: status, location, body).
    """

    outcome: Literal["new", "busy", "other", "done"]
    status: int = 0
    location: str = ""
    body: Json = None


class AccessWrites(Recording):
    """The transitions of tokens and of keys of repeated requests: one transaction each."""

    def __init__(self, database: Database, pepper: Pepper, claims: Claims | None = None) -> None:
        """`claims`: who is at work on a key, in whichever process; without them, this process serves alone."""
        super().__init__(database)
        self._claims = claims or OwnClaims()
        self._pepper = pepper
        self._known: KnownTokens[KnownToken] = KnownTokens()

    def create_token(
        self,
        name: str,
        *,
        scopes: Sequence[Scope],
        hosts: Sequence[str] = ("*",),
        lifetime: timedelta = LIFETIME_DEFAULT,
        by: str,
        at: datetime,
    ) -> str:
        """Make a token and return its text, which nobody can read again. InputError for a bad name, scope, host or
        lifetime."""
        _check_token(name, scopes, hosts, lifetime)
        token_id, secret = new_token()
        with self._database.write() as connection:
            connection.execute(
                insert(tokens).values(
                    id=token_id,
                    name=name,
                    digest=self._pepper.digest(secret),
                    pepper_id=self._pepper.id,
                    scopes=sorted(set(scopes)),
                    hosts=sorted(set(hosts)),
                    created_at=at,
                    created_by=clean(by),
                    expires_at=at + lifetime,
                )
            )
            made = TokenCreated(token=token_id, by=clean(by), scopes=sorted(set(scopes)), called=name)
            tell(connection, made, at=at)
            said: dict[str, Json] = {"token_id": token_id, "name": name, "scopes": list(made.scopes), "hosts": [*hosts]}
            ends = (at + lifetime).isoformat(timespec="seconds")
            self._acted(connection, "create_token", by=by, at=at, expires_at=ends, **said)
        return token_text(token_id, secret)

    def revoke_token(self, token_id: str, *, by: str, at: datetime) -> bool:
        """The token is worth nothing from now on. False if there is none with this id that still is."""
        with self._database.write() as connection:
            changed = connection.execute(
                update(tokens).where(tokens.c.id == token_id, tokens.c.revoked_at.is_(None)).values(revoked_at=at)
            )
            if changed.rowcount:
                tell(connection, TokenRevoked(token=token_id, by=clean(by)), at=at)
                self._acted(connection, "revoke_token", by=by, at=at, token_id=token_id)
        return changed.rowcount > 0

    def authenticate(self, presented: bytes, *, at: datetime) -> Principal | None:
        """Whose token this is; None for every reason why it is nobody's, at the same cost. `last_used_at` moves at most
        once a minute."""
        parsed = parse_token(presented)
        token_id, secret = parsed or ("", b"")
        state = self._database.state()
        with self._database.read() as connection:
            row = connection.execute(select(tokens).where(tokens.c.id == token_id)).mappings().one_or_none()
        known = row["digest"] if row is not None and row["pepper_id"] == self._pepper.id else ""
        is_right = hmac.compare_digest(self._pepper.digest(secret).encode(), known.encode())
        if not is_right or row is None or row["revoked_at"] is not None or row["expires_at"] <= at:
            return None
        if row["last_used_at"] is None or at - row["last_used_at"] >= LAST_USED_EVERY:
            self._used(token_id, at)
        found = Principal(token_id, row["name"], frozenset(row["scopes"]), tuple(row["hosts"]))
        self._known.keep(KnownToken(found, known, row["expires_at"], row["last_used_at"]), state)
        return found

    def recognise(self, presented: bytes, *, at: datetime) -> Principal | None:
        """Whose token this is, without a read: of one that `authenticate` read since anything was last written to the
        database, by any process. Never waits. None says nothing: `authenticate` has to be called.

        The secret is compared at each request, as `authenticate` does, and only its digest is kept.
        """
        token_id, secret = parse_token(presented) or ("", b"")
        one = self._known.of(token_id, self._database.state())
        is_right = hmac.compare_digest(self._pepper.digest(secret).encode(), (one.digest if one else "").encode())
        if one is None or not is_right or one.expires_at <= at:
            return None
        is_noted = one.last_used_at is not None and at - one.last_used_at < LAST_USED_EVERY
        return one.principal if is_noted else None

    def _used(self, token_id: str, at: datetime) -> None:
        try:
            with self._database.write() as connection:
                connection.execute(update(tokens).where(tokens.c.id == token_id).values(last_used_at=at))
        except StoreError:
            return  # reading continues while the disk is full; the next use writes it

    def claim_key(self, principal: str, key: str, request_digest: str, *, at: datetime) -> Claim:
        """Begin a request that must not be done twice. Keys are the principal's own and are kept for a day. What was
        claimed and never settled is `new` again once nobody is at work on it: its process ended, or could not write."""
        one = (idempotency_keys.c.principal == principal, idempotency_keys.c.key == key)
        begun = {"request_digest": request_digest, "status": 0, "location": "", "body": None, "at": at}
        is_free, is_new = self._claims.begin(_claimed(principal, key)), False
        try:
            with self._database.write() as connection:
                connection.execute(delete(idempotency_keys).where(idempotency_keys.c.at <= at - KEY_LIFETIME))
                row = connection.execute(select(idempotency_keys).where(*one)).mappings().one_or_none()
                claim = _claim_of(row, request_digest, is_free=is_free)
                if claim.outcome == "new":
                    connection.execute(delete(idempotency_keys).where(*one))
                    connection.execute(insert(idempotency_keys).values(principal=principal, key=key, **begun))
            is_new = claim.outcome == "new"
        finally:
            if is_free and not is_new:
                self._claims.end(_claimed(principal, key))
        return claim

    def settle_key(self, principal: str, key: str, *, status: int, location: str, body: Json) -> None:
        """The claimed request was done and answered so."""
        one = (idempotency_keys.c.principal == principal, idempotency_keys.c.key == key)
        answered = {"status": status, "location": location, "body": body}
        try:
            with self._database.write() as connection:
                connection.execute(update(idempotency_keys).where(*one).values(**answered))
        finally:
            self._claims.end(_claimed(principal, key))

    def release_key(self, principal: str, key: str) -> None:
        """The claimed request failed: it may be tried again with the same key."""
        one = (idempotency_keys.c.principal == principal, idempotency_keys.c.key == key)
        try:
            with self._database.write() as connection:
                connection.execute(delete(idempotency_keys).where(*one))
        finally:
            self._claims.end(_claimed(principal, key))


def _claimed(principal: str, key: str) -> str:
    return f"{principal} {key}"


def _claim_of(row: RowMapping | None, request_digest: str, *, is_free: bool) -> Claim:
    """`is_free`: nobody else is at work on the key."""
    if row is None or (row["status"] == 0 and is_free):
        return Claim("new" if is_free else "busy")
    if row["request_digest"] != request_digest:
        return Claim("other")
    return Claim("busy") if row["status"] == 0 else Claim("done", row["status"], row["location"], row["body"])


def _check_token(name: str, scopes: Sequence[Scope], hosts: Sequence[str], lifetime: timedelta) -> None:
    if not is_name(name):
        raise InputError(f"{clean(name)!r} is not a token's name", hint="small letters, digits, . - _; at most 63")
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        what = f"no scope {clean(unknown[0])!r}" if unknown else "a token needs a scope"
        raise InputError(what, hint=f"one or more of {', '.join(SCOPES)}")
    odd = [host for host in hosts if not is_selector(host)]
    if odd or not hosts:
        what = f"{clean(odd[0])!r} selects no host" if odd else "a token needs hosts"
        raise InputError(what, hint="a host's name; * and ? stand for any characters and for one")
    if not timedelta(0) < lifetime <= LIFETIME_MAX:
        raise InputError(f"a token is valid for more than 0 and at most {LIFETIME_MAX.days} days")
