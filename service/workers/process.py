"""A process that does one piece of work at a time within limits, seen from the service.

    Process(name).run(effort, bound) -> what it returns     blocks; raises TooMuch, or what `bound` raises
    Process(name).close()                                   from any thread

Both sides speak in frames: eight bytes of length, then a pickle. Pickles are read from our own process alone, which
nobody else can write to.
"""

import os
import pickle
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import service
from service.errors import TooMuch
from service.work import Effort

T = TypeVar("T")

LENGTH = struct.Struct("!Q")
CHUNK_BYTES = 1 << 20
MEMORY_BYTES = 192 << 20
KEPT_BYTES = 56 << 20
"""A process that has grown beyond this is ended after its work: what it took goes back to the machine."""
WALL_S = 60.0
WALL_FACTOR = 10.0
"""On a busy machine CPU time passes slowly; this much later the process is given up in any case."""


class Lost(Exception):  # noqa: N818 (never leaves this room)
    """The process ended in the middle of its work."""

    def __init__(self, status: int | None) -> None:
        super().__init__(f"status {status}")
        self.status = status


class Process:
    """Started at the first work, and again after it was ended."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._child: subprocess.Popen[bytes] | None = None
        self._is_closed = False
        self._changing = threading.Lock()

    def run(self, effort: Effort, bound: Callable[[], T]) -> T:
        """Do it there. A process that was ended by somebody else is started once more."""
        work = pickle.dumps((effort.cpu_s, bound), pickle.HIGHEST_PROTOCOL)
        for is_last in (False, True):
            try:
                done: T = self._done(effort, work)
                return done
            except Lost as lost:
                if lost.status == -signal.SIGXCPU:
                    raise TooMuch(
                        f"{effort.what} took more than {effort.cpu_s:g} s of CPU time and was stopped",
                        hint=_hint(effort),
                    ) from None
                if is_last or self._is_closed:
                    raise TooMuch(f"{effort.what} ended its process ({lost})", hint="see the service's log") from None
        raise AssertionError("unreachable")

    def _done(self, effort: Effort, work: bytes) -> Any:
        child = self._started()
        ends_s = time.monotonic() + WALL_S + WALL_FACTOR * effort.cpu_s
        try:
            _send(child, work, ends_s)
            kind, value, size = pickle.loads(_received(child, ends_s))  # noqa: S301 (our own process)
        except (OSError, EOFError, TimeoutError):
            raise Lost(self._ended()) from None
        if size > KEPT_BYTES:
            self._ended()
        if kind == "memory":
            raise TooMuch(
                f"{effort.what} took more than {MEMORY_BYTES >> 20} MiB of memory and was stopped", hint=_hint(effort)
            )
        if kind == "raised":
            raise value
        return value

    def _started(self) -> "subprocess.Popen[bytes]":
        with self._changing:
            if self._is_closed:
                raise Lost(None)
            if self._child is None or self._child.poll() is not None:
                if self._child is not None:
                    _killed(self._child)  # it has ended on its own: its pipes are closed
                self._child = _child()
            return self._child

    def _ended(self) -> int | None:
        """Kill it; how it ended, on its own or by this."""
        with self._changing:
            child, self._child = self._child, None
        if child is None:
            return None
        return _killed(child)

    def close(self) -> None:
        """End it, whatever it does."""
        with self._changing:
            self._is_closed = True
            if self._child is not None:
                self._child.kill()
        self._ended()


def _hint(effort: Effort) -> str:
    return f"the host sent {effort.size >> 10} KiB. Find out what it has too much of. Nothing is changed until then"


def _child() -> "subprocess.Popen[bytes]":
    folder = str(Path(service.__file__).parent.parent)
    paths = os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "service.workers.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
        bufsize=0,
    )


def _killed(child: "subprocess.Popen[bytes]") -> int:
    """A process that ends on its own is let: how it ended says why."""
    try:
        status = child.wait(timeout=0.5)
    except subprocess.TimeoutExpired:
        child.kill()
        status = child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()
    return status


def _send(child: "subprocess.Popen[bytes]", work: bytes, ends_s: float) -> None:
    if child.stdin is None:
        raise EOFError
    view = memoryview(LENGTH.pack(len(work)) + work)
    while view:
        _wait(child.stdin.fileno(), select.POLLOUT, ends_s)
        view = view[os.write(child.stdin.fileno(), view[: select.PIPE_BUF]) :]


def _received(child: "subprocess.Popen[bytes]", ends_s: float) -> bytes:
    (length,) = LENGTH.unpack(_exactly(child, LENGTH.size, ends_s))
    return _exactly(child, length, ends_s)


def _exactly(child: "subprocess.Popen[bytes]", size: int, ends_s: float) -> bytes:
    if child.stdout is None:
        raise EOFError
    got = bytearray()
    while len(got) < size:
        _wait(child.stdout.fileno(), select.POLLIN, ends_s)
        chunk = os.read(child.stdout.fileno(), min(CHUNK_BYTES, size - len(got)))
        if not chunk:
            raise EOFError
        got += chunk
    return bytes(got)


def _wait(fd: int, event: int, ends_s: float) -> None:
    poll = select.poll()
    poll.register(fd, event)
    if not poll.poll(max(0.0, ends_s - time.monotonic()) * 1000):
        raise TimeoutError
