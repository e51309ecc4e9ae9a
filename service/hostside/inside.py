"""Commands inside a guest: found by its MAC address or its number, run with lxc-attach(1) or Proxmox's pct(1).

A guest is named `NAME@MAC` or `NAME@NUMBER`: its name in Git, and what finds it on this host. What it prints is
hostile: its length is limited, and nobody waits for a process that it leaves behind with the output open.
"""

from __future__ import annotations

import os
import re
import selectors
import shutil
import signal
import subprocess
import time
from typing import NamedTuple, Optional

from service.hostside.commands import run_command, safe_line
from service.hostside.errors import BadInput, Trouble
from service.hostside.facts import KEY
from service.hostside.host import Host, Ran

CONTAINERS, PVE_CONTAINERS = "/var/lib/lxc", "/etc/pve/lxc"
NOWHERE = "/nonexistent"
MOST_OUTPUT = 1 << 20
MAX_SETTINGS = 1 << 16
_OWN = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}"
_PATH = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
_ENVIRONMENT = ["/usr/bin/env", "-i", _PATH, "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive"]


class Guest(NamedTuple):
    """A guest on this host. `kind` is lxc or pct, `own` the container's name, on Proxmox its number."""

    name: str
    kind: str
    own: str


def split_key(key: str) -> tuple[str, str]:
    """(name, MAC address or number). BadInput for another text."""
    if not re.fullmatch(KEY, key):
        raise BadInput(f"{key[:80]!r} is not a guest: NAME@MAC or NAME@NUMBER")
    name, _, where = key.partition("@")
    return name, where


def is_proxmox(host: Host) -> bool:
    return os.path.isdir(host.path(PVE_CONTAINERS))


def find_guest(host: Host, key: str) -> Optional[Guest]:
    """The container with this MAC address or number, None where there is none. Trouble where several have it."""
    name, where = split_key(key)
    kind = "pct" if is_proxmox(host) else "lxc"
    found = [own for own, settings in settings_of(host, kind) if _is_it(kind, own, settings, where)]
    if len(found) > 1:
        raise Trouble(f"guest {name}: {', '.join(found[:4])} all have the MAC address {where}")
    return Guest(name, kind, found[0]) if found else None


def settings_of(host: Host, kind: str) -> list[tuple[str, str]]:
    """(container, its settings as text) of every container. Trouble where they cannot be read."""
    folder = host.path(PVE_CONTAINERS if kind == "pct" else CONTAINERS)
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    settings: list[tuple[str, str]] = []
    for entry in names:
        own = entry[:-5] if kind == "pct" else entry
        path = os.path.join(folder, entry) if kind == "pct" else os.path.join(folder, entry, "config")
        if not re.fullmatch(_OWN, own) or (kind == "pct" and not re.fullmatch(r"[0-9]+\.conf", entry)):
            continue
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                settings.append((own, file.read(MAX_SETTINGS)))
        except (FileNotFoundError, NotADirectoryError):
            continue
    return settings


def _is_it(kind: str, own: str, settings: str, where: str) -> bool:
    if ":" not in where:
        return kind == "pct" and own == where
    if kind == "pct":
        card = rf"(?im)^net[0-9]+:.*\bhwaddr={where}"
        return bool(re.search(card, re.split(r"(?m)^\[", settings)[0]))
    return bool(re.search(rf"(?im)^[ \t]*lxc\.net\.[0-9]+\.hwaddr[ \t]*=[ \t]*[\"']?{where}", settings))


def is_running(host: Host, guest: Guest) -> bool:
    """Trouble where the host does not say it."""
    argv = ["lxc-info", "-n", guest.own, "-s", "-H"] if guest.kind == "lxc" else ["pct", "status", guest.own]
    ran = run_command(host, argv)
    word = ran.out.strip().lower().replace("status: ", "")
    if ran.code != 0 or word not in ("running", "stopped"):
        raise Trouble(f"guest {guest.name} is in the state {safe_line(ran.out or ran.err, 80)}")
    return word == "running"


def within(host: Host, guest: Guest) -> Host:
    """A running guest as a host on which commands are run."""
    other = Host(NOWHERE, host.bin_dir)
    other.elsewhere = lambda argv, timeout_s: inside(host, guest, argv, timeout_s=timeout_s)
    return other


def inside(
    host: Host, guest: Guest, argv: list[str], text: str = "", timeout_s: float = 20.0, most: int = MOST_OUTPUT
) -> Ran:
    """Run a program in a running guest; its exit code is the caller's. `text` is its standard input.

    Trouble where it takes too long, or prints more than `most` bytes. The guest has to be running (`is_running`).
    """
    enter = ["lxc-attach", "-n", guest.own, "--clear-env"] if guest.kind == "lxc" else ["pct", "exec", guest.own]
    search = host.bin_dir or "/usr/sbin:/usr/bin:/sbin:/bin"
    program = shutil.which(enter[0], path=search)
    if program is None:
        raise Trouble(f"{enter[0]} is not installed")
    stdin = os.memfd_create("passerelle")
    try:
        os.write(stdin, text.encode())
        os.lseek(stdin, 0, os.SEEK_SET)
        process = subprocess.Popen(
            [program, *enter[1:], "--", *_ENVIRONMENT, *argv],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": search, "LC_ALL": "C"},
            cwd="/",
            start_new_session=True,
        )
    finally:
        os.close(stdin)
    try:
        out, err = _output(process, f"guest {guest.name}: {argv[0]}", timeout_s, most)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
    return Ran(process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))


def _output(process: subprocess.Popen[bytes], what: str, timeout_s: float, most: int) -> tuple[bytes, bytes]:
    """What it printed until it ended; what it left behind may keep the pipes open, and is not waited for."""
    deadline_s = time.monotonic() + timeout_s
    pipes = [pipe for pipe in (process.stdout, process.stderr) if pipe is not None]
    said = {pipe.fileno(): bytearray() for pipe in pipes}
    with selectors.DefaultSelector() as selector:
        for pipe in pipes:
            selector.register(pipe.fileno(), selectors.EVENT_READ)
        while selector.get_map():
            has_ended = process.poll() is not None
            ready = selector.select(0 if has_ended else 0.05)
            for key, _ in ready:
                data = os.read(key.fd, 1 << 16)
                said[key.fd] += data
                if not data:
                    selector.unregister(key.fd)
            if sum(map(len, said.values())) > most:
                raise Trouble(f"{what} printed more than {most} bytes")
            if has_ended and not ready:
                break
            if time.monotonic() > deadline_s:
                raise Trouble(f"{what} did not end within {timeout_s:.0f} s")
    while process.poll() is None:
        if time.monotonic() > deadline_s:
            raise Trouble(f"{what} did not end within {timeout_s:.0f} s")
        time.sleep(0.02)
    out, err = (bytes(said[pipe.fileno()]) for pipe in pipes)
    return out, err
