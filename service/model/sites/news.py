"""Which events follow from two looks at a site. Pure."""

from collections.abc import Iterator

from service.model.events import (
    CertificateExpired,
    CertificateIssued,
    CertificateOrderFailed,
    CertificateProgramFailed,
    CertificateRenewalFailed,
    CertificateRenewed,
    Happened,
    SitePublished,
    SiteUnreachable,
    SiteUpstreamOff,
    SiteWaiting,
)
from service.model.events.sites import OfCertificate, OfSite
from service.model.sites.records import SiteRecord

_OF_STATE: dict[str, type[OfSite]] = {
    "published": SitePublished, "unreachable": SiteUnreachable, "proxy-down": SiteUnreachable,
    "other-answers": SiteUnreachable, "guest-down": SiteUnreachable, "upstream-off": SiteUpstreamOff,
    "back-off": CertificateOrderFailed, "renewal-failed": CertificateRenewalFailed, "expired": CertificateExpired,
    "program-failed": CertificateProgramFailed,
}  # fmt: skip
"""What is reported when a site comes into a state."""
_AS_BEFORE = ("published", "renewing")
"""A site that comes from one of these to the other was published all the time."""


def news_of(before: SiteRecord | None, now: SiteRecord) -> Iterator[Happened]:
    """The events between two looks at one site; of a site that is new, `before` is None."""
    yield from _of_certificate(before, now)
    state = before.state if before is not None else ""
    is_waiting = now.state == "waits-for-permit" and now.weight == "trouble"
    if is_waiting and (before is None or state != now.state or before.weight != now.weight):
        yield SiteWaiting(host=now.host, site=now.site, what=now.sentence, was=_was(before))
    kind = _OF_STATE.get(now.state)
    if kind is None or state == now.state or {state, now.state} <= set(_AS_BEFORE):
        return
    if issubclass(kind, OfCertificate):
        yield kind(host=now.host, site=now.site, what=now.sentence, until=_until(now), was=_was(before))
    else:
        yield kind(host=now.host, site=now.site, what=now.sentence, was=_was(before))


def _of_certificate(before: SiteRecord | None, now: SiteRecord) -> Iterator[Happened]:
    held = now.part("certificate")
    if held.get("kind") != "issued":
        return
    had = before.part("certificate") if before is not None else {}
    if had.get("kind") != "issued":
        yield CertificateIssued(host=now.host, site=now.site, until=_until(now))
    elif had.get("serial") != held.get("serial"):
        yield CertificateRenewed(host=now.host, site=now.site, until=_until(now))


def _until(now: SiteRecord) -> str:
    held = now.part("certificate")
    return str(held.get("not_after", "")) if held.get("kind") == "issued" else ""


def _was(before: SiteRecord | None) -> dict[str, str]:
    return {"state": before.state} if before is not None else {}
