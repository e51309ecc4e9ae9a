"""Drills and quarantines as the loop drives them: a real history, hosts that say what the test lets them say."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from service.errors import HostError, HostRefused, Unreachable
from service.history import History, open_history
from service.model.facts import FactId
from service.model.listings import ApplyListing, EventListing
from service.model.observed import HostObserved, Watch
from service.model.runs import HostStatus, Proof
from service.model.states import Json, Unknown
from service.model.telling import Ended, Fence
from service.observe.at_boot import WAY_IN_WATCH
from service.reconcile.asked import Asked
from service.reconcile.drilling import INTERRUPTED, Drilling, held, reboot_objection
from service.reconcile.quarantine import Held, Quarantine
from service.reconcile.trouble import Troubles
from tests.laws.host import bare_host
from tests.laws.specs import head, spec_of
from tests.reconcile.clocks import START, StoppedClock
from tests.state_folders import made

SPEC = spec_of(head())
FINE = (Proof("timer fired", ok=True, told="0.1 s after the deadline"), Proof("rollback", ok=True, told="as before"))


@dataclass
class Fleet:
    """As much of the fleet's hosts as drills and quarantines ask; says `trouble` instead where there is some."""

    fenced: Fence = field(default_factory=Fence)
    proofs: tuple[Proof, ...] = FINE
    trouble: HostError | None = None
    asked: list[tuple[object, ...]] = field(default_factory=list)

    async def fence(self, _spec: object) -> Fence:
        return self.fenced

    async def drill(
        self, _spec: object, facts: Mapping[FactId, Json], *, drill_id: str, generation: int,
        known_addresses: Sequence[str], reboot: bool = False,
    ) -> tuple[Proof, ...]:  # fmt: skip
        self.asked.append(("reboot" if reboot else "drill", drill_id, generation, sorted(facts), list(known_addresses)))
        if self.trouble is not None:
            raise self.trouble
        return self.proofs

    async def release(self, _spec: object, apply_id: str, reason: str) -> None:
        self.asked.append(("release", apply_id, reason))
        if self.trouble is not None:
            raise self.trouble


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with open_history(made(tmp_path / "passerelle.sqlite")) as opened:
        opened.store.set_host_status(HostStatus("pve1"), at=START)
        yield opened


def drilling(history: History, fleet: Fleet) -> Drilling:
    return Drilling(history.store, history.queries, fleet, StoppedClock(), Troubles(StoppedClock()))  # type: ignore[arg-type]  # what it uses of them


async def drilled(history: History, fleet: Fleet) -> str:
    drill_id = history.store.open_drill("pve1", requested_by="ann", at=START)
    await drilling(history, fleet).run(SPEC, drill_id, bare_host(Watch()), ["198.51.100.11"])
    return drill_id


async def test_a_drill_has_a_generation_of_its_own_and_holds_the_way_in(history: History) -> None:
    fleet = Fleet(Fence(generation=41))
    drill_id = await drilled(history, fleet)
    facts = ["addresses:enp1s0", "link:enp1s0", "routes:default"]
    assert fleet.asked == [("drill", drill_id, 42, facts, ["198.51.100.11"])]
    found, status = history.queries.drill(drill_id), history.queries.host("pve1")
    assert found is not None
    assert status is not None
    assert (found.state, found.generation, found.proofs, found.error) == ("Passed", 42, FINE, "")
    assert status.proven_at == found.ended_at
    assert history.queries.applies(ApplyListing(limit=5)).items == ()
    assert history.queries.latches("pve1") == ()


@pytest.mark.parametrize(
    ("proofs", "said"),
    [
        ((*FINE, Proof("new connection", ok=False, told="no banner came")), "new connection: no banner came"),
        ((Proof("armed", ok=False, told="armed already"),), "armed: armed already"),
        ((), "nothing was proven"),
    ],
)
async def test_one_proof_that_is_missing_makes_a_drill_fail(
    history: History, proofs: tuple[Proof, ...], said: str
) -> None:
    found = history.queries.drill(await drilled(history, Fleet(proofs=proofs)))
    assert found is not None
    assert (found.state, found.error, found.proofs) == ("Failed", said, proofs)
    status = history.queries.host("pve1")
    assert status is not None
    assert status.proven_at is None


async def test_no_drill_begins_where_no_apply_may(history: History) -> None:
    history.store.suspend("host", "pve1", "the disks are being replaced", by="ann", at=START, until=None)
    fleet = Fleet()
    found = history.queries.drill(await drilled(history, fleet))
    assert found is not None
    assert found.state == "Failed"
    assert "no drill begins on pve1 now: " in found.error
    assert "the disks are being replaced" in found.error
    assert fleet.asked == []


async def test_a_host_that_cannot_be_reached_has_proven_nothing(history: History) -> None:
    found = history.queries.drill(await drilled(history, Fleet(trouble=Unreachable("pve1: no route"))))
    assert found is not None
    assert (found.state, found.error) == ("Failed", "pve1: no route")


async def test_drills_that_nobody_runs_any_more_end_and_the_one_that_waits_does_not(history: History) -> None:
    cut = history.store.open_drill("pve1", requested_by="ann", at=START)
    history.store.start_drill(cut, generation=1, at=START)
    waiting = history.store.open_drill("pve1", requested_by="ann", at=START)
    await drilling(history, Fleet()).settle("pve1")
    found = history.queries.drill(cut)
    assert found is not None
    assert (found.state, found.error) == ("Failed", INTERRUPTED)
    assert [drill.id for drill in history.queries.unfinished_drills("pve1")] == [waiting]
    asked = Asked(history.store, history.queries, StoppedClock())
    await asked.give_up("pve1", "Failed", "unreachable", "pve1 does not answer")
    assert await asked.drill("pve1") is None
    assert history.queries.unfinished_drills("pve1") == ()


