"""Places at which a program of a test waits until its test lets it continue.

f'{gates.pass_by("before-push", folder)}'           a line of such a script: it waits here while the gate is shut
with gates.shut(folder, "before-push") as gate:
    gate.is_reached()                               a program waits there
…                                                   and continues here
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Gate:
    """One that is shut. `reached` is the descriptor of a pipe that can be read as soon as a program waits there."""

    reached: int

    def is_reached(self) -> bool:
        """Whether a program has come there since the last call."""
        try:
            return bool(os.read(self.reached, 64))
        except BlockingIOError:
            return False


def pass_by(name: str, folder: str) -> str:
    """A line for sh(1). `folder` is the path that the script has for it."""
    gate = f"{folder}/{name}"
    return f"[ ! -p {gate} ] || {{ echo {name} > {gate}; read -r _ < {gate}.open || true; }}"


@contextlib.contextmanager
def shut(folder: Path, name: str) -> Iterator[Gate]:
    """Shut a gate: two pipes (fifo(7)). Nobody writes to the second one: once it is closed, all that wait continue."""
    pipes = [folder / name, folder / f"{name}.open"]
    for pipe in reversed(pipes):
        os.mkfifo(pipe)
        pipe.chmod(0o666)
    ends = [os.open(pipes[0], os.O_RDONLY | os.O_NONBLOCK), os.open(pipes[1], os.O_RDWR | os.O_NONBLOCK)]
    try:
        yield Gate(ends[0])
    finally:
        for pipe in pipes:
            pipe.unlink()
        for end in ends:
            os.close(end)
