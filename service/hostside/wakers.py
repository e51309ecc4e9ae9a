"""The two wakers of an armed transaction: a timer of systemd's, and a process that watches the boot clock."""

from __future__ import annotations

import os
import re
import time

from service.hostside.commands import must
from service.hostside.errors import Trouble
from service.hostside.host import boottime_s, read_text, start_time
from service.hostside.journal import KEPT_COPY, Transaction


def timer_name(transaction: Transaction) -> str:
    return f"passerelle-expire-{transaction.id}-{transaction.journal['timers']}"


def watch_name(identifier: str) -> str:
    return f"passerelle-watch-{identifier}"


def start_timer(transaction: Transaction, deadline_s: float) -> None:
    """A transient timer that lets the transaction expire. systemd's own accuracy of 1 min is far too coarse.

    Its time is absolute: OnStartupSec counts from when systemd was started, which stays as it is. OnActiveSec would be
    counted again at each daemon-reload and daemon-reexec (seen with systemd 252 and 257), and the rollback would never
    come on a host that reloads often. A timer elapses once: whoever kills what it started (SIGKILL, memory), systemd
    starts that again.
    """
    host = transaction.host
    began_us = must(host, ["systemctl", "show", "--value", "-p", "UserspaceTimestampMonotonic"]).strip()
    if not began_us.isdigit():
        raise Trouble("systemd does not say when it was started")
    after_us = round((deadline_s - suspended_s()) * 1e6) - int(began_us)
    argv = ["systemd-run", "--quiet", "--collect", f"--unit={timer_name(transaction)}", f"--on-startup={after_us}us"]
    argv += ["--timer-property=AccuracySec=100ms", "--timer-property=RemainAfterElapse=no"]
    argv += ["--property=OOMScoreAdjust=-900", "--property=Restart=on-abnormal", "--property=RestartSec=1"]
    must(host, argv + own_command(transaction, "expire"))


def start_watch(transaction: Transaction) -> None:
    """The other waker: a process of its own that needs nothing of systemd any more once it runs."""
    argv = ["systemd-run", "--quiet", "--collect", f"--unit={watch_name(transaction.id)}"]
    argv += ["--property=OOMScoreAdjust=-900", "--property=Restart=on-abnormal", "--property=RestartSec=100ms"]
    argv += ["--property=StartLimitIntervalSec=0"]
    must(transaction.host, argv + own_command(transaction, "watch"))


def own_command(transaction: Transaction, verb: str) -> list[str]:
    """The command line of a verb on this transaction, by the copy of this file that armed it."""
    host = transaction.host
    copy = os.path.join(transaction.folder, KEPT_COPY)
    return ["/usr/bin/python3", "-I", "-S", copy, *host.own_flags(), verb, transaction.id]


def watcher(transaction: Transaction) -> tuple[int, float]:
    """(process, deadline that it waits for) as the watcher noted them; (0, 0) when it is gone, stopped or never was."""
    words = read_text(os.path.join(transaction.folder, "watch")).split()
    if len(words) != 3 or not words[0].isdigit() or start_time(int(words[0])) != words[1]:
        return 0, 0.0
    if re.search(r"\) [TtZX] ", read_text(f"/proc/{words[0]}/stat")):
        return 0, 0.0
    return int(words[0]), float(words[2])


def span_s(text: str) -> float:
    """A time span as systemctl shows it (`1h 2min 3.5s`; systemd.time(7)), in seconds; 0 for none or never."""
    scale = {"us": 1e-6, "ms": 1e-3, "s": 1, "min": 60, "h": 3600, "d": 86400, "w": 604800}
    scale.update(month=2629800, y=31557600)
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)([a-z]+)", text)
    return sum(float(number) * scale.get(unit, 0) for number, unit in parts)


def suspended_s() -> float:
    """How far the boot clock is ahead of the monotonic one, which systemd's timers use."""
    return boottime_s() - time.clock_gettime(time.CLOCK_MONOTONIC)
