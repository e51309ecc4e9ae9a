"""A migration killed at every point continues, and goes back, without a gap. Afterwards Git is as it was."""

from pathlib import Path

import pytest

from service.cli.migrating import Late, Migration, Wishes
from service.errors import InputError
from service.git.clone import Clone
from service.kinds import KINDS
from service.migrate.judging import Silent, Stopped
from tests.migrate.played import ADDRESSES, Killed, Mortal, Played, Points, git


def migration(played: Played, *, back: bool = False, timeout_s: float = 20.0) -> Migration:
    wishes = Wishes("pve1", "pve2", is_back=back, grace_s=60.0, timeout_s=timeout_s)
    return Migration(Mortal.of(played.clone), played, KINDS, wishes)


def carried_out(played: Played, *, back: bool = False) -> None:
    one = migration(played, back=back)
    one.run(one.order())


def killed_at(played: Played, point: int, *, back: bool = False) -> str:
    """Run until this point; its name, "" where there are not so many."""
    played.points = Mortal.points = Points(at=point)
    try:
        carried_out(played, back=back)
    except Killed as killed:
        return str(killed)
    finally:
        played.points = Mortal.points = Points()
    return ""


def is_at(played: Played, host: str) -> None:
    """This host alone has the guests and sites, and every name leads to it."""
    there = {name for name, sites in played.sites().items() if sites}
    assert there == {host}
    assert set(played.dns.values()) == {ADDRESSES[host]}


def tree_id(played: Played) -> str:
    head = played.head
    git(played.clone, "fetch", "--quiet", "origin", "main")
    return git(played.clone, "rev-parse", f"{head}^{{tree}}")


