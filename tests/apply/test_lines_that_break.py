"""An apply whose lines break, whose host is slow or says no: the host ends as its journal says, and so do we."""

import pytest

from service.apply.transaction import RENEWED_S
from service.errors import HostError, Unreachable
from service.model.telling import MissedTold, PhaseTold, ProbesTold, Told
from tests.apply.wilful import FACT, Fleet
from tests.scenarios.played_host import Result


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


async def test_without_a_new_way_in_nothing_is_begun(fleet: Fleet) -> None:
    fleet.shuts()
    ended = await fleet.apply()
    assert (ended.ending, ended.cause) == ("refused", "no-way-in")
    assert "a new SSH connection to the host cannot be opened" in ended.error and "no route" in ended.error
    assert fleet.is_as_before and not fleet.host.journals
    assert fleet.ways.dropped == ["pve1"]


async def test_a_line_that_breaks_before_the_host_heard_of_it_changes_nothing(fleet: Fleet) -> None:
    fleet.host.instead["begin"] = [Unreachable("the line broke")]
    ended = await fleet.apply()
    assert (ended.ending, ended.cause) == ("refused", "not-begun")
    assert ended.error == "the host has no journal of it, so nothing was changed"
    assert fleet.is_as_before


async def test_a_host_side_file_that_crashes_is_told_with_its_words(fleet: Fleet) -> None:
    fleet.host.instead["begin"] = [{"state": "error", "error": "KeyError: 'steps'"}]
    ended = await fleet.apply()
    assert (ended.ending, ended.cause) == ("refused", "not-begun")
    assert ended.error.endswith("nothing was changed: begin failed on the host: KeyError: 'steps'")
    assert fleet.clock.at_s < 5, "nobody waits for the deadline of what never began"


async def test_a_line_that_breaks_after_the_change_is_confirmed_over_new_ones(fleet: Fleet) -> None:
    fleet.host.lost["begin"] = Unreachable("the line broke")
    assert (await fleet.apply()).ending == "confirmed"
    assert fleet.state == "confirmed"
    assert fleet.host.captured(FACT) == "1"
    first = fleet.host.verbs.index("status")
    assert fleet.host.verbs.index("confirm") > first, (
        "it is asked whether the change is in force before it is confirmed"
    )


async def test_a_document_that_the_host_cannot_read_is_refused(fleet: Fleet) -> None:
    fleet.host.instead["begin"] = [{"state": "invalid", "error": "no such format"}]
    ended = await fleet.apply()
    assert (ended.ending, ended.cause, ended.error) == ("refused", "input", "begin: no such format")
    assert fleet.is_as_before


async def test_a_host_that_another_has_applied_to_refuses_in_words(fleet: Fleet) -> None:
    fleet.host.generation = 9
    ended = await fleet.apply(generation=9)
    assert (ended.ending, ended.cause) == ("refused", "fenced")
    assert ended.error == "another controller has applied to this host since: generation 9 is not above 9"
    assert fleet.is_as_before


async def test_who_never_comes_back_is_unconfirmed_and_the_host_undoes_it_alone(fleet: Fleet) -> None:
    fleet.host.after["begin"] = fleet.shuts
    ended = await fleet.apply()
    assert (ended.ending, ended.cause) == ("unconfirmed", "unreachable")
    assert "rolls back automatically" in ended.error and "(no route)" in ended.error
    assert MissedTold("missed") in fleet.told
    assert fleet.host.captured(FACT) == "1"
    fleet.host.tick()
    assert fleet.state == "rolled_back"
    assert fleet.is_as_before


async def test_who_comes_back_after_the_deadline_learns_that_it_was_undone(fleet: Fleet) -> None:
    def open_when_late(told: Told) -> None:
        fleet.ways.shut = None if told == MissedTold("missed") else fleet.ways.shut

    fleet.host.after["begin"] = fleet.shuts
    fleet.on_told = open_when_late
    ended = await fleet.apply()
    assert (ended.ending, ended.cause) == ("rolled_back", "deadline")
    assert ended.error.endswith("seen from here: no route")
    assert "confirm" not in fleet.host.verbs
    assert fleet.is_as_before


