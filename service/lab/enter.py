"""Running commands inside the lab's namespaces from the machine: nsenter(1) argument lists and their results."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from service.errors import LabError
from service.lab import waiting
from service.lab.preflight import search_path

Completed = subprocess.CompletedProcess[str]
HOST_ENVIRONMENT = ("HOME=/root", "USER=root", "LC_ALL=C.UTF-8")
HOST_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def environment() -> dict[str, str]:
    """This process's environment, with the folders in PATH that administration needs."""
    return dict(os.environ) | {"PATH": search_path()}


def whole(leader: int, argv: Sequence[str]) -> list[str]:
    """As if typed at the console of what this PID 1 leads: all its namespaces, its root, a plain environment."""
    plain = [*HOST_ENVIRONMENT, HOST_PATH, f"TERM={os.environ.get('TERM', 'dumb')}"]
    enter = ["nsenter", "-t", str(leader), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"]
    return [*enter, "--", "/usr/bin/env", "-i", *plain, *argv]


def network(netns: Path, argv: Sequence[str]) -> list[str]:
    """In that network namespace only: the machine's files, processes and environment."""
    return ["nsenter", f"--net={netns}", "--", *argv]


def inside_root(leader: int, path: str) -> Path:
    """A file of what this PID 1 leads, as the machine can open it. A link's target is looked up on the machine."""
    return Path(f"/proc/{leader}/root{path}")


def run(argv: Sequence[str], *, stdin: str | bytes | None, timeout_s: float, check: bool, what: str) -> Completed:
    """Run to the end with bytes read as UTF-8 (others become U+FFFD); LabError on timeout, or failure if `check`.

    The limit follows the machine's load: waiting.py."""
    given = stdin.encode() if isinstance(stdin, str) else stdin
    try:
        raw = waiting.run(argv, timeout_s=timeout_s, stdin=given or b"", env=environment())
    except subprocess.TimeoutExpired:
        raise LabError(f"{what} took more than {timeout_s:g} s of an idle machine") from None
    out, err = raw.stdout.decode(errors="replace"), raw.stderr.decode(errors="replace")
    if check and raw.returncode != 0:
        raise LabError(f"{what} ended with {raw.returncode}: {(err or out).strip()[-2000:]}")
    return subprocess.CompletedProcess(raw.args, raw.returncode, out, err)
