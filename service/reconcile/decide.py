"""What to do about a plan: a pure table from mode, drift, latch and requests to one decision."""

from dataclasses import dataclass, replace
from typing import Literal

from service.model.plans import Plan
from service.model.runs import Phase, SyncMode, SyncReason, SyncState

Action = Literal["nothing", "apply", "wait", "refuse"]


@dataclass(frozen=True, slots=True)
class Request:
    """A person's or a program's wish to apply. `digest` is the plan they saw; empty = whatever the plan is now."""

    apply_id: str
    by: str
    digest: str = ""
    plan_id: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens now, and the status words that say so. `trigger` is what set it off."""

    action: Action
    sync: SyncState
    reason: SyncReason
    phase: Phase
    message: str = ""
    stale_request: bool = False


def decide(
    plan: Plan,
    mode: SyncMode,
    *,
    latched: bool,
    request: Request | None,
    contested: bool = False,
    why_latched: str = "",
) -> Decision:
    """One decision for one host.

    Refusals stop everything. A request counts only for the plan that it names. `observe` never writes, whoever asks.
    A latched digest is not tried again by itself; a person may ask for it by name. What cuts guests off waits for a
    person, also under `auto`. `contested`: something on the host keeps undoing what is applied, so the loop stands back
    for a while. `why_latched` is what the apply ended with.
    """
    if plan.is_empty and not plan.drifts:
        return Decision("nothing", "Synced", "", "Idle", stale_request=request is not None)
    sync, reason = compared(plan)
    if plan.refusals:
        return Decision(
            "refuse", sync, reason, "Refused", "; ".join(r.what for r in plan.refusals[:3]), request is not None
        )
    if plan.is_empty:
        return Decision(
            "nothing",
            sync,
            reason,
            "Idle",
            "; ".join(plan.notes[:3]) or "there is a difference that no step can mend",
            request is not None,
        )
    if request is not None and request.digest and request.digest != plan.digest:
        return Decision(
            "wait", sync, reason, "WaitingForApproval", "the plan changed since it was approved", stale_request=True
        )
    if mode == "observe":
        return Decision("wait", sync, reason, "Idle", "sync: observe never writes", stale_request=request is not None)
    if request is not None and not request.digest and any(step.fact.startswith("package:") for step in plan.steps):
        why = "packages would go: an approval has to name the digest of the plan"
        return Decision("wait", sync, reason, "WaitingForApproval", why, stale_request=True)
    if request is not None:
        return Decision("apply", sync, reason, "Running")
    if latched:
        return Decision(
            "wait",
            sync,
            "RolledBackLatched",
            "RolledBack",
            "this desired state was rolled back and is not tried again by itself"
            + f": {why_latched}".removesuffix(": "),
        )
    if mode == "approve":
        return Decision("wait", sync, reason, "WaitingForApproval", "the plan waits for approval")
    if risks := [step.risk for step in plan.steps if step.risk]:
        return Decision(
            "wait", sync, reason, "WaitingForApproval", f"the plan is disruptive and waits for approval: {risks[0]}"
        )
    if contested:
        return Decision("wait", sync, reason, "Pending", "something on the host keeps undoing this; the next try waits")
    return Decision("apply", sync, reason, "Running")


def quarantined(decision: Decision, why: str) -> Decision:
    """The same comparison on a host whose rollback failed: nothing is done, whoever asks."""
    return replace(decision, action="refuse", phase="RollbackFailed", message=why, stale_request=True)


def compared(plan: Plan) -> tuple[SyncState, SyncReason]:
    """The sync axis: Synced only where nothing differs, Unknown where something could not be read."""
    if any(d.difference.unknown for d in plan.drifts):
        return "Unknown", "ComparisonError"
    sides = {d.moved for d in plan.drifts}
    if not sides:
        return "Synced", ""
    if sides == {"git"}:
        return "OutOfSync", "PendingChange"
    if sides == {"host"}:
        return "OutOfSync", "Drifted"
    return "OutOfSync", "Diverged"
