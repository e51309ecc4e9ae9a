"""A process that does not decide for all: it follows Git and the records as others write them.

Unled(record, leads)         the watcher's record: what happens once for all is written by the process that leads
Following(...).run()         a process that only answers: Git, and what is recorded of the hosts
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

from service.clock import Clock
from service.model.events import Happened
from service.model.rollouts import Opening
from service.model.states import Json
from service.model.trees import Commit
from service.reconcile.ports import Record
from service.reconcile.round import Rounds
from service.reconcile.watching import Watcher

EVERY_S = 1.0
logger = logging.getLogger(__name__)


class Unled:
    """The methods that the watcher writes with. `told` is informed of a revision that is in force for all."""

    def __init__(self, record: Record, leads: Callable[[], bool], told: Callable[[], None] = lambda: None) -> None:
        self._record = record
        self._leads = leads
        self._told = told

    def record_revision(self, commit: Commit, *, at: datetime, findings: Sequence[Json] = ()) -> None:
        """Only by the process that leads."""
        if self._leads():
            self._record.record_revision(commit, at=at, findings=findings)
            self._told()

    def refuse_revision(self, commit: Commit, *, reason: str, at: datetime, findings: Sequence[Json] = ()) -> None:
        """Only by the process that leads."""
        if self._leads():
            self._record.refuse_revision(commit, reason=reason, at=at, findings=findings)

    def open_rollout(self, opening: Opening, *, at: datetime) -> str:
        """Only by the process that leads."""
        return self._record.open_rollout(opening, at=at) if self._leads() else ""

    def add_event(self, event: Happened, *, at: datetime) -> None:
        """Only by the process that leads."""
        if self._leads():
            self._record.add_event(event, at=at)

    def accept_rewrite(self, commit: str, before: str, *, by: str, reason: str, at: datetime) -> None:
        """By whichever process a person uses: all read it from the record."""
        self._record.accept_rewrite(commit, before, by=by, reason=reason, at=at)


class Recorded(Protocol):
    """What is recorded of hosts: `service.history.queries.Queries`. Blocks."""

    def stamps(self) -> dict[str, tuple[Any, ...]]: ...


class Following:
    """Keeps what is answered from: `watcher.wanted` and `rounds.standings`. No host is contacted."""

    def __init__(
        self, watcher: Watcher, rounds: Rounds, recorded: Recorded, clock: Clock, *, poll_s: float,
        fetched: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._watcher = watcher
        self._rounds = rounds
        self._recorded = recorded
        self._clock = clock
        self._poll_s = poll_s
        self._fetched = fetched
        self._wake = asyncio.Event()
        self._turned = asyncio.Event()
        self._stamps: dict[str, tuple[Any, ...]] = {}
        self._lacking: set[str] = set()
        self._read_by = ""

    def look_now(self) -> None:
        """Look at the repository soon."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            group.create_task(self._read())

    async def _watch(self) -> None:
        try:
            await self._watcher.resume()
        except Exception as error:  # the first look finds all of it again
            logger.warning("the records from before the start cannot be read: %s", error)
        if self._watcher.wanted.commit:
            self._turned.set()
        while True:
            self._wake.clear()
            before_s = self._watcher.last_fetch_s
            try:
                await self._watcher.look()
            except Exception as error:
                await self._watcher.failed(str(error))
            self._turned.set()
            if self._watcher.last_fetch_s != before_s:
                self._fetched()
            waking = asyncio.ensure_future(self._wake.wait())
            sleeping = asyncio.ensure_future(self._clock.sleep(self._clock.jitter(self._poll_s)))
            await asyncio.wait({waking, sleeping}, return_when=asyncio.FIRST_COMPLETED)
            for one in (waking, sleeping):
                one.cancel()

    async def _read(self) -> None:
        is_away = False
        await self._turned.wait()  # what hosts were compared with is in Git
        while True:
            try:
                await self.read()
                is_away = False
            except Exception as error:  # a bug of ours, too, must not end the answers about all other hosts
                if not is_away:
                    logger.warning("the records cannot be read: %s", error)
                is_away = True
            await self._clock.sleep(EVERY_S)

    async def read(self) -> None:
        """Read again what is recorded of the hosts of which anything changed. A host that was compared with a commit
        that this process had not fetched yet is read again after the next commit. StoreError."""
        wanted = self._watcher.wanted
        stamps = await asyncio.to_thread(self._recorded.stamps)
        changed = {name for name, stamp in stamps.items() if stamp != self._stamps.get(name)}
        again = self._lacking & stamps.keys() if wanted.commit != self._read_by else set()
        for name in self._stamps.keys() - stamps.keys():
            self._rounds.lose(name)
            self._lacking.discard(name)
            del self._stamps[name]
        for name in sorted(changed | again):
            seen_at, *recorded = stamps[name]
            standing = self._rounds.known(name)
            if standing is None or name in again or recorded != list(self._stamps.get(name, (None,))[1:]):
                await self._rounds.recall(name, wanted, anew=True)
                self._note(name, is_seen=seen_at is not None)
            elif standing.observed is not None and seen_at is not None:
                standing.observed = replace(standing.observed, observed_at=seen_at)
            self._stamps[name] = stamps[name]
            if seen_at is not None:
                self._rounds.looked(name, seen_at)
        self._read_by = wanted.commit

    def _note(self, name: str, *, is_seen: bool) -> None:
        """Whether the host was seen, and what it was compared with could not be read."""
        standing = self._rounds.known(name)
        if is_seen and (standing is None or standing.desired is None):
            self._lacking.add(name)
        else:
            self._lacking.discard(name)
