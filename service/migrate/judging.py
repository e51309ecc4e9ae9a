"""What is missing before a step is done: sentences, none where it is done. Pure.

unready(host, …)         a host is not reached, or not in sync with a commit
not_running(facts, …)    guests that do not run
uncertified(sites)       sites for which the taker has no certificate, and the giver has
unanswered(sites)        sites that do not answer through the taker as through the giver
unnamed(names, taker)    names that do not lead to the taker
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.errors import PasserelleError
from service.model.sites.seen import Answer

NO_UPSTREAM = (502, 503, 504)
"""What a proxy answers while the guest behind it does not (RFC 9110, 15.6)."""


class Stopped(PasserelleError):  # noqa: N818 (the program works)
    """Waiting would not help: a person has to act. The migration can continue or be taken back afterwards."""


class Silent(PasserelleError):  # noqa: N818 (what happened)
    """The service does not answer now. It may in a moment."""


@dataclass(frozen=True, slots=True)
class SitePair:
    """One site, as it answers through both hosts. `giver` is None where that host does not have it now."""

    name: str
    giver: Answer | None
    taker: Answer
    is_https: bool = True


def unready(status: Mapping[str, Any], *, has_commit: bool) -> Iterator[str]:
    """Why a host is not ready, from its status. Stopped where only a person can make it ready."""
    host, message = status["host"], status["message"]
    if status["quarantined"]:
        raise Stopped(
            f"{host} is in quarantine: {message}",
            hint=f"check the host, then `passerelle release {host} --reason TEXT`, and start the command again",
        )
    if status["sync_mode"] == "observe":
        raise Stopped(
            f"{host} has `sync: observe`, so nothing is applied to it",
            hint=f"write `sync: auto` or `sync: approve` into the file of {host}, and push",
        )
    if status["reason"] == "RolledBackLatched" and has_commit:
        raise Stopped(
            f"{host} rolled the change back, and it is not tried again: {message}",
            hint="see `passerelle history`. Then correct the cause, or take the migration back with --back",
        )
    if status["reachability"] != "Reachable":
        yield f"{host} is not reached: {message or status['reachability']}."
    elif not has_commit:
        yield f"{host} was not compared with the new commit yet."
    elif status["sync"] != "Synced":
        waits = status["phase"] == "WaitingForApproval"
        fix = f" Fix: approve the plan: `passerelle apply {host}`" if waits else ""
        yield f"{host} is not in sync: {message or status['reason']}.{fix}"


def not_running(host: str, facts: Mapping[str, Any], guests: Iterable[str]) -> Iterator[str]:
    """Guests that do not run, of those that the service looks into."""
    for guest in guests:
        key = f"guest:{guest}"
        if key not in facts:
            continue
        seen = facts[key]
        if not isinstance(seen, dict) or "unknown" in seen:
            why = seen["unknown"] if isinstance(seen, dict) else "it does not exist"
            yield f"The guest {guest} on {host} is not known to run: {why}."
        elif not seen.get("running"):
            yield f"The guest {guest} on {host} does not run."


def uncertified(sites: Iterable[SitePair], taker: str) -> Iterator[str]:
    """The taker has no issued certificate, though the giver has."""
    for site in sites:
        shown = site.giver.certificate if site.giver is not None else None
        if not site.is_https or shown is None or shown.is_self_signed:
            continue
        there = site.taker.certificate
        if there is None:
            yield f"{site.name} shows no certificate through {taker}: {site.taker.error or 'no answer'}."
        elif there.is_self_signed:
            yield f"{site.name} has a self-signed certificate on {taker}."


def unanswered(sites: Iterable[SitePair], giver: str, taker: str, *, now: int) -> Iterator[str]:
    """The site does not answer through the taker, or otherwise than through the giver."""
    for site in sites:
        through = f"{site.name} through {taker} ({site.taker.address})"
        if not site.taker.is_reached:
            yield f"{through} does not answer: {site.taker.error or 'no answer'}."
            continue
        certificate = site.taker.certificate
        if site.is_https and certificate is not None and certificate.not_after <= now:
            yield f"{through} shows a certificate that has ended."
        here = site.giver.status if site.giver is not None else 0
        if site.taker.status in NO_UPSTREAM and here not in NO_UPSTREAM:
            yield (
                f"{through} answers {site.taker.status}: the guest behind it does not answer. Fix: bring its data and "
                f"programs into the guest on {taker}"
            )
        elif 0 < here < 500 and here != site.taker.status:  # what is broken on the giver is nothing to compare with
            yield f"{through} answers {site.taker.status}, and {here} through {giver}."


@dataclass(frozen=True, slots=True)
class NameSeen:
    """What the name servers say of a name: its addresses of both families. `why`: they did not say it."""

    name: str
    addresses: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class RecordChange:
    """A record to change. `old` is () where the name has none; `new` is () where the record goes."""

    name: str
    kind: str
    old: tuple[str, ...]
    new: tuple[str, ...]

    def __str__(self) -> str:
        old, new = ", ".join(self.old) or "none", ", ".join(self.new) or "remove it"
        return f"{self.name}. {self.kind}: {old} -> {new}"


def records_to_change(names: Iterable[NameSeen], taker: Sequence[str]) -> Iterator[RecordChange]:
    """The records that do not lead to the taker's addresses. A name that nobody resolves is not public."""
    for seen in names:
        for kind in ("A", "AAAA"):
            is_six = kind == "AAAA"
            old = tuple(one for one in seen.addresses if (":" in one) == is_six)
            new = tuple(one for one in taker if (":" in one) == is_six)
            if old and not set(old) <= set(new):
                yield RecordChange(seen.name, kind, old, new)


def unnamed(names: Sequence[NameSeen], taker: Sequence[str]) -> Iterator[str]:
    """Names that do not lead to the taker, or of which nobody knows."""
    for change in records_to_change(names, taker):
        yield f"{change.name} still leads to {', '.join(change.old)}."
    for seen in names:
        if seen.why:
            yield f"{seen.why}."
