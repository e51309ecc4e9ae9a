"""Counts calls of functions, by the interpreter's profile hook: a measure of work that no busy machine changes."""

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import service

HOME = f"{Path(service.__file__).parent}/"


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Calls on this thread and on those that begin meanwhile: of functions of the service by `room/file.py:name`, of
    all functions, also those written in C, by the empty name."""
    calls: Counter[str] = Counter()

    def called(frame: FrameType, event: str, _: Any) -> None:
        if event in ("call", "c_call"):
            calls[""] += 1
        if event == "call" and frame.f_code.co_filename.startswith(HOME):
            calls[f"{frame.f_code.co_filename.removeprefix(HOME)}:{frame.f_code.co_name}"] += 1

    threading.setprofile(called)
    sys.setprofile(called)
    try:
        yield calls
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]  # None takes it away
