"""Reading the interfaces file as ifupdown2 does; `reading/*/ifquery.json` is what the real ifquery 3.0.0 said."""

import json
from pathlib import Path
from typing import Any

import pytest

from service.formats.interfaces import MAIN_FILE, PlacedStanza, load, meaning, parse

CASES = sorted(path.parent for path in (Path(__file__).parent / "reading").glob("*/ifquery.json"))


def as_ifquery(standing: PlacedStanza, known: set[str]) -> dict[str, Any]:
    """A stanza in the shape that `ifquery -o json` prints; options that it left out as unsupported are left out."""
    stanza = standing.stanza
    config: dict[str, Any] = {}
    for option in stanza.options:
        if option.name in known:
            config.setdefault(option.name, []).append(option.value)
    shown: dict[str, Any] = {"name": stanza.name}
    if stanza.family:
        shown |= {"addr_method": stanza.method, "addr_family": stanza.family}
    return shown | {"auto": standing.auto, "config": {k: v[0] if len(v) == 1 else v for k, v in config.items()}}


def comparable(stanza: dict[str, Any]) -> dict[str, Any]:
    """Without netmask and broadcast, which ifquery prints as lists with gaps, and without the lines of the classic
    ifupdown, which it prints as options though it knows none of them."""
    left_out = ("netmask", "broadcast", "source-directory", "mapping")
    return stanza | {"config": {key: value for key, value in stanza["config"].items() if key not in left_out}}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_stanzas_are_read_as_the_real_ifquery_reads_them(case: Path) -> None:
    config = load({MAIN_FILE: (case / "in").read_bytes()})
    there = json.loads((case / "ifquery.json").read_text())
    known = {key for stanza in there for key in stanza["config"]}
    names = {stanza["name"] for stanza in there}
    here = [as_ifquery(standing, known) for standing in config.standings if standing.stanza.name in names]
    mine, theirs = ([comparable(s) for s in sorted(side, key=lambda s: s["name"])] for side in (here, there))
    assert mine == theirs


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_file_that_was_read_gives_its_bytes_back(case: Path) -> None:
    data = (case / "in").read_bytes()
    assert parse(data).text() == data


def test_every_line_that_ifupdown2_refuses_is_a_problem_with_its_number() -> None:
    data = b"\n".join(
        [
            b"auto",
            b"stray words",
            b"iface a inet junk",
            b"  lonely",
            b"source-directory /x",
            b"iface sixteen-letters-x foo static",
            b"source relative/path",
            b"source /etc/network/nothing",
        ]
    )
    config = load({MAIN_FILE: data})
    assert [problem.line for problem in sorted(config.problems, key=lambda p: p.line)] == [1, 2, 3, 4, 5, 6, 6, 7, 7, 8]
    assert config.fatal is None


@pytest.mark.parametrize("word", [b"iface", b"source", b"vlan", b"allow-hotplug", b"allow x"])
def test_a_lone_keyword_is_known_to_stop_ifupdown2(word: bytes) -> None:
    problem = load({MAIN_FILE: b"auto lo\n" + word + b"\n"}).fatal
    assert problem is not None
    assert problem.line == 2


def test_a_template_is_reported_as_one() -> None:
    assert [p.line for p in parse(b"auto lo\n% for i in range(3):\n").problems] == [2, 2]
    assert [p.line for p in parse(b"iface a inet manual\n up date +%s\n").problems] == []


def test_source_takes_a_sorted_glob_without_hidden_files_and_counts_where_it_stands() -> None:
    folder = "/etc/network/interfaces.d"
    config = load(
        {
            MAIN_FILE: b"source /etc/network/interfaces.d/*\niface main inet manual\n",
            f"{folder}/b": b"auto main\niface b inet manual\n",
            f"{folder}/a": b"iface a inet manual\n",
            f"{folder}/.hidden": b"iface hidden inet manual\n",
            f"{folder}/deeper/c": b"iface c inet manual\n",
        }
    )
    assert config.names == ("a", "b", "main")
    found = meaning(config, "main")
    assert found is not None
    assert found.auto


def test_files_that_source_each_other_end_in_a_problem() -> None:
    config = load({MAIN_FILE: b"source /etc/network/x\n", "/etc/network/x": b"source /etc/network/interfaces\n"})
    assert [problem.what for problem in config.problems] == ["/etc/network/interfaces sources itself"]


def test_a_range_stands_for_each_of_its_members() -> None:
    config = load({MAIN_FILE: b"auto swp[1-3].7\niface swp[2-10].7 inet manual\n mtu 9000\n"})
    found = [meaning(config, f"swp{number}.7") for number in (1, 2, 10, 11)]
    assert [None if one is None else one.mtu for one in found] == [None, 9000, 9000, None]
