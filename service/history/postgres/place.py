"""The place of one process among several that serve one database: what it holds alone, and who else is there.

    place.enter()                it takes part from now on, under a number of its own
    place.live()                 the numbers of all that take part; it also shows others that this process still runs
    place.hold({3, 7})           of these shares of the hosts, those that this process holds alone now
    place.lead()                 whether this process does what is done once for all; `resign` lets another one
    place.begin_round(3)         a round of a host in this share: whatever is written in it needs the share
    place.begin_change(...)      whether nobody else changes this host, or one that it is reached through
    place.begin("a key")         whether nobody else is at work on it: `service.history.claims.Claims`

All of it is held by one session of the server. Whatever ends the process ends the session, and the server lets go of
everything. A process that does not run any more, but whose session lives, is ended by the others after `STALLED_S`.
After a session was lost nothing is written any more in rounds that began before: others may have taken their hosts.
"""

import contextlib
import secrets
import threading
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

import psycopg

from service.errors import StoreError
from service.history.postgres.engine import MARK
from service.history.postgres.server import Held, Server

PLACES, SHARES, CHANGES, CLAIMS, LEADS = MARK + 1, MARK + 2, MARK + 3, MARK + 4, 4
"""The halves of the numbers of the locks: who is there, shares of the hosts, hosts that are changed, what is claimed,
who leads."""
LEADING = -1
"""In place of a share: what is written needs that this process leads."""
STALLED_S = 20.0
_LIVE = f"""
SELECT max(l.objid::bigint) FILTER (WHERE l.classid = {PLACES}), a.pid, a.pid = pg_backend_pid(),
    max(extract(epoch FROM clock_timestamp() - a.state_change))::float
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.granted
AND (l.classid IN ({PLACES}, {SHARES}) OR (l.classid = {MARK} AND l.objid = {LEADS}))
AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
GROUP BY a.pid
"""  # noqa: S608 (numbers)
"""The sessions that take part, hold shares or lead: whoever is behind takes no part, and may hold shares."""
_ROUND: ContextVar[tuple[int, int] | None] = ContextVar("round", default=None)
"""The session and the share that what is written now needs."""


