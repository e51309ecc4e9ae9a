"""What the history keeps of each site: its state, and everything that it was made of. Pure.

record_of(look, now) -> SiteRecord         what is kept now
probes_in(record), preflight_in(record)    what was seen and checked then, for the time after a restart
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import get_args

from service.model.axes import SiteWord, Weight
from service.model.sites.seen import Answer, Check, CheckName, Preflight, Probes
from service.model.sites.states import SiteLook, state_of
from service.model.sites.told import CertificateTold
from service.model.states import Json, Seen


@dataclass(frozen=True, slots=True)
class SiteRecord:
    """One site as it is shown. `seen` holds what its state was made of, times as RFC 3339: see `seen_of`. `since`: it
    has this state since then, None while it is not recorded."""

    host: str
    site: str
    state: SiteWord
    weight: Weight
    message: str
    fix: str = ""
    seen: Mapping[str, Json] = field(default_factory=dict)
    since: datetime | None = None

    def is_as(self, other: "SiteRecord") -> bool:
        """Whether nothing is another."""
        return self._key() == other._key()

    def _key(self) -> tuple[object, ...]:
        return self.host, self.site, self.state, self.weight, self.message, self.fix, dict(self.seen)

    @property
    def sentence(self) -> str:
        """For people."""
        return f"{self.message} Fix: {self.fix}" if self.fix else self.message

    def part(self, name: str) -> Mapping[str, Json]:
        """`certificate`, `window`, `last_attempt`, `preflight`, `inside`; empty where there is none."""
        value = self.seen.get(name)
        return value if isinstance(value, dict) else {}


def record_of(look: SiteLook, now: int) -> SiteRecord:
    """What is kept of a site now."""
    state = state_of(look, now)
    wanted = look.wanted
    return SiteRecord(wanted.host, wanted.name, state.word, state.weight, state.text, state.fix, seen_of(look))


def seen_of(look: SiteLook) -> dict[str, Json]:
    """names, proxy, upstream; certificate, window, last_attempt; failures_in_the_hour, failed_since_issue,
    next_attempt_at, waits_for; preflight; inside, outside."""
    told = look.guest.value if isinstance(look.guest, Seen) else None
    probes = look.probes
    return {
        "names": [*look.wanted.names],
        "proxy": look.wanted.proxy,
        "upstream": look.wanted.upstream,
        **_told(told if told is not None else CertificateTold(look.wanted.name, look.wanted.names)),
        "preflight": _preflight(look.preflight),
        "inside": _answer(probes.inside if probes is not None else None),
        "outside": [_answer(one) for one in (probes.outside if probes is not None else ())],
    }


def _told(told: CertificateTold) -> dict[str, Json]:
    held, window, attempt = told.held, told.window, told.last_attempt
    return {
        "certificate": None if held is None else {
            "kind": held.kind, "not_before": at(held.not_before), "not_after": at(held.not_after),
            "issuer": held.issuer, "serial": held.serial,
        },
        "window": None if window is None else {"start": at(window.start), "end": at(window.end), "by": window.by},
        "last_attempt": None if attempt is None else {
            "at": at(attempt.at), "outcome": attempt.outcome, "stage": attempt.stage, "type": attempt.problem,
            "detail": attempt.detail,
        },
        "failures_in_the_hour": told.failures_in_the_hour,
        "failed_since_issue": told.failed_since_issue,
        "next_attempt_at": None if told.next_attempt_at is None else at(told.next_attempt_at),
        "waits_for": told.waits_for,
    }  # fmt: skip


def probes_in(record: SiteRecord) -> Probes | None:
    """What was seen then, its certificates aside; None where nothing was. `at` is not kept."""
    inside = _answer_in(record.seen.get("inside"))
    outside = record.seen.get("outside")
    answers = [_answer_in(one) for one in outside] if isinstance(outside, list) else []
    found = tuple(one for one in answers if one is not None)
    return Probes(0, inside, found) if inside is not None or found else None


def preflight_in(record: SiteRecord) -> Preflight | None:
    """The checks that ran last; None where none did."""
    kept = record.part("preflight")
    checks, when = kept.get("checks"), kept.get("at")
    if not isinstance(checks, list) or not isinstance(when, str):
        return None
    rows = [one for one in checks if isinstance(one, dict)]
    found = tuple(Check(_check_name(one), str(one.get("why")), one.get("is_known") is not False) for one in rows)
    return Preflight(int(datetime.fromisoformat(when).timestamp()), found)


def _answer_in(value: Json) -> Answer | None:
    if not isinstance(value, dict):
        return None
    status = value.get("status")
    return Answer(str(value.get("address")), status if isinstance(status, int) else 0, str(value.get("error")))


def _check_name(row: Mapping[str, Json]) -> CheckName:
    return next((name for name in get_args(CheckName) if name == row.get("name")), "resolves")


def at(seconds: int) -> str:
    """RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _preflight(found: Preflight | None) -> Json:
    if found is None:
        return None
    checks: list[Json] = [asdict(one) for one in found.checks]
    return {"at": at(found.at), "ok": found.is_passed, "checks": checks}


def _answer(found: Answer | None) -> Json:
    if found is None:
        return None
    served = found.certificate
    return {
        "address": found.address, "status": found.status, "error": found.error,
        "certificate": None if served is None else {
            "names": [*served.names], "not_after": at(served.not_after), "issuer": served.issuer,
            "serial": served.serial, "self_signed": served.is_self_signed,
        },
    }  # fmt: skip
