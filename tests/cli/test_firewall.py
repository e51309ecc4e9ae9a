"""`passerelle firewall`: the rules of each spec that the laws run over, as people see them."""

import json
from pathlib import Path

import pytest

from service.cli import run
from tests.golden import same_as_golden
from tests.laws.specs import FOLDER, names, whole

GOLDENS = Path(__file__).parent / "firewalls"


def folder_of(folder: Path, name: str) -> Path:
    """A repository with one of the specs."""
    (folder / "hosts").mkdir()
    (folder / "fleet.yaml").write_text("passerelle: 1\n")
    (folder / "hosts/pve1.yaml").write_text(whole((FOLDER / f"{name}.yaml").read_text()))
    return folder


@pytest.mark.parametrize("name", names())
def test_the_rules_of_each_spec(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["firewall", "pve1", "--repo", str(folder_of(tmp_path, name))]) == 0
    said = capsys.readouterr()
    same_as_golden(GOLDENS / f"{name}.txt", said.out + said.err)


def test_a_trace_names_a_line_of_the_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_of(tmp_path, "guests-firewalls")
    assert run(["firewall", "pve1", "--repo", str(folder), "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rules = {rule["id"]: rule for table in found["tables"] for rule in table["rules"]}
    packet = ["--from", "outside", "--to", "host", "--proto", "tcp", "--dport", "22", "-o", "json"]
    assert run(["trace", "--repo", str(folder), "--host", "pve1", *packet]) == 0
    said = json.loads(capsys.readouterr().out)
    assert rules[said["id"]]["where"] == said["rule"]


def test_only_rules_that_never_decide(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_of(tmp_path, "guests-firewalls")
    assert run(["firewall", "pve1", "--repo", str(folder), "--never"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == ["out:derived:4", "out:policy"]
    assert run(["firewall", "pve1", "--repo", str(folder), "--never", "-o", "json"]) == 0
    [table] = json.loads(capsys.readouterr().out)["tables"]
    assert [rule["earlier"] for rule in table["rules"]] == [["out:host:5"], ["out:host:5"]]


def test_a_host_that_is_not_there(tmp_path: Path) -> None:
    assert run(["firewall", "pve9", "--repo", str(folder_of(tmp_path, "seed"))]) == 1
