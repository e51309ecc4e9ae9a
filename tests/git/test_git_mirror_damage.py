"""A mirror that is damaged is noticed and copied again; what was accepted stays readable."""

import shutil
from pathlib import Path

import pytest
from forge import Forge

from service.errors import SourceError
from service.git.mirror import Mirror
from service.model.sources import Advanced, Unchanged
from tests.git.test_git_mirror import ONE, TWO, failed


def test_a_corrupt_mirror_is_moved_aside_and_copied_again(forge: Forge, mirror: Mirror, room: Path) -> None:
    head = forge.push(ONE)
    assert mirror.fetch(None) == Advanced(head, None)
    for pack in (room / "mirror.git" / "objects" / "pack").glob("*.pack"):
        pack.chmod(0o644)
        pack.write_bytes(pack.read_bytes()[:40] + b"\xff" * 60)
    with pytest.raises(SourceError):
        mirror.read_tree(head)
    assert mirror.fetch(head) == Unchanged(head)
    assert sorted(mirror.read_tree(head).files) == sorted(ONE)
    assert (room / "damaged.git").is_dir()


def test_one_damaged_blob_is_noticed_by_the_reader_and_mended_by_the_next_fetch(
    forge: Forge, mirror: Mirror, room: Path
) -> None:
    head = forge.push(ONE)
    mirror.fetch(None)
    blob = forge.git("rev-parse", "main:hosts/pve1.yaml")
    (pack,) = (room / "mirror.git" / "objects" / "pack").glob("*.pack")
    listed = forge.git("verify-pack", "-v", str(pack.with_suffix(".idx"))).splitlines()
    (offset,) = [int(line.split()[4]) for line in listed if line.startswith(blob)]
    data = bytearray(pack.read_bytes())
    data[offset + 3 : offset + 8] = b"\xff" * 5
    pack.chmod(0o644)
    pack.write_bytes(data)
    with pytest.raises(SourceError, match="the next fetch checks it"):
        mirror.read_tree(head)
    assert mirror.fetch(head) == Unchanged(head)
    assert mirror.read_tree(head).files["hosts/pve1.yaml"].data == b"host: pve1\n"


@pytest.mark.parametrize("broken", ["HEAD", "config", "objects", "refs", "all"])
def test_a_mirror_that_is_no_repository_any_more_is_made_again(
    broken: str, forge: Forge, mirror: Mirror, room: Path
) -> None:
    first = forge.push(ONE)
    mirror.fetch(None)
    place = room / "mirror.git" / broken if broken != "all" else room / "mirror.git"
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.write_bytes(b"\x00[[[nonsense")
    second = forge.push(TWO)
    assert mirror.fetch(first) == Advanced(second, first)
    assert sorted(mirror.read_tree(second).files) == sorted(TWO)


def test_objects_lost_under_the_branch_are_found_when_the_next_fetch_fails(
    forge: Forge, mirror: Mirror, room: Path
) -> None:
    first = forge.push(ONE)
    mirror.fetch(None)
    for pack in (room / "mirror.git" / "objects" / "pack").glob("*"):
        pack.unlink()
    second = forge.push(TWO)
    assert mirror.fetch(first) == Advanced(second, first)


def test_while_the_source_is_away_a_damaged_mirror_is_not_thrown_away(forge: Forge, mirror: Mirror, room: Path) -> None:
    head = forge.push(ONE)
    mirror.fetch(None)
    (room / "mirror.git" / "HEAD").unlink()
    forge.path.rename(forge.path.with_name("away"))
    failed(mirror.fetch(head), "unreachable")
    assert (room / "mirror.git" / "objects" / "pack").is_dir()
    assert not (room / "damaged.git").exists()


def test_what_a_killed_git_left_behind_does_not_stop_the_next(forge: Forge, mirror: Mirror, room: Path) -> None:
    first = forge.push(ONE)
    mirror.fetch(None)
    inside = room / "mirror.git"
    left = [
        inside / "refs" / "psr" / "incoming.lock",
        inside / "refs" / "psr" / "accepted.lock",
        inside / "packed-refs.lock",
        inside / "objects" / "pack" / "tmp_pack_x1",
    ]
    for path in left:
        path.write_bytes(b"")
    (room / "fresh.git").mkdir()
    second = forge.push(TWO)
    assert mirror.fetch(first) == Advanced(second, first)
    assert [path for path in left if path.exists()] == []


def test_what_a_killed_git_left_behind_does_not_stop_the_fetch_after_a_failed_read(
    forge: Forge, mirror: Mirror, room: Path
) -> None:
    first = forge.push(ONE)
    mirror.fetch(None)
    with pytest.raises(SourceError):
        mirror.read_tree("0" * 40)
    left = room / "mirror.git" / "refs" / "psr" / "incoming.lock"
    left.write_bytes(b"")
    second = forge.push(TWO)
    assert mirror.fetch(first) == Advanced(second, first)
    assert not left.exists()


def test_a_mirror_that_changed_between_two_looks_without_news_is_read_again(
    forge: Forge, mirror: Mirror, room: Path
) -> None:
    first = forge.push(ONE)
    mirror.fetch(None)
    assert mirror.fetch(first) == Unchanged(first)
    (pack,) = (room / "mirror.git" / "objects" / "pack").glob("*.pack")
    pack.chmod(0o600)
    pack.write_bytes(bytes(pack.stat().st_size))
    assert mirror.fetch(first) == Unchanged(first)
    assert mirror.read_tree(first).files
    assert (room / "damaged.git").is_dir()


def test_a_ref_of_the_mirror_that_somebody_removed_is_there_again(forge: Forge, mirror: Mirror, room: Path) -> None:
    first = forge.push(ONE)
    mirror.fetch(None)
    assert mirror.fetch(first) == Unchanged(first)
    accepted = room / "mirror.git" / "refs" / "psr" / "accepted"
    accepted.unlink()
    assert mirror.fetch(first) == Unchanged(first)
    assert accepted.read_text().strip() == first
