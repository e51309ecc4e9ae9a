"""The command line as a whole: what it loads, what its help teaches, and the exit codes of what goes wrong."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from service.cli import run
from service.cli.exit_codes import EXIT_CODES
from service.lab.waiting import grown_s
from tests.cli.words import commands
from tests.spec.conftest import FLEET, HOST

HEAVY = (
    "fastapi",
    "starlette",
    "uvicorn",
    "sqlmodel",
    "sqlalchemy",
    "alembic",
    "psycopg",
    "asyncssh",
    "asyncio",
    "git",
    "prometheus_client",
)
"""What no command loads that works without a service's parts."""
SLOW = ("pydantic", "yaml", "rich.table", "service.model.events", "service.settings")
"""What a short command does not load either."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of specs with one host."""
    (tmp_path / "hosts").mkdir()
    (tmp_path / "fleet.yaml").write_text(FLEET)
    (tmp_path / "hosts" / "pve1.yaml").write_text(HOST)
    return tmp_path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True, timeout=grown_s(20)
    )
    return tmp_path / "key"


def loaded_by(words: list[str], heavy: tuple[str, ...], folder: Path, **variables: str) -> tuple[int, str]:
    """The exit code of a command line in a process of its own, and which of the modules it loaded."""
    code = f"""
import sys
from service.cli import run
status = run({words!r})
print("loaded:", *sorted(set({heavy!r}) & set(sys.modules)), file=sys.stderr)
sys.exit(status)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=grown_s(60),
        env=environment(**variables),
    )  # fmt: skip
    return done.returncode, done.stderr.rpartition("loaded:")[2].strip()


@pytest.mark.parametrize("words", [["lint", "--help"], ["--help"], ["--version"], ["lint"], ["schema"]], ids=" ".join)
def test_what_needs_no_service_loads_none(words: list[str], folder: Path) -> None:
    assert loaded_by(words, HEAVY, folder) == (0, "")


def test_a_list_of_tokens_is_read_without_the_libraries_of_the_database(tmp_path: Path) -> None:
    state = {"PASSERELLE_STATE_DIR": str(tmp_path / "state")}
    assert loaded_by(["token", "create", "ann"], ("psycopg", "asyncssh", "fastapi"), tmp_path, **state) == (0, "")
    assert loaded_by(["token", "list"], (*HEAVY, *SLOW), tmp_path, **state) == (0, "")


def test_a_folder_that_did_not_change_is_checked_without_the_kinds(folder: Path) -> None:
    kept = {"XDG_CACHE_HOME": str(folder / "cache")}
    assert loaded_by(["lint"], HEAVY, folder, **kept) == (0, "")
    assert loaded_by(["lint"], (*HEAVY, *SLOW, "service.kinds"), folder, **kept) == (0, "")


def test_a_question_to_the_service_loads_nothing_but_the_question(folder: Path) -> None:
    nobody = {"PASSERELLE_URL": "http://127.0.0.1:1", "PASSERELLE_TOKEN": "psr_a"}
    assert loaded_by(["status"], (*HEAVY, *SLOW), folder, **nobody) == (1, "")


def environment(**more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2]), **more}


@pytest.mark.parametrize("words", sorted(commands()), ids=" ".join)
def test_the_help_of_every_command_says_what_it_does_and_what_each_word_means(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words, "--help"]) == 0
    said = capsys.readouterr().out
    usage, _, rest = said.partition("\n\n")
    assert usage.startswith(f"Usage: passerelle {' '.join(words)}")
    assert rest.lstrip()[0].isupper()
    shown = [line for line in said.splitlines() if line.startswith("│") and line[1:4].strip(" *")]
    options = [line for line in shown if "--" in line or line[2:8].isupper()]
    assert all(len(line.strip("│ ").split()) > 2 for line in options), options


def test_the_list_of_commands_says_what_each_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    said = capsys.readouterr().out
    for name in {words[0] for words in commands()}:
        (line,) = [line for line in said.splitlines() if line.startswith(f"│ {name} ")]
        assert len(line.strip("│ ").split()) > 3
    told = " ".join(said.split())
    assert " ".join(EXIT_CODES.split()) in told


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["lint", "--nonsense"],
        ["lint", "a", "b"],
        ["lint", "-o", "yaml"],
        ["plan"],
        ["token", "nonsense"],
        ["serve", "--port", "x"],
        ["apply", "pve1", "--timeout", "soon"],
        ["receiver", "add", "x"],
        ["lint", "/nowhere"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_64(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 64
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err) > 10


@pytest.mark.host
def test_a_host_that_does_not_answer_ends_a_plan_with_4(folder: Path, key: Path) -> None:
    plan = [sys.executable, "-m", "service", "plan", "pve1", "--repo", str(folder), "--ssh-key", str(key)]
    done = subprocess.run(nowhere(plan), capture_output=True, text=True, timeout=grown_s(60), env=environment())
    assert (done.returncode, done.stdout) == (4, ""), done.stderr
    assert "198.51.100.11" in done.stderr


def nowhere(argv: list[str]) -> list[str]:
    """The command in a network without a route."""
    return ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--net", *argv]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["plan", "pve9", "--repo", "."], "describes no host pve9"),
        (["plan", "pve1", "--repo", "hosts"], "2 errors in hosts"),
        (["plan", "pve1", "--repo", ".", "--ssh-key", "nowhere"], "nowhere"),
        (["plan", "pve1"], "no token"),
        (["status"], "no token"),
        (["serve"], "no config repository is set\n  Fix: give --source PATH-OR-URL, or set PASSERELLE_SOURCE\n"),
        (["token", "list", "--state-dir", "fleet.yaml/state"], "fleet.yaml/state cannot be made"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_what_cannot_be_done_ends_with_1_and_says_why_and_what_next(
    words: list[str], said: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    for name in [name for name in os.environ if name.startswith("PASSERELLE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PASSERELLE_STATE_DIR", str(folder / "state"))
    assert run(words) == 1
    shown = capsys.readouterr().err
    assert said in shown
    assert "  Fix: " in shown


@pytest.mark.parametrize("words", [["doctor"], ["serve"], ["token", "list"], ["receiver", "list"]], ids=" ".join)
def test_a_setting_that_makes_no_sense_is_named(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSERELLE_PORT", "ssh")
    assert run(words) == 1
    assert "PASSERELLE_PORT: Input should be a valid integer" in "".join(capsys.readouterr())


def test_no_service_is_said_with_its_address(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSERELLE_TOKEN", "psr_x")
    monkeypatch.setenv("PASSERELLE_URL", "http://127.0.0.1:1")
    assert run(["status"]) == 1
    assert "the service at http://127.0.0.1:1 does not answer" in capsys.readouterr().err


@pytest.mark.long
def test_a_reader_that_goes_away_is_no_crash(folder: Path) -> None:
    argv = [sys.executable, "-m", "service", "schema"]
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(
            argv, cwd=folder, stdout=pipe, stderr=subprocess.PIPE, timeout=grown_s(60), env=environment()
        )
    assert b"Traceback" not in done.stderr
    assert done.returncode == 1


def test_doctor_says_what_this_machine_lacks_and_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSERELLE_STATE_DIR", str(tmp_path / "state"))
    assert run(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "set PASSERELLE_SOURCE" in said
    assert "`passerelle serve` makes it" in said


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the service's unit would read."""
    for name in [name for name in os.environ if name.startswith("PASSERELLE_")]:
        monkeypatch.delenv(name)
    path = tmp_path / "service.env"
    monkeypatch.setenv("PASSERELLE_ENV_FILE", str(path))
    path.write_text(f"PASSERELLE_STATE_DIR={tmp_path}/its-state\nPASSERELLE_SOURCE='/srv/git/fleet.git'\n")
    return path


