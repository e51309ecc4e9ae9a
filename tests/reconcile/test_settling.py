"""After a stop of the service: how its applies ended is read from the host's journals, and that is what is recorded."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from service.errors import HostError, Unreachable
from service.history import History, open_history
from service.model.runs import Apply
from service.model.telling import Ended, Fence, StepTold
from service.reconcile.applying import Applying
from service.reconcile.planning import Planning
from service.reconcile.standing import Standing
from service.work import InPlace
from tests.laws.specs import head, spec_of
from tests.reconcile.clocks import START, StoppedClock
from tests.state_folders import made

SPEC = spec_of(head())


@dataclass
class Fleet:
    """The host's journals, and what a comparison with the snapshot finds."""

    journals: dict[str, Ended] = field(default_factory=dict)
    armed: str = ""
    differs: tuple[str, ...] = ()
    trouble: HostError | None = None
    verified: list[str] = field(default_factory=list)

    async def fence(self, _spec: object) -> Fence:
        return Fence(armed=self.armed, journals=self.journals)

    async def verify(self, _spec: object, apply_id: str) -> tuple[str, ...]:
        self.verified.append(apply_id)
        if self.trouble is not None:
            raise self.trouble
        return self.differs


class Desk:
    """A history with one apply that was under way when the service stopped."""

    def __init__(self, history: History) -> None:
        self.history, self.fleet, self.standing = history, Fleet(), Standing()
        named: dict[str, Any] = {"plan_id": "", "commit": "c", "plan_digest": "p", "desired_digest": "sha256:d"}
        self.id = history.store.open_apply("pve1", **named, trigger="push", requested_by="x", at=START)
        history.store.start_apply(self.id, generation=3, planned=[("file:/etc/x", "why")], at=START)
        self.applying = Applying(
            history.store, history.queries, self.fleet, StoppedClock(), Planning(InPlace()),  # type: ignore[arg-type]
            lambda _commit, _host: None,
        )  # fmt: skip

    async def settle(self) -> Apply | None:
        """The apply's record once it is settled; None while it is not."""
        if await self.applying.settle(SPEC, self.standing) == "armed":
            return None
        return self.history.queries.apply(self.id)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_history(made(tmp_path / "passerelle.sqlite")) as opened:
        yield Desk(opened)


async def test_what_is_still_armed_is_waited_for(desk: Desk) -> None:
    desk.fleet.armed = desk.id
    assert await desk.settle() is None
    assert [apply.phase for apply in desk.history.queries.unfinished_applies()] == ["Running"]


async def test_a_rollback_that_failed_stays_armed_and_is_recorded_all_the_same(desk: Desk) -> None:
    desk.fleet.armed = desk.id
    desk.fleet.journals = {desk.id: Ended("rollback_failed", "deadline", "no regular file")}
    record = await desk.settle()
    assert record is not None
    assert (record.phase, record.cause, record.error) == ("RollbackFailed", "deadline", "no regular file")
    assert desk.history.queries.latches("pve1")


async def test_what_was_confirmed_and_not_recorded_has_succeeded(desk: Desk) -> None:
    desk.fleet.journals = {desk.id: Ended("confirmed", steps=(StepTold(0, "done"),))}
    record = await desk.settle()
    assert record is not None
    assert (record.phase, record.error, record.steps[0].state) == ("Succeeded", "", "done")
    assert not desk.history.queries.latches("pve1")


async def test_what_the_host_has_no_journal_of_was_never_begun(desk: Desk) -> None:
    record = await desk.settle()
    assert record is not None
    assert (record.phase, record.cause) == ("Failed", "interrupted")
    assert not desk.history.queries.latches("pve1")


@pytest.mark.parametrize(
    ("is_verified", "differs", "trouble", "said", "asked"),
    [
        (True, ("file:/etc/x",), None, "it booted", False),
        (None, (), None, "it booted", True),
        (None, ("file:/etc/x", "unit:y.service"), None, "it booted; not as before: file:/etc/x, unit:y.service", True),
        (None, (), Unreachable("gone"), "it booted; it is not known whether all is as before: gone", True),
    ],
)
async def test_a_rollback_at_boot_is_compared_once_the_host_is_up(
    desk: Desk, is_verified: bool | None, differs: tuple[str, ...], trouble: HostError | None, said: str, asked: bool
) -> None:
    desk.fleet.journals = {desk.id: Ended("rolled_back", "boot", "it booted", is_verified=is_verified)}
    desk.fleet.differs, desk.fleet.trouble = differs, trouble
    record = await desk.settle()
    assert record is not None
    assert (record.phase, record.cause, record.error) == ("RolledBack", "boot", said)
    assert desk.fleet.verified == ([desk.id] if asked else [])
