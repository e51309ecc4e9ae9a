"""The child process: limits, deadline, environment, and what is shown of its complaints."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.errors import SourceError
from service.git.child import GitAnswer, GitLimits, run
from service.git.commands import Credentials, Git
from service.git.source import parse_source
from service.model.secret import Secret


def test_a_child_that_says_too_much_is_ended(tmp_path: Path) -> None:
    answer = run(["yes"], {"PATH": "/usr/bin:/bin"}, tmp_path, GitLimits(timeout_s=20, stdout_bytes=10_000))
    assert answer.flooded
    assert not answer.timed_out
    assert len(answer.stdout) == 10_000


def test_a_child_that_complains_for_ever_is_ended_at_the_deadline_with_bounded_memory(tmp_path: Path) -> None:
    answer = run(
        ["sh", "-c", "yes >&2"], {"PATH": "/usr/bin:/bin"}, tmp_path, GitLimits(timeout_s=0.3, stderr_bytes=10_000)
    )
    assert answer.timed_out
    assert len(answer.stderr) == 10_000


@pytest.mark.long
def test_the_whole_group_is_ended_at_the_deadline(tmp_path: Path) -> None:
    script = "sleep 300 & echo $! > grandchild; wait"
    answer = run(["sh", "-c", script], {"PATH": "/usr/bin:/bin"}, tmp_path, GitLimits(timeout_s=0.5))
    assert answer.timed_out
    grandchild = Path("/proc") / (tmp_path / "grandchild").read_text().strip()
    deadline_s = time.monotonic() + 10
    while is_running(grandchild):
        assert time.monotonic() < deadline_s


def is_running(process: Path) -> bool:
    try:
        return "State:\tZ" not in (process / "status").read_text()
    except OSError:
        return False


def test_limits_are_set_before_the_program_starts(tmp_path: Path) -> None:
    limits = GitLimits(file_bytes=1 << 20, memory_bytes=1 << 30, cpu_s=7)
    answer = run(["cat", "/proc/self/limits"], {"PATH": "/usr/bin:/bin"}, tmp_path, limits)
    told = {line[:26].strip(): line[26:].split()[:2] for line in answer.stdout.decode().splitlines()}
    assert told["Max file size"] == ["1048576", "1048576"]
    assert told["Max address space"] == ["1073741824", "1073741824"]
    assert told["Max cpu time"] == ["7", "7"]
    assert told["Max core file size"] == ["0", "0"]


def test_the_environment_of_the_child_is_the_one_given(tmp_path: Path) -> None:
    answer = run(["env"], {"PATH": "/usr/bin:/bin", "A": "b"}, tmp_path, GitLimits())
    assert sorted(answer.stdout.decode().split()) == ["A=b", "PATH=/usr/bin:/bin"]


def test_without_the_programs_it_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="install git"):
        run(["git"], {"PATH": "/nowhere"}, tmp_path, GitLimits())


def test_what_git_says_is_shown_without_secrets_and_controls(tmp_path: Path) -> None:
    source = parse_source("https://git.example.org/fleet.git", "main")
    git = Git(tmp_path, tmp_path / "m", source, Credentials(https_token=Secret(b"canary-9")))
    said = (
        b"hint: never mind\n"
        b"remote: \x1b[31mhello canary-9\n"
        b"fatal: unable to access 'https://ada:pass@git.example.org/': ghp_abcdef0123 glpat-x_y-z "
        b"Authorization: Basic Z2l0OmNhbmFyeS05\n" + b"error: more\n" * 50
    )
    answer = run(["true"], {"PATH": "/usr/bin:/bin"}, tmp_path, GitLimits())
    answer.stderr = said
    shown = git.complaint(answer)
    assert shown.isprintable()
    for secret in ("canary", "pass", "ghp_", "glpat", "Z2l0"):
        assert secret not in shown
    assert shown.startswith("fatal: unable to access 'https://***@git.example.org/'")
    assert shown.count("error:") == 3


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"remote: call 555-0100 now\nfatal: repository not found\n", "fatal: repository not found"),
        (b"fatal: remote error: call 555-0100 now\n", "fatal: remote error"),
        (b"ERROR: call 555-0100 now\nfatal: Could not read from remote repository.\n", "fatal: Could not read from"),
        (b"remote: call 555-0100 now\n", "git ended with status 128"),
        (b"remote: a\n  remote: call 555-0100 now\r\nerror: pack-objects died\n", "error: pack-objects died"),
        (b"kex_exchange_identification: closed\n", "kex_exchange_identification: closed"),
    ],
)
def test_what_a_server_says_is_not_repeated(said: bytes, told: str, tmp_path: Path) -> None:
    git = Git(tmp_path, tmp_path / "m", parse_source("https://git.example.org/fleet.git", "main"), Credentials())
    answer = GitAnswer(code=128, stderr=said)
    assert git.complaint(answer).startswith(told)
    assert "555" not in git.complaint(answer)


def test_where_the_service_itself_has_less_git_gets_that(tmp_path: Path) -> None:
    """prlimit may not raise a limit, so that nothing could be fetched at all."""
    code = (
        "import resource, pathlib; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30));"
        "from service.git.child import GitLimits, run;"
        "answer = run(['sh', '-c', 'ulimit -v'], {'PATH': '/usr/bin:/bin'}, pathlib.Path('.'), GitLimits());"
        "print(answer.stdout.decode().strip(), answer.stderr.decode())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str((1 << 30) // 1024)
