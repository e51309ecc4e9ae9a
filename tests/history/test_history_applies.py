from datetime import UTC, datetime, timedelta

import pytest

from service.errors import InputError
from service.history import History
from service.history.store.applies import MOST_MOMENTS
from service.history.store.changes import MAX_FINDINGS
from service.model.axes import Phase
from service.model.changes import Difference, Drift
from service.model.events import ApplyReached, SourceTrouble
from service.model.facts import Step
from service.model.listings import EventListing, RevisionListing
from service.model.plans import FileChange, PackageChange, Plan, Refusal
from service.model.secret import Secret
from service.model.states import Json
from service.model.trees import Commit

SECOND = timedelta(seconds=1)
COMMIT = "c" * 40


def plan(host: str = "pve1", commit: str = COMMIT, after: str = "1") -> Plan:
    return Plan(
        host=host,
        commit=commit,
        desired_digest="sha256:d",
        drifts=(Drift(Difference("nat", "nat", "ip_forward", "live", "changed", "1", "0"), "host"),),
        packages=(PackageChange("dnsmasq", "install"),),
        steps=(Step("sysctl:net.ipv4.ip_forward", "0", after, "nat needs it"),),
        checks=(("nft", "/x"),),
        refusals=(Refusal("unknown", "cannot be read"),),
        derived=(("ip_forward", "nat"),),
        files=(FileChange("/x", 5, ("@@ -0,0 +1 @@", "+text")), FileChange("/y", is_secret=True)),
        blobs={"aa": b"text\n"},
        secrets={"bb": Secret(b"key")},
    )


def commit_of(number: int, at: datetime) -> Commit:
    return Commit(f"{number:040x}", "Ann \x1b[1m", "ann@example.org", at, f"change {number}")


def asked(history: History, now: datetime, plan_id: str = "", commit: str = COMMIT) -> str:
    return history.store.open_apply(
        "pve1",
        plan_id=plan_id,
        commit=commit,
        plan_digest="sha256:p",
        desired_digest="sha256:d",
        trigger="push",
        requested_by="loop",
        at=now,
    )


def test_a_plan_is_recorded_once_and_superseded_by_the_next(history: History, now: datetime) -> None:
    first = history.store.record_plan(plan(), at=now)
    assert history.store.record_plan(plan(), at=now + SECOND) == first
    second = history.store.record_plan(plan(after="2"), at=now + SECOND)
    other_host = history.store.record_plan(plan("pve2"), at=now)
    states = {plan_id: history.queries.plan(plan_id) for plan_id in (first, second, other_host)}
    assert [found.state for found in states.values() if found] == ["superseded", "current", "current"]
    current = history.queries.current_plan("pve1")
    assert current is not None
    assert current.id == second


def test_the_plans_of_a_host_whose_digests_begin_alike_are_found(history: History, now: datetime) -> None:
    for made in (plan(), plan(after="2"), plan(commit="d" * 40), plan("pve2")):
        history.store.record_plan(made, at=now)
    one, other = plan().digest, plan(after="2").digest
    assert history.queries.plan_digests("pve1", "sha256:") == tuple(sorted({one, other}))
    assert history.queries.plan_digests("pve1", one[:19]) == (one,)
    for odd in ("sha256:%", "sha256:_", "%"):
        assert history.queries.plan_digests("pve1", odd) == ()


def test_a_plan_of_a_later_commit_is_another_plan(history: History, now: datetime) -> None:
    first = history.store.record_plan(plan(), at=now)
    assert history.store.record_plan(plan(commit="d" * 40), at=now) != first


def test_the_body_of_a_plan_tells_all_but_bytes(history: History, now: datetime) -> None:
    found = history.queries.plan(history.store.record_plan(plan(), at=now))
    assert found is not None
    assert found.digest == plan().digest
    assert found.body["files"] == [
        {"path": "/x", "size": 5, "diff": ["@@ -0,0 +1 @@", "+text"], "cut": 0, "is_secret": False},
        {"path": "/y", "size": None, "diff": None, "cut": 0, "is_secret": True},
    ]
    assert found.body["derived"] == [{"thing": "ip_forward", "cause": "nat"}]
    assert found.body["checks"] == [{"program": "nft", "path": "/x"}]
    assert found.body["steps"] == [
        {
            "fact": "sysctl:net.ipv4.ip_forward",
            "before": "0",
            "after": "1",
            "why": "nat needs it",
            "risk": "",
            "restart": False,
            "on_confirm": False,
        }
    ]
    assert found.body["drifts"][0]["moved"] == "host"  # type: ignore[index,call-overload]
    assert not {"blobs", "secrets"} & set(found.body)


