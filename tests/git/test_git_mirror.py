"""Fetching with the real git: what a source does, and what the mirror says of it."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from forge import Forge

from service.errors import SourceError
from service.git.child import GitLimits
from service.git.mirror import PACKS_BEFORE_REPACK, Mirror
from service.git.source import parse_source
from service.model.sources import Advanced, Empty, Failed, Fetched, Missing, Rewound, Unchanged
from tests.calls import counted

FLEET = {"fleet.yaml": "passerelle: 1\n"}
ONE = FLEET | {"hosts/pve1.yaml": "host: pve1\n"}
TWO = ONE | {"hosts/pve2.yaml": "host: pve2\n"}


def failed(found: Fetched, cause: str) -> str:
    assert isinstance(found, Failed), found
    assert found.cause == cause, found
    assert found.reason.isprintable()
    return found.reason


def test_a_push_is_seen_once_and_then_unchanged(forge: Forge, mirror: Mirror) -> None:
    first = forge.push(ONE)
    assert mirror.fetch(None) == Advanced(first, None)
    assert mirror.fetch(first) == Unchanged(first)
    second = forge.push(TWO)
    assert mirror.fetch(first) == Advanced(second, first)
    assert mirror.fetch(second) == Unchanged(second)


def test_a_look_at_what_is_unchanged_takes_two_commands(forge: Forge, mirror: Mirror) -> None:
    """A service looks each minute, for ever: one command asks the mirror, and one the source."""
    head = forge.push(ONE)
    mirror.fetch(None)
    mirror.fetch(head)
    with counted() as calls:
        assert mirror.fetch(head) == Unchanged(head)
    assert calls["git/child.py:run"] == 2


def test_what_was_not_accepted_comes_back_until_it_is(forge: Forge, mirror: Mirror) -> None:
    first, second = forge.push(ONE), forge.push(TWO)
    assert mirror.fetch(first) == Advanced(second, first)
    assert mirror.fetch(first) == Advanced(second, first)


def test_only_the_branch_is_fetched(forge: Forge, mirror: Mirror, room: Path) -> None:
    head = forge.push(ONE)
    other = forge.push(TWO, branch="other", message="elsewhere", orphan=True)
    forge.git("tag", "v1", head)
    forge.git("update-ref", "refs/notes/commits", other)
    forge.git("update-ref", f"refs/replace/{head}", other)
    assert mirror.fetch(None) == Advanced(head, None)
    assert mirror.fetch(head) == Unchanged(head)
    refs = sorted(str(f.relative_to(room)) for f in (room / "mirror.git" / "refs").rglob("*") if f.is_file())
    assert refs == ["mirror.git/refs/psr/accepted", "mirror.git/refs/psr/incoming"]
    assert not (room / "mirror.git" / "packed-refs").exists()
    with pytest.raises(SourceError):
        mirror.read_tree(other)
    assert sorted(mirror.read_tree(head).files) == ["fleet.yaml", "hosts/pve1.yaml"]


def test_a_rewound_branch_is_told_and_the_last_good_commit_stays_readable(forge: Forge, mirror: Mirror) -> None:
    first, second = forge.push(ONE), forge.push(TWO)
    assert mirror.fetch(None) == Advanced(second, None)
    assert mirror.fetch(second) == Unchanged(second)
    forge.git("update-ref", "refs/heads/main", first)
    assert mirror.fetch(second) == Rewound(second, first)
    assert sorted(mirror.read_tree(second).files) == sorted(TWO)
    assert mirror.fetch(first) == Unchanged(first)


def test_an_orphan_in_the_branchs_place_is_told_as_rewound(forge: Forge, mirror: Mirror) -> None:
    old = forge.push(ONE)
    assert mirror.fetch(None) == Advanced(old, None)
    new = forge.push(ONE, message="no parents", orphan=True)
    assert mirror.fetch(old) == Rewound(old, new)


def test_reordered_history_is_told_as_rewound(forge: Forge, mirror: Mirror) -> None:
    base, a, b = forge.push(FLEET), forge.push(ONE), forge.push(TWO)
    assert mirror.fetch(None) == Advanced(b, None)
    swapped = forge.commit_tree(f"{b}^{{tree}}", base, message="b first")
    swapped = forge.commit_tree(f"{a}^{{tree}}", swapped, message="then a")
    forge.git("update-ref", "refs/heads/main", swapped)
    assert mirror.fetch(b) == Rewound(b, swapped)


def test_a_last_commit_that_the_source_never_had_is_told_as_rewound(forge: Forge, mirror: Mirror) -> None:
    head = forge.push(ONE)
    assert mirror.fetch("0123456789" * 4) == Rewound("0123456789" * 4, head)


def test_a_merge_advances(forge: Forge, mirror: Mirror) -> None:
    base = forge.push(FLEET)
    side = forge.push(TWO, branch="side", orphan=True)
    merge = forge.commit_tree(forge.tree(TWO), base, side, message="merge")
    forge.git("update-ref", "refs/heads/main", merge)
    assert mirror.fetch(base) == Advanced(merge, base)
    assert mirror.first_parent(merge) == base
    assert mirror.first_parent(base) is None
    assert {commit.hash for commit in mirror.log(base, merge)} == {merge, side}


def test_a_deleted_branch_is_missing_and_an_emptied_repository_is_empty(forge: Forge, mirror: Mirror) -> None:
    head = forge.push(ONE)
    assert mirror.fetch(None) == Advanced(head, None)
    forge.git("update-ref", "refs/heads/other", head)
    forge.git("update-ref", "-d", "refs/heads/main")
    assert mirror.fetch(head) == Missing("main")
    forge.git("update-ref", "-d", "refs/heads/other")
    assert mirror.fetch(head) == Empty()
    assert sorted(mirror.read_tree(head).files) == sorted(ONE)
    forge.git("update-ref", "refs/heads/main", head)
    assert mirror.fetch(head) == Unchanged(head)


def test_a_repository_that_was_empty_from_the_start_is_empty(forge: Forge, mirror: Mirror) -> None:
    assert mirror.fetch(None) == Empty()
    forge.git("tag", "v1", forge.commit_tree(forge.tree(ONE)))
    assert mirror.fetch(None) == Empty()
    assert mirror.fetch(None) == Empty()


def test_of_a_branch_that_is_not_there_the_others_are_named(forge: Forge, mirror: Mirror) -> None:
    for name in ("a", "b", "c", "d", "x/main"):
        forge.push(ONE, branch=name)
    found = mirror.fetch(None)
    assert isinstance(found, Missing)
    assert found.others == ("a", "b", "c")


def test_a_repository_of_another_object_format_is_named_as_such(tmp_path: Path, room: Path) -> None:
    path = tmp_path / "sha256.git"
    forge = Forge(path, "--object-format=sha256")
    mirror = Mirror(room, parse_source(str(path), "main"))
    assert mirror.fetch(None) == Empty()  # it says nothing of its format
    forge.push(ONE, branch="other")
    assert "object format sha256 is not supported. Fix: " in failed(mirror.fetch(None), "unsupported")
    forge.push(ONE)
    assert "object format sha256 is not supported. Fix: " in failed(mirror.fetch(None), "unsupported")


def test_a_shallow_repository_is_named_as_such_and_never_stands_still_in_silence(
    forge: Forge, mirror: Mirror, tmp_path: Path
) -> None:
    head = forge.push(ONE)
    assert mirror.fetch(None) == Advanced(head, None)
    shallow = forge.path
    whole = forge.path = forge.path.rename(tmp_path / "whole.git")
    forge.push(TWO)
    newest = forge.push(ONE)
    forge.git("clone", "--quiet", "--bare", "--depth=1", "--branch=main", f"file://{whole}", str(shallow))
    told = failed(mirror.fetch(head), "unsupported")
    assert "the repository is shallow" in told
    assert "Fix: complete it with `git fetch --unshallow`" in told
    fresh = Mirror(tmp_path / "fresh", mirror.source)
    assert "the repository is shallow" in failed(fresh.fetch(None), "unsupported")
    forge.path = shallow
    forge.git("fetch", "--quiet", "--unshallow", f"file://{whole}", "+refs/heads/main:refs/heads/main")
    assert mirror.fetch(head) == Advanced(newest, head)
    assert fresh.fetch(None) == Advanced(newest, None)


def test_a_branch_whose_name_only_ends_alike_is_not_taken(forge: Forge, mirror: Mirror) -> None:
    forge.push(ONE, branch="x/refs/heads/main")
    forge.push(ONE, branch="x/main")
    assert mirror.fetch(None) == Missing("main")


def test_a_source_that_goes_away_fails_and_comes_back(forge: Forge, mirror: Mirror) -> None:
    head = forge.push(ONE)
    mirror.fetch(None)
    away = forge.path.rename(forge.path.with_name("away"))
    reason = failed(mirror.fetch(head), "unreachable")
    assert str(forge.path) in reason
    assert sorted(mirror.read_tree(head).files) == sorted(ONE)
    away.rename(forge.path)
    assert mirror.fetch(head) == Unchanged(head)


def test_a_folder_that_is_no_repository_fails(tmp_path: Path, room: Path) -> None:
    (tmp_path / "plain").mkdir()
    reason = failed(Mirror(room, parse_source(str(tmp_path / "plain"), "main")).fetch(None), "unreachable")
    assert "does not appear to be a git repository" in reason


def test_a_checkout_with_a_work_tree_is_a_source_too(new_forge: Callable[[str], Forge], room: Path) -> None:
    forge = new_forge("work/.git")
    head = forge.push(ONE)
    assert Mirror(room, parse_source(str(forge.path.parent), "main")).fetch(None) == Advanced(head, None)


@pytest.mark.host
@pytest.mark.parametrize("name", ["fleet.git", "with space.git", "work/.git"])
def test_a_local_repository_of_another_owner_is_fetched(
    name: str, new_forge: Callable[[str], Forge], room: Path
) -> None:
    forge = new_forge(name)
    head = forge.push(ONE)
    path = forge.path.parent if forge.path.name == ".git" else forge.path
    for found in (path, *path.rglob("*")):
        os.chown(found, 65534, 65534)
    mirror = Mirror(room, parse_source(str(path), "main"))
    assert mirror.fetch(None) == Advanced(head, None)
    assert mirror.fetch(head) == Unchanged(head)
    trusted = (room / "safe.gitconfig").read_text()
    assert "*" not in trusted
    assert trusted.count("directory = ") == 3


def test_two_threads_fetch_one_after_the_other(forge: Forge, mirror: Mirror) -> None:
    head = forge.push(ONE)
    found: list[Fetched] = []
    threads = [threading.Thread(target=lambda: found.append(mirror.fetch(None))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [Advanced(head, None)] * 4


@pytest.mark.long
def test_reading_goes_on_while_fetching_and_repacking(forge: Forge, mirror: Mirror) -> None:
    first = forge.push(ONE)
    mirror.fetch(None)
    wrong: list[object] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                names = sorted(mirror.read_tree(first).files)
            except SourceError as error:
                wrong.append(error)
            else:
                wrong.extend([names] if names != sorted(ONE) else [])

    reader = threading.Thread(target=read)
    reader.start()
    last = first
    for number in range(8):
        head = forge.push(ONE | {"hosts/pve9.yaml": f"host: pve9 # {number}\n"})
        assert mirror.fetch(last) == Advanced(head, last)
        last = head
    done.set()
    reader.join(60)
    assert wrong == []


def test_another_process_that_holds_the_folder_makes_it_busy(forge: Forge, mirror: Mirror, room: Path) -> None:
    import fcntl

    head = forge.push(ONE)
    mirror.fetch(None)
    with (room / "lock").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert "another process" in failed(mirror.fetch(head), "busy")
    assert mirror.fetch(head) == Unchanged(head)


@pytest.mark.long
def test_many_packs_become_one_and_the_accepted_commit_survives(forge: Forge, mirror: Mirror, room: Path) -> None:
    accepted = forge.push(TWO, message="accepted, then rewound away")
    mirror.fetch(None)
    assert mirror.fetch(accepted) == Unchanged(accepted)
    packs = room / "mirror.git" / "objects" / "pack"
    head = forge.push(ONE, message="other history", orphan=True)
    assert mirror.fetch(accepted) == Rewound(accepted, head)
    original = next(packs.glob("*.pack"))
    for number in range(PACKS_BEFORE_REPACK):
        for suffix in (".pack", ".idx"):
            (packs / f"pack-{number:040x}{suffix}").write_bytes(original.with_suffix(suffix).read_bytes())
    newer = forge.push(TWO)
    assert mirror.fetch(accepted) == Rewound(accepted, newer)
    assert len(list(packs.glob("*.pack"))) == 1
    assert sorted(mirror.read_tree(accepted).files) == sorted(TWO)
    assert sorted(mirror.read_tree(newer).files) == sorted(TWO)


def test_a_message_of_any_length_is_followed_and_no_damage(forge: Forge, mirror: Mirror, room: Path) -> None:
    """The mirror became suspect, was checked as a whole at each fetch, and the branch was not followed."""
    first = forge.push(ONE)
    mirror.fetch(None)
    long = forge.push(TWO, message="open 443\n\n" + "why " * 1_000_000)
    assert mirror.fetch(first) == Advanced(long, first)
    tree = mirror.read_tree(long)
    assert set(tree.files) == set(TWO)
    assert tree.commit is not None
    assert (tree.commit.subject, tree.commit.parents) == ("open 443", (first,))
    assert not mirror._suspect
    one_line = forge.push(ONE, message="x" * 3_000_000)
    mirror.fetch(long)
    assert mirror.commit(one_line).subject == "x" * 199 + "…"


def test_a_commit_that_is_too_long_to_be_read_is_said_and_no_damage(forge: Forge, mirror: Mirror) -> None:
    first = forge.push(ONE)
    mirror.fetch(None)
    big = forge.commit_tree(forge.tree(TWO), first, message="x" * (65 << 20))
    forge.git("update-ref", "refs/heads/main", big)
    mirror.fetch(first)
    with pytest.raises(SourceError, match="commit again with a shorter message"):
        mirror.read_tree(big)
    assert not mirror._suspect
    assert set(mirror.read_tree(first).files) == set(ONE)


def test_the_log_tells_who_what_and_when_newest_first(forge: Forge, mirror: Mirror) -> None:
    first = forge.push(ONE, message="add pve1\n\nbecause")
    second = forge.push(TWO, message="add \x1b[31mpve2\u202e and " + "x" * 400)
    mirror.fetch(None)
    newest, oldest = mirror.log(None, second)
    assert (newest.hash, oldest.hash) == (second, first)
    assert newest.subject.startswith("add [31mpve2 and xxx")
    assert len(newest.subject) == 200
    assert (oldest.subject, oldest.author_name, oldest.author_email) == ("add pve1", "Ada", "ada@example.org")
    assert oldest.committed_at.isoformat() == "2023-11-14T22:13:20+00:00"
    assert [commit.hash for commit in mirror.log(first, second)] == [second]
    assert len(mirror.log(None, second, count=1)) == 1
    assert mirror.commit(first) == oldest


def test_commits_with_odd_authors_and_dates_are_read(forge: Forge, mirror: Mirror) -> None:
    tree = forge.tree(ONE)
    raw = b"tree %b\nauthor \xff\xfe <> 1 +0000\ncommitter x <y> 99999999999999 +0000\nencoding nonsense\n\n\xff"
    commit = forge.git("hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=raw % tree.encode())
    forge.git("update-ref", "refs/heads/main", commit)
    found = mirror.fetch(None)
    assert isinstance(found, Advanced | Failed)
    if isinstance(found, Advanced):
        assert mirror.commit(commit).committed_at.year == 9999


@pytest.mark.parametrize("text", ["HEAD", "main", "-x", "--output=x", "0123abc", "refs/psr/incoming", "g" * 40, ""])
def test_a_revision_that_is_no_full_hash_is_not_asked_for(text: str, forge: Forge, mirror: Mirror) -> None:
    forge.push(ONE)
    mirror.fetch(None)
    with pytest.raises(SourceError):
        mirror.read_tree(text)
    with pytest.raises(SourceError):
        mirror.read_file_at(text, "fleet.yaml")


def test_before_the_first_fetch_there_is_nothing_to_read(mirror: Mirror) -> None:
    with pytest.raises(SourceError, match="no mirror"):
        mirror.read_tree("0" * 40)


def test_a_pack_over_the_limit_is_not_taken(forge: Forge, room: Path) -> None:
    head = forge.push(ONE)
    mirror = Mirror(room, parse_source(str(forge.path), "main"), limits=GitLimits(file_bytes=1 << 20))
    assert mirror.fetch(None) == Advanced(head, None)
    forge.push(ONE | {"hosts/big.yaml": os.urandom(3 << 20)})
    failed(mirror.fetch(head), "refused")
    assert sorted(mirror.read_tree(head).files) == sorted(ONE)
    assert not list((room / "mirror.git" / "objects" / "pack").glob("tmp_*"))
    forge.git("update-ref", "refs/heads/main", head)
    assert mirror.fetch(head) == Unchanged(head)


def test_a_source_with_more_branches_than_may_be_said_is_not_called_empty(forge: Forge, room: Path) -> None:
    head = forge.commit_tree(forge.tree(ONE))
    for number in range(40):
        forge.git("update-ref", f"refs/heads/{number}", head)
    mirror = Mirror(room, parse_source(str(forge.path), "main"), limits=GitLimits(stdout_bytes=1000))
    assert mirror.fetch(None) == Missing("main")