@pytest.mark.parametrize("times", [1, 3])
async def test_what_is_lost_and_comes_back_in_time_is_confirmed(fleet: Fleet, times: int) -> None:
    silent: list[Result] = [{"state": "ok", "probes": [{"name": "gateway 198.51.100.1", "ok": False, "told": "no"}]}]
    fleet.host.after["begin"] = lambda: fleet.host.instead.update(probe=[*silent * times])
    assert (await fleet.apply()).ending == "confirmed"
    assert fleet.host.verbs.count("probe") == 1 + times + 1
    assert fleet.host.captured(FACT) == "1"


async def test_what_stays_lost_is_undone_and_asked_for_once_more(fleet: Fleet) -> None:
    fleet.host.silent = "gateway 198.51.100.1"
    ended = await fleet.apply()
    assert (ended.ending, ended.cause) == ("rolled_back", "probe lost")
    assert "gateway 198.51.100.1: no answer" in ended.error
    assert "confirm" not in fleet.host.verbs
    assert fleet.is_as_before
    [*_, last] = [told for told in fleet.told if isinstance(told, ProbesTold)]
    assert {probe.name: probe.undone for probe in last.probes} == {"ssh": "ok", "gateway 198.51.100.1": "ok"}


async def test_what_stays_lost_after_the_rollback_is_said(fleet: Fleet) -> None:
    fleet.host.silent = "gateway 198.51.100.1"

    fleet.host.after["rollback"] = fleet.shuts
    ended = await fleet.apply()
    assert (ended.ending, ended.cause) == ("rolled_back", "probe lost")
    assert ended.error.endswith("after the rollback, still ssh: no route")


async def test_a_host_that_cannot_be_asked_around_has_nothing_to_lose(fleet: Fleet) -> None:
    fleet.host.instead["probe"] = [{"state": "error", "error": "no sockets"}]
    assert (await fleet.apply()).ending == "confirmed"
    [first, *_] = [told for told in fleet.told if isinstance(told, ProbesTold)]
    assert {probe.name: probe.before for probe in first.probes} == {
        "ssh": "ok", "probes": "could not be run: probe failed on the host: no sockets",
    }  # fmt: skip


def slow(fleet: Fleet) -> None:
    """The steps take nearly all of the time that there is."""
    timeout_s = fleet.spec.connection.confirm_timeout_s
    fleet.host.after["begin"] = lambda: fleet.clock.move(timeout_s - 15)


async def test_a_deadline_that_is_near_is_moved_once(fleet: Fleet) -> None:
    slow(fleet)
    silent: list[Result] = [{"state": "ok", "probes": [{"name": "gateway 198.51.100.1", "ok": False, "told": "no"}]}]
    fleet.host.after["extend"] = lambda: fleet.host.instead.update(probe=[*silent * 2])
    assert (await fleet.apply()).ending == "confirmed"
    assert fleet.host.verbs.count("extend") == 1
    near_s = fleet.spec.connection.confirm_timeout_s - 15
    assert fleet.host.journals["01TEST"]["deadline_boottime_s"] == pytest.approx(near_s + RENEWED_S, abs=5)


async def test_where_the_host_does_not_move_its_deadline_the_old_one_counts(fleet: Fleet) -> None:
    slow(fleet)
    fleet.host.instead["extend"] = [{"state": "refused", "reason": "ended", "error": "no"}]
    assert (await fleet.apply()).ending == "confirmed"
    assert fleet.host.journals["01TEST"]["deadline_boottime_s"] == fleet.spec.connection.confirm_timeout_s


async def test_a_line_that_breaks_while_it_is_asked_around_is_followed_by_another(fleet: Fleet) -> None:
    lost: list[Result | HostError] = [Unreachable("the line broke")]
    fleet.host.after["begin"] = lambda: fleet.host.instead.update(probe=lost)
    assert (await fleet.apply()).ending == "confirmed"
    assert PhaseTold("AwaitingConfirmation") in fleet.told


async def test_an_answer_without_steps_to_the_confirmation_ends_nothing(fleet: Fleet) -> None:
    fleet.host.instead["confirm"] = [{"state": "busy"}]
    assert (await fleet.apply()).ending == "confirmed"
    assert fleet.host.verbs.count("confirm") == 2