def test_an_apply_tells_commit_author_steps_and_times(history: History, now: datetime) -> None:
    store = history.store
    store.record_revision(commit_of(7, now), at=now)
    plan_id = store.record_plan(plan(), at=now)
    apply_id = asked(history, now, plan_id, f"{7:040x}")
    store.start_apply(apply_id, generation=3, planned=[("file:/a", "one"), ("unit:b", "two")], at=now + SECOND)
    store.move_step(apply_id, 0, "doing", at=now + 2 * SECOND)
    store.move_steps(apply_id, [(0, "done", now + 3 * SECOND, ""), (1, "doing", now + 3 * SECOND, "")])
    store.move_step(apply_id, 1, "failed", at=now + 4 * SECOND, error="no\nsuch unit")
    store.set_apply_phase(apply_id, "AwaitingConfirmation")
    assert store.finish_apply(apply_id, "RolledBack", at=now + 5 * SECOND, cause="step-failed", error="two failed")
    found = history.queries.apply(apply_id)
    assert found is not None
    assert (found.author_name, found.subject, found.generation) == ("Ann [1m", "change 7", 3)
    assert (found.phase, found.cause, found.error) == ("RolledBack", "step-failed", "two failed")
    assert (found.requested_at, found.started_at, found.ended_at) == (now, now + SECOND, now + 5 * SECOND)
    assert [(s.position, s.fact, s.state, s.started_at, s.ended_at, s.error) for s in found.steps] == [
        (0, "file:/a", "done", now + 2 * SECOND, now + 3 * SECOND, ""),
        (1, "unit:b", "failed", now + 3 * SECOND, now + 4 * SECOND, "no such unit"),
    ]


def test_an_apply_says_what_it_came_to_and_a_later_deadline_is_the_one_that_counts(
    history: History, now: datetime
) -> None:
    apply_id = asked(history, now)
    history.store.reach(apply_id, "locked", at=now)
    history.store.reach(apply_id, "armed", at=now + SECOND, reverts_at=now + 60 * SECOND)
    history.store.reach(apply_id, "confirming", at=now + 2 * SECOND)
    history.store.reach(apply_id, "extended", at=now + 3 * SECOND, reverts_at=now + 90 * SECOND)
    history.store.finish_apply(apply_id, "Succeeded", at=now + 4 * SECOND)
    history.store.reach(apply_id, "missed", at=now + 5 * SECOND)
    found = history.queries.apply(apply_id)
    assert found is not None
    assert found.reverts_at == now + 90 * SECOND
    assert [(one.name, one.at) for one in found.moments] == [
        ("locked", now), ("armed", now + SECOND), ("confirming", now + 2 * SECOND), ("extended", now + 3 * SECOND)
    ]  # fmt: skip
    told = [one for one in history.queries.events(EventListing(limit=99)).items if one.type == ApplyReached.name]
    assert [one.detail["moment"] for one in told] == ["locked", "armed", "confirming", "extended"]
    assert str(told[1].detail["reverts_at"]).endswith("+00:00")


def test_the_moments_of_an_apply_are_bounded(history: History, now: datetime) -> None:
    apply_id = asked(history, now)
    for _ in range(2 * MOST_MOMENTS):
        history.store.reach(apply_id, "locked", at=now)
    found = history.queries.apply(apply_id)
    assert found is not None
    assert len(found.moments) == MOST_MOMENTS


def test_an_apply_of_an_unknown_commit_has_no_author(history: History, now: datetime) -> None:
    found = history.queries.apply(asked(history, now))
    assert found is not None
    assert (found.author_name, found.phase) == ("", "Pending")


def test_a_success_marks_its_plan(history: History, now: datetime) -> None:
    plan_id = history.store.record_plan(plan(), at=now)
    history.store.finish_apply(asked(history, now, plan_id), "Succeeded", at=now)
    found = history.queries.plan(plan_id)
    assert found is not None
    assert found.state == "applied"


@pytest.mark.parametrize(
    ("first", "second", "is_taken"),
    [
        ("Failed", "RolledBack", True),
        ("Failed", "Succeeded", True),
        ("Succeeded", "RolledBack", False),
        ("RolledBack", "RolledBack", False),
    ],
)
def test_a_journal_may_correct_a_failure_never_a_success(
    history: History, now: datetime, first: Phase, second: Phase, is_taken: bool
) -> None:
    apply_id = asked(history, now)
    assert history.store.finish_apply(apply_id, first, at=now)
    assert history.store.finish_apply(apply_id, second, at=now) is is_taken
    found = history.queries.apply(apply_id)
    assert found is not None
    assert found.phase == (second if is_taken else first)


