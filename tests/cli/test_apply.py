"""`passerelle apply` up to the request: what it shows, its question, and the answer to a no."""

import io
import os
import pty
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from service.cli import run
from service.history import open_history
from service.model.listings import ApplyListing
from tests.api.world import World
from tests.cli.reached import reached
from tests.state_folders import made


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A service without its loop that the commands reach."""
    with open_history(made(tmp_path_factory.mktemp("applying") / "passerelle.sqlite")) as history:
        filled = World(history).fill()
        with reached(filled.app, filled.token()):
            yield filled


@contextmanager
def typed(text: str) -> Iterator[None]:
    """Somebody sits at the terminal and types."""
    leader, follower = pty.openpty()
    os.write(leader, text.encode())
    with pytest.MonkeyPatch.context() as patch, os.fdopen(follower) as terminal:
        patch.setattr("sys.stdin", terminal)
        yield
    os.close(leader)


@pytest.mark.parametrize("text", ["n\n", "\n", "\x04", "yess\n"], ids=["no", "nothing", "the end", "something else"])
def test_a_no_says_that_nothing_was_applied(text: str, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with typed(text):
        assert run(["apply", "pve1"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "pve1: 1 step, opens nothing, closes nothing, no guest loses its link" in err
    assert "  1. sysctl:net.ipv4.ip_forward: nat" in err
    assert err.endswith("pve1: nothing was applied\n")
    assert world.desk.asked == []


def test_a_yes_applies_the_plan_that_was_shown(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with typed("y\n"):
        assert run(["apply", "pve1", "--no-wait"]) == 0
    digest = world.history.queries.current_plan("pve1").digest  # type: ignore[union-attr]
    err = capsys.readouterr().err
    assert f"digest: {digest}" in err
    assert f"apply this plan ({digest[:19]}) to pve1? [y/N] " in err
    assert world.desk.asked == [("apply", "pve1", world.plan_id(), "tester")]


def test_where_nobody_can_be_asked_nothing_is_applied(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert run(["apply", "pve1"]) == 1
    assert "no terminal to ask on; nothing was applied" in capsys.readouterr().err
    assert world.desk.asked == []


def test_the_beginning_of_the_digest_is_enough_and_less_is_said(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = world.history.queries.current_plan("pve1").digest  # type: ignore[union-attr]
    hexes = digest.removeprefix("sha256:")
    for bad, why in (
        (hexes[:11], "too short: 11 digits"), ("sha256:", "not the digest of a plan"), ("nope", "not the digest"),
        (hexes + "0", "not the digest"),
    ):  # fmt: skip
        assert run(["apply", "pve1", "--digest", bad, "--no-wait"]) == 1
        assert why in capsys.readouterr().err
    other = "0" * 12 if not hexes.startswith("0" * 12) else "1" * 12
    assert run(["apply", "pve1", "--digest", other, "--no-wait"]) == 5
    assert "pve1: nothing was applied" in capsys.readouterr().err
    assert world.desk.asked == []
    assert run(["apply", "pve1", "--digest", hexes[:12], "--no-wait"]) == 0
    assert len(world.desk.asked) == 1


class Interrupting(io.StringIO):
    """A terminal at which somebody types ^C."""

    def isatty(self) -> bool:
        return True

    def readline(self, _size: int | None = -1) -> str:  # type: ignore[override]  # as typeshed has StringIO
        raise KeyboardInterrupt


def test_an_interrupt_says_what_became_of_the_apply(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Interrupting())
    assert run(["apply", "pve1"]) == 130
    assert capsys.readouterr().err.endswith("pve1: nothing was applied\n")
    assert world.desk.asked == []


def test_an_apply_that_is_waited_for_no_longer_goes_on_and_that_is_said(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["apply", "pve1", "--yes", "--timeout", "0"]) == 1
    err = capsys.readouterr().err
    assert "pve1: the apply continues (Pending), and this command stops waiting" in err
    (newest,) = world.history.queries.applies(ApplyListing()).items
    assert f"see `passerelle history {newest.id}`" in err


def test_a_service_that_fails_says_nothing_of_what_was_applied(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.desk.trouble = RuntimeError("a bug after the apply was opened")
    assert run(["apply", "pve1", "--yes"]) == 1
    assert "nothing was applied" not in capsys.readouterr().err
