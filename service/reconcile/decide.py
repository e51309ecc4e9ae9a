"""What to do about a plan: a pure table from mode, drift, latch and requests to one decision."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from service.model.axes import Phase, SyncState
from service.model.plans import Plan
from service.model.runs import SyncMode, SyncReason

Action = Literal["nothing", "apply", "wait", "refuse"]


@dataclass(frozen=True, slots=True)
class Request:
    """A person's or a program's wish to apply. `digest` is the plan they saw; empty = whatever the plan is now.
    `may_raise`: the requester may approve what the operator does not let a commit do on its own. `back_to` is the
    commit to whose state the host is to go back; empty: to what Git wants."""

    apply_id: str
    by: str
    digest: str = ""
    plan_id: str = ""
    may_raise: bool = False
    back_to: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens now, and the status words that say so. `trigger` is what set it off."""

    action: Action
    sync: SyncState
    reason: SyncReason
    phase: Phase
    message: str = ""
    stale_request: bool = False


def unknown_of(plan: Plan) -> tuple[str, ...]:
    """Why a host differs although there is nothing to do: what could not be read."""
    reasons = tuple(dict.fromkeys(d.difference.unknown for d in plan.drifts if d.difference.unknown))
    return reasons or ("there is a difference that no step can fix",)


def decide(
    plan: Plan,
    mode: SyncMode,
    *,
    latched: bool,
    request: Request | None,
    contested: bool = False,
    why_latched: str = "",
    raises: Sequence[str] = (),
    capped: str = "",
) -> Decision:
    """One decision for one host.

    Refusals stop everything. A request counts only for the plan that it names. `observe` never writes, whoever asks. A
    latched digest is not tried again on its own; a person may ask for it by name. Changes that would disconnect guests
    always need approval, also under `auto`. `contested`: something on the host keeps reverting the applied state, so
    the loop pauses for a while. `why_latched` is what the apply ended with. `raises` need an approval of this very
    plan, `capped` says why `mode` is not the spec's.
    """
    if plan.is_empty and not plan.drifts:
        return Decision("nothing", "Synced", "", "Idle", "; ".join(plan.ailing[:3]), request is not None)
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
            "; ".join((plan.notes or plan.ailing or unknown_of(plan))[:3]),
            request is not None,
        )
    if request is not None and request.digest and request.digest != plan.digest:
        return Decision(
            "wait", sync, reason, "WaitingForApproval", "the plan changed since it was approved", stale_request=True
        )
    if mode == "observe":
        why = "; ".join(["sync: observe never writes", *([capped] if capped else [])])
        return Decision("wait", sync, reason, "Idle", why, stale_request=request is not None)
    if raises and not (request is not None and request.may_raise and request.digest):
        return Decision(
            "wait", sync, reason, "WaitingForApproval", needs_approval(raises), stale_request=request is not None
        )
    if request is not None and not request.digest and any(step.fact.startswith("package:") for step in plan.steps):
        why = "the plan removes packages, so the approval has to name its digest"
        return Decision("wait", sync, reason, "WaitingForApproval", why, stale_request=True)
    if request is not None:
        return Decision("apply", sync, reason, "Running")
    return _unasked(plan, mode, sync, reason, latched, contested, why_latched, capped)


def _unasked(
    plan: Plan,
    mode: SyncMode,
    sync: SyncState,
    reason: SyncReason,
    latched: bool,
    contested: bool,
    why_latched: str,
    capped: str,
) -> Decision:
    """What the service does on its own, without a request."""
    if latched:
        return Decision(
            "wait",
            sync,
            "RolledBackLatched",
            "RolledBack",
            "this desired state was rolled back and is not tried again" + f": {why_latched}".removesuffix(": "),
        )
    if mode == "approve":
        why = "; ".join(["the plan waits for approval", *([capped] if capped else [])])
        return Decision("wait", sync, reason, "WaitingForApproval", why)
    if risks := [step.risk for step in plan.steps if step.risk]:
        return Decision(
            "wait", sync, reason, "WaitingForApproval", f"the plan is disruptive and waits for approval: {risks[0]}"
        )
    if contested:
        return Decision(
            "wait",
            sync,
            reason,
            "Pending",
            "something on the host reverts this change again and again. The next try waits",
        )
    return Decision("apply", sync, reason, "Running")


def needs_approval(raises: Sequence[str]) -> str:
    """What the operator does not let a commit do on its own, and what to do about it."""
    more = f" (and {len(raises) - 3} more)" if len(raises) > 3 else ""
    what = "; ".join(raises[:3]) + more
    return f"this plan needs an approval, once: {what}. Fix: apply it with a token of scope approve"


def quarantined(decision: Decision, why: str) -> Decision:
    """The same comparison on a host whose rollback failed: nothing is done, whoever asks."""
    return replace(decision, action="refuse", phase="RollbackFailed", message=why, stale_request=True)


def blocked(decision: Decision, why: str, phase: Phase = "Pending") -> Decision:
    """The same comparison on a host where no apply may begin now: it waits."""
    return replace(decision, action="wait", phase=phase, message=why)


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
