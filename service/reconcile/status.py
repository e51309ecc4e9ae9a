"""From what a round found to the status that is shown, and to when the next round is due. Pure."""

from dataclasses import replace
from datetime import datetime

from service.errors import AuthFailed, HostError, HostKeyChanged, TooMuch
from service.model.axes import Health, Phase, Reachability
from service.model.runs import LEFT_GIT, HostStatus, SyncMode
from service.model.telling import Ended
from service.reconcile.decide import Decision
from service.spec.host import HostSpec

RETRY_FIRST_S = 2.0
RETRY_MOST_S = 300.0
THROTTLED_MOST_S = 30.0
"""An address that sshd refuses is not refused longer for another try."""
SOON_S = 0.0


def backoff_s(failures: int) -> float:
    """Seconds until the next try after so many failures in a row."""
    doublings = min(max(0, failures - 1), 16)  # a host may be away for weeks: no number may outgrow a float
    return min(RETRY_MOST_S, RETRY_FIRST_S * 2.0**doublings)


def retry_s(phase: Phase, failures: int, observe_s: float) -> float:
    """Seconds until the next round after an apply that was not confirmed. If nobody saw how it ended, the host's
    journal has the end soon."""
    soon_s = backoff_s(failures)
    return soon_s if phase == "AwaitingConfirmation" else max(observe_s, soon_s)


def agreed(status: HostStatus, commit: str) -> HostStatus:
    """A newer commit wants the same of the host: what was found out by the one before holds."""
    is_applied = status.applied_commit == status.observed_commit
    return replace(status, observed_commit=commit, applied_commit=commit if is_applied else status.applied_commit)


def fresh(spec: HostSpec, before: HostStatus | None, mode: SyncMode | None = None) -> HostStatus:
    """The status with what the spec says of the host itself. `mode` is the one that counts, where it is not the
    spec's."""
    known = before or HostStatus(spec.name)
    if known.reason == "Orphaned":  # it comes back: what was applied when it left counts no more
        known = replace(known, reason="", message="", applied_commit="", applied_digest="", desired_digest="")
    return replace(
        known,
        address=known.address or spec.connection.address,
        sync_mode=mode or spec.sync,
        console=spec.connection.console or "",
    )


def granted(before: HostStatus | None) -> SyncMode:
    """The mode in which a host was last worked on; a new host was never allowed to change automatically."""
    return "approve" if before is None or before.reason == "Orphaned" else before.sync_mode


def before_start(status: HostStatus) -> HostStatus:
    """Nobody has looked at the host since the service started. Its last state is shown with its age. Its present health
    and reachability are unknown.
    """
    message = f"not looked at since the service started; {status.message}".removesuffix("; ")
    return replace(status, health="Unknown", reachability="Unknown", message=message)


def expected(spec: HostSpec, before: HostStatus | None) -> HostStatus:
    """The host is in Git since a moment ago, and nobody has looked at it yet."""
    return replace(
        fresh(spec, before), sync="Unknown", reason="", health="Unknown", reachability="Unknown", phase="Idle",
        message="not looked at yet",
    )  # fmt: skip


def orphaned(status: HostStatus, message: str = LEFT_GIT) -> HostStatus:
    """The host left Git: nobody looks at it any more, so nothing is known of it now."""
    return replace(
        status, sync="Unknown", reason="Orphaned", health="Unknown", reachability="Unknown", phase="Idle",
        message=message, plan_id="", applied_digest="", drift_items=0,
    )  # fmt: skip


