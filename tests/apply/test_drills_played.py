"""Drills that do not go as they should: what was proven is reported, and the host ends as it was."""

import pytest

from service.apply.rebooting import BOOT_ID, REBOOT
from service.errors import Unreachable
from service.model.runs import Proof
from service.observe.connection import Answer
from tests.apply.wilful import FACT, ID, Fleet
from tests.scenarios.played_host import Result

UNDONE: Result = {"state": "rolled_back", "restore_began": {"verb": "boot"}}


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


async def drilled(fleet: Fleet, *, reboot: bool = False) -> dict[str, Proof]:
    proofs = await fleet.hosts.drill(
        fleet.spec, {FACT: "0"}, drill_id=ID, generation=1, known_addresses=["198.51.100.11"], reboot=reboot
    )
    return {proof.name: proof for proof in proofs}


def failed(proofs: dict[str, Proof]) -> dict[str, str]:
    return {proof.name: proof.told for proof in proofs.values() if not proof.ok}


@pytest.mark.parametrize("reboot", [False, True])
async def test_a_drill_that_goes_well_proves_each_piece(fleet: Fleet, *, reboot: bool) -> None:
    proofs = await drilled(fleet, reboot=reboot)
    assert failed(proofs) == {}
    assert ("boot restore" in proofs, "timer fired" in proofs) == (reboot, not reboot)
    assert fleet.state == "rolled_back"
    assert fleet.is_as_before
    assert fleet.ways.dropped == ["pve1"]


@pytest.mark.parametrize("reboot", [False, True])
async def test_on_a_host_that_somebody_works_on_nothing_is_begun(fleet: Fleet, *, reboot: bool) -> None:
    fleet.host.armed = "01OTHER"
    proofs = await drilled(fleet, reboot=reboot)
    assert failed(proofs)["armed"].startswith("another transaction is armed on this host")
    assert (list(proofs), fleet.host.boots) == (["armed"], 1)


@pytest.mark.parametrize("reboot", [False, True])
async def test_a_line_that_breaks_at_the_beginning_proves_nothing(fleet: Fleet, *, reboot: bool) -> None:
    fleet.host.instead["begin"] = [Unreachable("the line broke")]
    assert failed(await drilled(fleet, reboot=reboot)) == {"armed": "the line broke"}
    assert (fleet.host.boots, fleet.host.journals) == (1, {})


async def test_a_host_that_nobody_reaches_afterwards_has_proven_no_rollback(fleet: Fleet) -> None:
    fleet.host.after["prove"] = fleet.shuts
    told = failed(await drilled(fleet))
    assert told == {"rollback": "its end is not known", "new connection": "no route"}


async def test_a_timer_that_never_fires_is_found_out(fleet: Fleet) -> None:
    fleet.host.has_timer = False
    told = failed(await drilled(fleet))
    assert told["new connection"] == "the transaction is still applied after its deadline"
    fleet.host.has_timer = True
    fleet.host.tick()
    assert fleet.is_as_before


async def test_a_switch_that_is_not_whole_is_not_rebooted(fleet: Fleet) -> None:
    proofs: list[Result] = [{"name": "boot unit", "ok": False, "told": "it is not enabled"}]
    fleet.host.instead["prove"] = [{"state": "applied", "proofs": [*proofs]}]
    told = failed(await drilled(fleet, reboot=True))
    assert told == {"boot unit": "it is not enabled", "reboot": "not started: the automatic rollback is not complete"}
    assert fleet.host.boots == 1
    fleet.host.instead["prove"] = [{"state": "applied"}]
    fleet.host.armed = ""
    fleet.host.generation = 0
    fleet.host.journals.clear()
    assert failed(await drilled(fleet)) == {"armed": "the host did not say what is armed"}


async def test_a_host_that_refuses_to_reboot_undoes_the_drill_by_its_timer(fleet: Fleet) -> None:
    fleet.host.says[REBOOT[-1]] = lambda: Answer(1, b"", b"Access denied\n")
    told = failed(await drilled(fleet, reboot=True))
    assert told == {"armed": "`systemctl reboot` failed: Access denied"}
    fleet.clock.move(601)
    fleet.host.tick()
    assert (fleet.state, fleet.host.journals[ID]["cause"], fleet.is_as_before) == ("rolled_back", "deadline", True)


async def test_the_connection_may_go_before_the_reboot_is_answered(fleet: Fleet) -> None:
    def goes() -> Answer:
        fleet.host.boot()
        raise Unreachable("the line broke")

    fleet.host.says[REBOOT[-1]] = goes
    assert failed(await drilled(fleet, reboot=True)) == {}
    assert (fleet.host.boots, fleet.is_as_before) == (2, True)


async def test_a_host_that_does_not_reboot_has_proven_nothing(fleet: Fleet) -> None:
    fleet.host.says[REBOOT[-1]] = lambda: Answer(0, b"", b"")
    told = failed(await drilled(fleet, reboot=True))
    assert told == {"reboot": "the host did not come back within 600 s: the host answers and has not rebooted"}
    assert fleet.is_as_before, "its timer has undone the drill"


async def test_a_host_that_does_not_come_back_is_told_with_the_last_reason(fleet: Fleet) -> None:
    def goes() -> Answer:
        fleet.shuts()
        return Answer(0, b"", b"")

    fleet.host.says[REBOOT[-1]] = goes
    told = failed(await drilled(fleet, reboot=True))
    assert told == {"reboot": "the host did not come back within 600 s: no route"}


@pytest.mark.parametrize("answer", [Answer(0, b"?\n", b""), Answer(1, b"", b"cat: no such file\n")])
async def test_a_host_that_does_not_say_which_boot_it_is_is_not_rebooted(fleet: Fleet, answer: Answer) -> None:
    fleet.host.says[BOOT_ID[-1]] = lambda: answer
    assert failed(await drilled(fleet, reboot=True)) == {"armed": "the host does not say which boot this is"}
    assert fleet.host.boots == 1


async def test_addresses_have_some_time_to_stand_as_before(fleet: Fleet) -> None:
    unsettled: list[Result] = [
        {"state": "ok", "journals": [UNDONE]},
        {"state": "rolled_back", "differs": ["routes:default"]},
    ]
    fleet.host.after["prove"] = lambda: fleet.host.instead.update(status=[*unsettled * 3])
    assert failed(await drilled(fleet, reboot=True)) == {}


async def test_what_stays_otherwise_after_the_boot_is_named(fleet: Fleet) -> None:
    unsettled: list[Result] = [
        {"state": "ok", "journals": [UNDONE]},
        {"state": "rolled_back", "differs": ["routes:default"]},
    ]
    fleet.host.after["prove"] = lambda: fleet.host.instead.update(status=[*unsettled * 99])
    told = failed(await drilled(fleet, reboot=True))
    assert told == {"connection after it": "differs from before the reboot: routes:default"}
