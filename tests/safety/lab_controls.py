"""Copies of the host-side file without one promise, on a lab host: a harness that does not catch them proves
nothing.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from service.apply.host_file import archive, host_file
from service.lab import Host
from service.model.facts import Step
from service.model.plans import Plan
from tests.hostside.rooms import COMPILE, Cuts, put, with_cuts
from tests.safety.lab_change import trial_plan

ESTABLISHED_ONLY = """table inet passerelle_trial {
\tchain input {
\t\ttype filter hook input priority 0; policy accept;
\t\tct state established,related accept
\t\ttcp dport 22 drop
\t}
}"""
NO_TIMER = (
    ("        start_watch(transaction)\n        start_timer(transaction, deadline_s)\n", ""),
    ("        carriers.watch(WAKING_S)\n", ""),
    ('            "timer": self.timer,\n            "watcher": self.watch,\n', ""),
)
COUNTED_ANEW = (
    ("        start_watch(transaction)\n", ""),
    ("        carriers.watch(WAKING_S)\n", ""),
    ('            "timer": self.timer,\n            "watcher": self.watch,\n', ""),
    ('f"--on-startup={after_us}us"', 'f"--on-active={deadline_s - boottime_s():.3f}s"'),
)
ANY_CONNECTION = (("    if began and now == began:\n", "    if not began:\n"),)
PLAIN_WRITE = (
    (
        "        make_folders(os.path.dirname(path))\n        old = found or",
        """\
        make_folders(os.path.dirname(path))
        from service.hostside.points import point
        content = self.contents(value["sha256"])
        with open(path, "wb", buffering=0) as plain:
            plain.write(content[: len(content) // 2])
            point(self.host, "half-written")
            plain.write(content[len(content) // 2 :])
        os.chmod(path, int({"mode": "0644", **(found or {}), **value}["mode"], 8))
        return
        old = found or""",
    ),
)
NO_BOOT_UNIT = (
    ("        install_boot_unit(host)\n", ""),
    ('            "boot unit": self.boot_unit,\n', ""),
)


class Control(NamedTuple):
    """`cuts` are (text of the file, what takes its place); `kinds` are the verdicts of which it must get one."""

    name: str
    cuts: Cuts
    plan: Callable[[Host], Plan]
    point: str  # "" for none: nothing strikes
    fault: str
    old_connection: bool
    kinds: tuple[str, ...]


def cutting(host: Host) -> Plan:
    """The whole change, with an address nobody can reach."""
    return trial_plan(host, cut=True)


def established_only(host: Host) -> Plan:
    """What is connected stays so, nobody else comes in."""
    table = Step("nft:inet passerelle_trial", None, {"load": ESTABLISHED_ONLY}, "the harness wants it")
    return Plan(host.name, "c" * 40, "sha256:0", steps=(table,))


CONTROLS = (
    Control("one timer, counted anew", COUNTED_ANEW, cutting, "applied", "reload", False, ("late", "lockouts")),
    Control("no timer", NO_TIMER, cutting, "step-8-after", "controller", False, ("lockouts",)),
    Control("confirm over the old connection", ANY_CONNECTION, established_only, "", "", True, ("lockouts",)),
    Control("plain write instead of rename", PLAIN_WRITE, cutting, "half-written", "power", False, ("mixed",)),
    Control("timer without boot unit", NO_BOOT_UNIT, cutting, "step-8-after", "power", False, ("lockouts", "mixed")),
)


def compiled_file(host: Host, folder: Path) -> Path:
    """The host-side file as that host's own python compiles it: the same code, which starts in half the time."""
    host.write("/run/source", host_file().content)
    host.exec(["python3", "-I", "-S", "-c", COMPILE, "/run/source", "/run/compiled"], check=True)
    found = host.read("/run/compiled")
    return put(found if isinstance(found, bytes) else found.encode(), folder)


def patched_file(name: str, cuts: Cuts, folder: Path) -> Path:
    """A copy of the host-side file with a control's cuts. NoFit when a text is not there exactly once."""
    return put(archive(with_cuts(name, cuts)), folder / name.replace(" ", "-"))
