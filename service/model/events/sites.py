"""Events of published sites and of their certificates: `service/model/sites/news.py` says which follow when."""

from dataclasses import dataclass, field
from typing import ClassVar

from service.model.events.told import IN_WORDS, Happened, Part


@dataclass(frozen=True, kw_only=True)
class OfSite(Happened):
    """Of one site. `what` is its sentence."""

    part: ClassVar[Part] = "host"

    site: str
    what: str = field(default="", metadata=IN_WORDS)

    @property
    def text(self) -> str:
        return f"{self.site} on {self.host}: {self.what}"


class SitePublished(OfSite):
    """A site answers with a certificate of the CA."""

    name = "site.published"


class SiteWaiting(OfSite):
    """A check before the first order of its certificate failed: a person has to act."""

    name = "site.waiting"
    weight = "trouble"


class SiteUnreachable(OfSite):
    """Visitors do not reach a site, or reach another server."""

    name = "site.unreachable"
    weight = "trouble"


class SiteUpstreamOff(OfSite):
    """A site answers that what is behind it does not."""

    name = "site.upstream-off"
    weight = "trouble"


class SiteGone(OfSite):
    """A site left Git."""

    name = "site.gone"
    part = "git"

    @property
    def text(self) -> str:
        return f"{self.site} is not published on {self.host} any more; its certificate is kept"


@dataclass(frozen=True, kw_only=True)
class OfCertificate(OfSite):
    """`until` is when the certificate ends that the site has now, "" = none of the CA's."""

    until: str = ""


class CertificateIssued(OfCertificate):
    """The first certificate of a site."""

    name = "certificate.issued"

    @property
    def text(self) -> str:
        return f"{self.site} on {self.host}: the CA issued a certificate, valid until {self.until}"


class CertificateRenewed(OfCertificate):
    """A newer one."""

    name = "certificate.renewed"

    @property
    def text(self) -> str:
        return f"{self.site} on {self.host}: the certificate was renewed, valid until {self.until}"


class CertificateOrderFailed(OfCertificate):
    """The first order failed."""

    name = "certificate.order-failed"
    weight = "trouble"


class CertificateRenewalFailed(OfCertificate):
    """The first renewal that failed: the old certificate is valid for a while."""

    name = "certificate.renewal-failed"
    weight = "trouble"


class CertificateExpired(OfCertificate):
    """Browsers reject the site."""

    name = "certificate.expired"
    weight = "trouble"


class CertificateProgramFailed(OfCertificate):
    """The program that orders certificates cannot work in the guest."""

    name = "certificate.program-failed"
    weight = "trouble"
