"""The laws of events: every one that is written is declared, every one that is declared is written by something."""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest

from service.history import History, open_history
from service.model import events
from service.model.axes import SiteWord, Weight
from service.model.changes import Difference, Drift
from service.model.events import DECLARED, DISPUTES, Happened, Origin, Part, origin_of
from service.model.facts import Step
from service.model.guests import NameRule
from service.model.listings import EventListing
from service.model.observed import Lease
from service.model.plans import Plan
from service.model.rollouts import Member, Opening, Policy
from service.model.runs import HostStatus
from service.model.sites.records import SiteRecord
from service.model.states import Json
from service.model.trees import Commit
from service.model.web_sessions import SessionLimits, Visit
from tests.state_folders import NAME, made

SERVICE = Path(__file__).parents[1] / "service"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
COMMIT = Commit("c" * 40, "Ann", "ann@example.org", NOW, "first")
PLAN = Plan("pve1", COMMIT.hash, "sha256:d", steps=(Step("sysctl:net.ipv4.ip_forward", "0", "1", "nat"),))
DRIFT = Drift(Difference("bridges", "vmbr0", "up", "live", "changed", True, False), "git")

# What the loop says, and where that is seen. All else is reported by the history itself, below.
TOLD_BY_THE_LOOP = {
    "apply.again": "tests/reconcile/test_controller_away.py",
    "guest.progress": "tests/scenarios/a-guest-is-created.txt",
    "host.left-behind": "tests/reconcile/test_told.py",
    "host.next-boot": "tests/reconcile/test_told.py",
    "host.reconcile-asked": "tests/reconcile/test_control.py",
    "host.release": "tests/scenarios/a-failed-rollback-quarantines.txt",
    "host.without-past": "tests/scenarios/a-host-is-renamed.txt",
    "lease.shared": "tests/reconcile/test_told.py",
    "name.conflict": "tests/reconcile/test_told.py",
    "name.taken": "tests/reconcile/test_told.py",
    "name.twice": "tests/reconcile/test_told.py",
    "round.failed": "tests/scenarios/a-bug-is-no-green-host.txt",
    "source.trouble": "tests/reconcile/test_watching.py",
    "source.well": "tests/reconcile/test_watching.py",
}


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with open_history(made(tmp_path / "state" / NAME)) as found:
        yield found


def everything(history: History) -> None:
    """Each transition that says something, once."""
    store, at = history.store, NOW
    later = NOW + timedelta(minutes=1)
    store.record_revision(COMMIT, at=at)
    store.refuse_revision(COMMIT, reason="1 error", at=at)
    store.set_host_status(HostStatus("pve1", quarantined="01Q", message="a rollback failed"), at=at)
    store.set_host_status(HostStatus("pve1", sync="Synced"), at=at)
    store.set_drift("pve1", [DRIFT], at=at)
    store.set_drift("pve1", [], at=at, resolved_by="git")
    plan_id = store.record_plan(PLAN, at=at)
    apply_id = store.open_apply(
        "pve1", plan_id=plan_id, commit=COMMIT.hash, plan_digest=PLAN.digest, desired_digest="sha256:d",
        trigger="request", requested_by="ann", at=at,
    )  # fmt: skip
    store.start_apply(apply_id, generation=1, planned=[("sysctl:a", "nat")], at=at)
    store.reach(apply_id, "armed", at=at, reverts_at=later)
    moved = events.ApplyStepped(host="pve1", apply=apply_id, position=0, state="done", done=1, steps=1)
    store.move_steps(apply_id, [(0, "done", at, "")], moved)
    store.finish_apply(apply_id, "RolledBack", at=at, cause="deadline", error="nobody came")
    store.latch("pve1", "sha256:d", apply_id=apply_id, at=at)
    store.clear_latch("pve1", by="ann", reason="mended", at=at)
    for error in ("", "nothing was proven"):
        drill_id = store.open_drill("pve1", requested_by="ann", at=at)
        store.start_drill(drill_id, generation=2, at=at)
        store.finish_drill(drill_id, proofs=(), error=error, at=at)
    store.seen_leases("pve1", [Lease("bc:24:11:00:00:01", "10.10.10.9", "dev", 0)], at=at)
    store.seen_leases("pve1", [Lease("bc:24:11:00:00:02", "10.10.10.8", "dev", 0)], at=later)
    sites_of_all_kinds(history)
    store.open_rollout(Opening(COMMIT.hash, Policy(), (Member("pve1", "sha256:d"),), stop="it is large"), at=at)
    store.accept_rewrite("d" * 40, COMMIT.hash, by="ann", reason="squashed", at=at)
    store.rename_host("pve1", "pve2", at=at)
    store.orphan_host("pve2", at=at)
    store.forget_host("pve2", by="ann", at=at)
    text = store.create_token("ci", scopes=("read",), by="ann", at=at)
    for _ in range(2):
        store.begin_session(text.encode(), limits=SessionLimits(), visit=Visit(), at=at)
    store.end_sessions_of(text.removeprefix("psr_").partition(".")[0], visit=Visit(), at=at)
    store.revoke_token(text.removeprefix("psr_").partition(".")[0], by="ann", at=at)
    store.add_receiver("forge", "github", by="ann", at=at)
    store.rotate_receiver("forge", by="ann", at=at)
    held = store.suspend("label", "site=paris", "the switch is replaced", by="ann", at=at, until=None)
    store.end_suspension(held.id, by="ann", at=at)
    store.suspend_receiver("forge", "the forge moves", by="ann", at=at)
    store.resume_receiver("forge", by="ann", at=at)
    store.remove_receiver("forge", by="ann", at=at)


