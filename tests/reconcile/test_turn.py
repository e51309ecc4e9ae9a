"""A host that is held up: which phase is shown of it."""

import pytest

from service.kinds import KINDS
from service.kinds.desire import desire
from service.model.runs import HostStatus
from service.reconcile.decide import Decision
from service.reconcile.standing import Standing
from service.reconcile.turn import Turn
from service.reconcile.watching import Wanted
from tests.laws.specs import head, spec_of


@pytest.mark.parametrize(
    ("why", "phase"),
    [
        ("rollout 01R waits for an approval: it changes 8 of 8 hosts. Fix: resume it", "WaitingForApproval"),
        ("rollout 01R is halted: Paris waits for an approval. Fix: resume it", "Pending"),
        ("rollout 01R: the host waits for wave 2 of 3", "Pending"),
    ],
)
def test_only_a_rollout_that_waits_for_an_approval_is_shown_so(why: str, phase: str) -> None:
    spec = spec_of(head())
    turn = Turn(spec, Wanted(), Standing(), HostStatus("pve1"), desire(spec, KINDS))
    turn.decision = Decision("apply", "OutOfSync", "PendingChange", "Running")
    turn.hold(why)
    assert (turn.status.phase, turn.decision.action, turn.status.message) == (phase, "wait", why)
