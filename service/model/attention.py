"""What a person has to do about a host, in one sentence, and with which step."""

from dataclasses import dataclass
from typing import Literal

from service.model.runs import HostStatus

AttentionKind = Literal[
    "quarantined", "rollback-failed", "host-key", "login", "unreachable", "stale", "waits-for-approval", "rolled-back",
    "refused", "failed", "drifted", "not-compared", "left-git", "degraded",
]  # fmt: skip
AttentionStep = Literal["release", "clear-latch", "plan", "look", "doctor", "forget"]
"""`release` ends a quarantine, `clear-latch` lets a rolled-back change be tried again, `plan`: read the plan, and apply
it. `look`: look at the host again. `doctor`: `passerelle doctor HOST` names the cause. `forget`: the host left Git."""


@dataclass(frozen=True, slots=True)
class Attention:
    """Why a host needs a person, and the next step."""

    kind: AttentionKind
    text: str
    step: AttentionStep


def attention_of(status: HostStatus, *, is_stale: bool, is_suspended: bool) -> Attention | None:
    """The gravest reason, None where the host needs nobody. A host that is suspended is out of sync on purpose."""
    found = _of_safety(status) or _of_reach(status, is_stale=is_stale) or _of_work(status, is_suspended=is_suspended)
    if found is None and status.health == "Degraded":
        return Attention("degraded", status.message or "Something on the host does not work.", "doctor")
    return found


def _of_safety(status: HostStatus) -> Attention | None:
    if status.quarantined:
        return Attention("quarantined", status.message or "A rollback failed. Nothing is applied any more.", "release")
    if status.phase == "RollbackFailed":
        return Attention("rollback-failed", status.message or "The host could not undo a change.", "doctor")
    return None


def _of_reach(status: HostStatus, *, is_stale: bool) -> Attention | None:
    match status.reachability:
        case "HostKeyChanged":
            return Attention("host-key", status.message or "Its SSH key is not the one that is pinned.", "doctor")
        case "AuthFailed":
            return Attention("login", status.message or "It does not accept the service's key.", "doctor")
        case "Unreachable":
            return Attention("unreachable", status.message or "It does not answer.", "doctor")
    return Attention("stale", "Nobody has seen it lately.", "look") if is_stale else None


def _of_work(status: HostStatus, *, is_suspended: bool) -> Attention | None:
    if status.reason == "Orphaned":
        return Attention("left-git", status.message or "It is not in Git any more.", "forget")
    if status.reason == "ComparisonError":
        return Attention("not-compared", status.message or "It could not be compared with Git.", "doctor")
    if is_suspended:
        return None
    if status.phase == "WaitingForApproval":
        return Attention("waits-for-approval", status.message or "A plan waits for an approval.", "plan")
    if status.reason == "RolledBackLatched" or status.phase == "RolledBack":
        return Attention("rolled-back", status.message or "The host rolled the last change back.", "clear-latch")
    if status.phase == "Refused":
        return Attention("refused", status.message or "The plan is refused.", "plan")
    if status.phase == "Failed":
        return Attention("failed", status.message or "The last apply failed.", "plan")
    if status.sync == "OutOfSync" and status.reason in ("Drifted", "Diverged") and status.phase == "Idle":
        count = status.drift_items
        said = f"{count} thing{'s' * (count != 1)} on the host {'are' if count != 1 else 'is'} not as Git wants."
        return Attention("drifted", status.message or said, "plan")
    return None
