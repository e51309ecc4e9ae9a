"""What the API answers about published sites."""

from datetime import datetime

from pydantic import Field

from service.api.schemas import Told
from service.model.axes import SiteWord, Weight
from service.model.sites.records import SiteRecord
from service.model.sites.seen import CheckName
from service.model.sites.told import CertificateKind, Outcome, WindowBy


class Certificate(Told):
    """The certificate with which a site answers, as the program in the guest reports it."""

    kind: CertificateKind
    not_before: datetime
    not_after: datetime
    issuer: str
    serial: str = Field(description="in hexadecimal")


class Window(Told):
    """When it is renewed."""

    start: datetime
    end: datetime
    by: WindowBy = Field(description="ari: the CA says so (RFC 9773); two-thirds: of the certificate's life")


class Attempt(Told):
    """The last order."""

    at: datetime
    outcome: Outcome
    stage: str = Field(description="where it failed: directory, account, order, challenge, finalize, download")
    type: str = Field(description="the type of the CA's error (RFC 8555, 6.7)")
    detail: str = Field(description="the CA's reason, word for word")


class SiteCheck(Told):
    """One check before the first order."""

    name: CheckName
    why: str = Field(description="what is wrong, and how it is fixed; empty: it passed")
    is_known: bool = Field(description="false: nobody could say, and the check is repeated")


class Preflight(Told):
    """The checks before the first order."""

    at: datetime
    ok: bool
    checks: list[SiteCheck]


class Served(Told):
    """The certificate that a server showed."""

    names: list[str]
    not_after: datetime
    issuer: str
    serial: str
    self_signed: bool


class SiteAnswer(Told):
    """How a site answered at one address."""

    address: str
    status: int = Field(description="the HTTP status; 0: no answer")
    error: str = Field(description="why there is no answer")
    certificate: Served | None


class Site(Told):
    """A published site: what Git wants, what its guest reports, what was seen of it."""

    host: str
    site: str
    names: list[str]
    proxy: str = Field(description="the guest that answers")
    upstream: str
    state: SiteWord
    weight: Weight = Field(
        description="trouble: a person has to act; waits: passerelle or the CA has the next move; unknown: not seen"
    )
    message: str
    fix: str
    since: datetime | None = Field(description="it has this state since then")
    certificate: Certificate | None
    window: Window | None
    last_attempt: Attempt | None
    failures_in_the_hour: int
    failed_since_issue: int
    next_attempt_at: datetime | None
    waits_for: str = Field(description="permit, authority, back-off, budget, window, nginx, or empty: it is due now")
    preflight: Preflight | None
    inside: SiteAnswer | None = Field(description="seen from the host")
    outside: list[SiteAnswer] = Field(description="seen from the controller, at each address of its name")


def shown(record: SiteRecord) -> Site:
    """A record as it is answered."""
    own = {
        "host": record.host, "site": record.site, "state": record.state, "weight": record.weight,
        "message": record.message, "fix": record.fix, "since": record.since,
    }  # fmt: skip
    return Site.model_validate({**record.seen, **own})