class Place(Held):
    """Its methods block, but for those of rounds, and may be called from many threads. StoreError where the server is
    away."""

    def __init__(self, server: Server, *, wait_s: float) -> None:
        self.number = secrets.randbelow(1 << 31)
        self._guard = threading.RLock()
        self._entered = False
        self._lost = 0
        self._shares: set[int] = set()
        self._leads = False
        self._changing: dict[str, list[tuple[str, str]]] = {}
        self._claimed: set[str] = set()
        super().__init__(server, serve=True, wait_s=wait_s, alone=False)

    @property
    def session(self) -> int:
        """How often the session was lost: what was held before is not held any more."""
        return self._lost

    def may_write(self) -> None:
        """StoreError in a round whose host others may have taken."""
        with self._guard:
            self._awake()
            needed = _ROUND.get()
            if needed is not None and not (needed[0] == self._lost and self._holds(needed[1])):
                raise StoreError(
                    "this process lost its hold on what it writes about; nothing of it is written any more",
                    hint="another process does this work now",
                )

    def _holds(self, needed: int) -> bool:
        return self._leads if needed == LEADING else needed in self._shares

    def enter(self) -> bool:
        """Take part, also after the session was lost. False while the session of before is not ended yet."""
        with self._guard:
            self._awake()
            if not self._entered:
                self._entered = self._run(f"SELECT pg_try_advisory_lock({PLACES}, {self.number})")[0][0] is True
            return self._entered

    def leave(self) -> None:
        """Take part no more, until `enter`: others may have what falls to this process."""
        with self._guard:
            self._awake()
            if self._entered:
                self._entered = False
                self._run(f"SELECT pg_advisory_unlock({PLACES}, {self.number})")

    def live(self) -> frozenset[int]:
        """Who takes part and runs. The session of one that does not run any more is ended, also where it takes no part
        and only holds shares or leads."""
        with self._guard:
            rows: list[Any] = self._run(_LIVE)
            for _, pid, is_own, quiet_s in rows:
                if not is_own and quiet_s and quiet_s > STALLED_S:
                    self._run(f"SELECT pg_terminate_backend({int(pid)})")
            return frozenset(
                int(number) for number, _, _, quiet_s in rows
                if number is not None and (quiet_s is None or quiet_s <= STALLED_S)
            )  # fmt: skip

    def hold(self, shares: Iterable[int]) -> frozenset[int]:
        """Take what is free of these, and keep what is held; the ones that are held now."""
        with self._guard:
            self._awake()
            missing = sorted(set(shares) - self._shares)
            numbers = ", ".join(f"({share})" for share in missing)
            query = f"SELECT n, pg_try_advisory_lock({SHARES}, n) FROM (VALUES {numbers}) AS wanted (n)"  # noqa: S608 (numbers)
            for share, is_free in self._run(query) if missing else ():
                if is_free:
                    self._shares.add(share)
            return frozenset(self._shares)

    def let_go(self, share: int) -> None:
        """Others may have it."""
        with self._guard:
            if share in self._shares:
                self._shares.discard(share)
                self._run(f"SELECT pg_advisory_unlock({SHARES}, {share})")

    def lead(self) -> bool:
        """Whether this process is the one that does what is done once for all."""
        with self._guard:
            self._awake()
            if not self._leads:
                self._leads = self._run(f"SELECT pg_try_advisory_lock({MARK}, {LEADS})")[0][0] is True
            return self._leads

    def resign(self) -> bool:
        """Let another process lead; whether this one did. What was begun as the leader is not written any more."""
        with self._guard:
            self._awake()
            did, self._leads = self._leads, False
            if did:
                self._run(f"SELECT pg_advisory_unlock({MARK}, {LEADS})")
            return did

    def begin_lead(self) -> bool:
        """The same, as far as it is known without a query. What this task or thread writes next needs it."""
        if self._leads:
            _ROUND.set((self._lost, LEADING))
        return self._leads

    def begin_round(self, share: int) -> None:
        """What this task of the event loop writes from now on needs the share. Does not block."""
        _ROUND.set((self._lost, share))

    def end_round(self) -> None:
        """It needs none any more. Does not block."""
        _ROUND.set(None)

    def begin_change(self, host: str, alone: Iterable[str], through: Iterable[str]) -> bool:
        """Whether nobody else changes what is named `alone`, nor anything that is reached `through` others. It is held
        until `end_change(host)`."""
        with self._guard:
            self.may_write()
            held = self._changing.setdefault(host, [])
            wanted = [("", name) for name in sorted(alone)] + [("_shared", name) for name in sorted(through)]
            for kind, name in wanted:
                key = f"({CHANGES}, hashtext(%s))"
                if not self._run(f"SELECT pg_try_advisory_lock{kind}{key}", [name])[0][0]:
                    self.end_change(host)
                    return False
                held.append((kind, name))
            return True

    def end_change(self, host: str) -> None:
        """The change has ended."""
        with self._guard:
            for kind, name in self._changing.pop(host, []):
                self._run(f"SELECT pg_advisory_unlock{kind}({CHANGES}, hashtext(%s))", [name])

    def begin(self, name: str) -> bool:
        """Whether nobody was at work on it. Two names may share a lock; then one of them has to wait."""
        with self._guard:
            self._awake()
            is_free = name not in self._claimed and self._claim(name)
            if is_free:
                self._claimed.add(name)
            return is_free

    def end(self, name: str) -> None:
        """This process is not at work on it any more. Where the session is lost, the lock is, too."""
        with self._guard:
            self._claimed.discard(name)
            with contextlib.suppress(StoreError):
                self._run(f"SELECT pg_advisory_unlock({CLAIMS}, hashtext(%s))", [name])

    def _claim(self, name: str) -> bool:
        return self._run(f"SELECT pg_try_advisory_lock({CLAIMS}, hashtext(%s))", [name])[0][0] is True

    def tell(self, word: str) -> None:
        """Have every process that listens hear a word."""
        with self._guard:
            self._awake()
            self._run("SELECT pg_notify('passerelle', %s)", [word])

    def _awake(self) -> None:
        """Over a new session, which holds nothing yet, where the last one was lost."""
        try:
            super().may_write()
        except psycopg.Error as error:
            raise StoreError(f"{self._server.words}: {error}", hint="see `passerelle doctor`") from None

    def _run(self, query: str, values: list[str] | None = None) -> list[Any]:
        """Over this session. Where it is lost, the next call finds it out."""
        try:
            return self._session.execute(query.encode(), values).fetchall()
        except psycopg.Error as error:
            raise StoreError(f"{self._server.words}: {error}", hint="see `passerelle doctor`") from None

    def _again(self) -> None:
        """The session is another one."""
        self._lost += 1
        self._shares.clear()
        self._changing.clear()
        self._leads = self._entered = False
        for name in self._claimed:  # this process is still at work on them
            self._claim(name)


class Ear:
    """The words that all processes hear. `heard(2.0)` blocks: whether there was any within two seconds, or may have
    been because the session was lost."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._session: psycopg.Connection[tuple[object, ...]] | None = None

    def heard(self, within_s: float) -> bool:
        """StoreError where the server is away."""
        try:
            if self._session is None:
                self._session = self._server.connect(5_000)
                self._session.execute("LISTEN passerelle")
                return True
            return bool(list(self._session.notifies(timeout=within_s, stop_after=1)))
        except psycopg.Error as error:
            self.close()
            raise StoreError(f"{self._server.words}: {error}", hint="see `passerelle doctor`") from None

    def close(self) -> None:
        """Hear nothing more."""
        if self._session is not None:
            self._session.close()
            self._session = None