def test_there_and_back_again(played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree_id(played)
    carried_out(played)
    is_at(played, "pve2")
    assert played.waits_s == 60, "the old host serves until caches have forgotten it"
    said = capsys.readouterr().err
    assert "[8/8] Wait until pve1 has applied it" in said
    assert "changed: www.example.org. A: 198.51.100.11 -> 198.51.100.12" in said
    carried_out(played)  # there is nothing left but to look again
    assert git(played.clone, "log", "--format=%s", "origin/main").splitlines() == [
        "migrate pve1 to pve2: pve1 loses the guests", "migrate pve1 to pve2: pve2 gets the guests", "the hosts",
    ]  # fmt: skip
    carried_out(played, back=True)
    is_at(played, "pve1")
    assert tree_id(played) == before
    carried_out(played, back=True)  # the same here
    assert tree_id(played) == before


MOST_POINTS = 19
"""One more than there are places at which it may be killed."""
AMONG_THE_UNIT_TESTS = {5, 9, 13}
"""After the first commit, after the certificates, and between two names. The other points are long tests."""


def points(numbers: range) -> list[pytest.ParameterSet]:
    return [pytest.param(at, marks=() if at in AMONG_THE_UNIT_TESTS else pytest.mark.long) for at in numbers]


@pytest.mark.parametrize("point", points(range(1, MOST_POINTS + 1)))
def test_killed_anywhere_it_goes_on_and_back(played: Played, point: int) -> None:
    before = tree_id(played)
    where = killed_at(played, point)
    carried_out(played)
    is_at(played, "pve2")
    back = killed_at(played, point, back=True)
    carried_out(played, back=True)
    is_at(played, "pve1")
    assert tree_id(played) == before
    assert (point == MOST_POINTS) == (where == "" and back == ""), f"as many points as there are: {where!r}, {back!r}"


@pytest.mark.parametrize("point", points(range(1, MOST_POINTS, 2)))
def test_killed_on_the_way_it_goes_back(played: Played, point: int) -> None:
    before = tree_id(played)
    where = killed_at(played, point)
    assert where
    try:
        carried_out(played, back=True)
    except InputError as error:
        assert "there is no migration" in error.what  # killed before the first commit
    is_at(played, "pve1")
    assert tree_id(played) == before


def test_it_waits_for_names_and_says_which(played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a program that changes records, a person does it; in the meantime both hosts serve."""
    played.changes_names = False
    with pytest.raises(Late, match=r"wiki\.example\.org still leads to 198\.51\.100\.11") as raised:
        carried_out(played)
    assert "--back" in raised.value.hint
    assert "change this record: www.example.org. A: 198.51.100.11 -> 198.51.100.12" in capsys.readouterr().err
    assert all(played.sites().values())
    for name in played.dns:
        played.dns[name] = ADDRESSES["pve2"]
    carried_out(played)
    is_at(played, "pve2")


def test_a_guest_without_its_data_stops_the_names(played: Played) -> None:
    played.upstreams.discard("pve2")
    with pytest.raises(Late, match=r"answers 502: the guest behind it does not answer\. Fix: bring its data"):
        carried_out(played)
    assert set(played.dns.values()) == {ADDRESSES["pve1"]}
    carried_out(played, back=True)
    is_at(played, "pve1")


def test_a_host_that_is_down_stops_it_before_the_first_commit(played: Played) -> None:
    before = played.head
    played.down.add("pve2")
    with pytest.raises(Late, match="pve2 is not reached: connection refused"):
        carried_out(played)
    assert played.head == before


def test_other_commits_in_between_are_kept(played: Played, tmp_path: Path) -> None:
    """Somebody changes the files while the migration waits for the names."""
    assert killed_at(played, 12)
    other = tmp_path / "other"
    git(tmp_path, "clone", "--quiet", str(tmp_path / "fleet.git"), str(other))
    for name in ("pve1", "pve2"):
        file = other / "hosts" / f"{name}.yaml"
        file.write_text(file.read_text().replace("# The", "# Mine. The"))
    git(other, "commit", "--quiet", "-am", "a word")
    git(other, "push", "--quiet")
    carried_out(played)
    carried_out(played, back=True)
    is_at(played, "pve1")
    assert "# Mine. The old host." in git(played.clone, "show", "origin/main:hosts/pve1.yaml")
    assert "guests" not in git(played.clone, "show", "origin/main:hosts/pve2.yaml")


def test_a_change_of_the_same_lines_is_not_reverted(played: Played, tmp_path: Path) -> None:
    carried_out(played)
    other = tmp_path / "other"
    git(tmp_path, "clone", "--quiet", str(tmp_path / "fleet.git"), str(other))
    file = other / "hosts" / "pve2.yaml"
    file.write_text(file.read_text().replace("port: 8080", "port: 8081"))
    git(other, "commit", "--quiet", "-am", "another port")
    git(other, "push", "--quiet")
    with pytest.raises(InputError, match=r"was changed since .* at the same lines"):
        migration(played, back=True).order()


def test_a_host_that_does_not_apply_is_a_reason_to_stop(played: Played) -> None:
    class Rolled(Played):
        def status(self, host: str) -> dict[str, object]:
            gets = host == "pve2" and bool(self.sites()["pve2"])
            return {**super().status(host), **({"reason": "RolledBackLatched", "sync": "OutOfSync"} if gets else {})}

    with pytest.raises(Stopped, match="pve2 rolled the change back"):
        carried_out(Rolled(played.clone))


def test_work_of_the_user_is_left_alone(played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    mine = played.clone / "hosts" / "pve2.yaml"
    mine.write_text(mine.read_text() + "# not committed\n")
    carried_out(played)
    assert mine.read_text().endswith("# not committed\n")
    assert "your work tree has changes of its own in the way" in capsys.readouterr().err


def test_a_folder_without_a_remote_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not in a clone"):
        Clone.of(tmp_path)
    git(tmp_path, "init", "--quiet", "--initial-branch=main", "alone")
    with pytest.raises(InputError, match="follows no branch of a remote"):
        Clone.of(tmp_path / "alone")


def test_a_service_that_starts_again_meanwhile_is_waited_for(
    played: Played, capsys: pytest.CaptureFixture[str]
) -> None:
    class Restarted(Played):
        silent = 3

        def status(self, host: str) -> dict[str, object]:
            Restarted.silent -= 1
            if Restarted.silent >= 0:
                raise Silent("the service does not answer")
            return super().status(host)

    restarted = Restarted(played.clone)
    carried_out(restarted)
    is_at(restarted, "pve2")
    assert "      the service does not answer.\n" in capsys.readouterr().err


def test_what_both_hosts_have_already_is_not_committed_again(played: Played) -> None:
    """Somebody gave the other host the guests by hand: then only the first host loses them, and gets them back."""
    order = migration(played).order()
    ((_, (give,)), _) = order.edits
    (played.clone / give.path).write_text(give.after)
    git(played.clone, "commit", "--quiet", "-am", "by hand")
    git(played.clone, "push", "--quiet")
    before = tree_id(played)
    carried_out(played)
    is_at(played, "pve2")
    assert git(played.clone, "log", "--format=%s", "origin/main").splitlines()[:2] == [
        "migrate pve1 to pve2: pve1 loses the guests", "by hand",
    ]  # fmt: skip
    carried_out(played, back=True)
    assert set(played.dns.values()) == {ADDRESSES["pve1"]}
    assert tree_id(played) == before


def test_a_second_one_that_comes_late_changes_nothing(played: Played) -> None:
    """It was ready to commit when another one had done all of it."""
    late = migration(played)
    order = late.order()
    carried_out(played)
    with pytest.raises(InputError, match="pve1 has no guests in Git"):
        late.run(order)
    is_at(played, "pve2")
    assert len(git(played.clone, "log", "--format=%s", "origin/main").splitlines()) == 3
