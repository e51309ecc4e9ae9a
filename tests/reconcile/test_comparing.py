"""What Git wanted of a host at two points, with a real repository and a real database."""

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from service.errors import InputError, NotFound
from service.model.listings import ApplyListing
from tests.laws.specs import head
from tests.reconcile.clocks import START
from tests.reconcile.rooms import Room, a_room
from tests.reconcile.test_controller_away import BRIDGE
from tests.reconcile.test_going_back import OTHER, at_other


async def compare(room: Room, before: Any, after: Any = None) -> Any:
    return await room.control.difference("pve1", before, after)


async def test_two_commits_and_the_apply_in_between(tmp_path: Path) -> None:
    with a_room(tmp_path) as room:
        commit = await at_other(room)
        found = await compare(room, commit[:8])
        (apply,) = room.queries.applies(ApplyListing(host="pve1", limit=1)).items
        assert (found["before"]["commit"], found["after"]["commit"]) == (commit, room.watcher.wanted.commit)
        assert (found["before"]["subject"], found["before"]["file"]) == ("change", "hosts/pve1.yaml")
        assert "-sync: observe" in found["patch"].splitlines()
        assert "+sync: auto" in found["patch"].splitlines()
        assert found["notes"] == []
        assert [(one["id"], one["phase"]) for one in found["applies"]] == [(apply.id, "Succeeded")]
        back = await compare(room, apply.id, commit)
        assert "+sync: observe" in back["patch"].splitlines()
        assert (await compare(room, apply.id))["patch"] == ""
        assert (await compare(room, apply.id))["applies"] == []


async def test_a_time_is_the_commit_that_was_in_force(tmp_path: Path) -> None:
    with a_room(tmp_path) as room:
        first = await room.push(head("observe") + BRIDGE)
        at = room.clock.now()
        room.clock.move(3600)
        second = await room.push(head("observe") + OTHER)
        found = await compare(room, at + timedelta(minutes=30), room.clock.now())
        assert (found["before"]["commit"], found["after"]["commit"]) == (first, second)
        late = await compare(room, at, room.clock.now().replace(year=9999))
        assert late["after"]["commit"] == second
        with pytest.raises(NotFound, match="no commit was in force at"):
            await compare(room, START - timedelta(days=9))
        with pytest.raises(NotFound, match="is called"):
            await compare(room, "0123456")
        with pytest.raises(InputError):
            await room.control.difference("pve9", first, None)


async def test_a_file_that_was_not_there_is_reported(tmp_path: Path) -> None:
    with a_room(tmp_path) as room:
        other = head("observe").replace("pve1", "pve2").replace("198.51.100.11", "198.51.100.12")
        empty = room.forge.push({"fleet.yaml": "passerelle: 1\n", "hosts/pve2.yaml": other})
        await room.watcher.look()
        assert room.watcher.wanted.commit == empty
        commit = await room.push(head("observe") + BRIDGE)
        found = await compare(room, empty)
        assert found["notes"] == [f"The commit {empty[:10]} has no usable file of pve1."]
        assert found["patch"].startswith("--- /dev/null\n+++ b/hosts/pve1.yaml\n")
        assert (await compare(room, commit, empty))["patch"].startswith("--- a/hosts/pve1.yaml\n+++ /dev/null\n")


async def test_a_file_that_was_elsewhere_is_compared_nevertheless(tmp_path: Path) -> None:
    with a_room(tmp_path) as room:
        commit = await room.push(head("observe") + BRIDGE)
        text = head("observe") + OTHER
        room.forge.push({"fleet.yaml": "passerelle: 1\n", "hosts/north/pve1.yaml": text})
        await room.watcher.look()
        found = await compare(room, commit)
        assert found["notes"] == [
            "The file of pve1 was hosts/pve1.yaml at the first point, and is hosts/north/pve1.yaml at the second."
        ]
        assert "10.10.30.1/24" in found["patch"]


async def test_a_commit_that_git_has_no_more_is_reported_and_is_not_an_absent_file(tmp_path: Path) -> None:
    with a_room(tmp_path) as room:
        commit = await room.push(head("observe") + BRIDGE)
        new = room.forge.push(
            {"fleet.yaml": "passerelle: 1\n", "hosts/pve1.yaml": head("observe") + OTHER}, orphan=True
        )
        await room.watcher.look()
        await room.watcher.accept_rewrite(new, by="ann", reason="squashed")
        room.forge.git("gc", "--quiet", "--prune=now")
        (mirror,) = [folder for folder in _folders(tmp_path) if folder.name == "mirror.git"]
        shutil.rmtree(mirror)
        await room.watcher.look()
        found = await compare(room, commit)
        assert found["after"]["commit"] == new
        assert found["patch"] is None
        assert found["notes"] == [f"Git does not have the commit {commit[:10]} any more, or it cannot be read now."]
        assert found["before"]["subject"] == "change"
        assert (found["before"]["is_readable"], found["after"]["is_readable"]) == (False, True)


def _folders(top: Path) -> list[Path]:
    return [folder for folder in top.rglob("*") if folder.is_dir()]
