"""The host's one lock, and how a rescue gets it from a process that hangs."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import signal
import time
from typing import Iterator

from service.hostside.canonical import STATE
from service.hostside.durable import make_folders
from service.hostside.errors import Refused
from service.hostside.host import Host, read_text, start_time

LOCK_PATIENCE_S = 10.0
RESCUE_PATIENCE_S = 2.0  # how long a rollback waits for another verb before it kills it
RESTORE_PATIENCE_S = 30.0  # and for another rollback that is at work: units take their time


def noted_holder(host: Host) -> tuple[int, str]:
    """(process, verb) that the lock's holder noted in it; (0, "") when that process is gone."""
    words = read_text(host.state("lock")).split()
    if len(words) == 3 and words[0].isdigit() and start_time(int(words[0])) == words[1]:
        return int(words[0]), words[2]
    return 0, ""


def lock_holder(host: Host) -> int:
    """The process that holds the lock, 0 when unknown: from its own note, else from the kernel's (proc(5), locks)."""
    noted, _ = noted_holder(host)
    if noted:
        return noted
    lock = os.stat(host.state("lock"))
    for line in read_text("/proc/locks", 1 << 16).splitlines():
        found = re.fullmatch(rf"[0-9]+: FLOCK +ADVISORY +WRITE +([0-9]+) +[0-9a-f]+:[0-9a-f]+:{lock.st_ino} .*", line)
        if found and "passerelle" in read_text(f"/proc/{found.group(1)}/cmdline") and has_open(found.group(1), lock):
            return int(found.group(1))
    return 0


def has_open(pid: str, file: os.stat_result) -> bool:
    """Does a process have this very file open? Another file system has a file of the same number."""
    folder = f"/proc/{pid}/fd"
    with contextlib.suppress(OSError):
        for fd in os.listdir(folder):
            with contextlib.suppress(OSError):
                if os.path.samestat(os.stat(os.path.join(folder, fd)), file):
                    return True
    return False


def kill_holder(host: Host) -> None:
    """Kill the process that holds the lock, with the commands it has started."""
    pid = lock_holder(host)
    if pid in (0, 1, os.getpid()):
        return
    with contextlib.suppress(ProcessLookupError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def locked(host: Host, patience_s: float = LOCK_PATIENCE_S, rescue: bool = False) -> Iterator[None]:
    """Hold the host's one lock (flock(2), freed by the kernel when the holder dies).

    A rescue does not wait without limit. It kills a run at once, another rescue after RESTORE_PATIENCE_S, and any other
    holder or stopped process after `patience_s`. A hung or stopped process must not keep a host in a state that nobody
    confirmed. Refused (reason=locked) otherwise.
    """
    make_folders(host.path(os.path.dirname(STATE)))
    with contextlib.suppress(FileExistsError):
        os.mkdir(host.state(), 0o700)
    try:
        fd = os.open(host.state("lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        fd = os.open(host.state("lock"), os.O_RDONLY | os.O_CLOEXEC)
    try:
        began_s = patient_s = time.monotonic()
        holders = -1
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                now_s, limit_s = time.monotonic(), patience_s
                holder, verb = noted_holder(host)
                if holder != holders:  # each has its own time: one that has just come must not pay for the last one
                    holders, patient_s = holder, now_s
                if rescue and verb == "rescue" and not re.search(r"\) [Tt] ", read_text(f"/proc/{holder}/stat")):
                    limit_s = max(patience_s, RESTORE_PATIENCE_S)
                if rescue and (verb == "run" or now_s - patient_s > limit_s):
                    kill_holder(host)
                    patient_s = now_s
                if now_s - began_s > limit_s + (5 if rescue else 0):
                    raise Refused(
                        "locked", "another passerelle process holds this host's lock. Fix: try again"
                    ) from None
            time.sleep(0.02)
        with contextlib.suppress(OSError):  # a full disk must not stop a rescue
            os.ftruncate(fd, 0)
            verb = "rescue" if rescue else host.verb or "-"
            os.pwrite(fd, f"{os.getpid()} {start_time(os.getpid())} {verb}".encode(), 0)
        yield
    finally:
        os.close(fd)
