"""Whether a host exists for whoever asks, and whether anything is known of it."""

from typing import TypeVar

from service.api.parts import Parts
from service.api.values import ask
from service.errors import NeverSeen, NoHost, NotKnown
from service.model.access import Principal
from service.model.runs import HostStatus, Page

T = TypeVar("T")


async def status_of(parts: Parts, who: Principal, host: str) -> HostStatus:
    """How the host is shown. NoHost where there is none, or not for this principal."""
    if who.sees(host):
        found = parts.answers.unrecorded().get(host) or await parts.remembered.read(
            parts.reads.state, parts.reads.host, host
        )
        if found is not None:
            return found
    now = await ask(parts.reads.name_now, host)
    raise NoHost(host, now=now if who.sees(now) else "")


async def in_git(parts: Parts, who: Principal, host: str) -> HostStatus:
    """The same, of a host that is in Git. LeftGit where it was."""
    status = await status_of(parts, who, host)
    why = parts.answers.not_known(host, status)
    if why is not None and type(why) not in (NotKnown, NeverSeen):
        raise why
    return status


async def looked_at(parts: Parts, who: Principal, host: str) -> HostStatus:
    """The same, of a host that was compared with what Git wants now. NotKnown where it was not: whoever would answer
    with an empty list or an old plan asks this first."""
    status = await status_of(parts, who, host)
    if why := parts.answers.not_known(host, status):
        raise why
    return status


async def of_host(parts: Parts, who: Principal, host: str, page: Page[T]) -> None:
    """NotFound where a list of one host is empty because there is no such host. `host` is empty for all of them."""
    if host and not page.items:
        await status_of(parts, who, host)


async def was_seen(parts: Parts, who: Principal, host: str) -> None:
    """NeverSeen where nobody has ever seen the host: a list of what was seen of it could only be empty."""
    status = await status_of(parts, who, host)
    if status.observed_at is None and (why := parts.answers.not_known(host, status)):
        raise why