def sites_of_all_kinds(history: History) -> None:
    """A site that comes through every state."""
    old: Json = {"kind": "issued", "serial": "1", "not_after": "2027"}
    new: Json = {"kind": "issued", "serial": "2"}
    moves: list[tuple[SiteWord, Weight, dict[str, Json]]] = [
        ("waits-for-permit", "trouble", {}), ("back-off", "trouble", {}), ("published", "well", {"certificate": old}),
        ("unreachable", "trouble", {}), ("upstream-off", "trouble", {}), ("program-failed", "trouble", {}),
        ("renewal-failed", "trouble", {"certificate": old}), ("expired", "trouble", {"certificate": new}),
    ]  # fmt: skip
    for state, weight, seen in moves:
        history.store.seen_sites("pve1", [SiteRecord("pve1", "w", state, weight, "said", seen=seen)], at=NOW)
    history.store.seen_sites("pve1", [], at=NOW)


def test_every_event_that_is_declared_is_written_by_something(history: History) -> None:
    everything(history)
    written = {event.type for event in history.queries.events(EventListing(limit=200)).items}
    assert written | set(TOLD_BY_THE_LOOP) == set(DECLARED)
    assert not written & set(TOLD_BY_THE_LOOP)
    for name, place in TOLD_BY_THE_LOOP.items():
        assert name in (SERVICE.parent / place).read_text(), f"{place} does not see {name}"


def classes(kind: type[Happened] = Happened) -> Iterator[type[Happened]]:
    for one in kind.__subclasses__():
        yield one
        yield from classes(one)


def test_each_event_has_a_name_of_its_own_and_says_who_tells_it() -> None:
    named = [kind.name for kind in classes() if "name" in vars(kind)]
    assert sorted(named) == sorted(DECLARED)
    assert not [name for name in DECLARED if not re.fullmatch(r"[a-z]+\.[a-z]+(-[a-z]+)*", name)]
    assert {kind.part for kind in DECLARED.values()} <= set(get_args(Part))
    assert set(DISPUTES) == set(get_args(NameRule))


def modules(words: Iterable[str]) -> Iterator[tuple[str, ast.Module]]:
    """The sources of the service that have one of these words, parsed."""
    wanted = re.compile("|".join(map(re.escape, words)))
    for path in SERVICE.rglob("*.py"):
        if "events" not in path.parts and "hostside" not in path.parts and wanted.search(text := path.read_text()):
            yield str(path.relative_to(SERVICE)), ast.parse(text)


