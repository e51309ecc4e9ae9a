"""The process that does the work: `python -m service.workers.child`, started by service/workers/process.py only.

Reads a piece of work, does it, writes what came of it; ends when its input ends. CPU time is limited again for every
piece of work (setrlimit(2): SIGXCPU ends the process), memory for all of them.
"""

import math
import os
import pickle
import resource
import select
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, BinaryIO

from service.workers.process import LENGTH, MEMORY_BYTES

IDLE_S = 20.0
"""Without work for so long it ends; the service starts another one when there is some."""
NICER = 5
"""It gives way to the service itself: confirmations are there."""


def main() -> None:
    """Work until there is no more."""
    for wanted_by_others in (signal.SIGINT, signal.SIGTERM):
        signal.signal(wanted_by_others, signal.SIG_IGN)  # the service says when it is over, by closing the pipe
    os.nice(NICER)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints does not print into an answer
    # whoever asks waits for the answer: nothing more is in the buffer when a frame was read
    while select.select((source,), (), (), IDLE_S)[0] and len(head := source.read(LENGTH.size)) == LENGTH.size:
        _answer(sink, _work(source.read(LENGTH.unpack(head)[0])))


def _work(frame: bytes) -> bytes:
    try:
        cpu_s, bound = pickle.loads(frame)  # noqa: S301 (from the service itself)
        _limit(cpu_s)
        return _frame("done", bound())
    except MemoryError:
        return _frame("memory", None)
    except Exception as error:
        error.add_note(traceback.format_exc())
        try:
            return _checked(_frame("raised", error))
        except Exception:
            return _frame("raised", RuntimeError(f"{type(error).__name__}: {error}"))


def _checked(frame: bytes) -> bytes:
    """Not every exception can be read back."""
    pickle.loads(frame)  # noqa: S301 (our own)
    return frame


def _frame(kind: str, value: Any) -> bytes:
    return pickle.dumps((kind, value, _resident_bytes()), pickle.HIGHEST_PROTOCOL)


def _resident_bytes() -> int:
    """proc_pid_statm(5): the second number, in pages."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _limit(cpu_s: float) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(used.ru_utime + used.ru_stime + cpu_s), resource.RLIM_INFINITY))


def _answer(sink: BinaryIO, frame: bytes) -> None:
    sink.write(LENGTH.pack(len(frame)))
    sink.write(frame)
    sink.flush()


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        sys.exit(0)
