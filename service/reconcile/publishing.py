"""The stage of a round about published sites: what their guest says, the checks before a first order, how they answer.

No first order is begun before its checks passed. A check that failed is repeated less and less often. Nothing here
fails a round: what could not be queried is not known.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from service.clock import Clock
from service.errors import HostError
from service.kinds.kind import Kind
from service.kinds.sites_seen import looks_at, sites_of, told_by
from service.kinds.web.section import KEY
from service.model.listings import Key, SiteListing
from service.model.sites.records import record_of
from service.model.sites.seen import Answer, Preflight, Probes
from service.model.sites.states import SiteLook
from service.model.sites.told import CertificateTold, GuestTold
from service.model.sites.wanted import SiteWanted
from service.model.states import Json, Observed, Seen, Unknown
from service.reconcile.ports import Hosts, Internet, Memory, Record
from service.reconcile.site_standing import SiteStanding
from service.reconcile.turn import Turn
from service.spec.models import claims_of

PAGE = 200
MOST_AT_ONCE = 16
"""Sites that one round checks, and looks at."""
ORDERING = ("waits-for-permit", "self-signed", "staging")


class Publishing:
    """One instance for the fleet. It remembers nothing itself."""

    def __init__(
        self, record: Record, memory: Memory, hosts: Hosts, internet: Internet, clock: Clock, kinds: Sequence[Kind]
    ) -> None:
        self._record = record
        self._memory = memory
        self._hosts = hosts
        self._internet = internet
        self._clock = clock
        self._kinds = kinds

    async def look(self, turn: Turn) -> None:
        """All sites of the host."""
        held = turn.standing.sites
        if KEY not in turn.spec.sections and not held.sites:
            await self._none(turn, held)
            return
        if held.spec is not turn.spec:
            held.follow(await asyncio.to_thread(self._sites, turn))
            held.spec = turn.spec
        if not held.is_known:
            await asyncio.to_thread(self._recall, turn.spec.name, held)
        sites = held.sites
        told = await asyncio.to_thread(self._told, turn, sites)
        looks = looks_at(sites, turn.observed, told, held.checked, held.probed)
        await self._check(turn, held, looks)
        await self._probe(turn, held, looks)
        looks = looks_at(sites, turn.observed, told, held.checked, held.probed)
        now = self._clock.now()
        held.records = tuple(record_of(look, int(now.timestamp())) for look in looks)
        await asyncio.to_thread(self._record.seen_sites, turn.spec.name, held.records, at=now)
        held.is_known = True
        is_ordering = any(one.state in ORDERING for one in held.records)
        turn.again_within(held.next_s(is_ordering, self._clock.monotonic_s()))
        turn.show(message=turn.status.message or held.attention)

    def _recall(self, host: str, held: SiteStanding) -> None:
        """What was seen before the start, so that no site is in another state because the service restarted."""
        start: Key = ()
        while True:
            page = self._memory.sites(SiteListing(host=host, limit=PAGE, start=start))
            held.recall(page.items)
            if page.next is None:
                return
            start = page.next

    async def _none(self, turn: Turn, held: SiteStanding) -> None:
        """The host has no sites. The history may have some of before the start."""
        if not held.is_known:
            await asyncio.to_thread(self._record.seen_sites, turn.spec.name, (), at=self._clock.now())
            held.is_known = True

    def _sites(self, turn: Turn) -> tuple[SiteWanted, ...]:
        return sites_of(turn.spec, claims_of(turn.spec, self._kinds))

    def _told(self, turn: Turn, sites: Sequence[SiteWanted]) -> Observed[GuestTold]:
        """What the guest says: all sites of a host have one proxy."""
        return told_by(turn.observed, sites[0].proxy) if sites else Unknown("no site is published")

    async def _check(self, turn: Turn, held: SiteStanding, looks: Sequence[SiteLook]) -> None:
        """The checks of the sites that wait for their first order, and their results to the guest."""
        if turn.status.sync_mode == "observe":
            return
        now_s = self._clock.monotonic_s()
        by_name = {look.wanted.name: look.wanted for look in looks}
        due = held.checks_due([look.wanted.name for look in looks if _waits(look)], now_s, MOST_AT_ONCE)
        at = int(self._clock.now().timestamp())
        found = await asyncio.gather(*(self._internet.preflight(by_name[name], at) for name in due))
        for name, preflight in zip(due, found, strict=True):
            held.check(name, preflight, self._clock.monotonic_s())
        unsent = [name for name in by_name if name in held.unsent]
        if unsent:
            await self._permit(turn, held, by_name[unsent[0]], unsent)

    async def _permit(self, turn: Turn, held: SiteStanding, site: SiteWanted, names: Sequence[str]) -> None:
        permits: dict[str, Json] = {name: _permit(held.checked[name]) for name in names}
        try:
            await self._hosts.permit(turn.spec, site.guest_key, permits)
        except HostError:
            return  # the next round sends it
        held.sent(names, self._clock.monotonic_s())

    async def _probe(self, turn: Turn, held: SiteStanding, looks: Sequence[SiteLook]) -> None:
        """How sites answer, from the host and from here."""
        for look in looks:
            if isinstance(look.guest, Seen):
                held.has_certificate(look.wanted.name, _serial(look.guest.value))
        names = [look.wanted.name for look in looks if _may_answer(look, turn)]
        due = held.probes_due(names, self._clock.monotonic_s(), MOST_AT_ONCE)
        if not due:
            return
        sites = [look.wanted for look in looks if look.wanted.name in due]
        inside, outside = await asyncio.gather(
            self._inside(turn, sites), asyncio.gather(*(self._internet.answers(site) for site in sites))
        )
        at = int(self._clock.now().timestamp())
        for site, answers in zip(sites, outside, strict=True):
            held.probe(site.name, Probes(at, inside.get(site.name), answers), self._clock.monotonic_s())

    async def _inside(self, turn: Turn, sites: Sequence[SiteWanted]) -> Mapping[str, Answer]:
        try:
            answers = await self._hosts.answers(turn.spec, sites)
        except HostError:
            return {}
        return {
            name: replace(answer, certificate=self._internet.certificate(der) if der else None)
            for name, (answer, der) in answers.items()
        }


def _waits(look: SiteLook) -> bool:
    """Whether the first order of a site waits for its checks, or failed and may be tried again once they pass."""
    if not isinstance(look.guest, Seen) or look.is_guest_down:
        return False
    told = look.guest.value
    is_first = told.held is None or told.held.kind != "issued"
    return told.waits_for == "permit" or (told.waits_for == "back-off" and is_first)


def _may_answer(look: SiteLook, turn: Turn) -> bool:
    """Whether the site should be there: its guest runs, and has it."""
    if look.is_guest_down:
        return False
    return isinstance(look.guest, Seen) if look.wanted.is_https else turn.decision.sync == "Synced"


def _permit(found: Preflight) -> dict[str, Json]:
    return {"ok": True} if found.is_passed else {"ok": False, "why": found.why}


def _serial(told: CertificateTold) -> str:
    return f"{told.held.kind} {told.held.serial}" if told.held is not None else ""
