"""`passerelle lint` and `passerelle schema`, as functions and as they import."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from service.cli.lint import lint
from service.cli.schema import schema
from service.lab.waiting import grown_s
from tests.spec.conftest import FLEET, HOST


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hosts").mkdir()
    (tmp_path / "fleet.yaml").write_text(FLEET)
    (tmp_path / "hosts" / "pve1.yaml").write_text(HOST)
    (tmp_path / "README.md").write_text("not ours\n")
    return tmp_path


def test_a_good_folder_says_nothing_on_stdout(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lint(folder) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "1 host, 0 errors, 0 warnings\n"


def test_warnings_do_not_fail(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "hosts" / "pve1.yaml").write_text(HOST.replace("  local: [/madyanne.lan/]\n", "  domain: madyanne.lan\n"))
    assert lint(folder) == 0
    assert "hosts/pve1.yaml:16:11: dnsmasq.domain: " in capsys.readouterr().out


def test_errors_fail(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "hosts" / "pve1.yaml").write_text(HOST.replace("sync: auto", "snyc: auto"))
    assert lint(folder) == 1
    said = capsys.readouterr()
    unknown = "hosts/pve1.yaml:3:1: snyc: unknown key `snyc`. Fix: write `sync`, if you mean that [unknown-key]\n"
    assert said.out == unknown
    assert said.err == "1 host, 1 error, 0 warnings\n"


def test_the_current_folder_is_meant_when_none_is_given(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert lint() == 0


def test_what_is_no_folder_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lint(tmp_path / "missing") == 64
    assert "is not a directory" in capsys.readouterr().err


def test_an_empty_folder_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lint(tmp_path) == 1
    assert [line.partition(": ")[0] for line in capsys.readouterr().out.splitlines()] == ["fleet.yaml:1:1", "hosts:1:1"]


def test_a_link_is_refused_and_not_followed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = folder / "secret"
    secret.write_text("root:hash:1\n")
    (folder / "hosts" / "leak.yaml").symlink_to(secret)
    assert lint(folder) == 1
    said = capsys.readouterr().out
    assert said.startswith("hosts/leak.yaml:1:1: ")
    assert "hash" not in said


@pytest.mark.parametrize("content", [b"[" * 200_000, b"\xff\xfe", b"a: &a [*a]\n", b"x" * ((1 << 20) + 1), b"\x00"])
def test_a_hostile_file_is_an_error_and_no_crash(folder: Path, content: bytes) -> None:
    (folder / "hosts" / "bad.yaml").write_bytes(content)
    assert lint(folder) == 1


def test_json_is_for_programs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "hosts" / "pve1.yaml").write_text(HOST.replace("sync: auto", "snyc: auto"))
    assert lint(folder, output="json") == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["hosts"], said["errors"], said["warnings"]) == (1, 1, 0)
    assert said["findings"][0]["rule"] == "unknown-key"


def test_sarif_is_for_code_hosts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "hosts" / "pve1.yaml").write_text(HOST.replace("sync: auto", "snyc: auto"))
    assert lint(folder, output="sarif") == 1
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "hosts/pve1.yaml"
    assert place["region"] == {"startLine": 3, "startColumn": 1}


@pytest.mark.parametrize("file", ["host", "fleet"])
def test_the_schema_is_printed_or_written(
    file: Literal["host", "fleet"], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert schema(file) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed)["$schema"].endswith("2020-12/schema")
    assert schema(file, out=tmp_path / "schema.json") == 0
    assert (tmp_path / "schema.json").read_text() == printed


def test_a_schema_that_cannot_be_written_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert schema(out=tmp_path / "missing" / "schema.json") == 1
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("call", ["lint.lint(Path(sys.argv[1]))", "schema.schema()"])
def test_checking_specs_loads_no_service(folder: Path, call: str) -> None:
    code = f"""
import sys
from pathlib import Path
from typing import Literal
from service.cli import lint, schema
{call}
heavy = {{"fastapi", "starlette", "sqlmodel", "sqlalchemy", "asyncssh", "git", "uvicorn", "asyncio"}} & set(sys.modules)
sys.exit(f"loaded: {{sorted(heavy)}}" if heavy else 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, timeout=grown_s(60), check=False
    )
    assert done.returncode == 0, done.stderr


def said_of(folder: Path, capsys: pytest.CaptureFixture[str], output: Literal["text", "json", "sarif"]) -> str:
    lint(folder, output=output, show_ignored=True)
    said = capsys.readouterr()
    return said.out + said.err


@pytest.mark.parametrize("output", ["text", "json", "sarif"])
def test_a_folder_that_did_not_change_is_not_read_again(
    folder: Path,
    output: Literal["text", "json", "sarif"],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    text = HOST.replace("sync: auto", "snyc: auto").replace("  local: [/madyanne.lan/]\n", "  domain: madyanne.lan\n")
    (folder / "hosts" / "pve1.yaml").write_text(text)
    cache = tmp_path_factory.mktemp("own")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    first = said_of(folder, capsys, output)
    assert "unknown-key" in first
    with monkeypatch.context() as patch:
        patch.setattr("service.spec.fleet.read_fleet", None)
        assert said_of(folder, capsys, output) == first
    for path in (cache / "passerelle").iterdir():
        path.write_bytes(b"damaged")
    assert said_of(folder, capsys, output) == first
    (folder / "hosts" / "pve1.yaml").write_text(HOST)
    assert said_of(folder, capsys, output) != first


def test_without_a_home_nothing_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("home")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(home))
    assert lint(folder) == 0
    assert list((home / ".cache" / "passerelle").iterdir())
    monkeypatch.setenv("HOME", "")
    assert lint(folder) == 0
