"""Work for the tests of service.workers: what a process can be given, by its name."""

import os
import signal
import threading
import time

from service.errors import Garbled, HostRefused


def thread_name() -> str:
    return threading.current_thread().name


def process() -> int:
    return os.getpid()


def add(one: int, other: int) -> int:
    return one + other


def for_ever() -> None:
    while True:
        pass


def all_memory() -> int:
    return len(bytes(1 << 34))


KEPT: list[bytes] = []


def grown(size: int) -> int:
    KEPT.append(b"x" * size)
    return os.getpid()


def garbled() -> None:
    raise Garbled("no answer", hint="look")


def refused() -> None:
    raise HostRefused("no", reason="fenced")  # cannot be read back from a pickle


def ended_by_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def printed() -> int:
    print("in the way")
    return 1


def spin(seconds: float) -> int:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass
    return os.getpid()
