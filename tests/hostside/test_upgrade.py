"""A new version of the file meets a transaction that an earlier one armed, and the reverse. The transaction is
confirmed, extended or rolled back, also by the copy that armed it, and is never lost.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.lab.waiting import grown_s
from tests.hostside.rooms import earlier_version, put
from tests.hostside.scratch import ID, NEXT_ID, PROXY, Answer, Scratch, kill

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put(earlier_version(), tmp_path_factory.mktemp("earlier"))


@pytest.fixture(params=["old armed, new asks", "new armed, old asks"])
def versions(request: pytest.FixtureRequest, earlier: Path, quick: Path) -> tuple[Path, Path]:
    """(the file that arms, the one that comes then)."""
    return (earlier, quick) if request.param.startswith("old") else (quick, earlier)


def known_to_both(host: Scratch, identifier: str = ID, generation: int = 1) -> Answer:
    """A transaction of the types of fact that the earlier version knows."""
    document = host.document(identifier, generation, timeout_s=3600)
    return document | {"steps": [step for step in document["steps"] if step["fact"] != PROXY]}


@pytest.fixture
def upgraded(tmp_path: Path, versions: tuple[Path, Path]) -> Iterator[tuple[Scratch, Answer]]:
    """A host with a change in force that one version armed, and that the other version continues; its old state."""
    armer, asker = versions
    host = Scratch(tmp_path / "host", armer)
    before = host.state()
    assert host.begin(known_to_both(host))["state"] == "applied"
    host.file = asker
    yield host, before
    if host.armed():
        host.call("rollback", ID)


def kept_copy(host: Scratch) -> bytes:
    return (host.root / "var/lib/passerelle/txn" / ID / "passerelle_host.py").read_bytes()


def test_what_another_version_armed_is_seen_whole(
    upgraded: tuple[Scratch, Answer], versions: tuple[Path, Path]
) -> None:
    host, _ = upgraded
    status = host.call("status", ID)
    assert (status["state"], status["armed"]) == ("applied", ID)
    proofs = host.call("prove", ID)["proofs"]
    assert [proof["name"] for proof in proofs if not proof["ok"]] == []
    assert kept_copy(host) == versions[0].read_bytes()
    assert (host.root / "var/lib/passerelle/boot.py").read_bytes() == versions[0].read_bytes()


def test_another_begin_is_refused_and_the_armed_one_stays(
    upgraded: tuple[Scratch, Answer], versions: tuple[Path, Path]
) -> None:
    host, _ = upgraded
    answer = host.begin(known_to_both(host, NEXT_ID, generation=2))
    assert (answer["state"], answer["reason"]) == ("refused", "armed")
    assert host.armed()
    assert (host.root / "var/lib/passerelle/boot.py").read_bytes() == versions[0].read_bytes()


def test_another_version_confirms(upgraded: tuple[Scratch, Answer]) -> None:
    host, before = upgraded
    assert host.call("confirm", ID)["state"] == "confirmed"
    assert not host.armed() and host.timers() == []
    assert host.state() != before
    assert host.call("begin", give=host.drill(NEXT_ID, generation=2))["state"] == "applied"
    assert host.call("confirm", NEXT_ID)["state"] == "confirmed"


def boot(host: Scratch) -> Answer:
    """By the file that the boot unit runs: that of the version that armed."""
    host.fresh_boot()
    host.file = host.root / "var/lib/passerelle/boot.py"
    return host.call("boot")


def own_waker(host: Scratch) -> Answer:
    """The timer fires: it runs the kept copy."""
    host.file = host.root / "var/lib/passerelle/txn" / ID / "passerelle_host.py"
    return host.expire()


WAYS_BACK: dict[str, tuple[Callable[[Scratch], Answer], str]] = {
    "rollback": (lambda host: host.call("rollback", ID), "asked"),
    "its own timer": (own_waker, "deadline"),
    "the other version at the deadline": (lambda host: host.expire(), "deadline"),
    "a boot": (boot, "boot"),
}


@pytest.mark.parametrize("way", WAYS_BACK)
def test_every_way_back_leads_to_the_old_state(upgraded: tuple[Scratch, Answer], way: str) -> None:
    host, before = upgraded
    go, cause = WAYS_BACK[way]
    answer = go(host)
    assert (answer["state"], answer["cause"]) == ("rolled_back", cause)
    assert not host.armed()
    after, wanted = host.state(), before
    if way == "a boot":  # the kernel is fresh: its facts come from the files
        after, wanted = after["files"], before["files"]
    assert after == wanted


def test_a_deadline_that_another_version_moves_is_kept_by_a_waker_of_the_first(
    upgraded: tuple[Scratch, Answer], versions: tuple[Path, Path]
) -> None:
    host, before = upgraded
    assert host.call("extend", ID, "3000")["state"] == "applied"
    assert kept_copy(host) == versions[0].read_bytes()
    assert host.timers() == [f"passerelle-expire-{ID}-1.timer"]
    (started,) = [call for call in host.calls("systemd-run") if f"--unit=passerelle-expire-{ID}-1" in call]
    assert str(host.root / "var/lib/passerelle/txn" / ID / "passerelle_host.py") in started
    answer = own_waker(host)
    assert (answer["state"], answer["cause"]) == ("rolled_back", "deadline")
    assert host.state() == before


@pytest.mark.parametrize("point", ["staged", "armed", "step-3-after", "applied"])
def test_a_run_that_died_under_one_version_is_finished_by_the_other(
    tmp_path: Path, versions: tuple[Path, Path], point: str
) -> None:
    armer, asker = versions
    host = Scratch(tmp_path / "host", armer)
    before = host.state()
    run = point.startswith(("step", "applied"))
    begin = host.start("begin", give=known_to_both(host), environment=host.stop_at(point))
    stopped = host.stopped(None if run else begin)
    for pid in {begin.pid, stopped}:
        kill(pid)
    begin.wait()
    (host.root / "run/passerelle-test").unlink()
    host.file = asker
    if point == "staged":  # nothing is armed: whoever begins next clears it away
        assert not host.armed()
        drill: dict[str, Any] = host.drill(NEXT_ID, generation=2)
        assert host.begin(drill)["state"] == "applied"
        assert host.call("rollback", NEXT_ID)["state"] == "rolled_back"
        assert not (host.root / "var/lib/passerelle/txn" / ID).exists()
    else:
        assert host.call("rollback", ID)["state"] == "rolled_back"
    assert not host.armed()
    assert host.state() == before


def test_a_rollback_takes_the_lock_from_a_stopped_run_of_another_version(
    tmp_path: Path, versions: tuple[Path, Path]
) -> None:
    armer, asker = versions
    host = Scratch(tmp_path / "host", armer)
    before = host.state()
    begin = host.start("begin", give=known_to_both(host), environment=host.stop_at("step-3-after"))
    host.stopped()
    host.file = asker
    assert host.call("rollback", ID)["state"] == "rolled_back"
    begin.wait(grown_s(60))
    assert host.state() == before
