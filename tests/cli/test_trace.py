"""`passerelle trace` and `passerelle lint --pve`, as people call them."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from service.cli import run
from service.lab.waiting import grown_s

CLUSTER = "[OPTIONS]\nenable: 1\n[RULES]\nIN ACCEPT -p tcp -dport 80\nIN ACCEPT -source +nope\n"
GUESTS = {
    "qemu": {},
    "lxc": {"100": {"net0": "name=eth0,bridge=vmbr0,firewall=1,hwaddr=BC:24:11:00:00:64,ip=10.10.10.100/24"}},
}
PACKET = {
    "from": "outside",
    "to": "host",
    "proto": "tcp",
    "dport": 80,
    "source": "198.51.100.7",
    "dest": "203.0.113.10",
}
TO_GUEST = ("--from", "host", "--to", "ct100", "--proto", "tcp")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    node = tmp_path / "node"
    node.mkdir()
    (node / "cluster.fw").write_text(CLUSTER)
    (node / "guests.json").write_text(json.dumps(GUESTS))
    (node / "100.fw").write_text("[OPTIONS]\nenable: 1\n")
    (node / "parsed.json").write_text("never read")
    return node


def _trace(folder: Path, *more: str) -> int:
    return run(["trace", "--pve", str(folder), "--localnet", "203.0.113.0/24", "--host-ip", "203.0.113.10", *more])


def test_many_packets_are_answered_line_by_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packets = tmp_path / "packets.jsonl"
    asked = [
        {**PACKET, "verdict": "DROP", "by": "x"},
        {**PACKET, "dport": 81},
        {**PACKET, "to": "ct100", "dest": "10.10.10.100"},
    ]
    packets.write_text("\n".join(json.dumps(packet) for packet in asked) + "\n")
    assert _trace(folder, "--packets", str(packets)) == 0
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["verdict"], line["rule"]) for line in said] == [
        ("ACCEPT", "cluster.fw:4"),
        ("DROP", None),
        ("DROP", None),
    ]
    assert all(set(line) == {"verdict", "rule", "why", "backend"} for line in said)


def test_one_question_is_answered_for_people_and_programs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--from", "outside", "--to", "host", "--proto", "tcp", "--dport", "80", "--source", "198.51.100.7"]
    assert _trace(folder, *asked) == 0
    assert capsys.readouterr().out == "ACCEPT cluster.fw:4 into the host: IN ACCEPT -p tcp -dport 80\n"
    assert _trace(folder, *asked, "-o", "json") == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "ACCEPT"


def test_addresses_of_host_and_containers_are_known(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _trace(folder, "--from", "host", "--to", "ct100", "--proto", "tcp", "--dport", "22") == 0
    assert capsys.readouterr().out.startswith("DROP - out of the host: ")
    assert _trace(folder, "--from", "outside", "--to", "ct100", "--proto", "tcp", "--dport", "22") == 1
    assert "the packet has no source" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line", [b"nope", b"[]", b"{}", b'{"from": "outside", "to": "nowhere"}', b'{"from": "\xff"}', b'{"dport": 1']
)
def test_a_line_that_is_no_packet_is_named(
    folder: Path, tmp_path: Path, line: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    packets = tmp_path / "packets.jsonl"
    packets.write_bytes(json.dumps(PACKET).encode() + b"\r\n\n" + line + b"\n")
    assert _trace(folder, "--packets", str(packets)) == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"passerelle: {packets}:3: ")
    assert len(said.out.splitlines()) == 1


def test_packets_come_from_standard_input_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = json.dumps(PACKET).encode() + b"\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(asked * 2)))
    assert _trace(folder, "--packets", "-") == 0
    assert [json.loads(line)["verdict"] for line in capsys.readouterr().out.splitlines()] == ["ACCEPT", "ACCEPT"]


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("ct101", "no such card of a guest is known"),
        ("ct100i1", "no such card of a guest is known"),
        ("vm200", "vm200 is on no bridge"),
        ("inside", "there is no zone inside"),
    ],
)
def test_a_zone_that_cannot_be_is_explained(
    folder: Path, zone: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "guests.json").write_text(json.dumps({**GUESTS, "qemu": {"200": {"net0": "virtio=BC:24:11:00:00:C8"}}}))
    more = ["--to", "outside", "--proto", "tcp", "--source", "10.10.10.2", "--dest", "198.51.100.7"]
    assert _trace(folder, "--from", zone, *more) == 1
    assert said in capsys.readouterr().err


def test_a_rule_set_that_would_not_load_gets_no_answers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "cluster.fw").write_text(CLUSTER + "IN ACCEPT -p udplite -dport 9\n")
    assert _trace(folder, "--from", "host", "--to", "ct100", "--proto", "tcp") == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert 'cluster.fw:6: Proxmox would not load this rule set: iptables: unknown option "--dport"' in said.err
    (folder / "cluster.fw").write_text("[OPTIONS]\nenable: 1\nlog_ratelimit: banana\n")
    assert _trace(folder, "--from", "host", "--to", "ct100", "--proto", "tcp") == 1
    assert "would not load" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ([], "give either --packets, or"),
        (["--packets", "x", "--from", "host"], "give either --packets, or"),
        (["--from", "host", "--to", "ct100"], "--proto missing"),
        (["--from", "host"], "--to and --proto missing"),
        ([*TO_GUEST, "--altname", "wan0"], "--altname wan0 is not of the form"),
        ([*TO_GUEST, "--host-ip", "nope"], "--host-ip nope is not an address"),
        ([*TO_GUEST, "--localnet", "nope"], "--localnet nope is not a network"),
        ([*TO_GUEST, "--localnet", "192.0.2.0/33"], "--localnet 192.0.2.0/33 is not a network"),
    ],
)
def test_wrong_usage_is_said(folder: Path, more: list[str], what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["trace", "--pve", str(folder), *more]) == 64
    said = capsys.readouterr()
    assert said.out == ""
    assert what in said.err
    assert "cluster.fw" not in said.err


def test_packets_that_cannot_be_read_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _trace(folder, "--packets", "missing.jsonl") == 1
    said = capsys.readouterr()
    assert (said.out, "Errno" in said.err) == ("", False)
    assert "missing.jsonl cannot be read" in said.err


@pytest.mark.parametrize("where", [["--host", "pve1"], ["--host", "pve1", "--repo", "nowhere"]], ids=" ".join)
def test_a_packet_that_is_not_told_whole_is_asked_nobody(
    where: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSERELLE_TOKEN", "psr_x")
    monkeypatch.setenv("PASSERELLE_URL", "http://127.0.0.1:1")
    assert run(["trace", *where, "--from", "outside"]) == 64
    said = capsys.readouterr()
    assert said.err.startswith("passerelle: the packet is incomplete: --to and --proto missing\n")
    assert "  Fix: passerelle trace --host pve1" in said.err


def test_another_back_end_on_the_node_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--from", "host", "--to", "ct100", "--proto", "tcp", "--dport", "22"]
    (folder / "host.fw").write_text("[OPTIONS]\n\nnftables: 1\n")
    assert _trace(folder, *asked) == 0
    said = capsys.readouterr()
    assert said.err == "answered as proxmox-firewall (nftables) decides (host.fw:3)\n"
    (folder / "host.fw").write_text("[OPTIONS]\nnftables: 0\n")
    assert _trace(folder, *asked) == 0
    by_iptables = capsys.readouterr()
    assert (by_iptables.err, by_iptables.out.split()[0]) == ("", "DROP")
    assert _trace(folder, *asked, "--backend", "nftables") == 0
    assert capsys.readouterr() == (said.out, "answered as proxmox-firewall (nftables) decides (--backend)\n")


def test_alternative_names_are_given_as_nic_and_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "cluster.fw").write_text(CLUSTER + "IN ACCEPT -i wan0 -p tcp -dport 81\n")
    asked = ["--from", "enp1s0/wan", "--to", "host", "--proto", "tcp", "--dport", "81", "--source", "198.51.100.7"]
    assert _trace(folder, *asked, "--altname", "eno1=lan0", "--altname", "enp1s0=wan0") == 0
    assert _trace(folder, *asked) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["ACCEPT", "DROP"]
    assert _trace(folder, "--from", "wan0/wan", *asked[2:], "--altname", "enp1s0=wan0") == 0
    assert capsys.readouterr().out.startswith("ACCEPT cluster.fw:6 ")


def test_lint_lists_the_lines_without_effect(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lint", "--pve", str(folder), "-o", "json"]) == 1
    said = json.loads(capsys.readouterr().out)
    text = "IN ACCEPT -source +nope"
    assert said == [{"file": "cluster.fw", "line": 5, "text": text, "reason": "source: no such ipset 'nope'"}]
    assert run(["lint", "--pve", str(folder)]) == 1
    assert capsys.readouterr().out == f"cluster.fw:5: source: no such ipset 'nope': {text}\n"


def test_lint_is_content_with_good_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "cluster.fw").write_text("[OPTIONS]\nenable: 1\n")
    assert run(["lint", "--pve", str(folder), "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_what_is_no_folder_is_wrong_usage_and_not_a_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lint", "--pve", str(tmp_path / "missing"), "-o", "json"]) == 64
    said = capsys.readouterr()
    assert said.out == ""
    assert "is not a directory" in said.err


def test_proxmoxs_lines_are_not_shown_in_a_form_for_code_hosts(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["lint", "--pve", str(folder), "-o", "sarif"]) == 64
    said = capsys.readouterr()
    assert said.out == ""
    assert "text or json" in said.err


def test_a_folder_without_guests_and_one_without_anything_are_read(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "guests.json").unlink()
    (folder / "100.fw").write_text("[OPTIONS]\nenable: 2\n")
    assert run(["lint", "--pve", str(folder), "-o", "json"]) == 1
    assert [(line["file"], line["line"]) for line in json.loads(capsys.readouterr().out)] == [
        ("cluster.fw", 5),
        ("100.fw", 2),
    ]
    empty = tmp_path / "a folder\tof \N{LATIN SMALL LETTER E WITH ACUTE}"
    empty.mkdir()
    assert run(["lint", "--pve", str(empty), "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    asked = ["--from", "outside", "--to", "host", "--proto", "tcp", "--dport", "80", "--source", "198.51.100.7"]
    assert _trace(empty, *asked, "-o", "json") == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "ACCEPT"


def test_tracing_loads_no_database_web_or_ssh_library(folder: Path) -> None:
    script = (
        "import sys\nfrom service.cli import run\n"
        f"code = run(['trace', '--pve', {str(folder)!r}, '--host-ip', '203.0.113.10', '--from', 'host', '--to',"
        " 'ct100', '--proto', 'tcp', '--dport', '80'])\n"
        "heavy = {'sqlalchemy', 'sqlmodel', 'fastapi', 'asyncssh', 'git', 'uvicorn', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(f'{code} {sorted(heavy)}' if code or heavy else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=grown_s(60), check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