def test_no_name_is_spelled_where_an_event_is_told_or_read() -> None:
    spelled = [
        f"{path}:{node.lineno} {node.value}"
        for path, module in modules(DECLARED)
        for node in ast.walk(module)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in DECLARED
    ]
    assert spelled == [], "say it with its class of service.model.events"


def test_every_class_is_told_somewhere() -> None:
    exported = {name for name in events.__all__ if isinstance(getattr(events, name), type) and name != "Origin"}
    used = {
        node.id if isinstance(node, ast.Name) else node.attr
        for _, module in modules([*exported, "DISPUTES"])
        for node in ast.walk(module)
        if isinstance(node, ast.Name | ast.Attribute)
    }
    disputes = {kind.__name__ for kind in DISPUTES.values()} if "DISPUTES" in used else set()
    assert exported - used - disputes == set()


def told(history: History, name: str) -> Origin:
    return next(event.origin for event in history.queries.events(EventListing(limit=200)).items if event.type == name)


@pytest.mark.parametrize(
    ("name", "origin"),
    [
        ("revision.refused", Origin("git", {"state": "accepted"})),
        ("drift.found", Origin("git")),
        ("drift.resolved", Origin("git")),
        ("apply.requested", Origin("person")),
        ("apply.started", Origin("service", {"phase": "Pending"})),
        ("apply.finished", Origin("host", {"phase": "Running"})),
        ("apply.reached", Origin("host")),
        ("apply.step", Origin("host")),
        ("drill.failed", Origin("host", {"state": "Running"})),
        ("latch.cleared", Origin("person")),
        ("lease.seen", Origin("host")),
        ("token.created", Origin("person")),
    ],
)
def test_an_event_says_who_told_it_and_what_state_it_came_from(name: str, origin: Origin, history: History) -> None:
    everything(history)
    assert told(history, name) == origin


def test_a_host_says_which_axes_moved_and_what_they_were(history: History) -> None:
    status = HostStatus("pve1", sync="Synced", health="Healthy")
    history.store.set_host_status(status, at=NOW)
    history.store.set_host_status(replace(status, sync="OutOfSync", reason="Drifted"), at=NOW)
    history.store.orphan_host("pve1", at=NOW)
    first, then, gone = history.queries.events(EventListing(limit=9)).items
    assert (first.origin, first.detail["sync"]) == (Origin("service"), "Synced")
    assert then.origin == Origin("service", {"sync": "Synced", "reason": ""})
    assert gone.origin == Origin("git", {"sync": "OutOfSync", "reason": "Drifted", "health": "Healthy"})
    assert (gone.text, gone.detail["reason"]) == ("pve1 is no longer in Git; nothing on it is touched", "Orphaned")


OLD: list[tuple[str, dict[str, object], Part]] = [
    ("drift.found", {"count": 1, "items": []}, "host"),
    ("apply.requested", {"by": "passerelle"}, "service"),
    ("apply.finished", {"phase": "Refused"}, "service"),
    ("latch.cleared", {"by": "git"}, "git"),
    ("told.no-more", {"was": "text"}, "service"),
]


@pytest.mark.parametrize(("name", "detail", "part"), OLD)
def test_an_event_of_an_earlier_version_has_an_origin_too(name: str, detail: dict[str, object], part: Part) -> None:
    assert origin_of(name, detail) == Origin(part)


def test_what_is_in_words_only_is_no_field() -> None:
    event = events.ApplyFinished(host="pve1", apply="01A", phase="Failed", cause="conflict", error="it said so")
    assert (event.text, event.detail) == (
        "pve1: apply Failed: it said so", {"apply": "01A", "phase": "Failed", "cause": "conflict"},
    )  # fmt: skip
    moved = events.NameMoved(host="pve1", name_="dev", from_=("aa", "10.0.0.1"), to=("bb", "10.0.0.2"))
    assert moved.detail == {"name": "dev", "from": ["aa", "10.0.0.1"], "to": ["bb", "10.0.0.2"]}
