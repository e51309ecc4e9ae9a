"""A rollback ends what waits for its commit, at once and with its sentence: the field, and the demo's story."""

import importlib.util
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from service.errors import LabError
from service.history import open_history
from service.lab.field import Field, RolledBack
from service.model.runs import HostStatus
from tests.api.world import COMMIT, NOW, World
from tests.cli.reached import reached
from tests.documents import TOP
from tests.state_folders import made

SENTENCE = "this desired state was rolled back and is not tried again by itself: nobody confirmed before the deadline"
UNDONE = HostStatus(
    "pve1", sync="OutOfSync", reason="RolledBackLatched", health="Degraded", reachability="Reachable",
    phase="RolledBack", attempted_commit=COMMIT, observed_commit=COMMIT, message=SENTENCE,
)  # fmt: skip


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_history(made(tmp_path / "passerelle.sqlite")) as history:
        filled = World(history).fill()
        with reached(filled.app, filled.token()):
            yield filled


@pytest.fixture
def field(world: World, tmp_path: Path) -> Field:
    """A field whose service is the world's; it has no lab."""
    made_one = Field(NoLab(), tmp_path / "room", {})  # type: ignore[arg-type]
    made_one.url, made_one.token = os.environ["PASSERELLE_URL"], world.token()
    return made_one


class NoLab:
    """Where a story would look for its host."""

    def host(self, _name: str) -> None:
        return None


@pytest.fixture(scope="module")
def story() -> Iterator[ModuleType]:
    """deploy/story.py as a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TOP / "deploy"))
        found = importlib.util.spec_from_file_location("story", TOP / "deploy" / "story.py")
        assert found is not None
        assert found.loader is not None
        module = importlib.util.module_from_spec(found)
        patch.setitem(sys.modules, "story", module)
        found.loader.exec_module(module)
        yield module


def test_what_was_rolled_back_is_not_waited_for(world: World, field: Field) -> None:
    world.history.store.set_host_status(UNDONE, at=NOW)
    with pytest.raises(RolledBack) as caught:
        field.wait_in_force("pve1", COMMIT, timeout_s=600)
    assert str(caught.value) == f"pve1: {COMMIT[:10]} was rolled back: {SENTENCE}"


def test_the_rollback_of_another_commit_is_no_reason_to_end(world: World, field: Field) -> None:
    world.history.store.set_host_status(replace(UNDONE, attempted_commit="d" * 40), at=NOW)
    with pytest.raises(LabError, match="not within") as caught:
        field.wait_in_force("pve1", COMMIT, timeout_s=0.2)
    assert not isinstance(caught.value, RolledBack)
    assert '"phase": "RolledBack"' in str(caught.value)


def undo(world: World, cause: str = "deadline") -> None:
    """An apply of pve1 is rolled back."""
    world.history.store.finish_apply(world.apply_id(), "RolledBack", at=NOW, cause=cause, error="nobody confirmed")


def test_the_story_ends_at_once_while_it_waits_for_something_else(
    world: World, field: Field, story: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    told = story.Story(NoLab(), field)
    undo(world, "controller away")
    told.see("drift_seen", lambda: "seen")
    assert told.result == {"drift_seen": True}
    undo(world)
    looks: list[int] = []
    with pytest.raises(RolledBack, match=f"^pve1: {COMMIT[:10]} was rolled back: nobody confirmed$"):
        told.see("drift_healed", lambda: looks.append(1))
    assert looks == []
    assert "drift_healed" not in told.result


def test_a_rollback_that_is_a_part_of_the_story_does_not_end_it(world: World, field: Field, story: ModuleType) -> None:
    told = story.Story(NoLab(), field)
    told.expected_undone = None
    undo(world)
    told.see("cut_rolled_back", lambda: "seen")
    told.expected_undone = set(field.undone("pve1"))
    told.see("reboot_survives", lambda: "seen")
    undo(world)
    with pytest.raises(RolledBack):
        told.see("reachable", lambda: "seen")
    assert told.result == {"cut_rolled_back": True, "reboot_survives": True}
