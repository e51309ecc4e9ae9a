"""Whether this process does what is done once for all. One that cannot read the repository lets another one do it.

leading = Leading(place, watcher, records, clock)
leading.keep(has_others=True)     whether it leads; blocks. StoreError
leading.is_blind                  whether the repository cannot be read from here
"""

import logging
from typing import Protocol

from service.clock import Clock
from service.model.events import SourceTrouble, SourceWell
from service.model.listings import EventListing
from service.model.runs import Event, Page
from service.model.sources import SourceStanding, SourceState

BLIND: tuple[SourceState, ...] = ("unreachable", "unreadable", "failed")
OFFERED_S = 10.0
"""So long whoever cannot read the repository leaves it to others to lead: five times as long as each needs to try."""
AGAIN_S = 60.0
"""How long one that cannot read the repository leads before it offers that again: perhaps none of them can read it."""
logger = logging.getLogger(__name__)


class Place(Protocol):
    """`service.history.postgres.place.Place`. Both block."""

    def lead(self) -> bool: ...

    def resign(self) -> bool: ...


class Following(Protocol):
    """`service.reconcile.watching.Watcher`."""

    @property
    def standing(self) -> SourceStanding: ...

    def follow_up(self, said: str) -> None: ...


class Records(Protocol):
    """`service.history.queries.Queries`. Blocks."""

    def events(self, asked: EventListing) -> Page[Event]: ...


class Leading:
    """One for each worker. All but `is_blind` blocks, and is called from one thread at a time."""

    def __init__(self, place: Place, watcher: Following, records: Records, clock: Clock) -> None:
        self._place = place
        self._watcher = watcher
        self._records = records
        self._clock = clock
        self._offered_s: float | None = None
        self._leads = False

    @property
    def is_blind(self) -> bool:
        """Whether the last look at the repository found nothing that can be read."""
        return self._watcher.standing.state in BLIND

    def keep(self, *, has_others: bool) -> bool:
        """Whether this process leads from now on. `has_others`: somebody else could. StoreError."""
        if self.is_blind and has_others:
            if self._is_to_offer():
                self._offer()
            if (
                not self._leads
                and self._offered_s is not None
                and self._clock.monotonic_s() - self._offered_s < OFFERED_S
            ):
                return False
        elif not self.is_blind:
            self._offered_s = None
        leads = self._place.lead()
        if leads and not self._leads:
            if self._offered_s is not None:  # whoever led before could not read it: the time of this one begins
                self._offered_s = self._clock.monotonic_s()
            self._watcher.follow_up(self._said())
            logger.info("this process leads: it records revisions, and what is wrong with the source")
        self._leads = leads
        return leads

    def _is_to_offer(self) -> bool:
        if self._offered_s is None:
            return True
        return self._leads and self._clock.monotonic_s() - self._offered_s >= AGAIN_S

    def _offer(self) -> None:
        is_first, self._offered_s, self._leads = self._offered_s is None, self._clock.monotonic_s(), False
        if self._place.resign() and is_first:
            why = self._watcher.standing.message
            logger.warning("this process resigns, so that another one leads: it cannot read the repository: %s", why)

    def _said(self) -> str:
        """What is recorded as wrong with the source, by whoever led before; empty where nothing is."""
        newest = {}
        for kind in (SourceTrouble, SourceWell):
            found = self._records.events(EventListing(type=kind.name, newest=True, limit=1, visible=("*",)))
            newest[kind] = found.items[0] if found.items else None
        trouble, well = newest[SourceTrouble], newest[SourceWell]
        return "" if trouble is None or (well is not None and well.id > trouble.id) else trouble.text
