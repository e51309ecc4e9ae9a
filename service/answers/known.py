"""Whether anything may be said of a host: only what was seen of it and compared with what Git wants now.

compared(look, spec)                             whether the last look is of this spec
why_not_known(host, revision, …) -> NotKnown     why there is nothing to answer by, in words that name the way out
"""

from datetime import datetime
from typing import Protocol

from service.errors import LeftGit, NeverSeen, NoHost, NotFound, NotKnown
from service.model.ages import ago
from service.model.axes import Reachability
from service.model.plans import Plan
from service.model.runs import HostStatus
from service.spec.host import HostSpec

CAUSES: dict[Reachability, str] = {
    "Unreachable": "it is unreachable",
    "AuthFailed": "authentication failed",
    "HostKeyChanged": "its host key changed",
}
FIXES: dict[Reachability, str] = {
    "Unreachable": "check that the host is up, and that its address and port in the spec are right",
    "AuthFailed": "add the service's key on the host; `passerelle key` prints the line",
    "HostKeyChanged": "compare the fingerprint on the host's console; if it is right, commit the new key",
}


class Compared(Protocol):
    """The last look at a host."""

    @property
    def spec(self) -> HostSpec | None: ...

    @property
    def plan(self) -> Plan | None: ...


def compared(look: Compared | None, spec: HostSpec) -> bool:
    """Whether the host was compared with this spec, and the comparison still holds."""
    return look is not None and look.plan is not None and (look.spec is spec or look.spec == spec)


def never_seen(status: HostStatus | None) -> bool:
    """Whether nothing was ever seen of the host."""
    return status is None or status.observed_at is None


def left_git(host: str, status: HostStatus | None, now: datetime) -> NotFound | LeftGit:
    """Of a host that no revision names."""
    if status is None:
        return NoHost(host)
    since = _since(status.changed_at, now)
    return LeftGit(
        f"{host} is no longer in Git{since}, so nobody looks at it",
        hint=f"restore its file, or remove its records with `passerelle host forget {host}`",
    )


def why_not_known(host: str, commit: str, status: HostStatus | None, trouble: str, now: datetime) -> NotKnown:
    """Of a host that is in Git and was not compared with this commit. `trouble` is why the last round failed."""
    kind = NeverSeen if never_seen(status) else NotKnown
    what = f"{host} was never seen" if kind is NeverSeen else f"{host} was not compared with {commit[:10]}"
    if status is not None and status.reachability in CAUSES:
        since = _since(status.changed_at, now)
        return kind(
            f"{what}: {CAUSES[status.reachability]}{since}: {status.message}".removesuffix(": "),
            hint=FIXES[status.reachability],
        )
    if trouble:
        return kind(f"{what}: {trouble}", hint=f"see `passerelle status {host}`")
    soon = f"{host} was not looked at yet" if kind is NeverSeen else f"{what} yet"
    return kind(soon, hint=f"wait for the next look, or run `passerelle look {host}`")


def _since(at: datetime | None, now: datetime) -> str:
    """` since 14:02 UTC (3 min ago)`; with its date where that is another day. Empty where it is not known."""
    if at is None:
        return ""
    shown = f"{at:%H:%M} UTC" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M} UTC"
    return f" since {shown} ({ago((now - at).total_seconds())})"
