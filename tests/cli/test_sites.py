"""`passerelle sites`: a table with what people compare, and a sentence for each site that needs somebody."""

import json
from collections.abc import Iterator

import pytest

from service.cli import run
from service.history import open_history
from tests.api.world import World
from tests.cli.reached import reached
from tests.state_folders import made


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A service without its loop that the commands reach; two sites on each of two hosts."""
    with open_history(made(tmp_path_factory.mktemp("sites") / "passerelle.sqlite")) as history:
        filled = World(history).fill()
        with reached(filled.app, filled.token("read")):
            yield filled


def said(_world: World, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = run(["sites", *words])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_each_site_is_a_line_and_trouble_has_its_fix(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(world, capsys)
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert lines[0][:4] == ["host", "site", "state", "certificate"]
    assert [line[:4] for line in lines[1:3]] == [
        ["pve1", "waits.example.org", "waits-for-permit", "none"],
        ["pve1", "www.example.org", "upstream-off", "issued"],
    ]
    assert "502" in out
    assert "www.example.org on pve1: the proxy answers 502: its upstream http://dev:8080 does not accept" in err
    assert "Fix: start the service there, or correct `to` and `port` of the site in Git." in err
    assert "waits.example.org on pve1: the checks before the first order have not run yet." in err


def test_one_host_one_name_and_only_trouble(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(world, capsys, "pve2", "--trouble", "-o", "json")
    assert code == 0
    assert [(one["host"], one["site"], one["weight"]) for one in json.loads(out)] == [
        ("pve2", "www.example.org", "trouble")
    ]
    _, out, _ = said(world, capsys, "--name", "www2.waits.example.org", "-o", "json")
    assert [(one["host"], one["site"]) for one in json.loads(out)] == [
        ("pve1", "waits.example.org"),
        ("pve2", "waits.example.org"),
    ]
    code, out, err = said(world, capsys, "--name", "nope.example.org")
    assert (code, out, err.strip()) == (0, "", "no such site")


def test_a_host_that_is_not_there_is_an_error(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = said(world, capsys, "pve9")
    assert code == 1
    assert "pve9" in err