def test_what_could_not_be_read_is_not_held() -> None:
    host = bare_host(Watch())
    assert list(held(host)) == ["addresses:enp1s0", "link:enp1s0", "routes:default"]
    unread = replace(host, facts={**host.facts, "routes:default": Unknown("`ip` is missing")})
    assert "routes:default" not in held(unread)
    assert list(held(replace(host, path=None))) == ["routes:default"]


@pytest.mark.parametrize(
    ("armed", "fence", "found"),
    [
        ("", Fence(quarantined="01A"), Held()),
        ("01A", Fence(armed="01A", controller="other"), Held("01A", "", "other")),
        ("01A", Fence(armed="01A", journals={"01A": Ended("confirmed")}), Held()),
        (
            "01A",
            Fence(armed="01A", quarantined="01A", journals={"01A": Ended("rollback_failed", "deadline", "no file")}),
            Held("", "01A", "", "no file"),
        ),
    ],
    ids=["nothing armed", "another's", "ended, not disarmed", "a rollback failed"],
)
async def test_whether_a_host_is_free_is_read_from_its_own_journals(
    history: History, armed: str, fence: Fence, found: Held
) -> None:
    quarantine = Quarantine(history.store, Fleet(fence), StoppedClock())  # type: ignore[arg-type]  # what it uses
    assert await quarantine.look(SPEC, replace(bare_host(Watch()), armed=armed)) == found


def test_what_to_do_about_it_is_said_with_the_console() -> None:
    status = HostStatus("pve1", console="https://c.example.net")
    said = Held(quarantined="01A", why="/etc/x is not a regular file").message(status)
    assert said == (
        "the rollback of 01A failed: /etc/x is not a regular file. No apply starts on this host. Fix: check the "
        "host on its console https://c.example.net, and run `passerelle release pve1 --reason TEXT`"
    )
    assert Held("01B", controller="other").message(status) == (
        "transaction 01B of other is armed on the host. passerelle waits for its end"
    )


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (None, "pve1: the quarantine of 01A was lifted: ann: the folder was mine"),
        (HostRefused("01A is confirmed", reason="state"), "pve1: the quarantine of 01A could not be lifted: 01A is"),
    ],
)
async def test_a_release_is_told_and_so_is_one_that_failed(
    history: History, trouble: HostError | None, said: str
) -> None:
    fleet = Fleet(trouble=trouble)
    quarantine = Quarantine(history.store, fleet, StoppedClock())  # type: ignore[arg-type]  # what it uses
    await quarantine.release(SPEC, "01A", "ann: the folder was mine")
    assert fleet.asked == [("release", "01A", "ann: the folder was mine")]
    (event,) = history.queries.events(EventListing(limit=9, type="host.release")).items
    assert event.text.startswith(said)


@pytest.mark.parametrize(
    ("host", "said"),
    [
        (replace(bare_host(Watch()), left_overs=("/etc/network/interfaces.new",)), "/etc/network/interfaces.new would"),
        (replace(bare_host(Watch()), left_overs=("/etc/pve/local/host.fw.new",)), "/etc/pve/local/host.fw.new would"),
        (
            bare_host(WAY_IN_WATCH, {"/etc/network/interfaces": b"auto lo\n"}),
            "enp1s0, which carries 198.51.100.11, is not",
        ),
    ],
    ids=["a pending change", "a pending firewall", "the files lose the uplink"],
)
async def test_a_host_that_a_reboot_would_lose_is_not_rebooted(history: History, host: HostObserved, said: str) -> None:
    fleet = Fleet()
    drill_id = history.store.open_drill("pve1", requested_by="ann", at=START)
    await drilling(history, fleet).run(SPEC, drill_id, host, [], reboot=True)
    found = history.queries.drill(drill_id)
    assert found is not None
    assert (found.state, fleet.asked) == ("Failed", [])
    assert said in found.error


async def test_a_drill_that_reboots_says_so_to_the_host(history: History) -> None:
    fleet = Fleet()
    drill_id = history.store.open_drill("pve1", requested_by="ann", at=START)
    await drilling(history, fleet).run(SPEC, drill_id, bare_host(WAY_IN_WATCH), [], reboot=True)
    assert [asked[0] for asked in fleet.asked] == ["reboot"]


@pytest.mark.parametrize(
    ("held", "begins"),
    [
        (Held(quarantined="01A"), "the rollback of 01A failed. No apply starts on this host. Fix: "),
        (
            Held(quarantined="01A", why="no file"),
            "the rollback of 01A failed: no file. No apply starts on this host. Fix: ",
        ),
        (Held(armed="01A"), "transaction 01A is armed on the host. passerelle waits for its end"),
        (
            Held(armed="01A", controller="other"),
            "transaction 01A of other is armed on the host. passerelle waits for its end",
        ),
    ],
)
def test_what_stands_on_a_host_is_said_with_what_is_known_of_it(held: Held, begins: str) -> None:
    assert held.message(HostStatus("pve1")).startswith(begins)


def test_a_pending_file_that_says_the_same_stops_no_reboot() -> None:
    path, main = "/etc/network/interfaces.new", "/etc/network/interfaces"
    host = bare_host(WAY_IN_WATCH)
    same = replace(host, texts={**host.texts, path: host.texts[main]}, left_overs=(path,))
    assert reboot_objection(same) == reboot_objection(host)
    assert f"{path} would come into force" in reboot_objection(replace(same, texts=host.texts))
