"""Rollouts in the history: what of one is carried on by the next revision, and who is begun when many ask at once."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import get_args

import pytest

from service.errors import InputError
from service.history import History
from service.kinds import KINDS
from service.model.ceilings import Ceilings
from service.model.listings import RolloutHostListing, RolloutListing
from service.model.rollouts import Member, Opening, Policy, Share
from service.model.runs import HostStatus, Trigger
from service.model.trees import Commit
from service.reconcile import rollout as judge
from service.reconcile.gate import Cause
from service.reconcile.queue import Queue
from service.reconcile.rolling import Openings, Rolling
from service.spec.fleet import Fleet
from tests.laws.specs import head, spec_of
from tests.reconcile.clocks import StoppedClock

WAVES = Policy((Share(1), Share(50, is_percent=True)), soak_s=60, max_failures=1)
HOSTS = [f"pve{number}" for number in range(8)]


def opening(commit: str, digest: str = "d1", hosts: Sequence[str] = HOSTS, policy: Policy = WAVES) -> Opening:
    members = tuple(Member(host, digest) for host in hosts)
    return Opening(commit * 40, policy, members, is_plain=False)


def accept(history: History, commit: str, at: datetime) -> None:
    history.store.record_revision(Commit(commit * 40, "Ann", "ann@example.org", at, "a change"), at=at)


def begin(history: History, host: str, at: datetime, commit: str = "a", digest: str = "d1", by: str = "") -> str:
    shell = replace(opening(commit), members=())
    return history.store.begin_in_rollout(Member(host, digest), shell, judge, at=at, by=by)


def request(history: History, host: str, at: datetime, digest: str = "d1", *, trigger: Trigger) -> str:
    return history.store.open_apply(
        host, plan_id="p", commit="a" * 40, plan_digest="x", desired_digest=digest, trigger=trigger, requested_by="-",
        at=at,
    )  # fmt: skip


def end(history: History, host: str, phase: str, at: datetime, digest: str = "d1", cause: str = "") -> None:
    apply_id = request(history, host, at, digest, trigger="push")
    history.store.finish_apply(apply_id, phase, at=at, cause=cause, error="it failed")  # type: ignore[arg-type]


def states(history: History) -> dict[str, str]:
    found = history.queries.newest_rollout()
    assert found is not None
    page = history.queries.rollout_hosts(RolloutHostListing(rollout_id=found.id))
    return {one.host: one.state for one in page.items if one.state != "pending"}


def test_waves_by_what_the_applies_came_to(history: History, now: datetime) -> None:
    rollout_id = history.store.open_rollout(opening("a"), at=now)
    accept(history, "a", now)
    assert history.store.open_rollout(opening("a"), at=now) == rollout_id
    assert begin(history, "pve3", now) == ""
    assert "waits for wave 2 of 3" in begin(history, "pve1", now)
    end(history, "pve3", "Succeeded", now)
    assert "waits for wave 2 of 3" in begin(history, "pve1", now)
    later = now + timedelta(seconds=60)
    assert [begin(history, host, later) for host in ("pve0", "pve1", "pve2")] == ["", "", ""]
    assert "waits for wave 3" in begin(history, "pve4", later)
    end(history, "pve1", "RolledBack", later, cause="interrupted")
    assert states(history) == {"pve0": "applying", "pve2": "applying", "pve3": "done"}
    end(history, "pve0", "RolledBack", later, cause="deadline")
    assert "is halted: 1 host has failed in wave 2" in begin(history, "pve1", later)
    assert begin(history, "pve7", later, by="ann") == ""
    found = history.queries.rollout(rollout_id)
    assert found is not None
    assert (found.state, found.wave, found.done, found.failed, found.applying) == ("halted", 2, 1, 1, 2)


@pytest.mark.parametrize("cause", ["controller away", "throttled", "interrupted"])
def test_a_host_whose_change_was_interrupted_keeps_its_place_in_the_wave(
    history: History, now: datetime, cause: str
) -> None:
    """Else each kill of the service would let one more host be touched by a revision of which nothing is known yet."""
    rollout_id = history.store.open_rollout(opening("a"), at=now)
    assert begin(history, "pve3", now) == ""
    end(history, "pve3", "RolledBack", now, cause=cause)
    assert "waits for wave 2 of 3" in begin(history, "pve0", now)
    assert history.queries.rollout_candidates(rollout_id)[0] == "pve3"
    found = history.queries.newest_rollout()
    assert found is not None
    assert (judge.free_places(found, 0), found.held, found.pending) == (1, frozenset({"pve3"}), 8)
    history.store.set_host_status(HostStatus("pve3", reachability="Unreachable"), at=now)
    assert begin(history, "pve0", now) == ""  # nobody waits for a host that is away
    history.store.set_host_status(HostStatus("pve3"), at=now)
    assert "waits for wave 2 of 3" in begin(history, "pve3", now)
    end(history, "pve0", "Succeeded", now)
    assert begin(history, "pve3", now + timedelta(seconds=60)) == ""


@pytest.mark.parametrize("cause", ["unreachable", "error", "late", "window"])
def test_a_request_that_never_began_says_nothing_about_a_change_that_nobody_confirmed_yet(
    history: History, now: datetime, cause: str
) -> None:
    """Else a person who applies the plan of a host that the change cut off would let the next host be touched."""
    rollout_id = history.store.open_rollout(opening("a"), at=now)
    assert begin(history, "pve3", now) == ""
    armed = request(history, "pve3", now, trigger="push")
    history.store.start_apply(armed, generation=1, planned=[], at=now)
    history.store.set_apply_phase(armed, "AwaitingConfirmation")
    history.store.set_host_status(HostStatus("pve3", reachability="Unreachable"), at=now)
    asked = request(history, "pve3", now, trigger="request")
    history.store.finish_apply(asked, "Failed", at=now, cause=cause, error="it cannot be reached")
    assert states(history) == {"pve3": "applying"}
    assert "waits for wave 2 of 3" in begin(history, "pve0", now)
    found = history.queries.rollout(rollout_id)
    assert found is not None
    assert judge.free_places(found, 1) == 0
    history.store.finish_apply(armed, "RolledBack", at=now, cause="deadline", error="nobody confirmed")
    assert states(history) == {"pve3": "failed"}


@pytest.mark.parametrize("cause", get_args(Cause))
def test_a_host_on_which_it_was_not_begun_after_all_has_not_failed(history: History, now: datetime, cause: str) -> None:
    """It was suspended, a window closed, or the stop file came, while its packages did."""
    history.store.open_rollout(opening("a"), at=now)
    assert begin(history, "pve0", now) == ""
    end(history, "pve0", "Refused", now, cause=cause)
    assert states(history) == {}
    assert begin(history, "pve1", now) == ""


def test_of_many_that_ask_at_once_only_so_many_begin(history: History, now: datetime) -> None:
    policy = Policy((Share(8),), max_unavailable=Share(3))
    history.store.open_rollout(opening("a", policy=policy), at=now)
    with ThreadPoolExecutor(8) as threads:
        asked = list(threads.map(lambda host: begin(history, host, now), HOSTS))
    assert asked.count("") == 3


def test_the_next_revision_carries_on_what_failed_and_what_a_person_did(history: History, now: datetime) -> None:
    store = history.store
    store.open_rollout(opening("a"), at=now)
    assert begin(history, "pve0", now) == ""
    end(history, "pve0", "RolledBack", now, cause="deadline")
    assert "is halted" in begin(history, "pve1", now)
    store.open_rollout(opening("b"), at=now)  # wants the same of pve0
    accept(history, "b", now)
    assert "is halted" in begin(history, "pve1", now, "b")
    store.open_rollout(opening("c", "d2"), at=now)
    accept(history, "c", now)
    assert begin(history, "pve1", now, "c", "d2") == ""
    third = store.open_rollout(opening("d", "d2"), at=now)
    accept(history, "d", now)
    store.halt_rollout(third, by="ann", reason="lunch", at=now)
    fourth = store.open_rollout(opening("e", "d3"), at=now)
    accept(history, "e", now)
    assert "is halted: lunch" in begin(history, "pve2", now, "e", "d3")
    store.resume_rollout(fourth, by="ann", reason="back", at=now)
    assert begin(history, "pve2", now, "e", "d3") == ""
    store.abort_rollout(fourth, by="ann", reason="no", at=now)
    assert "was aborted: no" in begin(history, "pve3", now, "e", "d3")
    store.open_rollout(opening("f", "d3"), at=now)
    accept(history, "f", now)
    assert "was aborted" in begin(history, "pve3", now, "f", "d3")
    with pytest.raises(InputError, match="the rollout is aborted"):
        store.resume_rollout(fourth, by="ann", reason="again", at=now)
    assert [one.state for one in history.queries.rollouts(RolloutListing(commit="c" * 40)).items] == ["superseded"]


def test_a_host_that_was_let_begin_and_has_no_apply_keeps_no_other_one_waiting(history: History, now: datetime) -> None:
    """The service was killed in between, and the host is suspended since then."""
    history.store.open_rollout(opening("a"), at=now)
    accept(history, "a", now)
    assert begin(history, "pve0", now) == ""
    assert begin(history, "pve1", now, by="ann") == ""
    apply_id = history.store.open_apply(
        "pve1", plan_id="p", commit="a" * 40, plan_digest="x", desired_digest="d1", trigger="request",
        requested_by="ann", at=now,
    )  # fmt: skip
    assert history.store.move_rollout(judge, at=now + timedelta(seconds=59)) is not None
    assert states(history) == {"pve0": "applying", "pve1": "applying"}
    assert history.store.move_rollout(judge, at=now + timedelta(seconds=60)) is not None
    assert states(history) == {"pve1": "applying"}
    later = now + timedelta(minutes=3)
    history.store.finish_apply(apply_id, "Succeeded", at=now + timedelta(minutes=2))
    assert begin(history, "pve2", later) == ""


@pytest.mark.parametrize("is_plain", [True, False])
@pytest.mark.parametrize("changes", [True, False])
def test_a_round_of_a_revision_that_was_never_approved_begins_nothing_once_a_newer_one_comes(
    history: History, now: datetime, *, is_plain: bool, changes: bool
) -> None:
    """The round began before. A newer revision is opened, then recorded; one that changes nothing the other way
    round."""
    store, policy = history.store, Policy() if is_plain else WAVES
    rolling = Rolling(store, history.queries, StoppedClock(), Queue(StoppedClock()))
    shell = replace(opening("a", hosts=(), policy=policy), is_plain=is_plain)
    first = replace(opening("a", policy=policy), stop="it changes 8 of 8 hosts", is_plain=is_plain)
    newer = replace(
        opening("b", "d2", HOSTS if changes else (), policy), stop="so does it" if changes else "", is_plain=is_plain
    )

    def begins() -> str:
        return rolling._begin(Member("pve1", "d1"), shell, "")

    store.open_rollout(first, at=now)
    accept(history, "a", now)
    assert "waits for an approval" in begins()
    if changes:
        store.open_rollout(newer, at=now)
    else:
        accept(history, "b", now + timedelta(seconds=1))
    assert begins()
    if changes:
        accept(history, "b", now + timedelta(seconds=1))
    else:
        store.open_rollout(newer, at=now)
    assert begins() == "a newer revision is in force"
    found = history.queries.newest_rollout()
    assert found is not None
    assert (found.commit[0], found.state) == (("b", "waiting") if changes else ("a", "superseded"))


def test_a_change_that_is_confirmed_while_a_revision_is_read_is_no_part_of_its_rollout(
    history: History, now: datetime
) -> None:
    read = opening("a", hosts=("pve1", "pve2"))
    history.store.set_base("pve1", [], digest="d1", commit="c" * 40, apply_id="", at=now)
    history.store.open_rollout(read, at=now)
    accept(history, "a", now)
    assert begin(history, "pve2", now) == ""
    end(history, "pve2", "Succeeded", now)
    assert history.store.move_rollout(judge, at=now + timedelta(minutes=5)) is not None
    found = history.queries.newest_rollout()
    assert found is not None
    assert found.state == "done"


def test_a_clock_that_is_set_back_does_not_make_the_pause_longer(history: History, now: datetime) -> None:
    history.store.open_rollout(opening("a"), at=now)
    assert begin(history, "pve0", now) == ""
    end(history, "pve0", "Succeeded", now + timedelta(days=1))
    assert "waits for wave 2" in begin(history, "pve1", now)
    assert "waits for wave 2" in begin(history, "pve1", now + timedelta(seconds=59))
    assert begin(history, "pve1", now + timedelta(seconds=60)) == ""


def test_a_halt_by_a_person_outlives_a_revision_that_changes_nothing(history: History, now: datetime) -> None:
    store = history.store
    store.halt_rollout(store.open_rollout(opening("a"), at=now), by="ann", reason="lunch", at=now)
    store.open_rollout(opening("b", hosts=()), at=now)
    third = store.open_rollout(opening("c", "d2"), at=now)
    accept(history, "c", now)
    assert "is halted: lunch" in begin(history, "pve0", now, "c", "d2")
    store.resume_rollout(third, by="ann", reason="back", at=now)
    assert store.open_rollout(opening("d", hosts=()), at=now) == ""
    found = history.queries.newest_rollout()
    assert found is not None
    assert found.state == "superseded"


def test_a_commit_that_removes_the_waves_of_a_small_fleet_does_not_remove_its_halt(
    history: History, now: datetime
) -> None:
    first = history.store.open_rollout(opening("a", hosts=("pve1",)), at=now)
    fleet = Fleet({"pve1": spec_of(head("auto"))}, ())
    openings = Openings(history.queries, KINDS, Ceilings())
    assert openings.opening("b" * 40, fleet).members == ()
    history.store.halt_rollout(first, by="ann", reason="lunch", at=now)
    made = openings.opening("b" * 40, fleet)
    assert [one.host for one in made.members] == ["pve1"]
    history.store.open_rollout(made, at=now)
    found = history.queries.newest_rollout()
    assert found is not None
    assert (found.commit, found.state, found.why) == ("b" * 40, "halted", "lunch")


def test_a_large_revision_waits_for_a_person_once(history: History, now: datetime) -> None:
    plain = replace(opening("a", policy=Policy()), stop="it changes 8 of 8 hosts", is_plain=True)
    rollout_id = history.store.open_rollout(plain, at=now)
    accept(history, "a", now)
    assert "waits for an approval: it changes 8 of 8 hosts" in begin(history, "pve1", now)
    assert history.queries.rollout_candidates(rollout_id) == tuple(HOSTS)
    history.store.resume_rollout(rollout_id, by="ann", reason="I know", at=now)
    assert {begin(history, host, now) for host in HOSTS[:3]} == {""}
    same = replace(plain, commit="b" * 40, members=plain.members[3:])
    assert history.store.open_rollout(same, at=now) == ""  # the rest of what was approved
    other = tuple(replace(one, digest="d2") for one in plain.members)
    history.store.open_rollout(replace(plain, commit="c" * 40, members=other), at=now)
    assert [one.state for one in history.queries.rollouts(RolloutListing()).items] == ["waiting", "superseded"]


def test_a_host_that_turns_out_to_differ_takes_part_and_an_older_revision_begins_nothing(
    history: History, now: datetime
) -> None:
    history.store.open_rollout(opening("a", hosts=HOSTS[:1]), at=now)
    accept(history, "a", now)
    assert begin(history, "pve0", now) == ""
    history.store.set_base("pve0", [], digest="d1", commit="a" * 40, apply_id="", at=now)
    assert history.store.move_rollout(judge, at=now) is not None
    assert history.store.move_rollout(judge, at=now) is None
    assert begin(history, "pve5", now, digest="d9").startswith("rollout ")
    assert begin(history, "pve5", now + timedelta(minutes=1), digest="d9") == ""
    accept(history, "b", now)
    history.store.open_rollout(opening("b", hosts=()), at=now)  # as the watcher does with one that changes nothing
    assert begin(history, "pve6", now, "c") == "a newer revision is in force"
    assert begin(history, "pve6", now, "b") == ""


def test_hosts_that_are_away_are_left_out_and_those_of_the_wave_wait_for(history: History, now: datetime) -> None:
    store = history.store
    for host in HOSTS[:4]:
        store.set_host_status(HostStatus(host, reachability="Unreachable"), at=now)
    rollout_id = store.open_rollout(opening("a"), at=now)
    assert history.queries.rollout_candidates(rollout_id)[:2] == ("pve4", "pve5")
    assert begin(history, "pve4", now) == ""
    end(history, "pve4", "Succeeded", now)
    store.set_host_status(HostStatus("pve4", reachability="Unreachable"), at=now)
    later = now + timedelta(minutes=5)
    assert "waits for wave 2" in begin(history, "pve5", later)
    assert history.queries.unavailable_hosts() == 1
    store.set_host_status(HostStatus("pve4", reachability="Reachable"), at=later)
    assert begin(history, "pve5", later) == ""
    assert history.queries.applied_digests()["pve4"] == ""
