"""What people may ask of the loop, and what they are reported instead."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from service.answers.answers import Answers
from service.answers.packets import HostTracer
from service.errors import InputError, NeverSeen, NotFound, Stale
from service.git.mirror import Mirror
from service.git.source import parse_source
from service.kinds import KINDS
from service.kinds.desire import desire
from service.model.plans import Plan, Refusal
from service.model.runs import HostStatus, PlanRecord
from service.plan.make import make_plan
from service.reconcile.control import Control
from service.reconcile.queue import Queue
from service.reconcile.round import Rounds
from service.reconcile.watching import Watcher
from service.resources.desired import LastApplied
from service.work import InPlace
from tests.git.forge import Forge
from tests.laws.host import bare_host
from tests.laws.specs import FOLDER, head
from tests.reconcile.book import Book
from tests.reconcile.clocks import START, StoppedClock

SEED = head() + (FOLDER / "seed.yaml").read_text()


class Desk:
    """A control over real parts; the one host was looked at, nothing was applied yet."""

    def __init__(self, room: Path) -> None:
        self.forge = Forge(room / "fleet.git")
        self.book, self.clock, self.nudges = Book(), StoppedClock(), 0
        mirror = Mirror(room / "mirror", parse_source(str(self.forge.path), "main"))
        book, clock = self.book, self.clock
        self.watcher = Watcher(mirror, book, book, KINDS, clock)  # type: ignore[arg-type]  # what these use of them
        self.rounds = Rounds(book, book, object(), object(), KINDS, clock, InPlace(), observe_s=30)  # type: ignore[arg-type]  # never run here
        self.queue = Queue(clock)
        self.answers = Answers(self.watcher, self.rounds, KINDS, clock.now)
        self.control = Control(
            self.watcher, self.rounds, self.queue, book, book, clock, self.nudged, self.answers.not_known,  # type: ignore[arg-type]
        )  # fmt: skip

    def nudged(self) -> None:
        self.nudges += 1

    async def says(self, spec: str) -> "Desk":
        self.forge.push({"fleet.yaml": "passerelle: 1\n", "hosts/pve1.yaml": spec})
        await self.watcher.look()
        self.book.lines.clear()
        return self

    def looked_at(self) -> Plan:
        """As a round leaves it: seen, compared, planned."""
        standing, spec = self.rounds.standing("pve1"), self.watcher.wanted.hosts["pve1"]
        standing.desired = desire(spec, KINDS)
        standing.observed = bare_host(standing.desired.watch)
        standing.plan = make_plan(standing.desired, LastApplied(), standing.observed, commit=self.watcher.wanted.commit)
        standing.plan_id, standing.commit, standing.spec = "plan-1", standing.plan.commit, spec
        self.book.plans["plan-1"] = PlanRecord(
            "plan-1", "pve1", standing.plan.commit, standing.plan.digest, standing.plan.desired_digest, "current", START
        )
        return standing.plan


@pytest.fixture
def new_desk(tmp_path: Path) -> Callable[[], Desk]:
    return lambda: Desk(tmp_path)


@pytest.fixture
async def desk(tmp_path: Path) -> Desk:
    return await Desk(tmp_path).says(SEED)


async def test_a_host_is_made_due_and_who_asked_is_recorded(desk: Desk) -> None:
    await desk.control.reconcile("pve1", "ann")
    assert await desk.queue.take() == "pve1"
    assert str(desk.book) == "host.reconcile-asked pve1: ann requested a look at pve1"


async def test_a_host_that_no_revision_names_is_not_found(desk: Desk) -> None:
    for asked in (
        desk.control.reconcile("pve9", "ann"),
        desk.control.apply("pve9", None, None, "ann"),
        desk.control.clear_latch("pve9", "x", "ann"),
        desk.control.drill("pve9", "ann"),
        desk.control.release("pve9", "x", "ann"),
        desk.answers.desired("pve9"),
        desk.answers.observed("pve9"),
    ):
        with pytest.raises(NotFound, match=r"no (revision names the )?host pve9"):
            await asked
    assert (str(desk.book), desk.queue.depth) == ("", 0)


@pytest.mark.parametrize("by", ["id", "digest", "both", "neither"])
async def test_an_apply_of_the_current_plan_waits_in_the_queue(by: str, desk: Desk) -> None:
    plan = desk.looked_at()
    plan_id = "plan-1" if by in ("id", "both") else None
    digest = plan.digest if by in ("digest", "both") else None
    apply_id = await desk.control.apply("pve1", plan_id, digest, "ann")
    waiting = desk.book.waiting_apply("pve1")
    assert waiting is not None
    assert (waiting.id, waiting.requested_by, waiting.plan_digest) == (apply_id, "ann", plan.digest)
    assert await desk.queue.take() == "pve1"
    assert str(desk.book) == "opened an apply of pve1 for ann (request)"


async def test_the_beginning_of_a_digest_names_the_plan(desk: Desk) -> None:
    plan = desk.looked_at()
    await desk.control.apply("pve1", None, plan.digest[: len("sha256:") + 12], "ann")
    waiting = desk.book.waiting_apply("pve1")
    assert waiting is not None
    assert waiting.plan_digest == plan.digest


async def test_a_beginning_that_two_plans_share_names_neither(desk: Desk) -> None:
    """Twelve digits are made twice in seconds by whoever writes both plans: seen was perhaps the other one."""
    plan = desk.looked_at()
    beginning = plan.digest[: len("sha256:") + 12]
    other = replace(desk.book.plans["plan-1"], id="plan-0", digest=beginning + "0" * 52, state="superseded")
    desk.book.plans["plan-0"] = other
    with pytest.raises(InputError, match="is the beginning of the digests of 2 plans of pve1"):
        await desk.control.apply("pve1", None, beginning, "ann")
    assert str(desk.book) == ""
    await desk.control.apply("pve1", None, plan.digest[:-1], "ann")


async def test_of_two_who_ask_at_once_one_is_told_to_wait(desk: Desk) -> None:
    desk.looked_at()
    asked = [desk.control.apply("pve1", None, None, who) for who in ("ann", "bob")]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, InputError)]
    assert [str(error) for error in refused] == ["an apply of pve1 waits already: apply-1"]
    assert len(desk.book.lines) == 1


async def test_a_plan_that_was_agreed_to_and_is_no_more_is_stale(desk: Desk) -> None:
    desk.looked_at()
    with pytest.raises(Stale, match="the plan of pve1 is now sha256:"):
        await desk.control.apply("pve1", None, "sha256:another", "ann")
    with pytest.raises(Stale, match="the plan plan-1 has the digest"):
        await desk.control.apply("pve1", "plan-1", "sha256:another", "ann")
    with pytest.raises(NotFound, match="pve1 has no plan plan-2"):
        await desk.control.apply("pve1", "plan-2", None, "ann")
    assert str(desk.book) == ""


async def test_what_cannot_be_applied_is_said_and_nothing_is_opened(desk: Desk) -> None:
    with pytest.raises(NeverSeen, match="pve1 was not looked at yet"):
        await desk.control.apply("pve1", None, None, "ann")
    plan = desk.looked_at()
    standing = desk.rounds.standing("pve1")
    standing.plan = replace(plan, steps=(), packages=())
    with pytest.raises(InputError, match="there is nothing to apply on pve1"):
        await desk.control.apply("pve1", None, None, "ann")
    standing.plan = replace(plan, refusals=(Refusal("management-path", "it would cut", "mean it"),))
    with pytest.raises(InputError, match=r"the plan is refused: it would cut \(mean it\)"):
        await desk.control.apply("pve1", None, None, "ann")
    assert (str(desk.book), desk.queue.depth) == ("", 0)


async def test_a_host_that_is_only_observed_is_never_written_to(new_desk: Callable[[], Desk]) -> None:
    desk = await new_desk().says(SEED.replace("sync: auto", "sync: observe"))
    desk.looked_at()
    with pytest.raises(InputError, match="nothing is ever written to it"):
        await desk.control.apply("pve1", None, None, "ann")


async def test_a_cleared_latch_makes_the_host_due(desk: Desk) -> None:
    assert await desk.control.clear_latch("pve1", "the cable was out", "ann") == 1
    assert await desk.queue.take() == "pve1"
    assert str(desk.book) == "ann cleared the latch of pve1: the cable was out"


async def test_a_drill_waits_in_the_queue_and_only_one_does(desk: Desk) -> None:
    answers = await asyncio.gather(*(desk.control.drill("pve1", who) for who in ("ann", "bob")), return_exceptions=True)
    assert answers[0] == "drill-1"
    assert str(answers[1]) == "a drill of pve1 waits already: drill-1"
    assert [drill.id for drill in desk.book.drills] == ["drill-1"]
    assert await desk.queue.take() == "pve1"
    assert str(desk.book) == "opened a drill of pve1 for ann"


async def test_a_host_that_is_only_observed_is_not_drilled(new_desk: Callable[[], Desk]) -> None:
    desk = await new_desk().says(SEED.replace("sync: auto", "sync: observe"))
    with pytest.raises(InputError, match="nothing is ever written to it"):
        await desk.control.drill("pve1", "ann")
    assert (str(desk.book), desk.queue.depth) == ("", 0)


async def test_a_quarantine_is_lifted_where_there_is_one_with_who_and_why(desk: Desk) -> None:
    with pytest.raises(InputError, match="pve1 is not quarantined"):
        await desk.control.release("pve1", "why not", "ann")
    desk.book.known["pve1"] = HostStatus("pve1", quarantined="01A")
    await desk.control.release("pve1", "the folder was mine", "ann")
    (asked,) = desk.book.releases
    assert (asked.apply_id, asked.requested_by, asked.reason) == ("01A", "ann", "the folder was mine")
    assert await desk.queue.take() == "pve1"


async def test_a_nudge_only_looks_at_the_source(desk: Desk) -> None:
    await desk.control.nudge("forge")
    assert (desk.nudges, desk.queue.depth, str(desk.book)) == (1, 0, "")


async def test_what_is_wanted_and_what_was_seen_are_shown_once_there_is_something(desk: Desk) -> None:
    before = await desk.answers.desired("pve1")  # what Git wants is known of a host that nobody has seen
    assert await desk.answers.observed("pve1") is None
    plan = desk.looked_at()
    assert await desk.answers.desired("pve1") == before
    wanted, found = await desk.answers.desired("pve1"), await desk.answers.observed("pve1")
    assert wanted is not None
    assert found is not None
    assert (wanted.commit, wanted.digest) == (desk.watcher.wanted.commit, plan.desired_digest)
    assert isinstance(wanted.content, list)
    assert {"kind": "bridges", "resource": "vmbr0", "field": "up", "where": "live", "want": True} in wanted.content
    assert isinstance(found.content, dict)
    assert found.content["path"] == {"controller": "198.18.0.10", "server": "198.51.100.11", "port": 22}
    assert found.content["facts"]["addresses:enp1s0"] == ["198.51.100.11/24"]  # type: ignore[call-overload,index]
    packages = found.content["packages"]
    assert isinstance(packages, dict)
    assert {name: packages[name] for name in ("bridge-utils", "dnsmasq", "isc-dhcp-client")} == {
        "bridge-utils": None, "dnsmasq": None, "isc-dhcp-client": "4.4.3",
    }  # fmt: skip


async def test_the_service_is_ready_once_a_revision_is_in_force(new_desk: Callable[[], Desk]) -> None:
    desk = new_desk()
    assert await desk.answers.readiness() == {"source": "no revision was accepted yet"}
    await desk.watcher.look()
    assert "has no branch" in (await desk.answers.readiness())["source"]
    await desk.says(SEED)
    assert await desk.answers.readiness() == {}


async def test_a_question_about_a_packet_is_answered_by_the_revision_in_force(desk: Desk) -> None:
    asked = {"from": "outside", "to": "host", "proto": "tcp", "dport": "8080"}
    first = await desk.answers.trace("pve1", asked)
    assert (first["commit"], first["verdict"], first["rule"]) == (desk.watcher.wanted.commit, "ACCEPT", None)
    published = "forwards:\n  - {in: enp1s0, ports: {8080: 80}, to: proxy}\nfirewall:\n  policy_forward: drop\n"
    await desk.says(SEED + published + "  rules: [{type: in, action: accept, macro: SSH}]\n")
    then = await desk.answers.trace("pve1", asked)
    spec = desk.watcher.wanted.hosts["pve1"]
    answer = {key: then[key] for key in ("verdict", "rule", "id", "why", "nat")}
    assert answer == HostTracer(spec, KINDS).trace(asked).as_json()
    assert then["commit"] != first["commit"]
    assert str(then["nat"]).startswith("['forwarded to 10.10.10.20:80 by hosts/pve1.yaml:")
    with pytest.raises(NotFound, match="pve9"):
        await desk.answers.trace("pve9", asked)
    with pytest.raises(InputError, match="there is no zone vmbr9"):
        await desk.answers.trace("pve1", {**asked, "from": "vmbr9"})


async def test_what_a_host_has_is_offered_as_a_patch_and_nothing_is_written(tmp_path: Path) -> None:
    desk = await Desk(tmp_path).says(head() + "packages: {tcpdump: present}   # for looking\n")
    with pytest.raises(NeverSeen, match="not looked at yet"):
        await desk.answers.accept("pve1")
    desk.looked_at()
    found = await desk.answers.accept("pve1")
    lines = str(found["patch"]).splitlines()
    assert lines[:2] == ["--- a/hosts/pve1.yaml", "+++ b/hosts/pve1.yaml"]
    assert [line for line in lines[2:] if line[0] in "-+"] == [
        "-packages: {tcpdump: present}   # for looking",
        "+packages: {tcpdump: absent}   # for looking",
    ]
    assert (found["file"], found["taken"], found["left"]) == ("hosts/pve1.yaml", ["packages tcpdump package"], [])
    assert found["commit"] == desk.watcher.wanted.commit
    with pytest.raises(NotFound):
        await desk.answers.accept("pve9")


async def test_what_is_met_in_files_of_others_is_told_with_its_place(tmp_path: Path) -> None:
    desk = await Desk(tmp_path).says(SEED)
    desk.looked_at()
    standing = desk.rounds.standing("pve1")
    assert standing.desired is not None
    standing.observed = bare_host(standing.desired.watch, {"/etc/dnsmasq.d/mine": b"# by hand\ncache-size=256\n"})
    view = await desk.answers.observed("pve1")
    assert view is not None
    assert isinstance(view.content, dict)
    assert view.content["met"] == [{"thing": "dnsmasq cache-size 256", "where": "/etc/dnsmasq.d/mine:2"}]
