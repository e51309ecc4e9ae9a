"""`passerelle trace --repo`: questions to a host of a config repository."""

import json
from pathlib import Path

import pytest

from service.cli import run
from tests.laws.specs import FOLDER, head

FLEET = """\
passerelle: 1
firewall:
  policy_in: drop
  ipsets: {monitors: [62.210.16.0/24, "!62.210.16.9"]}
  rules:
    - {type: in, action: accept, macro: Ping, source: +monitors}
"""
RULES = """\
firewall:
  rules:
    - {type: in, action: accept, macro: SSH}
    - {type: in, action: reject, proto: tcp, dport: 8007}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hosts").mkdir()
    (tmp_path / "fleet.yaml").write_text(FLEET)
    (tmp_path / "hosts/pve1.yaml").write_text(head() + (FOLDER / "seed.yaml").read_text() + FORWARDS + RULES)
    return tmp_path


FORWARDS = """\
forwards:
  - {in: enp1s0, ports: {8080: 80}, to: proxy}
  - {in: enp1s0, ports: 5000, to: proxy, proto: udp, source: 203.0.113.0/24}
"""
ANSWERS = [
    ("outside host tcp 22", "ACCEPT", "IN SSH(ACCEPT)"),
    ("outside host tcp 8007", "REJECT", "IN REJECT -p tcp -dport 8007"),
    ("outside host tcp 53", "DROP", "policy_in: drop"),
    ("dev host udp 53", "ACCEPT", "IN ACCEPT -i vmbr0 -p udp -dport 53"),
    ("proxy host udp 67", "ACCEPT", "IN ACCEPT -i vmbr0 -p udp -dport 67"),
    ("enp1s0 host udp 67", "DROP", "policy_in: drop"),
    ("62.210.16.8 host icmp echo-request", "ACCEPT", "IN Ping(ACCEPT) -source +monitors"),
    ("62.210.16.9 host icmp echo-request", "DROP", "policy_in: drop"),
    ("dev outside tcp 443", "ACCEPT", "leaves as 198.51.100.11"),
    ("outside proxy tcp 80", "DROP", "10.10.10.0/24 leaves through enp1s0"),
    ("198.51.100.77 10.10.10.20 tcp 80", "DROP", "10.10.10.0/24 leaves through enp1s0"),
    ("host outside udp 123", "ACCEPT", "policy_out: accept"),
    (
        "outside host tcp 8080",
        "ACCEPT",
        "FORWARD ACCEPT -dest 10.10.10.20 -p tcp -dport 80; forwarded to 10.10.10.20:80 by",
    ),
    ("203.0.113.9 host udp 5000", "ACCEPT", "; forwarded to 10.10.10.20:5000 by hosts/pve1.yaml:"),
    ("outside host udp 5000", "DROP", "policy_in: drop"),
    ("dev 198.51.100.11 tcp 8080", "ACCEPT", "; leaves as 10.10.10.1"),
    ("host 198.51.100.11 tcp 8080", "ACCEPT", "policy_out: accept; forwarded to 10.10.10.20:80 by hosts/pve1.yaml:"),
    ("dev host tcp 8080", "DROP", "policy_in: drop"),
    ("host host tcp 9999", "ACCEPT", "the host speaks to itself"),
    ("198.51.100.77 198.51.100.11 tcp 22", "ACCEPT", "IN SSH(ACCEPT)"),
]


def ask(folder: Path, *words: str) -> int:
    return run(["trace", "--repo", str(folder), "--host", "pve1", *words])


@pytest.mark.parametrize(("asked", "verdict", "why"), ANSWERS)
def test_a_question_is_answered_with_the_rule(
    folder: Path, capsys: pytest.CaptureFixture[str], asked: str, verdict: str, why: str
) -> None:
    source, dest, proto, dport = asked.split()
    assert ask(folder, "--from", source, "--to", dest, "--proto", proto, "--dport", dport, "-o", "json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["verdict"] == verdict
    assert why in said["why"]


def test_the_line_that_decides_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (folder / "hosts/pve1.yaml").read_text().splitlines()
    line = next(number for number, words in enumerate(text, 1) if "8007" in words)
    assert ask(folder, "--from", "outside", "--to", "host", "--proto", "tcp", "--dport", "8007") == 0
    assert capsys.readouterr().out.startswith(f"REJECT hosts/pve1.yaml:{line} ")
    assert ask(folder, "--from", "outside", "--to", "host", "--proto", "tcp", "--dport", "25") == 0
    assert capsys.readouterr().out.startswith("DROP fleet.yaml:3 ")


def test_many_questions_are_answered_in_order(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packets = tmp_path / "packets"
    asked = [{"from": "outside", "to": "host", "proto": "tcp", "dport": port} for port in (22, 25, 8007)]
    packets.write_text("".join(json.dumps(one) + "\n" for one in asked))
    assert ask(folder, "--packets", str(packets)) == 0
    said = [json.loads(line)["verdict"] for line in capsys.readouterr().out.splitlines()]
    assert said == ["ACCEPT", "DROP", "REJECT"]


def test_every_change_of_an_address_is_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (folder / "hosts/pve1.yaml").read_text().splitlines()
    line = next(number for number, words in enumerate(text, 1) if "8080" in words)
    words = ["--from", "proxy", "--to", "198.51.100.11", "--proto", "tcp", "--dport", "8080", "-o", "json"]
    assert ask(folder, *words) == 0
    assert json.loads(capsys.readouterr().out)["nat"] == [
        f"forwarded to 10.10.10.20:80 by hosts/pve1.yaml:{line}",
        "leaves as 10.10.10.1",
    ]


def test_without_a_firewall_what_is_published_still_closes_the_network(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "fleet.yaml").write_text("passerelle: 1\n")
    (folder / "hosts/pve1.yaml").write_text(head() + (FOLDER / "seed.yaml").read_text() + FORWARDS)
    assert ask(folder, "--from", "outside", "--to", "proxy", "--proto", "tcp", "--dport", "80") == 0
    assert capsys.readouterr().out.startswith("DROP - before routing: ")
    assert ask(folder, "--from", "outside", "--to", "host", "--proto", "tcp", "--dport", "8080") == 0
    assert capsys.readouterr().out.startswith("ACCEPT - the spec has no `firewall` for this host; forwarded to")


def test_on_proxmox_the_guests_network_is_closed_beside_proxmoxs_own_rules(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "fleet.yaml").write_text("passerelle: 1\n")
    spec = (
        head()
        + (FOLDER / "seed.yaml").read_text()
        + FORWARDS
        + "firewall: {rules: [{type: in, action: accept, macro: SSH}]}\n"
    )
    (folder / "hosts/pve1.yaml").write_text(spec.replace("platform: debian", "platform: proxmox"))
    assert ask(folder, "--from", "outside", "--to", "proxy", "--proto", "tcp", "--dport", "80") == 0
    assert capsys.readouterr().out.startswith("DROP - before routing: ")
    assert ask(folder, "--from", "outside", "--to", "host", "--proto", "tcp", "--dport", "8080") == 0
    said = capsys.readouterr().out
    assert said.startswith("ACCEPT ")
    assert "; forwarded to 10.10.10.20:80 by" in said


def test_an_unknown_zone_host_or_flag_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(folder, "--from", "vmbr9", "--to", "host", "--proto", "tcp") == 1
    assert "there is no zone vmbr9" in capsys.readouterr().err
    assert (
        run(["trace", "--repo", str(folder), "--host", "pve9", "--from", "host", "--to", "host", "--proto", "1"]) == 1
    )
    assert "describes no host pve9" in capsys.readouterr().err
    assert run(["trace", "--repo", str(folder), "--from", "host", "--to", "host", "--proto", "tcp"]) == 64


def test_a_host_without_a_firewall_lets_everything_through(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "fleet.yaml").write_text("passerelle: 1\n")
    (folder / "hosts/pve1.yaml").write_text(head() + (FOLDER / "seed.yaml").read_text())
    assert ask(folder, "--from", "outside", "--to", "host", "--proto", "tcp", "--dport", "25") == 0
    assert capsys.readouterr().out == "ACCEPT - the spec has no `firewall` for this host\n"
