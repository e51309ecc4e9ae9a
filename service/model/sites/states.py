"""The state of a site: what Git wants, what the guest's program says, what probes saw. One word, one sentence.

state_of(look, now) -> SiteState        the first row of the table that applies

A look is all that is known of one site. Times are epoch seconds; `now` is the service's. A sentence has no age in it:
it is another one only where something changed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from service.model.axes import SiteWord, Weight
from service.model.sites.seen import Answer, Preflight, Probes
from service.model.sites.told import Attempt, CertificateHeld, CertificateTold
from service.model.sites.wanted import SiteWanted
from service.model.states import Observed, Seen, Unknown

WEIGHTS: dict[SiteWord, Weight] = {
    "not-seen": "unknown", "guest-down": "unknown", "proxy-down": "trouble", "expired": "trouble",
    "unreachable": "trouble", "other-answers": "trouble", "program-failed": "trouble",
    "renewal-failed": "trouble", "upstream-off": "trouble",
    "back-off": "trouble", "waits-for-permit": "waits", "self-signed": "waits", "staging": "waits", "renewing": "well",
    "published": "well",
}  # fmt: skip
WORDS: tuple[SiteWord, ...] = tuple(WEIGHTS)
UPSTREAM_STATUSES = (502, 504)
"""What nginx answers when the upstream does not (ngx_http_proxy_module)."""
UNDER_WAY = "authority"
"""`waits_for` while an order is being made: the CA has the next move."""
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class SiteLook:
    """All that is known of one site. `guest` is Unknown with the reason while the guest does not answer.
    `program_trouble` is why the program that orders certificates could not work."""

    wanted: SiteWanted
    guest: Observed[CertificateTold] = field(default_factory=lambda: Unknown("nobody has looked yet"))
    is_guest_down: bool = False
    program_trouble: str = ""
    preflight: Preflight | None = None
    probes: Probes | None = None


@dataclass(frozen=True, slots=True)
class SiteState:
    """`text` says what is so, where, and why; `fix` what to do next, "" where nobody has to do anything."""

    word: SiteWord
    text: str
    fix: str = ""
    is_failed_check: bool = False

    @property
    def weight(self) -> Weight:
        """What it means for people. A check that failed is trouble."""
        return "trouble" if self.is_failed_check else WEIGHTS[self.word]

    @property
    def sentence(self) -> str:
        """Both, for people."""
        return f"{self.text} Fix: {self.fix}" if self.fix else self.text


def state_of(look: SiteLook, now: int) -> SiteState:
    """The worst that is so."""
    for row in ROWS if look.wanted.is_https else PLAIN_ROWS:
        found = row(look, now)
        if found is not None:
            return found
    raise AssertionError("the last row applies always")


def _guest_down(look: SiteLook, _now: int) -> SiteState | None:
    if not look.is_guest_down:
        return None
    one = look.wanted
    start = f"pct start {one.vmid or one.proxy}" if one.platform == "proxmox" else f"lxc-start -n {one.proxy}"
    text = f"the guest {one.proxy} is not running, so nothing is known of this site now."
    return SiteState("guest-down", text, f"run `{start}` on {one.host}.")


def _not_seen(look: SiteLook, _now: int) -> SiteState | None:
    if isinstance(look.guest, Seen):
        return None
    if isinstance(look.guest, Unknown):
        return SiteState("not-seen", f"the state of its certificate is not known: {look.guest.why}.")
    return SiteState("not-seen", f"the guest {look.wanted.proxy} has not reported this site yet.")


def _proxy_down(look: SiteLook, _now: int) -> SiteState | None:
    inside = look.probes.inside if look.probes else None
    if inside is None or inside.is_reached:
        return None
    one = look.wanted
    run = f"pct exec {one.vmid or one.proxy} -- " if one.platform == "proxmox" else f"lxc-attach -n {one.proxy} -- "
    text = f"the proxy does not answer at {inside.address} port {one.port}, seen from {one.host}: {inside.error}."
    return SiteState("proxy-down", text, f"run `{run}systemctl status nginx` on {one.host}.")


def _expired(look: SiteLook, now: int) -> SiteState | None:
    held = _trusted(look)
    if held is None or held.not_after > now:
        return None
    since = f"its certificate expired on {_day(held.not_after)}."
    return SiteState("expired", f"{since} {_failure(look)}".strip(), _fix_of(look))


def _unreachable(look: SiteLook, _now: int) -> SiteState | None:
    missed = [one for one in _outside(look) if not one.is_reached]
    if not missed:
        return None
    first, one = missed[0], look.wanted
    if not first.address:
        text = f"nobody finds it: {first.error}."
        return SiteState("unreachable", text, f"add the record `{one.name}. A {', '.join(one.addresses) or '…'}`.")
    text = f"it cannot be reached from outside: {first.address} port {one.port} does not answer the controller: "
    text += f"{first.error}."
    if look.probes is not None and look.probes.inside is not None:
        text += f" The proxy itself answers {one.host}."
    fix = f"allow TCP ports 80 and 443 to {first.address} in every firewall between the internet and {one.host}."
    return SiteState("unreachable", text, fix)


def _other_answers(look: SiteLook, _now: int) -> SiteState | None:
    held = look.guest.value.held if isinstance(look.guest, Seen) else None
    for answer in _outside(look):
        served = answer.certificate
        if served is None or held is None or not held.serial or served.serial == held.serial:
            continue
        if not set(look.wanted.names) & set(served.names):
            named = ", ".join(served.names[:3]) or "no name"
            text = f"another server answers at {answer.address} port 443: its certificate is for {named}."
            fix = f"find out what else holds port 443 of {answer.address}."
            return SiteState("other-answers", text, fix)
    return None


def _program_failed(look: SiteLook, _now: int) -> SiteState | None:
    if not look.program_trouble:
        return None
    one = look.wanted
    text = f"the program that orders certificates cannot work in {one.proxy}: {look.program_trouble.rstrip('.')}."
    return SiteState("program-failed", text)


def _renewal_failed(look: SiteLook, now: int) -> SiteState | None:
    told, held = _told(look), _trusted(look)
    if told is None or held is None or not told.failed_since_issue:
        return None
    if told.last_attempt is None or told.last_attempt.outcome != "failed":  # the first try is under way
        return None
    count = told.failed_since_issue
    times = "once" if count == 1 else f"{count} times"
    text = f"the renewal failed {times}. {_failure(look)} The old certificate is valid until {_until(held, now)}."
    return SiteState("renewal-failed", f"{text}{_next_try(told)}", _fix_of(look))


def _upstream_off(look: SiteLook, _now: int) -> SiteState | None:
    answers = [*_outside(look), *([look.probes.inside] if look.probes and look.probes.inside else [])]
    off = next((one for one in answers if one.status in UPSTREAM_STATUSES), None)
    if off is None:
        return None
    one = look.wanted
    said = "does not accept connections" if off.status == 502 else "does not answer in time"
    text = f"the proxy answers {off.status}: its upstream {one.upstream} {said}."
    return SiteState("upstream-off", text, "start the service there, or correct `to` and `port` of the site in Git.")


def _back_off(look: SiteLook, now: int) -> SiteState | None:
    told = _told(look)
    if told is None or _trusted(look) is not None or told.last_attempt is None:
        return None
    if told.last_attempt.outcome != "failed" or told.waits_for == "permit":
        return None
    text = f"no certificate yet. {_failure(look)}{_next_try(told)}"
    return SiteState("back-off", text, _fix_of(look))


def _waits_for_permit(look: SiteLook, now: int) -> SiteState | None:
    told = _told(look)
    if told is None or told.waits_for != "permit":
        return None
    if look.preflight is None:
        return SiteState("waits-for-permit", "the checks before the first order have not run yet.")
    since = f"at {_minute(look.preflight.at)}"
    if look.preflight.is_passed:
        return SiteState("waits-for-permit", f"all checks before the first order passed {since}. The order begins.")
    text = f"no order yet, because a check failed {since}. {look.preflight.why}"
    return SiteState("waits-for-permit", text, is_failed_check=any(c.is_known for c in look.preflight.failed))


def _self_signed(look: SiteLook, now: int) -> SiteState | None:
    told = _told(look)
    if told is None or (told.held is not None and told.held.kind != "self-signed"):
        return None
    text = "it answers with a self-signed certificate until the CA has issued one."
    return SiteState("self-signed", f"{text}{_next_try(told)}")


def _staging(look: SiteLook, now: int) -> SiteState | None:
    told = _told(look)
    if told is None or told.held is None or told.held.kind == "self-signed":
        return None
    if look.wanted.authority.is_staging:
        text = f"its certificate is from the staging directory that Git names, until {_until(told.held, now)}."
        return SiteState("staging", f"{text} No browser trusts it.", "set `directory` to the one for production.")
    if told.held.kind == "issued":
        return None
    return SiteState("staging", f"the order in staging succeeded; the one in production follows.{_next_try(told)}")


def _renewing(look: SiteLook, now: int) -> SiteState | None:
    told, held = _told(look), _trusted(look)
    if told is None or held is None or told.window is None or told.window.start > now:
        return None
    text = f"issued until {_until(held, now)}. Its renewal window is open since {_minute(told.window.start)}."
    return SiteState("renewing", f"{text}{_next_try(told)}")


def _plain(look: SiteLook, _now: int) -> SiteState | None:
    if look.probes is None:
        return SiteState("not-seen", "nobody has requested it yet.")
    return SiteState("published", "it answers over plain HTTP.")


def _published(look: SiteLook, now: int) -> SiteState | None:
    held, told = _trusted(look), _told(look)
    if held is None or told is None:
        return SiteState("not-seen", "nothing is known of its certificate yet.")
    text = f"issued until {_until(held, now)}."
    if told.window is not None:
        by = "by the CA" if told.window.by == "ari" else "at two thirds of its life"
        text += f" It is renewed from {_day(told.window.start)} on ({by})."
    return SiteState("published", text)


ROWS: Sequence[Callable[[SiteLook, int], SiteState | None]] = (
    _guest_down, _not_seen, _proxy_down, _expired, _unreachable, _other_answers, _program_failed, _renewal_failed,
    _upstream_off, _back_off, _waits_for_permit, _self_signed, _staging, _renewing, _published,
)  # fmt: skip
PLAIN_ROWS = (_guest_down, _proxy_down, _unreachable, _upstream_off, _plain)
"""The worst first. A site that does not answer at all says so before what its certificate is."""


def _told(look: SiteLook) -> CertificateTold | None:
    return look.guest.value if isinstance(look.guest, Seen) else None


def _trusted(look: SiteLook) -> CertificateHeld | None:
    """The certificate that the CA issued; none while it is self-signed, or from a trial in staging."""
    told = _told(look)
    held = told.held if told is not None else None
    return held if held is not None and held.kind == "issued" else None


def _outside(look: SiteLook) -> tuple[Answer, ...]:
    return look.probes.outside if look.probes is not None else ()


def _failure(look: SiteLook) -> str:
    """What the CA said, word for word, with where and when."""
    told = _told(look)
    attempt = told.last_attempt if told is not None else None
    if attempt is None or attempt.outcome != "failed":
        return ""
    where = f" at the stage {attempt.stage}" if attempt.stage else ""
    reason = attempt.detail or "no reason was given"
    kind = f" ({attempt.problem})" if attempt.problem else ""
    said = f"{reason}{kind}".rstrip(".")
    return f"The last order failed at {_minute(attempt.at)}{where}: {said}."


def _next_try(told: CertificateTold) -> str:
    """When it is tried next; nothing where that is now."""
    if told.waits_for == UNDER_WAY:
        return " An order is under way."
    if told.next_attempt_at is None or not told.waits_for:
        return ""
    due = _minute(told.next_attempt_at)
    why = {"budget": " It waits so long to stay below the CA's limits.", "back-off": ""}
    return f" The next try is at {due}.{why.get(told.waits_for, '')}"


FIXES = {
    "client": "give the guest a connection to its Python package index, or name one in its /etc/pip.conf.",
    "directory": "check that the guest reaches the CA's directory, and that `directory` names it.",
    "account": "check `email` and `terms_agreed` of `web.acme`.",
    "order": "read the CA's reason; for a rate limit, wait.",
    "challenge": "check that each name resolves to this host, and that port 80 is open to everybody.",
    "finalize": "read the CA's reason.",
    "download": "nothing now; the next try repeats it.",
    "install": "correct the file that nginx names, in the guest. The next run installs the certificate.",
}
"""What to do, by the stage at which an order failed."""


def _fix_of(look: SiteLook) -> str:
    told = _told(look)
    attempt = told.last_attempt if told is not None else None
    if attempt is None or attempt.outcome != "failed":
        return ""
    if attempt.stage == "challenge" and look.wanted.authority.challenge == "dns-01":
        return "check the hook that sets the DNS records."
    return FIXES.get(attempt.stage, "read the CA's reason.") if not _is_limit(attempt) else FIX_OF_LIMIT


FIX_OF_LIMIT = "wait; the program tries again when the CA's limit allows it."


def _is_limit(attempt: Attempt) -> bool:
    return attempt.problem.endswith(":rateLimited")


def _day(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"


def _minute(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def _until(held: CertificateHeld, now: int) -> str:
    """The day; the minute where it is near."""
    return _day(held.not_after) if held.not_after - now > 2 * _DAY_S else _minute(held.not_after)
