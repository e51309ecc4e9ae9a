"""`passerelle interfaces`: what is printed, what is reported, and the exit codes."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.cli import run
from service.lab.waiting import grown_s

CASES = Path(__file__).parents[1] / "formats" / "pve_interfaces" / "cases"


@pytest.mark.parametrize("name", ["seed-blog", "comments-everywhere", "source-lines", "empty-file", "carriage-returns"])
def test_the_canonical_form_is_printed_byte_for_byte(name: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run(["interfaces", "fmt", str(CASES / name / "input")]) == 0
    said = capfdbinary.readouterr()
    assert said.out == (CASES / name / "canonical").read_bytes()
    assert said.err == b""


@pytest.mark.parametrize("name", ["mtu-larger-on-bridge", "bridge-port-used-twice", "vxlan-mixed-modes"])
def test_where_proxmox_refuses_nothing_is_printed_but_the_reason_is_told(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = CASES / name / "input"
    assert run(["interfaces", "fmt", str(file)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"passerelle: {file}:")
    reason = (CASES / name / "about.txt").read_text().partition("the writer refuses: ")[2].split("\n")[0]
    assert reason.rpartition(" ")[0] in said.err


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("iface vmbr0 inet manual\n bridge-ports tap0\n", "tap0"),
        ("iface vmbr0 inet manual\n bridge-ports bond0.20\n\niface bond0.30 inet manual\n", "bond0"),
        ("iface bond0 inet manual\n bond-slaves lan1 lan2\n bond-mode active-backup\n", "lan1"),
        ("iface vlan40 inet manual\n vlan-raw-device bond7\n", "bond7"),
    ],
)
@pytest.mark.parametrize("command", ["fmt", "show"])
def test_a_name_without_a_stanza_is_named_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, missing: str, command: str
) -> None:
    (tmp_path / "file").write_text(text)
    assert run(["interfaces", command, str(tmp_path / "file")]) == (1 if command == "fmt" else 0)
    said = capsys.readouterr().err
    assert f"passerelle: {tmp_path / 'file'}:" in said
    assert ": Proxmox would not write this file: " in said
    assert f"  Fix: give {missing} a stanza. " in said


@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda case: case.name)
def test_what_was_understood_is_shown_as_json(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["interfaces", "show", str(case / "input"), "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((case / "parsed.json").read_text())


def test_what_was_understood_is_shown_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["interfaces", "show", str(CASES / "source-lines" / "input")]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["eth0", "eth", "yes", "inet", "static", "192.0.2.1/24"] in lines
    assert ["rename", "eth0=wan"] in lines


def test_text_that_is_not_ascii_is_shown_as_it_was_meant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("iface eth0 inet manual\n\talias Büro\n\nrename größe\n", encoding="utf-8")
    assert run(["interfaces", "show", str(tmp_path / "file")]) == 0
    said = capsys.readouterr().out
    assert "alias Büro" in said
    assert "rename größe" in said


@pytest.mark.parametrize("output", ["table", "json"])
def test_an_encoding_that_lacks_characters_is_no_error(tmp_path: Path, output: str) -> None:
    (tmp_path / "file").write_text("iface eth0 inet manual\n\talias Büro €\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "service", "interfaces", "show", str(tmp_path / "file"), "-o", output],
        capture_output=True,
        timeout=grown_s(60),
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    assert b"eth0" in done.stdout
    if output == "json":
        options = json.loads(done.stdout)["ifaces"]["eth0"]["options"]
        assert [option.encode("latin-1").decode() for option in options] == ["alias Büro €"]


def test_the_table_comes_with_what_the_writer_would_refuse(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["interfaces", "show", str(CASES / "mtu-larger-on-bridge" / "input")]) == 0
    assert "mtu 1500 is lower than 'vmbr0' - mtu 9000" in capsys.readouterr().err


def test_a_terminal_obeys_nothing_of_a_refusal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_bytes(b"iface vmbr0\n bridge-ports \x1b[31mred\n")
    assert run(["interfaces", "fmt", str(tmp_path / "file")]) == 1
    assert "\x1b" not in capsys.readouterr().err


def test_warnings_are_told_beside_what_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("iface vmbr0 inet manual\n\tbridge-ports none\n\tbridge-stp on\n\tbridge-fd 99\n")
    assert run(["interfaces", "fmt", str(tmp_path / "file")]) == 0
    said = capsys.readouterr()
    assert "bridge-fd" not in said.out
    assert "ignoring 'bridge_fd' value '99'" in said.err


@pytest.mark.parametrize("command", ["fmt", "show"])
def test_a_file_comes_from_standard_input_too(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = CASES / "seed-blog" / "input"
    assert run(["interfaces", command, str(file)]) == 0
    said = capsys.readouterr()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes())))
    assert run(["interfaces", command, "-"]) == 0
    assert capsys.readouterr() == said
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"iface vmbr0\n bridge-ports %s\n" % (b"x" * 9))))
    monkeypatch.chdir(CASES)
    assert run(["interfaces", "fmt", "-"]) == 1
    assert capsys.readouterr().err.startswith("passerelle: -:")


@pytest.mark.parametrize("command", ["fmt", "show"])
def test_a_file_that_is_not_there_is_wrong_usage(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["interfaces", command, str(tmp_path / "none")]) == 64
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["fmt", "show"])
def test_a_file_that_is_too_long_is_refused(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "long").write_bytes(b"#" * 2_000_000)
    assert run(["interfaces", command, str(tmp_path / "long")]) == 1
    assert "not an interfaces file" in capsys.readouterr().err
