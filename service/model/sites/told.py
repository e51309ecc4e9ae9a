"""What the program in a proxy's guest says of its certificates. A guest said all of it: none of it is proven."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

CertificateKind = Literal["self-signed", "staging", "issued"]
WindowBy = Literal["ari", "two-thirds"]
Outcome = Literal["issued", "failed"]


@dataclass(frozen=True, slots=True)
class CertificateHeld:
    """The certificate with which the proxy answers. Times are epoch seconds, `serial` is in hex."""

    kind: CertificateKind
    not_before: int
    not_after: int
    issuer: str = ""
    serial: str = ""


@dataclass(frozen=True, slots=True)
class RenewalWindow:
    """When it is renewed: a time between `start` and `end`, which the CA says (RFC 9773), or two thirds of its life."""

    start: int
    end: int
    by: WindowBy


@dataclass(frozen=True, slots=True)
class Attempt:
    """The last order. `stage` is where it failed: directory, account, order, challenge, finalize, download. `problem`
    is the CA's type of error (RFC 8555, 6.7), `detail` what the CA said, word for word."""

    at: int
    outcome: Outcome
    stage: str = ""
    problem: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PermitKept:
    """What the program keeps of the last preflight that it got."""

    is_given: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class CertificateTold:
    """What the program says of one certificate. Times are epoch seconds, None = there is none. `waits_for`: permit,
    authority (an order is under way), back-off, budget, window, nginx, or "" (it is due now)."""

    name: str
    names: tuple[str, ...]
    held: CertificateHeld | None = None
    window: RenewalWindow | None = None
    last_attempt: Attempt | None = None
    failures_in_the_hour: int = 0
    failed_since_issue: int = 0
    next_attempt_at: int | None = None
    waits_for: str = ""
    permit: PermitKept | None = None


@dataclass(frozen=True, slots=True)
class GuestTold:
    """The whole status of one guest, written at `written_at` by the guest's own clock. `trouble` is why the program
    itself could not work, "" = it does."""

    written_at: int
    certificates: Mapping[str, CertificateTold]
    trouble: str = ""
