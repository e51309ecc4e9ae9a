"""`passerelle show`: the whole spec of a host, with the place of each value."""

import json
from pathlib import Path

import pytest

from service.cli import run
from service.spec.document import load
from service.spec.overriding import plain
from tests.spec.test_shared_values import FLEET, PARIS, short


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path, text in {
        "fleet.yaml": FLEET,
        "groups/paris.yaml": PARIS.replace(', "pve-paris-*"', ""),
        "hosts/pve1.yaml": short(more="dnsmasq: {local_ttl: 30}\n"),
    }.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def test_it_shows_the_whole_with_the_place_of_each_value(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", "pve1", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "# pve1: fleet.yaml (defaults), groups/paris.yaml (values), hosts/pve1.yaml; "
        "a later file overrides an earlier one"
    )
    shown = {tuple(" ".join(part.split()) for part in line.split("  # ")) for line in lines[1:] if "  # " in line}
    assert ("address: 198.51.100.11", "hosts/pve1.yaml:2") in shown
    assert ("port: 2222", "fleet.yaml:7") in shown
    assert ("cache_size: 900", "groups/paris.yaml:5") in shown
    assert ("local_ttl: 30", "hosts/pve1.yaml:5") in shown


def test_what_is_shown_is_a_spec_with_the_same_values(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", "pve1", str(folder)]) == 0
    text = capsys.readouterr().out
    assert run(["show", "pve1", str(folder), "-o", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows["files"] == ["fleet.yaml", "groups/paris.yaml", "hosts/pve1.yaml"]
    whole = plain(load(text.encode()).value)
    for row in rows["values"]:
        value = whole
        for key in row["path"].split("."):
            assert isinstance(value, dict)
            value = value[key]
        assert value == row["value"]
        assert (folder / row["file"]).read_text().splitlines()[row["line"] - 1].strip()


def test_a_host_that_the_folder_does_not_describe(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", "pve7", str(folder)]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"passerelle: {folder} describes no host pve7",
        "  Fix: name one of: pve1",
    ]


def test_a_host_that_the_folder_renames(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "hosts" / "pve1.yaml"
    file.write_text(file.read_text() + "renamed_from: old1\n")
    packet = ["--from", "host", "--to", "host", "--proto", "tcp"]
    for words in (
        ["show", "old1", str(folder)],
        ["plan", "old1", "--repo", str(folder)],
        ["trace", "--host", "old1", "--repo", str(folder), *packet],
    ):
        assert run(words) == 1, words
        assert capsys.readouterr().err == (
            f"passerelle: {folder} describes no host old1: it is now called pve1\n  Fix: write pve1 instead of old1\n"
        )


def test_a_folder_with_errors_is_shown_and_the_first_error_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "fleet.yaml").write_text(FLEET.replace("cache_size: 500", "cache_size: lots"))
    assert run(["show", "pve1", str(folder)]) == 1
    said = capsys.readouterr()
    assert "fleet.yaml:12:17: defaults.dnsmasq.cache_size" in said.err
    assert "cache_size: 900" in said.out
