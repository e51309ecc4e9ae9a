"""The machine's own apt: its configured package sources, read when they are needed and never written down by us."""

import hashlib
import os
import re
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from service.errors import LabError
from service.lab.preflight import search_path
from service.lab.progress import Say, silent
from service.lab.waiting import grown_s

SOURCE_FIELDS = "$(ORIGIN)\t$(SOURCESENTRY)\t$(FILENAME)\t$(RELEASE)\t$(CODENAME)"
SUITES = ("bookworm", "trixie")
"""The Debian releases that the lab's hosts can be: 12 and 13."""
TOLD_LINES = 12
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
        limit = threading.Timer(grown_s(timeout_s), process.kill)
        limit.start()
        for line in process.stdout:
            lines.append(line)
            if line.strip():
                say(re.sub(r"[^\x20-\x7e]", "", line.strip().removeprefix("I: "))[:80])
        limit.cancel()
    if process.returncode != 0:
        raise LabError(f"{what} failed (exit code {process.returncode}): {''.join(lines[-TOLD_LINES:]).strip()}")
    return "".join(lines)


def update(say: Say, options: Sequence[str] = ()) -> None:
    """Read package lists again: those of the machine's sources, or those of other sources that the options name.

    Of other sources each must be there; of the machine's own some may be out of reach that the lab does not need.
    """
    strict = ["--error-on=any"] if options else []
    run(["apt-get", *options, *strict, "update"], what="apt-get update", timeout_s=180, say=say)


def download(package: str, folder: Path, options: Sequence[str] = ()) -> None:
    """Fetch one package (NAME or NAME=VERSION), verified by apt, and unpack it into an empty folder.

    It comes from the machine's own sources, or from those that the options name.
    """
    script = (
        'cd "$1"; package="$2"; shift 2; apt-get -o APT::Sandbox::User=root "$@" download "$package"; dpkg -x ./*.deb .'
    )
    run(["sh", "-ec", script, "sh", str(folder), package, *options], what=f"fetching {package}", timeout_s=120)


def lists_folder() -> Path:
    """Where the machine's apt keeps its lists."""
    dump = run(["apt-config", "shell", "LISTS", "Dir::State::lists/d"], what="apt-config", timeout_s=20)
    found = re.search(r"LISTS='([^']*)'", dump)
    return Path(found[1] if found else "/var/lib/apt/lists")


def lists(folder: Path) -> list[Path]:
    """The signed lists (InRelease or Release files) in a folder of apt's; may be empty."""
    return sorted(p for p in folder.glob("*Release") if p.is_file())


def digest(folder: Path) -> str:
    """SHA-256 over the signed lists: changes exactly when the archive's state as this machine knows it changes."""
    summed = hashlib.sha256()
    for path in lists(folder):
        summed.update(path.read_bytes())
    return summed.hexdigest()


def debian_sources() -> list[Path]:
    """The machine's source files (one-line or deb822) that lead to Debian's own archive.

    Other sources that the machine may have (vendors, tools) have no place in a host's image.
    """
    return list(dict.fromkeys(Path(entry.rpartition(":")[0]) for entry, _, _ in _debian_indexes()))


def debian_suites() -> dict[str, str]:
    """Suites as the machine's sources spell them → by code name: `stable-updates` → `bookworm-updates`."""
    return {release: codename for _, release, codename in _debian_indexes()}


def _debian_indexes() -> list[tuple[str, str, str]]:
    """(entry, release, code name) of each list of packages from Debian's own archive; LabError when there is none."""
    what = "reading the machine's package sources"
    shown = run(["apt-get", "indextargets", "--format", SOURCE_FIELDS, "Created-By: Packages"], what=what, timeout_s=60)
    found = [
        (entry, release, codename)
        for origin, entry, filename, release, codename in (line.split("\t") for line in shown.splitlines() if line)
        if origin == "Debian" and filename
    ]
    if not found:
        raise LabError(
            "the machine's package sources lead to no Debian archive",
            hint=f"the lab's hosts are Debian ({', '.join(SUITES)}): configure its sources and run apt-get update",
        )
    return found


def carried_options() -> list[str]:
    """Proxies and date checks of the machine's apt, as lines of an apt.conf."""
    dump = run(["apt-config", "dump", "Acquire"], what="apt-config", timeout_s=20)
    return [line for line in dump.splitlines() if CARRIED.fullmatch(line) and '""' not in line]


def codename() -> str:
    """The Debian release of this machine, which the lab hosts have, too, unless another is requested."""
    release = Path("/etc/os-release").read_text()
    found = re.search(r"^VERSION_CODENAME=\"?([a-z]+)\"?$", release, re.MULTILINE)
    if found is None:
        raise LabError("the machine's /etc/os-release names no Debian release")
    return found[1]


def suite_of(word: str) -> str:
    """A release that the lab knows; empty: PASSERELLE_LAB_SUITE, or the machine's own. LabError for any other."""
    asked = word or os.environ.get("PASSERELLE_LAB_SUITE", "")
    if not asked:
        own = codename()
        return own if own in SUITES else SUITES[-1]
    if asked not in SUITES:
        raise LabError(f"the lab has no hosts of {asked!r}", hint=f"one of {', '.join(SUITES)}")
    return asked
