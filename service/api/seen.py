"""What a token for some hosts sees of what concerns the whole fleet: nothing of other hosts or tokens."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from service.model.access import Principal, Token
from service.model.events import OF_PEOPLE, RolloutMoved
from service.model.listings import EventListing
from service.model.rollouts import Member
from service.model.runs import Event, HostStatus, Revision
from service.model.seen_files import host_of_file, is_of_seen
from service.model.sources import SourceStanding
from service.model.states import Json
from service.model.windows import Window

_FIRST = ", the first: "
"""What is between the number of errors of a commit and the first of them."""

_NEEDED = "a host that it depends on does not get it for now"
"""Why a host is set aside, where the other one is not seen."""
_WAITS_FOR = re.compile(r": the host waits for (\S+), which it depends on$")
"""How a status names the host that has to come first: as `why_waits` of `service.reconcile.rollout` says it."""

_OF_PEOPLE = frozenset(kind.name for kind in OF_PEOPLE)


def revision_seen(who: Principal, revision: Revision) -> Revision:
    """The revision with the findings in the files of the hosts that are seen."""
    if who.sees_all:
        return revision
    return replace(revision, findings=findings_seen(who, revision.findings), reason=_reason(revision.reason))


def findings_seen(who: Principal, findings: Sequence[Json]) -> tuple[Json, ...]:
    """The findings in the files of the hosts that are seen, without those that name others."""
    if who.sees_all:
        return tuple(findings)
    others = {host_of_file(str(one.get("file", ""))) for one in findings if isinstance(one, dict)}
    others = {name for name in others if name and not who.sees(name)}
    return tuple(found for found in findings if isinstance(found, dict) and _is_of_seen(who, found, others))


def source_seen(who: Principal, standing: SourceStanding) -> SourceStanding:
    """Whether the source is followed; of a refused commit only how many errors it has."""
    return standing if who.sees_all else replace(standing, message=_reason(standing.message))


def event_seen(who: Principal, event: Event) -> Event:
    """An event; of a refused commit only how many errors it has, of a rollout only its state."""
    if who.sees_all:
        return event
    if event.host:
        text = _waits(who, event.text)
        return event if text is event.text else replace(event, text=text)
    return replace(event, text=_of_rollout(event) if event.type == RolloutMoved.name else _reason(event.text))


def status_seen(who: Principal, status: HostStatus) -> HostStatus:
    """How a host is shown, without the name of an unseen host that it waits for in a rollout."""
    message = _waits(who, status.message)
    return status if message is status.message else replace(status, message=message)


def member_seen(who: Principal, member: Member) -> Member:
    """A host of a rollout without the names of the hosts that it needs and that are not seen."""
    others = {name for name in member.needs if not who.sees(name)}
    if not others:
        return member
    return replace(
        member, needs=tuple(name for name in member.needs if name not in others),
        aside=_NEEDED if _names(member.aside, others) else member.aside,
        error="" if _names(member.error, others) else member.error,
    )  # fmt: skip


def is_seen(who: Principal, event: Event, asked: EventListing) -> bool:
    """Whether the list of events, with these filters, has it for whoever asks: as `Queries.events` chooses."""
    if (asked.host and event.host != asked.host) or (asked.type and event.type != asked.type):
        return False
    return who.sees_all or (event.type not in _OF_PEOPLE and (not event.host or who.sees(event.host)))


def tokens_seen(who: Principal, tokens: Sequence[Token]) -> list[Token]:
    """The tokens that reach no further than this one: for hosts that it sees, too."""
    return [token for token in tokens if who.covers(token.hosts)]


def windows_seen(who: Principal, windows: Sequence[Window], host: str = "") -> list[Window]:
    """The windows of hosts that are seen, without the names and patterns of others. `host`: only what chooses it."""
    if who.sees_all:
        return list(windows)
    names = (host,) if host else who.hosts
    seen: list[Window] = []
    for window in windows:
        hosts = [one for one in window.hosts if who.covers((one,)) or any(fnmatchcase(name, one) for name in names)]
        if hosts or not window.hosts:
            seen.append(replace(window, hosts=tuple(hosts)))
    return seen


def _is_of_seen(who: Principal, found: Mapping[str, Any], others: Collection[str]) -> bool:
    """Whether a finding is in a seen host's file and names none of the others."""
    return is_of_seen(str(found.get("file", "")), f"{found.get('what')} {found.get('right')}", who.sees, others)


def _waits(who: Principal, text: str) -> str:
    """The text without the name of an unseen host that another one waits for."""
    found = None if who.sees_all else _WAITS_FOR.search(text)
    return text if found is None or who.sees(found[1]) else f"{text[: found.start(1)]}a host{text[found.end(1) :]}"


def _names(text: str, hosts: Collection[str]) -> bool:
    """Whether a text names one of the hosts."""
    return any(word.strip(".,:;()'\"`") in hosts for word in text.split())


def _of_rollout(event: Event) -> str:
    """What became of it, without who did it and why: the reason may name any host."""
    what, state, _ = event.text.partition(f" is {event.detail.get('state')}")
    return what + state if state else "a rollout is in another state"


def _reason(text: str) -> str:
    return text.partition(_FIRST)[0]
