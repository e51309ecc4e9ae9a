"""Following a real repository: what is accepted, what is refused, what is kept, and what is reported about it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from service.errors import InputError, SourceChanged
from service.git.mirror import Mirror
from service.git.source import parse_source
from service.git.trust import Trust
from service.kinds import KINDS
from service.model.runs import HostStatus
from service.reconcile.watching import Watcher
from tests.git.forge import Forge
from tests.git.keys import SshKey, push_signed
from tests.laws.specs import head
from tests.reconcile.book import Book
from tests.reconcile.clocks import StoppedClock

FLEET = "passerelle: 1\n"
CONSOLE = "  console: https://console.example.net/pve1\n"
HOST = head(extra=CONSOLE)
ALLOWS = head(extra=CONSOLE + "  allow_management_change: true\n")
BROKEN = HOST.replace("sync: auto", "snyc: auto")
UPLINK = "interfaces:\n  enp1s0: {addresses: [198.51.100.11/24], gateway: 198.51.100.1}\n"


def files(host: str = HOST) -> dict[str, str]:
    return {"fleet.yaml": FLEET, "hosts/pve1.yaml": host}


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    return Forge(tmp_path / "forge" / "fleet.git")


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def watch(forge: Forge, book: Book, tmp_path: Path) -> Callable[[], Watcher]:
    """A watcher of the forge that writes into the book; the second one is the service after a restart."""

    def start() -> Watcher:
        mirror = Mirror(tmp_path / "room", parse_source(str(forge.path), "main"))
        return Watcher(mirror, book, book, KINDS, StoppedClock())  # type: ignore[arg-type]  # what a watcher uses of them

    return start


async def test_a_good_revision_is_put_in_force_and_recorded(
    forge: Forge, watch: Callable[[], Watcher], book: Book
) -> None:
    commit = forge.push(files(), message="say pve1")
    watcher = watch()
    assert await watcher.look()
    assert (watcher.wanted.commit, list(watcher.wanted.hosts)) == (commit, ["pve1"])
    assert (watcher.wanted.author, watcher.wanted.subject) == ("Ada <ada@example.org>", "say pve1")
    assert str(book) == "accepted say pve1"
    assert not await watcher.look()
    assert str(book) == "accepted say pve1"


async def test_each_change_of_the_sources_state_is_logged_once(
    forge: Forge, watch: Callable[[], Watcher], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="service.reconcile.watching")
    watcher = watch()
    for _ in range(2):
        await watcher.look()
    forge.push(files(), message="first")
    for _ in range(2):
        await watcher.look()
    forge.push(files(BROKEN), message="broken")
    for _ in range(2):
        await watcher.look()
    said = [f"{record.levelname} {record.getMessage()}" for record in caplog.records]
    assert said[0].startswith(
        "WARNING the source is empty: the repository has no branch; nothing is in force yet. Fix: "
    )
    assert said[1] == "INFO the source is followed"
    assert said[2].startswith("WARNING the source is refused: ")
    assert len(said) == 3


async def test_a_source_that_is_not_there_is_logged_with_its_reason(
    tmp_path: Path, book: Book, caplog: pytest.LogCaptureFixture
) -> None:
    mirror = Mirror(tmp_path / "room", parse_source(str(tmp_path / "nowhere.git"), "main"))
    watcher = Watcher(mirror, book, book, KINDS, StoppedClock())  # type: ignore[arg-type]  # what a watcher uses of them
    for _ in range(2):
        assert not await watcher.look()
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "nowhere.git" in record.getMessage()


async def test_a_broken_revision_is_refused_as_a_whole_and_the_good_one_stays(
    forge: Forge, watch: Callable[[], Watcher], book: Book
) -> None:
    good = forge.push(files(), message="good")
    watcher = watch()
    await watcher.look()
    bad = forge.push({**files(HOST + UPLINK), "hosts/pve2.yaml": BROKEN.replace("pve1", "pve2")}, message="bad")
    assert not await watcher.look()
    assert watcher.wanted.commit == good
    assert watcher.wanted.hosts["pve1"].sections == {}
    assert watcher.trouble.startswith(
        f"{bad[:10]} is refused: 1 error, the first: hosts/pve2.yaml:3:1: snyc: unknown key"
    )
    assert [line.split(":")[0] for line in book.lines] == ["accepted good", "refused bad"]
    assert [finding.rule for finding in watcher.findings if finding.severity == "error"] == ["unknown-key"]
    mended = forge.push(files(HOST + UPLINK), message="mended")
    assert await watcher.look()
    assert (watcher.wanted.commit, watcher.trouble) == (mended, "")


async def test_after_a_restart_onto_a_broken_revision_the_last_good_one_is_in_force(
    forge: Forge, watch: Callable[[], Watcher]
) -> None:
    good = forge.push(files(), message="good")
    await watch().look()
    bad = forge.push(files(BROKEN), message="bad")
    again = watch()
    assert await again.look()
    assert (again.wanted.commit, list(again.wanted.hosts)) == (good, ["pve1"])
    assert again.trouble.startswith(f"{bad[:10]} is refused")
    assert (again.standing.state, again.standing.commit) == ("refused", good)


async def test_after_a_restart_without_the_source_the_last_good_revision_is_in_force(
    forge: Forge, watch: Callable[[], Watcher], book: Book
) -> None:
    good = forge.push(files(), message="good")
    await watch().look()
    forge.path.rename(forge.path.with_name("away"))
    again = watch()
    assert await again.look()
    assert again.wanted.commit == good
    assert [line.partition(":")[0] for line in book.lines] == ["accepted good", "source.trouble"]
    assert again.trouble
    assert again.last_fetch_s is None


@pytest.mark.parametrize("what", ["rewound", "deleted", "emptied"])
async def test_whatever_becomes_of_the_branch_the_last_good_revision_stays(
    what: str, forge: Forge, watch: Callable[[], Watcher], book: Book
) -> None:
    forge.push(files(), message="first")
    good = forge.push(files(HOST + UPLINK), message="second")
    watcher = watch()
    await watcher.look()
    if what == "rewound":
        forge.push(files(), message="another past", orphan=True)
    elif what == "deleted":
        forge.git("branch", "other", "main")
        forge.git("update-ref", "-d", "refs/heads/main")
    else:
        forge.git("update-ref", "-d", "refs/heads/main")
    assert not await watcher.look()
    assert not await watcher.look()
    assert (watcher.wanted.commit, list(watcher.wanted.hosts)) == (good, ["pve1"])
    (_, said) = book.lines
    words = {"rewound": "history was rewritten", "deleted": "the branch main is gone", "emptied": "has no branch"}
    assert said.startswith("source.trouble: ")
    assert words[what] in said
    assert words[what] in watcher.trouble
    states = {"rewound": "rewound", "deleted": "missing", "emptied": "empty"}
    standing = watcher.standing
    assert (standing.state, standing.message, standing.commit) == (states[what], watcher.trouble, good)


async def test_a_commit_that_is_not_signed_is_named_and_the_last_good_revision_stays(
    forge: Forge, book: Book, tmp_path: Path
) -> None:
    key = SshKey.made(tmp_path / "keys", "ann")
    signers = tmp_path / "signers"
    signers.write_text(key.allowed())
    mirror = Mirror(tmp_path / "room", parse_source(str(forge.path), "main"), trust=Trust("ssh", signers))
    watcher = Watcher(mirror, book, book, KINDS, StoppedClock())  # type: ignore[arg-type]  # what a watcher uses of them
    good = push_signed(forge, files(), key.settings(), message="good")
    assert await watcher.look()
    bad = push_signed(forge, files(HOST + UPLINK), [], message="not signed")
    last = push_signed(forge, files(), key.settings(), message="signed, on top")
    for _ in range(2):
        assert not await watcher.look()
    assert (watcher.wanted.commit, watcher.head) == (good, last)
    standing = watcher.standing
    assert (standing.state, standing.commit) == ("unverified", good)
    assert f"the commit {bad[:12]} has no signature; the last good revision stays in force" in standing.message
    assert [line.partition(":")[0] for line in book.lines] == ["accepted good", "source.trouble"]
    forge.git("update-ref", "refs/heads/main", good)
    again = push_signed(forge, files(HOST + UPLINK), key.settings(), message="signed now")
    assert await watcher.look()
    assert (watcher.wanted.commit, watcher.standing.state) == (again, "followed")


async def test_a_commit_without_a_single_file_takes_no_host_away(
    forge: Forge, watch: Callable[[], Watcher], book: Book
) -> None:
    good = forge.push(files(), message="good")
    watcher = watch()
    await watcher.look()
    book.known["pve1"] = HostStatus("pve1")
    forge.push({"README": "nothing"}, message="emptied")
    assert not await watcher.look()
    assert watcher.wanted.commit == good
    assert "forgot pve1" not in book.lines


async def test_trouble_is_said_once_and_its_end_too(forge: Forge, watch: Callable[[], Watcher], book: Book) -> None:
    forge.push(files(), message="good")
    watcher = watch()
    await watcher.look()
    away = forge.path.with_name("away")
    forge.path.rename(away)
    for _ in range(3):
        await watcher.look()
    assert watcher.trouble
    away.rename(forge.path)
    for _ in range(3):
        await watcher.look()
    assert (watcher.standing.state, watcher.trouble) == ("followed", "")
    assert watcher.standing.fetched_at is not None
    assert [line.partition(":")[0] for line in book.lines] == ["accepted good", "source.trouble", "source.well"]


async def test_a_management_change_is_allowed_by_the_commit_that_introduces_the_key_and_by_no_later_one(
    forge: Forge, watch: Callable[[], Watcher]
) -> None:
    watcher = watch()
    allowed = []
    for host in (HOST, ALLOWS, ALLOWS + UPLINK, HOST, ALLOWS):
        forge.push(files(host))
        assert await watcher.look()
        allowed.append(sorted(watcher.wanted.introduced))
    assert allowed == [[], ["pve1"], [], [], ["pve1"]]


async def test_a_file_that_moves_does_not_introduce_its_key_again(forge: Forge, watch: Callable[[], Watcher]) -> None:
    watcher = watch()
    forge.push(files(ALLOWS))
    await watcher.look()
    forge.push({"fleet.yaml": FLEET, "hosts/paris/pve1.yaml": ALLOWS})
    assert await watcher.look()
    assert watcher.wanted.hosts["pve1"].file == "hosts/paris/pve1.yaml"
    assert watcher.wanted.introduced == frozenset()


async def test_the_first_commit_of_all_may_introduce_the_key(forge: Forge, watch: Callable[[], Watcher]) -> None:
    forge.push(files(ALLOWS))
    watcher = watch()
    await watcher.look()
    assert watcher.wanted.introduced == {"pve1"}


async def test_where_the_commit_before_cannot_be_read_the_key_does_not_count(
    forge: Forge, watch: Callable[[], Watcher]
) -> None:
    forge.push(files(BROKEN))
    forge.push(files(ALLOWS))
    watcher = watch()
    await watcher.look()
    assert watcher.wanted.introduced == frozenset()


async def test_a_restart_onto_the_introducing_commit_allows_what_it_allowed(
    forge: Forge, watch: Callable[[], Watcher]
) -> None:
    forge.push(files(HOST))
    forge.push(files(ALLOWS))
    await watch().look()
    again = watch()
    assert await again.look()
    assert again.wanted.introduced == {"pve1"}


async def test_a_symbolic_link_in_the_repository_is_refused(
    forge: Forge, watch: Callable[[], Watcher], book: Book
) -> None:
    forge.push({**files(), "hosts/pve2.yaml": ("120000", forge.blob("/etc/shadow"))}, message="link")
    watcher = watch()
    assert not await watcher.look()
    assert watcher.wanted.commit == ""
    assert book.lines == [book.lines[0]]
    assert book.lines[0].startswith("refused link: 1 error, the first: hosts/pve2.yaml:1:1: ")


async def test_what_an_older_commit_said_of_a_host_can_be_asked(forge: Forge, watch: Callable[[], Watcher]) -> None:
    first = forge.push(files(HOST + UPLINK))
    broken = forge.push(files(BROKEN))
    last = forge.push(files())
    watcher = watch()
    assert await watcher.look()
    said = watcher.spec_at(first, "pve1")
    assert said is not None and "interfaces" in said.sections
    assert watcher.spec_at(first, "pve1") is said  # read once for all hosts
    assert watcher.spec_at(broken, "pve1") is None
    assert watcher.spec_at(last, "pve9") is None
    assert watcher.spec_at("0" * 40, "pve1") is None
    assert watcher.wanted.commit == last


async def rewritten(forge: Forge, watcher: Watcher, host: str = HOST) -> str:
    """Another past with this host, which is not followed."""
    commit = forge.push(files(host), message="another past", orphan=True)
    assert not await watcher.look()
    assert watcher.standing.state == "rewound"
    assert f"accept it (`passerelle source accept {commit[:12]} --reason TEXT`)" in watcher.trouble
    return commit


async def test_a_rewritten_history_is_followed_from_the_commit_that_a_person_accepts(
    forge: Forge, watch: Callable[[], Watcher], book: Book
) -> None:
    old = forge.push(files(), message="good")
    watcher = watch()
    await watcher.look()
    new = await rewritten(forge, watcher)
    for commit, error in ((old, SourceChanged), ("f" * 12, SourceChanged)):
        with pytest.raises(error, match=f"the branch is at {new} now"):
            await watcher.accept_rewrite(commit, by="ann", reason="squashed")
    assert watcher.wanted.commit == old
    assert await watcher.accept_rewrite(new[:10], by="ann", reason="squashed") == new
    later = forge.push(files(HOST + UPLINK), message="later")
    assert await watcher.look()
    assert (watcher.wanted.commit, watcher.standing.state, watcher.trouble) == (later, "followed", "")
    assert book.lines[-2:] == ["source.well: the source is followed again", "accepted later"]
    with pytest.raises(InputError, match="the history was not rewritten: the source is followed"):
        await watcher.accept_rewrite(later, by="ann", reason="again")


async def test_a_history_that_goes_back_to_what_it_was_is_accepted_too(
    forge: Forge, watch: Callable[[], Watcher]
) -> None:
    old = forge.push(files(), message="good")
    watcher = watch()
    await watcher.look()
    for target in (await rewritten(forge, watcher), old):
        forge.git("update-ref", "refs/heads/main", target)
        await watcher.look()
        await watcher.accept_rewrite(target, by="ann", reason="as it was")
        assert await watcher.look()
        assert watcher.wanted.commit == target
        watcher._clock.move(1)  # type: ignore[attr-defined]  # it stands still by itself
    later = forge.push(files(HOST + UPLINK), message="later")
    assert await watcher.look()
    assert watcher.wanted.commit == later


async def test_an_accepted_history_with_an_error_is_mended_by_what_follows_it(
    forge: Forge, watch: Callable[[], Watcher]
) -> None:
    old = forge.push(files(), message="good")
    watcher = watch()
    await watcher.look()
    broken = await rewritten(forge, watcher, BROKEN)
    await watcher.accept_rewrite(broken, by="ann", reason="squashed")
    for one in (watcher, watch()):
        await one.look()
        assert (one.wanted.commit, one.standing.state) == (old, "refused")
    again = watch()
    mended = forge.push(files(), message="mended")
    assert await again.look()
    assert (again.wanted.commit, again.standing.state) == (mended, "followed")


async def test_a_history_that_is_rewritten_twice_needs_accepting_twice(
    forge: Forge, watch: Callable[[], Watcher], book: Book
) -> None:
    old = forge.push(files(), message="good")
    watcher = watch()
    await watcher.look()
    await watcher.accept_rewrite(await rewritten(forge, watcher, BROKEN), by="ann", reason="once")
    await watcher.look()
    second = await rewritten(forge, watcher)
    assert watcher.wanted.commit == old
    await watcher.accept_rewrite(second, by="ann", reason="twice")
    assert await watcher.look()
    assert watcher.wanted.commit == second
    assert [one.before for one in book.rewrites] == [old, old]


@pytest.mark.parametrize(("before", "allowed"), [(HOST, ["pve1"]), (ALLOWS, [])])
async def test_in_a_rewritten_history_a_management_change_counts_where_the_accepted_one_had_no_key(
    forge: Forge, watch: Callable[[], Watcher], before: str, allowed: list[str]
) -> None:
    forge.push(files(before), message="good")
    watcher = watch()
    await watcher.look()
    await watcher.accept_rewrite(await rewritten(forge, watcher, ALLOWS + UPLINK), by="ann", reason="squashed")
    assert await watcher.look()
    assert sorted(watcher.wanted.introduced) == allowed
