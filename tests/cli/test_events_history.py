"""`passerelle events` and `passerelle history`, against the real API on a socket of its own."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from service.cli import run
from service.cli.client import ApiError
from service.cli.streamed import AGAIN_S, Message, followed, messages
from service.errors import PasserelleError
from service.history import open_history
from service.lab.waiting import grown_s
from service.model.events import HostQuarantined
from service.model.runs import ProbeRecord, Proof
from tests.api.world import NOW, World
from tests.cli.reached import living, reached
from tests.documents import TOP
from tests.state_folders import made


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A service without its loop that the commands reach; nobody may change anything in it."""
    with open_history(made(tmp_path_factory.mktemp("telling") / "passerelle.sqlite")) as history:
        filled = World(history).fill()
        history.store.add_event(HostQuarantined(host="pve2", why="odd\x1b[31m\nnews"), at=NOW)
        with reached(filled.app, filled.token()):
            yield filled


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[World]:
    """Another one, in which things happen."""
    with living(tmp_path) as filled:
        yield filled


@pytest.fixture(scope="module")
def apply_id(world: World) -> str:
    """An apply that was rolled back."""
    store = world.history.store
    found = store.open_apply(
        "pve1", plan_id=world.plan_id(), commit="c" * 40, plan_digest="sha256:p", desired_digest="sha256:d",
        trigger="request", requested_by="bob", at=NOW,
    )  # fmt: skip
    store.start_apply(found, generation=1, planned=[("link:vmbr0", "bridges: vmbr0"), ("sysctl:a", "nat")], at=NOW)
    later = NOW + timedelta(seconds=2.5)
    store.move_step(found, 0, "doing", at=NOW)
    store.move_step(found, 0, "done", at=later)
    store.move_step(found, 1, "doing", at=later)
    store.move_step(found, 1, "failed", at=later, error="no such key")
    store.set_probes(found, [ProbeRecord("dns 10.0.0.1", "ok", "no answer", "ok"), ProbeRecord("ssh", "ok", "ok")])
    end = NOW + timedelta(seconds=41)
    store.finish_apply(found, "RolledBack", at=end, cause="deadline", error="nobody confirmed")
    return found


def test_events_are_told_in_order_one_in_each_line(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["events"]) == 0
    lines = capsys.readouterr().out.splitlines()
    told = world.history.queries
    assert len(lines) == told.newest_event_id() < 50
    assert lines[0].split()[:4] == ["2026-03-01", "12:00:00Z", "-", "revision.accepted"]
    (odd,) = [line for line in lines if "host.quarantined" in line]
    assert odd == "2026-03-01 12:00:00Z  pve2          host.quarantined      pve2: odd[31m news"