def test_what_ended_does_not_move_again(history: History, now: datetime) -> None:
    apply_id = asked(history, now)
    history.store.finish_apply(apply_id, "Refused", at=now)
    with pytest.raises(InputError):
        history.store.start_apply(apply_id, generation=1, planned=[], at=now)
    history.store.set_apply_phase(apply_id, "AwaitingConfirmation")
    found = history.queries.apply(apply_id)
    assert found is not None
    assert found.phase == "Refused"


def test_an_apply_ends_with_an_end_only(history: History, now: datetime) -> None:
    apply_id = asked(history, now)
    with pytest.raises(InputError):
        history.store.finish_apply(apply_id, "Running", at=now)
    with pytest.raises(InputError):
        history.store.set_apply_phase(apply_id, "Succeeded")
    with pytest.raises(InputError):
        history.store.finish_apply("0" * 26, "Failed", at=now)


def test_what_was_under_way_is_found_again(history: History, now: datetime) -> None:
    first, second, third = (asked(history, now + n * SECOND) for n in range(3))
    history.store.finish_apply(second, "Failed", at=now)
    assert [apply.id for apply in history.queries.unfinished_applies()] == [first, third]
    assert history.queries.unfinished_applies("pve2") == ()


def test_ids_sort_in_the_order_they_were_made_even_when_the_clock_steps_back(history: History, now: datetime) -> None:
    made = [asked(history, now - n * SECOND) for n in range(20)]
    assert made == sorted(made)
    assert len(set(made)) == 20
    assert all(len(apply_id) == 26 for apply_id in made)


def test_revisions_come_newest_first_and_are_recorded_once(history: History, now: datetime) -> None:
    store, queries = history.store, history.queries
    for number in range(5):
        store.record_revision(commit_of(number, now), at=now + number * SECOND, findings=[{"rule": "x"}])
    store.refuse_revision(commit_of(9, now), reason="rewound", at=now + 9 * SECOND)
    store.record_revision(commit_of(4, now), at=now + 4 * SECOND)
    first = queries.revisions(RevisionListing(limit=4))
    assert [int(r.commit, 16) for r in first.items] == [9, 4, 3, 2]
    assert first.next is not None
    assert [int(r.commit, 16) for r in queries.revisions(RevisionListing(limit=4, start=first.next)).items] == [1, 0]
    newest = queries.newest_revision()
    assert newest is not None
    assert int(newest.commit, 16) == 4
    refused = queries.newest_revision("refused")
    assert refused is not None
    assert refused.reason == "rewound"
    assert len([e for e in queries.events(EventListing(limit=100)).items if e.type == "revision.accepted"]) == 5


def test_of_many_findings_every_error_is_kept_and_what_is_left_out_is_counted(history: History, now: datetime) -> None:
    warnings: list[Json] = [{"rule": "w", "severity": "warning", "what": f"{n}"} for n in range(MAX_FINDINGS)]
    errors: list[Json] = [{"rule": "e", "severity": "error", "what": f"{n}"} for n in range(7)]
    history.store.refuse_revision(commit_of(1, now), reason="7 errors", at=now, findings=[*warnings, *errors])
    found = history.queries.revision(f"{1:040x}")
    assert found is not None
    assert list(found.findings[:7]) == errors
    assert list(found.findings[7:-1]) == warnings[: MAX_FINDINGS - 8]
    last = found.findings[-1]
    assert isinstance(last, dict)
    assert last["what"] == "8 more findings are not kept here"
    history.store.refuse_revision(commit_of(2, now), reason="", at=now, findings=warnings)
    whole = history.queries.revision(f"{2:040x}")
    assert whole is not None
    assert list(whole.findings) == warnings


def test_a_refused_revision_can_be_accepted_later(history: History, now: datetime) -> None:
    history.store.refuse_revision(commit_of(1, now), reason="rewound", at=now)
    history.store.record_revision(commit_of(1, now), at=now + SECOND)
    found = history.queries.revision(f"{1:040x}")
    assert found is not None
    assert (found.state, found.reason, found.fetched_at) == ("accepted", "", now + SECOND)


def test_a_time_without_a_zone_is_refused(history: History) -> None:
    with pytest.raises(Exception, match="time zone"):
        history.store.add_event(SourceTrouble(why="y"), at=datetime(2026, 1, 1))  # noqa: DTZ001 (the point)
    assert history.queries.newest_event_id() == 0


def test_times_keep_their_microseconds_over_the_whole_range(history: History) -> None:
    for at in (datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)):
        history.store.add_event(SourceTrouble(why="y"), at=at)
    found = [event.at for event in history.queries.events(EventListing(limit=10)).items]
    assert found == [datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)]
