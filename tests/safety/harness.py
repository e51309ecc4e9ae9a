"""What the harnesses share: arguments, progress on stderr, one JSON line at the end."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from service.lab import apt

CHECKOUT = Path(__file__).resolve().parents[2]
FROZEN_COMMIT = "PASSERELLE_SAFETY_COMMIT"  # in the environment of a harness that runs from its own copy


def freeze(prefix: str, script: str, parts: tuple[str, ...]) -> Path:
    """Continue in a copy of the code (`parts` below the checkout), so that a long run judges one version of it.

    Returns, in the copy, the scratch folder: the caller removes it in the end.
    """
    if FROZEN_COMMIT in os.environ:
        return CHECKOUT.parent
    folder = scratch_folder(prefix)
    for part in parts:
        source, target = CHECKOUT / part, folder / "code" / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)
    environment = {**os.environ, FROZEN_COMMIT: commit(), "PYTHONDONTWRITEBYTECODE": "1"}
    environment["PYTHONPATH"] = str(folder / "code")  # for the processes that it forks its own from
    os.execve(sys.executable, [sys.executable, str(folder / "code" / script), *sys.argv[1:]], environment)
    raise AssertionError("execve does not return")


def arguments(description: str, runs: int) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=runs, help="how many (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="chooses and orders them (default %(default)s)")
    parser.add_argument("--full", action="store_true", help="all there is; takes hours")
    parser.add_argument("--processes", type=int, default=2, help="how many at once (default %(default)s)")
    return parser


def lab_arguments(description: str, runs: int) -> argparse.ArgumentParser:
    """The same, for a harness whose hosts are real ones of the lab."""
    parser = arguments(description, runs)
    parser.add_argument("--suite", choices=apt.SUITES, default=apt.suite_of(""), help="Debian (default %(default)s)")
    return parser


def scratch_folder(prefix: str) -> Path:
    """A new folder, in memory where that keeps extended attributes."""
    memory = Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK):
        made = Path(tempfile.mkdtemp(prefix=prefix, dir=memory))
        try:
            os.setxattr(made, "user.passerelle", b"")
        except OSError:
            made.rmdir()
        else:
            return made
    return Path(tempfile.mkdtemp(prefix=prefix))


class Progress:
    """A line on stderr every few seconds."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total, self.done = what, total, 0
        self.began_s = self.told_s = time.monotonic()

    def step(self, counts: dict[str, int]) -> None:
        self.done += 1
        now_s = time.monotonic()
        if now_s - self.told_s < 5 and self.done < self.total:
            return
        self.told_s = now_s
        left_s = (now_s - self.began_s) / self.done * max(0, self.total - self.done)
        told = ", ".join(f"{count} {name}" for name, count in counts.items())
        say(f"{self.done}/{self.total} {self.what}: {told}; {left_s:.0f} s left")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def commit() -> str:
    """The commit that is checked out, with + when a file of the service differs from it."""
    if FROZEN_COMMIT in os.environ:
        return os.environ[FROZEN_COMMIT]
    git = ["git", "-C", str(CHECKOUT)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    changed = subprocess.run([*git, "status", "--porcelain", "service"], capture_output=True, text=True).stdout.strip()
    return head + ("+" if changed else "")


def finish(result: dict[str, Any], good: bool) -> int:
    """Print the result as the last line; the exit code."""
    print(json.dumps(result, sort_keys=False), flush=True)
    return 0 if good else 1
