"""A child process that cannot outlive, outgrow or outtalk us.

    run(argv, environment, directory, limits) -> Answer

It has its own process group, which is killed as a whole at the deadline. A shell sets resource limits and becomes the
program, because a process with threads must not run code between fork and exec. It costs half of what prlimit(1) does.
Both outputs are capped.
"""

import contextlib
import functools
import os
import resource
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from service.errors import SourceError

_PROMPT_S = 5.0


@dataclass(frozen=True, slots=True)
class GitLimits:
    """What one git command may use. `file_bytes` bounds each file it writes, so the pack of a fetch."""

    timeout_s: float = 60.0
    file_bytes: int = 512 << 20
    memory_bytes: int = 3 << 30
    cpu_s: int = 60
    stdout_bytes: int = 4 << 20
    stderr_bytes: int = 64 << 10


@dataclass(slots=True)
class GitAnswer:
    """How it ended. `code` is negative for a signal; `flooded`: it was killed for saying too much."""

    code: int = 0
    stdout: bytes = b""
    stderr: bytes = b""
    timed_out: bool = False
    flooded: bool = False

    @property
    def ok(self) -> bool:
        """It ended on its own, with exit status 0."""
        return self.code == 0 and not self.timed_out and not self.flooded


@dataclass(slots=True)
class _Capture:
    """What was read of one output; beyond `limit` it is thrown away."""

    limit: int
    kept: bytearray = field(default_factory=bytearray)
    seen: int = 0

    def take(self, chunk: bytes) -> None:
        self.seen += len(chunk)
        self.kept += chunk[: max(0, self.limit - len(self.kept))]


def run(argv: Sequence[str], environment: Mapping[str, str], directory: Path, limits: GitLimits) -> GitAnswer:
    """Run `argv` to its end or its limits. The environment is exactly the one given. Raises SourceError
    only where the program cannot be started."""
    program = _program(argv[0], environment.get("PATH", os.defpath))
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", _bounded(limits), "sh", program, *argv[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            cwd=directory,
            process_group=0,
        )
    except OSError as error:
        raise SourceError(f"{argv[0]} cannot be started: {error.strerror}", hint="install git") from error
    with process:
        try:
            return _watch(process, limits)
        finally:
            _kill_group(process)


@functools.lru_cache
def _program(name: str, path: str) -> str:
    """Where a program is; SourceError where it is nowhere, which is not remembered."""
    found = shutil.which(name, path=path)
    if found is None:
        raise SourceError(f"{name} cannot be started: it is not installed", hint=f"install {name}")
    return found


def _bounded(limits: GitLimits) -> str:
    """The shell's text: sh(1) counts files in blocks of 512 bytes and memory in KiB. Without one of the limits nothing
    is started."""
    file_blocks = _at_most(resource.RLIMIT_FSIZE, limits.file_bytes) // 512
    memory_kib = _at_most(resource.RLIMIT_AS, limits.memory_bytes) // 1024
    cpu_s = _at_most(resource.RLIMIT_CPU, limits.cpu_s)
    limited = f"ulimit -f {file_blocks} && ulimit -v {memory_kib} && ulimit -t {cpu_s} && ulimit -c 0"
    return f'unset PWD && {limited} && exec "$@"'


def _at_most(kind: int, wanted: int) -> int:
    """The limit, or this process' own where that is lower already: nobody may raise it (setrlimit(2))."""
    _, hard = resource.getrlimit(kind)
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def _watch(process: "subprocess.Popen[bytes]", limits: GitLimits) -> GitAnswer:
    deadline_s = time.monotonic() + limits.timeout_s
    stdout, stderr = _Capture(limits.stdout_bytes), _Capture(limits.stderr_bytes)
    answer = GitAnswer()
    assert process.stdout is not None
    assert process.stderr is not None
    with selectors.PollSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, stdout)
        selector.register(process.stderr, selectors.EVENT_READ, stderr)
        while selector.get_map() and not answer.timed_out and not answer.flooded:
            ready = selector.select(max(0.0, deadline_s - time.monotonic()))
            for key, _ in ready:
                chunk = os.read(key.fd, 65536)
                key.data.take(chunk)
                if not chunk:
                    selector.unregister(key.fileobj)
            answer.timed_out = time.monotonic() >= deadline_s
            answer.flooded = stdout.seen > stdout.limit
    if not answer.flooded and not answer.timed_out:
        try:
            answer.code = process.wait(max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            answer.timed_out = True
    if answer.flooded or answer.timed_out:
        _kill_group(process)
        answer.code = process.wait(_PROMPT_S)
    answer.stdout, answer.stderr = bytes(stdout.kept), bytes(stderr.kept)
    return answer


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    """End the whole group while its leader is not yet reaped, so that the number is still the group's."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