def doctored(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    run(["doctor", "-o", "json"])
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return found


def test_doctor_reads_the_settings_that_the_service_has(
    env_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {one["check"]: (one["ok"], one["what"]) for one in doctored(capsys)}
    assert found["settings"] == (True, f"2 from {env_file}")
    assert found["source"] == (True, "/srv/git/fleet.git, branch main")
    assert found["state folder"] == (False, f"{tmp_path}/its-state")
    env_file.unlink()
    found = {one["check"]: (one["ok"], one["what"]) for one in doctored(capsys)}
    assert found["settings"] == (True, f"from this shell; there is no {env_file}")
    assert found["source"] == (False, "not set")


def test_doctor_names_what_in_the_file_counts_for_nothing(
    env_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with env_file.open("a") as file:
        file.write("PASSERELLE_SOUCRE=x\nPASSERELLE_PORT=8765\nOTHER=1\nPASSERELLE_URL=http://127.0.0.1:8765\n")
    monkeypatch.setenv("PASSERELLE_PORT", "8766")
    said = [(one["what"], one["next"]) for one in doctored(capsys) if one["check"] == "settings" and not one["ok"]]
    assert said == [
        (f"PASSERELLE_SOUCRE in {env_file} is not a setting", "did you mean PASSERELLE_SOURCE?"),
        (
            f"this shell sets PASSERELLE_PORT to another value than {env_file}",
            "unset PASSERELLE_PORT: the service does not see this shell",
        ),
    ]


@pytest.mark.parametrize(
    ("line", "check", "why"),
    [
        ("PASSERELLE_PORT=ssh", "settings", "PASSERELLE_PORT: Input should be a valid integer"),
        ("PASSERELLE_SOURCE=ext::sh", "source", "ext"),
        ("PASSERELLE_GIT_KEY=/nowhere/key", "source", "/nowhere/key"),
    ],
)
def test_doctor_says_what_would_end_the_start_of_the_service(
    line: str, check: str, why: str, env_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with env_file.open("a") as file:
        file.write(f"{line}\n")
    (found,) = [one for one in doctored(capsys) if one["check"] == check and not one["ok"]]
    assert why in str(found["what"])
    assert found["next"]


def test_commands_beside_the_service_work_in_its_state_folder(
    env_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["token", "create", "ci"]) == 0
    assert (tmp_path / "its-state" / "passerelle.sqlite").is_file()
    assert run(["receiver", "list"]) == 0
    monkeypatch.setenv("PASSERELLE_STATE_DIR", str(tmp_path / "mine"))
    assert run(["token", "list"]) == 0
    assert (tmp_path / "mine" / "passerelle.sqlite").is_file()
    env_file.write_bytes(b"PASSERELLE_SOURCE=\xff\n")
    capsys.readouterr()
    assert run(["token", "list"]) == 1
    assert "service.env is not UTF-8" in capsys.readouterr().err


@pytest.mark.host
def test_a_file_of_settings_that_one_may_not_read_is_said_with_what_to_do() -> None:
    """As nobody: root reads everything."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        file = Path(folder) / "service.env"
        file.write_text("PASSERELLE_SOURCE=/srv/git/fleet.git\n")
        file.chmod(0o600)
        argv = [sys.executable, "-m", "service", "doctor", "-o", "json"]
        done = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *argv], capture_output=True, text=True,
            timeout=grown_s(60), env=environment(PASSERELLE_ENV_FILE=str(file)), check=False,
        )  # fmt: skip
    assert done.returncode == 1, done.stderr
    (found,) = [one for one in json.loads(done.stdout) if one["check"] == "settings"]
    assert found["what"] == f"{file} cannot be read: Permission denied. It has the service's settings"
    assert "sudo -u passerelle" in found["next"]


@pytest.mark.host
def test_a_state_folder_that_one_may_not_enter_is_said_with_what_to_do() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o700)
        argv = [sys.executable, "-m", "service", "doctor", "-o", "json"]
        named = environment(PASSERELLE_ENV_FILE="/nowhere/service.env", PASSERELLE_STATE_DIR=f"{folder}/state")
        done = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *argv], capture_output=True, text=True,
            timeout=grown_s(60), env=named, check=False,
        )  # fmt: skip
    assert done.returncode == 1, done.stderr
    (found,) = [one for one in json.loads(done.stdout) if one["check"] == "state folder"]
    assert "cannot be read by nobody" in found["what"]
    assert "sudo -u passerelle" in found["next"]
