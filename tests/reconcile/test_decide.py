"""What is done about a plan, as a table: mode, what differs, latch, request, a host that fights back."""

from dataclasses import dataclass

import pytest

from service.model.changes import Difference, Drift, Moved
from service.model.facts import Step
from service.model.plans import PackageChange, Plan, Refusal
from service.model.runs import SyncMode
from service.reconcile.decide import Request, decide

STEP = Step("sysctl:x", "0", "1", "asked")
NOBODY = None


def differs(*sides: Moved, unknown: str = "") -> tuple[Drift, ...]:
    return tuple(
        Drift(Difference("nat", f"r{n}", "f", "live", "changed", 1, 0, unknown=unknown), side)
        for n, side in enumerate(sides)
    )


SYNCED = Plan("pve1", "c", "d")
PENDING = Plan("pve1", "c", "d", drifts=differs("git"), steps=(STEP,))
DRIFTED = Plan("pve1", "c", "d", drifts=differs("host"), steps=(STEP,))
DIVERGED = Plan("pve1", "c", "d", drifts=differs("git", "host"), steps=(STEP,))
BOTH = Plan("pve1", "c", "d", drifts=differs("both"), steps=(STEP,))
PACKAGE = Plan("pve1", "c", "d", drifts=differs("git"), packages=(PackageChange("dnsmasq", "install"),))
UNREAD = Plan("pve1", "c", "d", drifts=differs("host", unknown="garbled"), refusals=(Refusal("unknown", "unread"),))
CUTS = Plan("pve1", "c", "d", drifts=differs("git"), steps=(STEP,), refusals=(Refusal("management-path", "would cut"),))
CUTTING = Step("link:vmbr1", {"type": "bridge"}, None, "gone", risk="whoever is behind its 2 ports loses the link")
DISRUPTIVE = Plan("pve1", "c", "d", drifts=differs("git"), steps=(STEP, CUTTING))
GOING = Step("package:tcpdump", {"version": "4.99"}, None, "gone", risk="packages are removed")
REMOVING = Plan("pve1", "c", "d", drifts=differs("git"), steps=(GOING,))
STUCK = Plan("pve1", "c", "d", drifts=differs("host"))

ANN = Request("apply-1", "ann", PENDING.digest)
ANYTHING = Request("apply-2", "bob")
OLD = Request("apply-3", "ann", "sha256:another")


@dataclass(frozen=True)
class Row:
    """A situation, and `action sync reason phase`; `stale` says whether the request ends with it."""

    name: str
    plan: Plan
    mode: SyncMode
    said: str
    request: Request | None = NOBODY
    latched: bool = False
    contested: bool = False
    stale: bool = False


