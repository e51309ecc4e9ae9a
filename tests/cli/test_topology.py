"""`passerelle topology`: nested lists for people, the data, or the picture."""

import json
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from service.cli import run
from service.errors import NeverSeen
from service.history import open_history
from tests.api.world import World
from tests.cli.reached import reached
from tests.documents import run_by
from tests.state_folders import made


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_history(made(tmp_path / "state" / "passerelle.sqlite")) as history:
        filled = World(history).fill()
        with reached(filled.app, filled.token("read")):
            yield filled


def test_the_pages_commands_draw_a_host(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    for command in run_by("test_the_pages_commands_draw_a_host"):
        words = command.words
        assert run(words[: words.index(">")] if ">" in words else words) == 0, command
    capsys.readouterr()
    run(["topology", "pve1"])
    assert capsys.readouterr().out.splitlines() == [
        f"pve1: as seen {world.clock.now():%Y-%m-%d %H:%M} UTC, Git at cccccccccc",
        "- Uplinks",
        "  - enp1s0, 198.51.100.11/24, gateway 198.51.100.1",
        "- Bridges",
        "  - vmbr0, 10.10.10.1/24, NAT through enp1s0, drifted: mtu",
        "    - DHCP 10.10.10.100 to 10.10.10.200: 2 of 101 leased, 1 reserved",
        "    - 443/tcp → web:443 on enp1s0",
        "    - www.example.org → http://web:80 by web",
        "    - web, 10.10.10.20, bc:24:11:00:00:02, running",
        "- Drifted elsewhere",
        "  - dnsmasq (2)",
    ]
    run(["topology", "pve1", "-o", "svg", "--width", "640"])
    assert ET.fromstring(capsys.readouterr().out).attrib["width"] == "640"
    run(["topology", "pve1", "-o", "json"])
    assert json.loads(capsys.readouterr().out)["bridges"][0]["drift"] == ["mtu"]


def test_of_a_host_that_was_never_seen_the_rest_is_shown_and_the_code_is_4(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.desk.unknown["pve1"] = NeverSeen("pve1 was never seen: it is unreachable")
    assert run(["topology", "pve1"]) == 4
    assert "- Not known: pve1 was never seen: it is unreachable" in capsys.readouterr().out


def test_what_a_terminal_would_obey_is_not_printed(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.desk.odd = "\x1b[31mred\u202e"
    for form in ("text", "svg"):
        run(["topology", "pve1", "-o", form])
        out = capsys.readouterr().out
        assert "red" in out
        assert all(line.isprintable() for line in out.splitlines())


def test_no_such_host(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("text", "json", "svg"):
        assert run(["topology", "pve9", "-o", form]) == 1
        assert "no host pve9" in capsys.readouterr().err
