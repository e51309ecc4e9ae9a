"""The machine's own configured package sources, read when they are needed and never written down by us."""

import hashlib
import re
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from service.errors import LabError
from service.lab.preflight import search_path
from service.lab.progress import Say, silent

SOURCE_FIELDS = "$(ORIGIN)\t$(SOURCESENTRY)\t$(FILENAME)"
# What decides whether and how the archive is reached; the rest of the machine's apt settings is its own affair.
CARRIED = re.compile(r"Acquire::(Check-Valid-Until|Check-Date|https?::[\w.:/-]+) \"[^\"]*\";")


def run(argv: Sequence[str], *, what: str, timeout_s: float, say: Say = silent) -> str:
    """Run one command with its output as progress; its output, or LabError with the last lines of it.

    The command and all that it starts have mounts and processes of their own and die with this process.
    """
    lines: list[str] = []
    alone = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    with subprocess.Popen(
        [*alone, *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={"PATH": search_path(), "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root"},
    ) as process:
        assert process.stdout is not None
        limit = threading.Timer(timeout_s, process.kill)
        limit.start()
        for line in process.stdout:
            lines.append(line)
            if line.strip():
                say(re.sub(r"[^\x20-\x7e]", "", line.strip().removeprefix("I: "))[:80])
        limit.cancel()
    if process.returncode != 0:
        raise LabError(f"{what} failed (exit code {process.returncode}): {''.join(lines[-6:]).strip()}")
    return "".join(lines)


def update(say: Say) -> None:
    """Read the package lists of the machine's sources anew."""
    run(["apt-get", "update"], what="apt-get update", timeout_s=180, say=say)


def lists() -> list[Path]:
    """The signed lists (InRelease or Release files) that the machine has of its sources; may be empty."""
    dump = run(["apt-config", "shell", "LISTS", "Dir::State::lists/d"], what="apt-config", timeout_s=20)
    found = re.search(r"LISTS='([^']*)'", dump)
    folder = Path(found[1] if found else "/var/lib/apt/lists")
    return sorted(p for p in folder.glob("*Release") if p.is_file())


def lists_digest() -> str:
    """SHA-256 over the lists: changes exactly when the archive's state on this machine changes."""
    digest = hashlib.sha256()
    for path in lists():
        digest.update(path.read_bytes())
    return digest.hexdigest()


def debian_sources() -> list[Path]:
    """The machine's source files (one-line or deb822) that lead to Debian's own archive.

    Other sources that the machine may have (vendors, tools) have no place in a host's image.
    """
    shown = run(
        ["apt-get", "indextargets", "--format", SOURCE_FIELDS, "Created-By: Packages"],
        what="reading the machine's package sources",
        timeout_s=60,
    )
    files: dict[Path, None] = {}
    for line in shown.splitlines():
        origin, entry, filename = [*line.split("\t"), "", ""][:3]
        if origin == "Debian" and filename:
            files[Path(entry.rpartition(":")[0])] = None
    if not files:
        raise LabError(
            "the machine's package sources lead to no Debian archive",
            hint="the lab's hosts are Debian 12: configure its sources and run apt-get update",
        )
    return list(files)


def carried_options() -> list[str]:
    """Proxies and date checks of the machine's apt, as lines of an apt.conf."""
    dump = run(["apt-config", "dump", "Acquire"], what="apt-config", timeout_s=20)
    return [line for line in dump.splitlines() if CARRIED.fullmatch(line) and '""' not in line]


def codename() -> str:
    """The Debian release of this machine, which is the lab hosts' too."""
    release = Path("/etc/os-release").read_text()
    found = re.search(r"^VERSION_CODENAME=\"?([a-z]+)\"?$", release, re.MULTILINE)
    if found is None:
        raise LabError("the machine's /etc/os-release names no Debian release")
    return found[1]