def unreachable(status: HostStatus, error: HostError, *, is_compared: bool) -> HostStatus:
    """The host could not be looked at: what was known of it grows stale, nothing is assumed. Not `is_compared`: its
    spec changed since, so its plan is void and waits for nobody."""
    reachability: Reachability = "Unreachable"
    if isinstance(error, HostKeyChanged):
        reachability = "HostKeyChanged"
    elif isinstance(error, AuthFailed):
        reachability = "AuthFailed"
    elif isinstance(error, TooMuch):
        reachability = "Reachable"  # it answers, all too much
    return replace(
        status,
        sync="Unknown",
        reason="ComparisonError",
        health="Unknown",
        reachability=reachability,
        message=str(error),
        phase="Idle" if status.phase == "WaitingForApproval" and not is_compared else status.phase,
        plan_id=status.plan_id if is_compared else "",
    )


def failed(status: HostStatus, message: str, *, apply_id: str = "") -> HostStatus:
    """The round ended in an error that nobody expected: nothing that was known of the host holds. `apply_id` is one
    that the round had begun: the host's journal will tell how it ends."""
    begun = bool(apply_id) or status.phase in ("Running", "AwaitingConfirmation")
    return replace(
        status,
        sync="Unknown",
        reason="ComparisonError",
        health="Unknown",
        reachability="Unknown",
        phase="AwaitingConfirmation" if begun else "Idle",
        apply_id=apply_id or status.apply_id,
        plan_id="",
        message=message,
    )


def doubted(status: HostStatus, doubt: str) -> HostStatus:
    """What was seen came over an old connection, and no new one comes in: what was seen holds, that the host can be
    reached does not."""
    if not doubt:
        return status
    message = f"{status.message}; {doubt}".removeprefix("; ")
    return replace(status, health="Degraded", reachability="Unknown", message=message)


def awaited(status: HostStatus, message: str) -> HostStatus:
    """A transaction is armed on the host: it answers, but nobody can say yet what it will be."""
    return replace(
        status,
        sync="Unknown",
        reason="ComparisonError",
        health="Progressing",
        reachability="Reachable",
        phase="AwaitingConfirmation",
        message=message,
    )


def seen(
    status: HostStatus, decision: Decision, *, at: datetime, commit: str, desired_digest: str, drift_items: int
) -> HostStatus:
    """The host was looked at and compared."""
    phase: Phase = decision.phase
    if decision.action == "nothing" and status.phase in ("Succeeded", "RolledBack") and decision.phase == "Idle":
        phase = status.phase if decision.sync == "Synced" else "Idle"
    is_well = decision.sync == "Synced" and not decision.message  # of a host that is as wanted: what ails it
    health: Health = "Healthy" if is_well and phase != "RollbackFailed" else "Degraded"
    return replace(
        status,
        sync=decision.sync,
        reason=decision.reason,
        message=decision.message,
        health=health,
        reachability="Reachable",
        phase=phase,
        observed_at=at,
        observed_commit=commit,
        desired_digest=desired_digest,
        drift_items=drift_items,
    )


def ended(
    status: HostStatus, result: Ended, *, apply_id: str, commit: str, desired_digest: str, is_latched: bool
) -> HostStatus:
    """An apply came to its end. `is_latched`: what it wanted is not tried again."""
    phase = phase_of(result)
    changed = replace(status, phase=phase, apply_id=apply_id, attempted_commit=commit, message=result.error)
    if phase == "Succeeded":
        return replace(changed, applied_commit=commit, applied_digest=desired_digest, message="", health="Progressing")
    if phase == "RollbackFailed":
        console = f"; console: {status.console}" if status.console else ""
        return replace(changed, health="Degraded", message=f"{result.error}{console}")
    if is_latched and phase == "RolledBack":
        return replace(changed, reason="RolledBackLatched", health="Degraded")
    return replace(changed, health="Degraded")


def phase_of(result: Ended) -> Phase:
    """The apply's last phase. `unconfirmed` is not an end: the host's journal will tell."""
    match result.ending:
        case "confirmed":
            return "Succeeded"
        case "rolled_back":
            return "RolledBack"
        case "rollback_failed":
            return "RollbackFailed"
        case "unconfirmed":
            return "AwaitingConfirmation"
        case "refused":
            return "Refused"
        case _:
            return "Failed"
