"""What probes and checks saw of a site, from the host and from outside."""

from dataclasses import dataclass
from typing import Literal

CheckName = Literal["resolves", "ipv6", "caa", "port-80"]


@dataclass(frozen=True, slots=True)
class CertificateServed:
    """The certificate with which a server answered, read from the handshake. `serial` is in hex."""

    names: tuple[str, ...]
    not_after: int
    issuer: str
    serial: str
    is_self_signed: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """One question to a site over HTTPS at `address`. `error` is why there is no answer, in words; `status` is the
    HTTP status, 0 without an answer. `certificate` is None where the handshake did not come so far."""

    address: str
    status: int = 0
    error: str = ""
    certificate: CertificateServed | None = None

    @property
    def is_reached(self) -> bool:
        """Whether the proxy answered at all."""
        return self.status > 0


@dataclass(frozen=True, slots=True)
class Probes:
    """What was seen of a site at `at` (epoch seconds): `inside` from the host, `outside` from the controller through
    each public address. None and (): nobody has looked."""

    at: int
    inside: Answer | None = None
    outside: tuple[Answer, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """One check before the first order, and the sentence that says what is wrong and how it is fixed; "" = passed.

    `is_known` False: nobody can say, so the check runs again soon.
    """

    name: CheckName
    why: str = ""
    is_known: bool = True


@dataclass(frozen=True, slots=True)
class Preflight:
    """All checks of one site, at `at` (epoch seconds). The first order is permitted when none of them failed."""

    at: int
    checks: tuple[Check, ...]

    @property
    def is_passed(self) -> bool:
        """Whether the order may be begun."""
        return not self.failed

    @property
    def failed(self) -> tuple[Check, ...]:
        """Those that did not pass."""
        return tuple(check for check in self.checks if check.why)

    @property
    def why(self) -> str:
        """Why the order may not be begun, in one text; empty where it may."""
        return " ".join(check.why for check in self.failed)
