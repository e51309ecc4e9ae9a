"""The outside world as this program meets it: folders, clock, chance, commands. Tests give another one."""

from __future__ import annotations

import os
import random
import subprocess
import time
from dataclasses import dataclass, field
from typing import Callable, Optional, Sequence

from .errors import Trouble

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SAID_CHARS = 400


@dataclass(frozen=True)
class World:
    """`now` is seconds since the epoch; `chance` is in [0, 1); `reload` makes nginx read its files again."""

    config: str = "/etc/passerelle"
    state: str = "/var/lib/passerelle-guest"
    now: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random
    reload: Callable[[], None] = field(default_factory=lambda: reload_nginx)
    start: Callable[[], None] = field(default_factory=lambda: start_unit)
    start_in: Callable[[float], None] = field(default_factory=lambda: start_unit_in)
    is_mounted: Callable[[str], bool] = field(default_factory=lambda: is_mounted)
    python: str = "/usr/bin/python3"

    def configured(self, *names: str) -> str:
        """The path of something that the host gives this guest, read-only."""
        return os.path.join(self.config, *names)

    def kept(self, *names: str) -> str:
        """The path of something that this guest keeps; it survives a rebuilt guest."""
        return os.path.join(self.state, *names)


def command(argv: Sequence[str], *, timeout_s: float, stdin: Optional[bytes] = None) -> bytes:
    """The output of a program. Trouble with its last lines when it fails, hangs or is not installed."""
    environment = {"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": "/root"}
    try:
        done = subprocess.run(
            argv, check=False, input=stdin or b"", capture_output=True, env=environment, timeout=timeout_s
        )
    except FileNotFoundError:
        raise Trouble(f"{argv[0]} is not installed in this guest. Fix: install its Debian package") from None
    except OSError as error:
        raise Trouble(f"{argv[0]} cannot be started: {error}") from error
    except subprocess.TimeoutExpired:
        raise Trouble(f"{argv[0]} did not end within {timeout_s:.0f} s") from None
    if done.returncode != 0:
        raise Trouble(f"{os.path.basename(argv[0])}: {last_words(done.stderr or done.stdout)}")
    return done.stdout


def last_words(output: bytes) -> str:
    """The last lines of a program's output, as one line of printable text."""
    text = " ".join(output.decode("utf-8", "replace").split())
    return "".join(each if each.isprintable() else "?" for each in text)[-SAID_CHARS:]


def is_mounted(path: str) -> bool:
    """Is something mounted there (proc(5), mountinfo)? A folder of the same file system counts, too."""
    with open("/proc/self/mountinfo", "rb") as mounts:
        return any(line.split(b" ")[4] == os.fsencode(path) for line in mounts)


def reload_nginx() -> None:
    """Check nginx's files, then make it read them. A stopped nginx reads them when it starts. Trouble otherwise."""
    command(["nginx", "-t", "-q"], timeout_s=60)
    asked = ["systemctl", "is-active", "--quiet", "nginx.service"]
    if subprocess.run(asked, check=False, timeout=20, stdin=subprocess.DEVNULL).returncode == 0:
        command(["systemctl", "reload", "nginx.service"], timeout_s=60)


START = ("systemctl", "start", "--no-block", "passerelle-certs.service")


def start_unit() -> None:
    """Start the unit that issues, and do not wait for it."""
    command(START, timeout_s=20)


def start_unit_in(after_s: float) -> None:
    """The same after so many seconds, by a timer that is gone then (systemd-run(1))."""
    when = ["--quiet", "--collect", f"--on-active={after_s:.0f}s", "--timer-property=AccuracySec=1s"]
    command(["systemd-run", *when, "--", *START], timeout_s=20)
