"""What a guest gets."""

import ast
import io
import json
import re
import subprocess
from pathlib import Path

import pytest

from service.guestside.durable import locked
from service.guestside.main import main
from service.guestside.shipped import files
from service.guestside.status import MOST_BYTES, write
from service.guestside.world import is_mounted
from tests.guestside.guest import Guest


def test_the_files_are_the_program_its_packages_and_its_units() -> None:
    names = set(files())
    assert {"certs.py", "requirements.txt", "program/__init__.py", "program/order.py"} <= names
    assert {"units/passerelle-certs.service", "units/passerelle-certs.timer"} <= names
    assert "program/shipped.py" not in names
    assert all(re.fullmatch(r"[a-z/_-]+\.(py|txt|service|timer)", name) for name in names)


def test_the_program_is_python_3_9_and_imports_nothing_of_the_service() -> None:
    for name, text in files().items():
        if name.endswith(".py"):
            ast.parse(text, feature_version=(3, 9))
            assert "service" not in re.findall(r"^\s*(?:from|import)\s+(\w+)", text, re.MULTILINE)


def test_every_package_is_locked_with_hashes_and_names_no_index() -> None:
    text = files()["requirements.txt"].replace("\\\n", " ")
    lines = text.splitlines()
    assert {line.partition("==")[0] for line in lines} >= {"acme", "cryptography", "josepy", "requests"}
    assert all(re.fullmatch(r"[a-z0-9-]+==\S+( +--hash=sha256:[0-9a-f]{64})+ *", line) for line in lines)


def test_the_program_runs_alone_with_the_system_s_python(tmp_path: Path) -> None:
    guest = Guest(tmp_path, {})
    guest.write()
    argv = ["/usr/bin/env", "-i", "PATH=/usr/bin:/bin", "python3", "-Es", str(guest.config / "certs.py"), "--help"]
    said = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert said.returncode == 0, said.stderr
    assert "placeholders" in said.stdout
    assert not list(guest.config.rglob("*.pyc"))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ({"version": 2}, "version 2, expected 1"),
        ({"certificates": [{"name": "../up", "names": ["a.example"]}]}, "'../up' is not a host's name"),
        ({"certificates": [{"name": "a.example", "names": []}]}, "needs 1 to 100 different names"),
        ({"acme": {"directory": "http://ca.example/dir"}}, "is not an https URL"),
        ({"acme": {"ca_file": "ca.pem"}}, "is not an absolute path"),
        ({"acme": {"email": "a@b\nc"}}, "is not a line of text"),
    ],
)
def test_wrong_files_of_the_host_are_said_in_the_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: dict[str, object], said: str
) -> None:
    acme = {"directory": "https://ca.example/dir", "terms_agreed": True, "challenge": "http-01"}
    guest = Guest(tmp_path, acme)
    guest.state.mkdir()
    guest.write()
    path = guest.config / "certificates.json"
    document = json.loads(path.read_text())
    for key, value in spoil.items():
        document[key] = {**document[key], **value} if isinstance(value, dict) else value
    path.write_text(json.dumps(document))
    assert main(["run"], guest.world()) == 1
    assert said in capsys.readouterr().err
    assert said in json.loads((guest.state / "status.json").read_text())["trouble"]


def test_a_status_stays_below_what_the_service_reads(tmp_path: Path) -> None:
    guest = Guest(tmp_path, {})
    guest.state.mkdir()
    attempt = {"at": 1, "outcome": "failed", "stage": "order", "type": None, "detail": "x" * 5000}
    rows = {f"n{number}.example.org": {"last_attempt": attempt} for number in range(400)}
    write(guest.world(), {"version": 1, "written_at": 1, "trouble": None, "certificates": rows})
    assert (guest.state / "status.json").stat().st_size <= MOST_BYTES


def test_a_placeholder_is_made_once_and_again_for_other_names(tmp_path: Path) -> None:
    guest = Guest(tmp_path, {"directory": "https://ca.example/dir", "terms_agreed": True, "challenge": "http-01"})
    assert guest.do("placeholders") == 0
    first = guest.chain()
    guest.do("placeholders")
    assert guest.chain() == first
    guest.certificates = [{"name": "www.example.org", "names": ["www.example.org"]}]
    guest.do("placeholders")
    assert guest.chain() != first
    assert (guest.state.stat().st_mode & 0o777, guest.live().stat().st_mode & 0o777) == (0o711, 0o700)


def test_nothing_is_written_where_the_host_s_folder_is_not_mounted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    guest = Guest(tmp_path, {"directory": "https://ca.example/dir", "terms_agreed": True, "challenge": "http-01"})
    guest.unmounted = str(guest.state)
    assert guest.do("placeholders") == 1
    assert "is not mounted from the host. Fix: restart this guest" in capsys.readouterr().err
    assert not guest.state.exists()


def test_new_placeholders_start_a_run_and_old_ones_do_not(tmp_path: Path) -> None:
    guest = Guest(tmp_path, {"directory": "https://ca.example/dir", "terms_agreed": True, "challenge": "http-01"})
    guest.do("placeholders")
    guest.do("placeholders")
    assert guest.starts == 1


def test_a_folder_of_the_same_file_system_is_mounted_or_not(tmp_path: Path) -> None:
    assert is_mounted("/proc")
    assert not is_mounted(str(tmp_path))


def test_one_run_at_a_time_and_a_permit_waits_for_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = Guest(tmp_path, {"directory": "https://ca.example/dir", "terms_agreed": True, "challenge": "http-01"})
    guest.do("placeholders")
    with locked(str(guest.state / "run.lock"), 0) as free:
        assert free
        assert guest.do("run") == 0
        assert "another run is at work" in capsys.readouterr().out
        given = io.TextIOWrapper(io.BytesIO(b'{"www.example.org": {"ok": false, "why": "CAA forbids it."}}'))
        monkeypatch.setattr("sys.stdin", given)
        assert guest.do("permit") == 0
    assert guest.status()["permit"] == {"ok": False, "why": "CAA forbids it."}
    assert (guest.status()["waits_for"], guest.starts) == ("permit", 2)