def test_events_of_one_host_and_type_are_chosen_and_cut_to_the_newest(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["events", "pve1", "-o", "json"]) == 0
    of_host = json.loads(capsys.readouterr().out)
    assert {one["host"] for one in of_host} == {"pve1"}
    assert [one["id"] for one in of_host] == sorted(one["id"] for one in of_host)
    assert run(["events", "pve1", "--most", "2", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == of_host[-2:]
    assert run(["events", "--type", "drift.found", "-o", "json"]) == 0
    assert {one["type"] for one in json.loads(capsys.readouterr().out)} == {"drift.found"}
    assert run(["events", "nope"]) == 1
    assert "no host nope" in capsys.readouterr().err


def said(*numbers: int) -> list[Message]:
    return [Message("", number, json.dumps({"id": number})) for number in numbers]


def test_what_is_followed_goes_on_after_the_last_and_over_a_restart(capsys: pytest.CaptureFixture[str]) -> None:
    """One that ends, that breaks, or that is refused for now is opened again a little later."""
    answers: list[list[Message] | Exception] = [
        [Message("", 7, ""), *said(8, 9)], PasserelleError("no answer"), ApiError(503, {"detail": "busy"}),
        [Message("gap", 11, '{"reason": "removed", "asked": 9, "after": 11}'), *said(12), Message("", 15, "")],
        ApiError(401, {"detail": "revoked"}),
    ]  # fmt: skip
    asked: list[int | None] = []

    def connect(after: int | None) -> Iterator[Message]:
        asked.append(after)
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        yield from answer

    found: list[int] = []
    pauses: list[float] = []
    with pytest.raises(ApiError, match="revoked"):
        for one in followed(connect, 7, pauses.append):
            found.append(one["id"])
    assert (found, asked) == ([8, 9, 12], [7, 9, 9, 9, 15])
    assert pauses == [AGAIN_S] * 4
    err = capsys.readouterr().err
    assert err.count("no answer") == 1
    assert err.count("the service answers again") == 1
    assert "the events after 9 are not in the history any more. It continues after 11" in err


def test_messages_are_read_as_the_standard_says() -> None:
    lines = b"retry: 5\nid: 3\n\n: alive\nid:4\r\n\r\n\n\nevent: gap\nid: 5\ndata: a\ndata:b\n\ndata: cut off\n"
    found = list(messages(lines.splitlines(keepends=True)))
    assert found == [Message("", 3, ""), Message("", 4, ""), Message("gap", 5, "a\nb")]


@pytest.mark.parametrize("form", ["table", "json"])
def test_a_pipe_gets_each_event_when_it_happens(form: str, busy: World) -> None:
    command = [sys.executable, "-m", "service", "events", "pve1", "--follow", "--most", "0", "-o", form]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=TOP) as following:
        assert following.stdout is not None
        with telling(busy):
            lines = [following.stdout.readline() for _ in range(2)]
            following.stdout.close()
            assert following.wait(grown_s(60)) == 1
    if form == "json":
        assert [json.loads(line)["text"] for line in lines] == ["pve1: look"] * 2
    else:
        assert all(line.endswith("  pve1          host.quarantined      pve1: look\n") for line in lines)


@contextmanager
def telling(world: World) -> Iterator[None]:
    """Something happens on pve1 and pve2 again and again."""
    over = threading.Event()

    def tell() -> None:
        while not over.wait(0.2):
            for host in ("pve1", "pve2"):
                world.history.store.add_event(HostQuarantined(host=host, why="look"), at=NOW)

    teller = threading.Thread(target=tell)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


def test_the_history_names_who_requested_beside_the_author(
    world: World, apply_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["history", "pve1"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == [
        "requested_at", "host", "phase", "trigger", "requested_by", "commit", "author", "subject", "error", "id",
    ]  # fmt: skip
    (row,) = [row.split() for row in rows if apply_id in row]
    assert row[1:7] == ["pve1", "RolledBack", "request", "bob", "c" * 10, "Ann"]


def test_the_history_of_one_apply_has_its_steps_and_probes(
    world: World, apply_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["history", apply_id.lower()]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["pve1: RolledBack (deadline)", "  why        nobody confirmed"]
    requested, began, ended = lines[2:5]
    assert requested.startswith("  requested  2026-03-01T12:00:00Z (")
    assert requested.endswith(" by bob (request)")
    assert began.startswith("  began      2026-03-01T12:00:00Z (")
    assert ended.endswith(" took 41.0 s")
    assert lines[5:] == [
        f"  commit     {'c' * 40}: first",
        "  author     Ann <ann@example.org>",
        "  plan       sha256:p",
        f"  id         {apply_id}",
        "",
        "Steps",
        "  1. link:vmbr0: done, took 2.5 s: bridges: vmbr0",
        "  2. sysctl:a: failed, took 0.0 s: nat",
        "     no such key",
        "",
        "Probes (before, after, after the rollback)",
        "  dns 10.0.0.1: ok, no answer, ok",
        "  ssh: ok, ok, not asked",
    ]
    assert run(["history", apply_id, "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["requested_by"] == "bob"


def test_the_history_of_a_drill_has_what_it_proved(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    drill_id = world.drill_id()
    world.history.store.start_drill(drill_id, generation=2, at=NOW)
    world.history.store.finish_drill(drill_id, proofs=[Proof("timer", True, "it came")], error="", at=NOW)
    assert run(["history", drill_id]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "pve1: drill: Passed"
    assert lines[-2:] == ["What it proved", "  timer: yes: it came"]


def test_an_id_that_nobody_knows_is_looked_for_as_a_host(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["history", "01ARZ3NDEKTSV4RRFFQ69G5FAV"]) == 1
    assert capsys.readouterr().out == ""
