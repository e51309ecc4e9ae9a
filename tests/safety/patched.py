"""Copies of the host-side file without one promise: a harness that does not catch them proves nothing."""

from pathlib import Path
from typing import NamedTuple

from tests.hostside.rooms import compiled, with_cuts
from tests.hostside.scratch import CONF
from tests.safety.situations import BOOT, TIMER


class Control(NamedTuple):
    """`cuts` are (text of the file, what takes its place); the fault strikes in `situation` at calls on `place`;
    `kinds` are the verdicts that such a fault must get."""

    name: str
    cuts: tuple[tuple[str, str], ...]
    situation: str
    place: str
    next: str
    kinds: tuple[str, ...]


PLAIN_WRITE = """\
        make_folders(os.path.dirname(path))
        with open(path, "wb") as plain:
            plain.write(self.contents(value["sha256"]))
        wanted = {**(found or {"mode": "0644", "uid": 0, "gid": 0}), **value}
        os.chown(path, wanted["uid"], wanted["gid"])
        os.chmod(path, int(wanted["mode"], 8))
        return
        old = found or"""
PLAIN_JOURNAL = """\
    with open(path, "wb") as plain:
        plain.write(content)
    os.chmod(path, mode)
"""
CONTROLS = (
    Control(
        "plain write instead of rename",
        (("        make_folders(os.path.dirname(path))\n        old = found or", PLAIN_WRITE),),
        *("run", "/root/etc/", TIMER, ("mixed",)),
    ),
    Control(
        "journal written in place",
        (
            (
                '    write_new(path + ".new", content, mode)\n    os.rename(path + ".new", path)\n'
                "    sync_folder(os.path.dirname(path))\n",
                PLAIN_JOURNAL,
            ),
        ),
        *("run", "/journal.json", TIMER, ("stuck",)),
    ),
    Control(
        "journal written after the files",
        (
            (
                '        entry.update(state="doing", started_s=round(boottime_s(), 3))\n'
                "        self.transaction.save()\n",
                '        entry.update(state="pending", started_s=round(boottime_s(), 3))\n',
            ),
        ),
        *("run", "/root/etc/", TIMER, ("mixed",)),
    ),
    Control(
        "restore skips a file",
        (
            (
                "        for fact, value in old.items()\n        if fact.partition",
                f'        for fact, value in old.items()\n        if fact != "file:{CONF}" and fact.partition',
            ),
        ),
        *("expire", "/root/etc/", TIMER, ("mixed",)),
    ),
    Control(
        "disarmed before the restore",
        (
            (
                '    transaction.try_save(state="rolling_back")\n',
                '    remove(host.state("armed"))\n    transaction.try_save(state="rolling_back")\n',
            ),
        ),
        *("expire", "/root/etc/", BOOT, ("mixed", "stuck")),
    ),
    Control(
        "no timer",
        (
            ("        start_watch(transaction)\n        start_timer(transaction, deadline_s)\n", ""),
            ("        carriers.watch(WAKING_S)\n", ""),
            ('            "timer": self.timer,\n            "watcher": self.watch,\n', ""),
        ),
        *("run", "/root/etc/", TIMER, ("mixed", "stuck")),
    ),
)


def patched_file(name: str, cuts: tuple[tuple[str, str], ...], folder: Path) -> Path:
    """A copy of the host-side file with a control's cuts. NoFit when a text is not there exactly once."""
    return compiled(with_cuts(name, cuts), folder / "file")
