"""Adopting into a repository whose fleet.yaml and groups/ have values for the host already."""

from pathlib import Path

import pytest

from service.cli import run
from service.cli.directory import read_directory
from service.kinds import KINDS
from service.spec.fleet import read_fleet
from tests.adopt.trees import KEY, STYLES

FLEET = """\
passerelle: 1
defaults:
  dnsmasq:
    cache_size: 500
    no_ping: true
    local_ttl: 60
"""
GROUP = "group: paris\nhosts: [pve1, pve2]\nvalues: {dnsmasq: {log_queries: true}}\n"
OTHER = f"host: pve2\nconnection: {{address: 198.51.100.12, host_keys: [{KEY}], console: https://c.example.net/}}\n"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """Values for hosts and one other host; the adopted host has none of the switches."""
    for path, text in {"fleet.yaml": FLEET, "groups/paris.yaml": GROUP, "hosts/pve2.yaml": OTHER}.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text + "# a comment\n")
    return tmp_path


def adopt(repo: Path, *more: str) -> int:
    return run(["adopt", "--root", str(STYLES / "blog" / "root"), "--name", "pve1", "--repo", str(repo), *more])


def test_the_spec_overrides_what_the_host_does_not_have(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert adopt(repo) == 0
    said = capsys.readouterr()
    text = (repo / "hosts/pve1.yaml").read_text()
    assert "cache_size: 256" in text
    assert "no_ping: false" in text
    assert "log_queries: false" in text
    assert "host-group" not in said.out + said.err
    assert [line for line in said.err.splitlines() if "local_ttl" in line] == [
        "pve1 does not have what a shared file gives it, so its next plan is not empty: dnsmasq.local_ttl comes from "
        "fleet.yaml:6, and a host's file cannot take a shared key away"
    ]
    fleet = read_fleet(read_directory(repo), KINDS)
    assert "pve1" in fleet.hosts


def test_what_was_adopted_is_the_same_a_second_time(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repo / "fleet.yaml").write_text(FLEET.replace("    local_ttl: 60\n", ""))
    assert adopt(repo) == 0
    capsys.readouterr()
    assert adopt(repo, "--diff") == 0
    assert capsys.readouterr().out == ""
    (repo / "fleet.yaml").write_text(FLEET.replace("    local_ttl: 60\n", "    no_negcache: true\n"))
    assert adopt(repo, "--diff") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines[2:] if line.startswith(("+", "-"))] == ["+  no_negcache: false"]
