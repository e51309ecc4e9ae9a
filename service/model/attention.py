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


ONLY_A_PERSON = ("reverts this change again and again", " is halted: ", " was aborted: ")
"""What a host says that waits for its turn, where only a person moves it on."""


def attention_of(status: HostStatus, *, is_stale: bool, is_suspended: bool) -> Attention | None:
    """The gravest reason, None where the host needs nobody. A host that is suspended is out of sync on purpose, and
    what waits for a window or for its turn continues automatically. Every host that is out of sync is Degraded, so that
    alone says nothing.
    """
    found = _of_safety(status) or _of_reach(status, is_stale=is_stale) or _of_work(status, is_suspended=is_suspended)
    if found is None and status.health == "Degraded" and not _continues(status, is_suspended=is_suspended):
        return Attention("degraded", status.message or "Something on the host does not work.", "doctor")
    return found


def _continues(status: HostStatus, *, is_suspended: bool) -> bool:
    """Whether the host is out of sync and time moves it on, or who holds it. Where nobody can log in again, nothing
    moves it on."""
    if status.sync == "Synced" or status.reachability != "Reachable":
        return False
    if is_suspended or status.phase in ("WaitingForWindow", "Running", "AwaitingConfirmation"):
        return True
    return status.phase == "Pending" and not any(words in status.message for words in ONLY_A_PERSON)


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
    if status.phase in ("Running", "AwaitingConfirmation") and status.health != "Unknown":
        return None
    if is_suspended or status.phase in ("Pending", "WaitingForWindow"):
        if status.reason != "ComparisonError":
            return None
        said = "" if status.health == "Degraded" else status.message  # it says why it waits
        return Attention("not-compared", said or "It could not be compared with Git.", "doctor")
    return _of_plan(status)


def _of_plan(status: HostStatus) -> Attention | None:
    is_compared = status.reason != "ComparisonError" or status.health == "Degraded"
    if is_compared and status.phase == "WaitingForApproval":
        return Attention("waits-for-approval", status.message or "A plan waits for an approval.", "plan")
    if is_compared and status.phase == "Refused":
        return Attention("refused", status.message or "The plan is refused.", "plan")
    if status.reason == "ComparisonError":
        return Attention("not-compared", status.message or "It could not be compared with Git.", "doctor")
    if status.reason == "RolledBackLatched" or (status.phase == "RolledBack" and status.sync != "Synced"):
        return Attention("rolled-back", status.message or "The host rolled the last change back.", "clear-latch")
    if status.phase == "Failed":
        return Attention("failed", status.message or "The last apply failed.", "plan")
    if status.sync == "OutOfSync" and status.phase == "Idle":
        count = status.drift_items
        said = f"{count} thing{'s' * (count != 1)} on the host {'are' if count != 1 else 'is'} not as Git wants."
        return Attention("drifted", f"{said} {status.message}".strip(), "plan")
    return None
