"""Branches, pull requests and commits that are looked at besides the one that is followed."""

from pathlib import Path

import pytest
from forge import Forge

from service.errors import InputError, NotFound, SourceError
from service.git.aside import Aside, refs_of
from service.git.mirror import Mirror
from service.git.source import parse_source
from service.model.proposals import Proposal, ProposalKind
from tests.calls import counted

ONE = {"fleet.yaml": "passerelle: 1\n", "hosts/pve1.yaml": "host: pve1\n"}
TWO = ONE | {"hosts/pve2.yaml": "host: pve2\n"}


@pytest.fixture
def aside(forge: Forge, room: Path) -> Aside:
    return Aside(room / "branches", parse_source(str(forge.path), "main"))


def read(aside: Aside, kind: ProposalKind, name: str) -> tuple[str, list[str]]:
    tree = aside.read(Proposal(kind, name), {})
    assert tree.commit is not None
    return tree.commit.hash, [*tree.files]


def test_a_branch_a_pull_request_and_a_commit_are_read(forge: Forge, aside: Aside) -> None:
    main = forge.push(ONE)
    new = forge.push(TWO, branch="feature/new", orphan=True)
    forge.git("update-ref", "refs/pull/7/head", new)
    assert read(aside, "branch", "feature/new") == (new, [*TWO])
    assert read(aside, "branch", "main") == (main, [*ONE])
    assert read(aside, "pull", "7") == (new, [*TWO])
    assert read(aside, "commit", main) == (main, [*ONE])


@pytest.mark.parametrize("ref", ["refs/pull/7/head", "refs/merge-requests/7/head", "refs/pull-requests/7/from"])
def test_each_forge_keeps_pull_requests_elsewhere(forge: Forge, aside: Aside, ref: str) -> None:
    commit = forge.push(ONE, branch="side")
    forge.git("update-ref", ref, commit)
    assert read(aside, "pull", "7") == (commit, [*ONE])


def test_a_commit_that_no_branch_has_is_read(forge: Forge, aside: Aside) -> None:
    forge.push(ONE)
    gone = forge.push(TWO, branch="gone")
    forge.git("update-ref", "-d", "refs/heads/gone")
    assert read(aside, "commit", gone) == (gone, [*TWO])


def test_what_the_source_does_not_have_is_not_found(forge: Forge, aside: Aside) -> None:
    forge.push(ONE)
    forge.push(TWO, branch="x/refs/heads/side")
    for kind, name in (("branch", "side"), ("pull", "7"), ("commit", "b" * 40)):
        with pytest.raises(NotFound):
            read(aside, kind, name)  # type: ignore[arg-type]  # one of the kinds


def test_a_commit_that_does_not_exist_does_not_cost_a_look_at_every_object(forge: Forge, aside: Aside) -> None:
    forge.push(ONE)
    read(aside, "branch", "main")
    with counted() as calls, pytest.raises(NotFound):
        read(aside, "commit", "b" * 40)
    assert calls["git/commands.py:fetch_aside"] == 1
    assert calls["git/commands.py:is_sound"] == 0


def test_nothing_is_left_of_the_branch_before(forge: Forge, aside: Aside) -> None:
    """A fetch that fails must not be answered with what another one brought."""
    forge.push(ONE)
    read(aside, "branch", "main")
    with pytest.raises(NotFound):
        read(aside, "commit", "b" * 40)
    assert not (aside._directory / "refs" / "psr" / "incoming").exists()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("branch", "--upload-pack=touch /tmp/x"), ("branch", "-b"), ("branch", "a/../b"), ("branch", "HEAD"),
        ("branch", "refs/heads/main"), ("branch", "a:b"), ("branch", "+main"), ("branch", "main\n"), ("branch", ""),
        ("branch", "a/-b"), ("branch", "main^{tree}"), ("branch", "*"),
        ("pull", "-1"), ("pull", "0"), ("pull", "7/head"), ("pull", "1" * 10), ("pull", ""),
        ("commit", "-" * 40), ("commit", "b" * 39), ("commit", "b" * 64), ("commit", "main"), ("commit", "B" * 40),
    ],
)  # fmt: skip
def test_git_never_sees_a_name_that_is_none(forge: Forge, aside: Aside, kind: ProposalKind, name: str) -> None:
    forge.push(ONE)
    with counted() as calls, pytest.raises(InputError):
        read(aside, kind, name)
    assert "git/child.py:run" not in calls


def test_whether_a_branch_begins_at_what_is_in_force_is_told(forge: Forge, aside: Aside) -> None:
    first = forge.push(ONE)
    forge.git("branch", "side", first)
    ahead = forge.push(TWO, branch="side")
    second = forge.push(TWO | {"hosts/pve3.yaml": "host: pve3\n"})
    read(aside, "branch", "side")
    assert aside.contains(ahead, first)
    assert not aside.contains(ahead, second)


def test_the_mirror_that_is_followed_does_not_change(forge: Forge, aside: Aside, room: Path) -> None:
    mirror = Mirror(room, parse_source(str(forge.path), "main"))
    head = forge.push(ONE)
    mirror.fetch(None)
    before = {path: path.stat().st_mtime_ns for path in (room / "mirror.git").rglob("*")}
    other = forge.push(TWO, branch="side")
    read(aside, "branch", "side")
    assert {path: path.stat().st_mtime_ns for path in (room / "mirror.git").rglob("*")} == before
    with pytest.raises(SourceError):
        mirror.read_tree(other)
    assert mirror.read_tree(head).commit is not None


def test_a_mirror_that_is_damaged_or_full_is_made_again(forge: Forge, room: Path) -> None:
    source = parse_source(str(forge.path), "main")
    forge.push(ONE)
    small = Aside(room / "branches", source, max_bytes=10)
    read(small, "branch", "main")
    mark = room / "branches" / "mirror.git" / "of-the-full-one"
    mark.touch()
    new = forge.push(TWO)
    assert read(small, "branch", "main") == (new, [*TWO])
    assert not mark.exists()
    for pack in (room / "branches" / "mirror.git" / "objects" / "pack").glob("*.pack"):
        pack.chmod(0o600)
        pack.write_bytes(b"not a pack")
    newer = forge.push(ONE)
    assert read(Aside(room / "branches", source), "branch", "main") == (newer, [*ONE])


def test_what_a_killed_fetch_left_neither_stays_nor_stops_the_next_one(forge: Forge, aside: Aside) -> None:
    forge.push(ONE)
    read(aside, "branch", "main")
    half = aside._directory / "objects" / "pack" / "tmp_pack_x1y2z3"
    half.write_bytes(b"half of a pack")
    lock = aside._directory / "refs" / "psr" / "incoming.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    new = forge.push(TWO)
    assert read(aside, "branch", "main") == (new, [*TWO])
    assert not half.exists()
    assert not lock.exists()


def test_a_mirror_with_many_packs_is_made_again(forge: Forge, aside: Aside, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pull requests that were small: their bytes never fill it."""
    monkeypatch.setattr("service.git.aside.MAX_PACKS", 3)
    packs = aside._directory / "objects" / "pack"
    for number in range(8):
        commit = forge.push(ONE | {"hosts/pve1.yaml": f"host: pve1\n# {number}\n"})
        assert read(aside, "branch", "main")[0] == commit
        assert len([*packs.glob("*.pack")]) <= 4


def test_the_names_of_refs_are_whole() -> None:
    assert refs_of(Proposal("branch", "a/b")) == ("refs/heads/a/b",)
    assert all(ref.startswith("refs/") for ref in refs_of(Proposal("pull", "12")))
