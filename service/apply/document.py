"""A plan as the host-side file takes it, and what the host says as the loop takes it. Pure."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, get_args

from service.errors import Garbled
from service.model.facts import Step
from service.model.plans import Plan
from service.model.runs import StepState
from service.model.secret import Secret
from service.model.states import Json
from service.model.telling import Ended, Fence, StepTold

STATES: dict[str, Any] = {
    "confirmed": "confirmed",
    "rolled_back": "rolled_back",
    "rollback_failed": "rollback_failed",
    "released": "rollback_failed",
    "conflict": "conflict",
    "refused": "refused",
}
MAX_STEPS = 10_000
MAX_JOURNALS = 2_000
MAX_GENERATION = 1 << 62
STEP_STATES = frozenset(get_args(StepState))
CAUSES = {
    "deadline": "nobody confirmed before the deadline, so the host rolled back",
    "boot": "the host booted before the change was confirmed, so it rolled back",
    "step failed": "a step failed, so the host rolled back",
    "changed meanwhile": "someone else changed the host during the apply, so it rolled back",
    "verify failed": "the host was not as planned after the steps, so it rolled back",
    "confirm failed": "the confirmation could not be completed, so the host rolled back",
    "run died": "the process that applied the change died, so the host rolled back",
    "asked": "somebody requested the rollback",
    "probe lost": "something that has to answer after the change did not, so the host rolled back",
}
PROBE_LOST = "probe lost: "
"""How the service's own reason to ask for a rollback begins."""
MAX_WORDS = 400
OVERDUE_S = 10.0


def document(plan: Plan, *, apply_id: str, generation: int, controller: str, confirm_timeout_s: int) -> dict[str, Any]:
    """The transaction document (format 1) of a plan."""
    return {
        "format": 1,
        "id": apply_id,
        "generation": generation,
        "controller": controller,
        "plan_digest": plan.digest,
        "confirm_timeout_s": confirm_timeout_s,
        "steps": [as_step(step, plan.secrets) for step in plan.steps],
        "keep": [as_step(step, plan.secrets) for step in plan.keep],
        "checks": [list(check) for check in plan.checks],
        "blobs": {name: base64.b64encode(content).decode("ascii") for name, content in contents(plan).items()},
    }


def as_step(step: Step, secrets: Mapping[str, Secret]) -> dict[str, Any]:
    """One step; its risk is for people, not for the host. The host knows secrets by their digest, as it does all bytes:
    what it keeps of a transaction is for root alone."""
    told = {name: value for name, value in asdict(step).items() if name != "risk"}
    return told | {side: by_digest(told[side], secrets) for side in ("before", "after")}


def by_digest(value: Json, secrets: Mapping[str, Secret]) -> Json:
    """A fact's value as the host has it: with the digest of its bytes where people see a mark."""
    if not isinstance(value, dict) or "mark" not in value:
        return value
    digest = hashlib.sha256(secrets[str(value["mark"])].reveal()).hexdigest()
    return {"sha256": digest, **{name: item for name, item in value.items() if name != "mark"}}


def contents(plan: Plan) -> dict[str, bytes]:
    """The bytes that the steps write, by their digest."""
    marks = [str(step.after["mark"]) for step in plan.steps if isinstance(step.after, dict) and "mark" in step.after]
    opened = [plan.secrets[mark].reveal() for mark in marks]
    return {**plan.blobs, **{hashlib.sha256(content).hexdigest(): content for content in opened}}


def ended(result: dict[str, Any]) -> Ended | None:
    """How it ended, from a result or a journal; None while it has not."""
    ending = STATES.get(str(result.get("state")))
    if ending is None:
        return None
    cause, why = cause_of(result)
    verified = result.get("verified_old")
    is_verified = verified if isinstance(verified, bool) else None
    return Ended(ending, cause, sentence(result, cause, why), steps_of(result), is_verified)


def cause_of(result: dict[str, Any]) -> tuple[str, str]:
    """The fixed word for why it ended so, and what whoever requested it said."""
    cause = str(result.get("cause") or result.get("reason") or "")
    if not cause.startswith("asked: "):
        return cause, ""
    why = words(cause.removeprefix("asked: "))
    return ("probe lost", why.removeprefix(PROBE_LOST)) if why.startswith(PROBE_LOST) else ("asked", why)


def sentence(result: dict[str, Any], cause: str, why: str) -> str:
    """What happened, for a tired person."""
    if result.get("state") == "confirmed":
        return ""
    differs = [f"{d.get('fact')}" for d in result.get("differs") or result.get("facts") or [] if isinstance(d, dict)]
    failed = words(result.get("rollback_error"))
    parts = [
        CAUSES.get(cause, cause),
        why,
        words(result.get("error")),
        ", ".join(differs[:8]),
        f"the rollback failed: {failed}" if failed else "",
    ]
    return ": ".join(part for part in parts if part)


def words(value: object) -> str:
    """Text from a host: one line, bounded, without anything that a terminal would obey."""
    text = "" if value is None else str(value)
    return "".join(c if c.isprintable() else " " for c in text)[:MAX_WORDS].strip()


def steps_of(result: dict[str, Any]) -> tuple[StepTold, ...]:
    """How far each step is, from a result or a journal."""
    steps = result.get("steps")
    known = steps[:MAX_STEPS] if isinstance(steps, list) else []
    return tuple(told(n, step) for n, step in enumerate(known) if isinstance(step, dict))


def told(position: int, step: dict[str, Any]) -> StepTold:
    """One step as the host has it."""
    state = str(step.get("state"))
    error = words(step.get("error"))
    if error and state == "doing":
        state = "failed"
    if state not in STEP_STATES:
        state = "pending"
    return StepTold(position, state, error, took_s(step))  # type: ignore[arg-type]  # it is one of them


def took_s(step: dict[str, Any]) -> float:
    """How long a step took by the host's own clock; 0 where it does not say."""
    began, over = step.get("started_s"), step.get("ended_s")
    if isinstance(began, int | float) and isinstance(over, int | float):
        return max(0.0, min(float(over) - float(began), 86_400.0))
    return 0.0


def overdue(result: dict[str, Any]) -> str:
    """The armed transaction in the answer of `status` whose deadline is long past, so that its timer must be gone."""
    for journal in result.get("journals") or []:
        if not isinstance(journal, dict) or journal.get("id") != result.get("armed") or ended(journal) is not None:
            continue
        now_s, deadline_s = result.get("boottime_s"), journal.get("deadline_boottime_s")
        if isinstance(now_s, int | float) and isinstance(deadline_s, int | float) and now_s > deadline_s + OVERDUE_S:
            return words(journal.get("id"))
    return ""


def fence(result: dict[str, Any]) -> Fence:
    """The answer of `status`. Raises Garbled for what no host-side file says."""
    told_of, generation = result.get("journals") or [], result.get("generation") or 0
    if not isinstance(told_of, list) or len(told_of) > MAX_JOURNALS:
        raise Garbled(f"the host reports journals that are not a list, or of more than {MAX_JOURNALS}")
    if type(generation) is not int or not 0 <= generation < MAX_GENERATION:
        raise Garbled("the host's generation is not a number that one of ours can follow")
    journals = [j for j in told_of if isinstance(j, dict)]
    found = {str(j.get("id")): end for j in journals if (end := ended(j)) is not None}
    return Fence(
        generation=generation,
        controller=words(result.get("controller")),
        armed=words(result.get("armed")),
        quarantined=words(result.get("quarantined")),
        journals=found,
    )