ROWS = [
    Row("as wanted", SYNCED, "auto", "nothing Synced - Idle"),
    Row("as wanted, somebody asks", SYNCED, "approve", "nothing Synced - Idle", request=ANYTHING, stale=True),
    Row("as wanted, though latched", SYNCED, "auto", "nothing Synced - Idle", latched=True),
    Row("Git moved", PENDING, "auto", "apply OutOfSync PendingChange Running"),
    Row("Git moved: guests lose their link", DISRUPTIVE, "auto", "wait OutOfSync PendingChange WaitingForApproval"),
    Row("guests lose their link, as asked", DISRUPTIVE, "auto", "apply OutOfSync PendingChange Running", ANYTHING),
    Row("a package goes", REMOVING, "auto", "wait OutOfSync PendingChange WaitingForApproval"),
    Row(
        "a package goes, somebody wants anything",
        REMOVING,
        "auto",
        "wait OutOfSync PendingChange WaitingForApproval",
        request=ANYTHING,
        stale=True,
    ),
    Row(
        "a package goes, by its digest",
        REMOVING,
        "approve",
        "apply OutOfSync PendingChange Running",
        request=Request("apply-4", "ann", REMOVING.digest),
    ),
    Row("Git moved: a package only", PACKAGE, "auto", "apply OutOfSync PendingChange Running"),
    Row("the host moved", DRIFTED, "auto", "apply OutOfSync Drifted Running"),
    Row("each moved elsewhere", DIVERGED, "auto", "apply OutOfSync Diverged Running"),
    Row("both moved the same", BOTH, "auto", "apply OutOfSync Diverged Running"),
    Row("approve waits for a person", PENDING, "approve", "wait OutOfSync PendingChange WaitingForApproval"),
    Row("approve waits with drift, too", DRIFTED, "approve", "wait OutOfSync Drifted WaitingForApproval"),
    Row("observe never writes", PENDING, "observe", "wait OutOfSync PendingChange Idle"),
    Row(
        "observe never writes, whoever asks",
        PENDING,
        "observe",
        "wait OutOfSync PendingChange Idle",
        request=ANN,
        stale=True,
    ),
    Row("a person agreed to this plan", PENDING, "approve", "apply OutOfSync PendingChange Running", request=ANN),
    Row("a person wants whatever it is", DRIFTED, "approve", "apply OutOfSync Drifted Running", request=ANYTHING),
    Row(
        "a person agreed to another plan",
        PENDING,
        "approve",
        "wait OutOfSync PendingChange WaitingForApproval",
        request=OLD,
        stale=True,
    ),
    Row(
        "another plan was agreed to, in auto",
        PENDING,
        "auto",
        "wait OutOfSync PendingChange WaitingForApproval",
        request=OLD,
        stale=True,
    ),
    Row("rolled back before", PENDING, "auto", "wait OutOfSync RolledBackLatched RolledBack", latched=True),
    Row(
        "rolled back before, in approve",
        PENDING,
        "approve",
        "wait OutOfSync RolledBackLatched RolledBack",
        latched=True,
    ),
    Row(
        "rolled back before, asked for by name",
        PENDING,
        "auto",
        "apply OutOfSync PendingChange Running",
        request=ANN,
        latched=True,
    ),
    Row("something fights back", DRIFTED, "auto", "wait OutOfSync Drifted Pending", contested=True),
    Row(
        "something fights back, a person insists",
        DRIFTED,
        "auto",
        "apply OutOfSync Drifted Running",
        request=ANYTHING,
        contested=True,
    ),
    Row("refused", CUTS, "auto", "refuse OutOfSync PendingChange Refused"),
    Row("refused, whoever asks", CUTS, "auto", "refuse OutOfSync PendingChange Refused", request=ANYTHING, stale=True),
    Row("unread", UNREAD, "auto", "refuse Unknown ComparisonError Refused"),
    Row("no step can mend it", STUCK, "auto", "nothing OutOfSync Drifted Idle"),
    Row(
        "no step can mend it, somebody asks",
        STUCK,
        "approve",
        "nothing OutOfSync Drifted Idle",
        request=ANYTHING,
        stale=True,
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_each_situation_has_one_decision(row: Row) -> None:
    made = decide(row.plan, row.mode, latched=row.latched, request=row.request, contested=row.contested)
    assert f"{made.action} {made.sync} {made.reason or '-'} {made.phase}" == row.said
    assert made.stale_request is row.stale
    assert (made.message == "") == (made.action == "apply" or row.plan is SYNCED)


def test_a_refusal_is_said_in_its_own_words_and_at_most_three_of_them() -> None:
    many = Plan(
        "pve1", "c", "d", refusals=tuple(Refusal("unknown", f"reason {n}") for n in range(9)), drifts=differs("git")
    )
    assert decide(many, "auto", latched=False, request=None).message == "reason 0; reason 1; reason 2"


@pytest.mark.parametrize("plan", [SYNCED, PENDING, DRIFTED, DIVERGED, BOTH, PACKAGE, UNREAD, CUTS, STUCK])
@pytest.mark.parametrize("request_", [NOBODY, ANN, ANYTHING, OLD])
@pytest.mark.parametrize("latched", [False, True])
def test_observe_and_refusals_never_lead_to_an_apply(plan: Plan, request_: Request | None, *, latched: bool) -> None:
    assert decide(plan, "observe", latched=latched, request=request_).action != "apply"
    if plan.refusals:
        assert decide(plan, "auto", latched=latched, request=request_).action == "refuse"


def test_what_was_rolled_back_is_told_with_its_reason_as_long_as_it_holds() -> None:
    made = decide(PENDING, "auto", latched=True, request=None, why_latched="the disk is full (0 KiB free)")
    assert made.message.startswith("this desired state was rolled back and is not tried again")
    assert made.message.endswith(": the disk is full (0 KiB free)")
    assert decide(PENDING, "auto", latched=True, request=None).message.endswith("is not tried again")


def test_where_there_is_nothing_to_do_the_message_says_why_the_host_differs() -> None:
    def message(*, unknown: str = "", ailing: str = "", note: str = "") -> str:
        drifts = differs("host", "host", unknown=unknown)
        plan = Plan("pve1", "c", "d", drifts=drifts, ailing=(ailing,) * bool(ailing), notes=(note,) * bool(note))
        return decide(plan, "auto", latched=False, request=None).message

    assert message(unknown="guest proxy is silent") == "guest proxy is silent"
    assert message(unknown="guest proxy is silent", ailing="it is down. Fix: start it") == "it is down. Fix: start it"
    assert message(unknown="guest proxy is silent", ailing="it is down", note="a note") == "a note"
    assert message() == "there is a difference that no step can fix"
