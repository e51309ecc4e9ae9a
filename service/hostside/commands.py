"""Programs of the host: found by name, bounded in time, their words made fit for a message."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time

from service.hostside.errors import Json, Trouble
from service.hostside.host import Host, Ran

COMMAND_TIMEOUT_S = 20.0
SYSTEMD = ("systemctl", "systemd-run")
BUS_LOST = re.compile(  # what they say when systemd executes itself again (daemon-reexec) while they talk to it
    "disconnected from message bus|D-Bus connection terminated|Transport endpoint is not connected"
    "|Connection (reset by peer|refused|timed out)|Broken pipe"
)
BUS_PAUSES_S = (0.1, 0.2, *(0.3,) * 17)
"""Short ones: on a busy host systemd answers for a second between two such moments, and a long pause may miss it."""
LOST_MOST_S = 25.0
"""How long a question is repeated after the first refusal. With 20 runnable processes 8 tries took 12 s."""
HUNG = "Connection timed out"
HUNG_MOST_S = 6.0
"""systemd that executes itself again refuses at once. One that hangs costs 25 s for each question."""


def run_command(
    host: Host, argv: list[str], timeout_s: float = COMMAND_TIMEOUT_S, text: str = "", group: bool = False
) -> Ran:
    """Run a program by name. Trouble when it is not installed or takes too long; its exit code is the caller's.

    A question to systemd while it executed itself again is repeated, for a bounded time. `text` is the program's
    standard input, held in memory as a file: a reader never sees a part of it, whoever is killed when.
    `group` gives it a process group of its own (programs that start others).
    """
    if host.elsewhere is not None:
        return host.elsewhere(argv, timeout_s)
    begun_s = time.monotonic()
    ran = _run_once(host, argv, timeout_s, text, group)
    lost_s = time.monotonic()
    for pause_s in BUS_PAUSES_S if argv[0] in SYSTEMD else ():
        if ran.code == 0 or not BUS_LOST.search(ran.err):
            break
        now_s = time.monotonic()
        if now_s - lost_s > LOST_MOST_S or (HUNG in ran.err and now_s - begun_s > HUNG_MOST_S):
            break
        time.sleep(pause_s)
        ran = _run_once(host, argv, timeout_s, text, group)
        if argv[0] == "systemd-run" and "already loaded" in ran.err:  # the first request has been carried out
            ran = Ran(0, "", "")
    return ran


def _run_once(host: Host, argv: list[str], timeout_s: float, text: str, group: bool) -> Ran:
    search = host.bin_dir or "/usr/sbin:/usr/bin:/sbin:/bin"
    program = shutil.which(argv[0], path=search)
    if program is None:
        raise Trouble(f"{argv[0]} is not installed")
    stdin = os.memfd_create("passerelle") if text else os.open(os.devnull, os.O_RDONLY)
    environment = {"PATH": search, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        if text:
            os.write(stdin, text.encode())
            os.lseek(stdin, 0, os.SEEK_SET)
        process = subprocess.Popen(
            [program, *argv[1:]],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd="/",
            start_new_session=group,
        )
    finally:
        os.close(stdin)
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        if group:
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.communicate()
        raise Trouble(f"{argv[0]} did not end within {timeout_s:.0f} s") from None
    return Ran(process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))


def must(host: Host, argv: list[str], **options: Json) -> str:
    """Run a program that has to succeed; its standard output."""
    ran = run_command(host, argv, **options)
    if ran.code != 0:
        raise Trouble(f"{' '.join(argv[:6])} failed ({ran.code}): {safe_line(ran.err)}")
    return ran.out


def safe_line(text: str, limit: int = 300) -> str:
    """The last line of what a program said, without control characters, bounded: fit for a message."""
    lines = [line for line in text.splitlines() if line.strip()]
    return "".join(c if c.isprintable() else "?" for c in (lines[-1] if lines else "no message"))[:limit]


def json_output(host: Host, argv: list[str]) -> Json:
    """What a program prints as JSON."""
    out = must(host, argv)
    try:
        return json.loads(out or "[]")
    except ValueError:
        raise Trouble(f"{' '.join(argv)} printed no JSON") from None
