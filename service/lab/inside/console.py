"""The two lines to a host under QEMU that work when its network does not: its console's agent, and QEMU itself.

QEMU's own is QMP: one JSON object on a line each way (docs/interop/qmp-spec.txt of QEMU).
"""

import base64
import itertools
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from service.errors import LabError
from service.lab.waiting import Patience, wait_for

LOOK_S = 0.5


class Line:
    """JSON objects, one on a line, both ways. A thread of its own reads until the other side ends."""

    def __init__(self, reading: IO[bytes], writing: IO[bytes]) -> None:
        self._reading, self._writing = reading, writing
        self._changed = threading.Condition()
        self._over = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def say(self, message: dict[str, Any]) -> None:
        """Send one object; LabError when the other side has ended."""
        try:
            with self._changed:
                self._writing.write(json.dumps(message).encode() + b"\n")
                self._writing.flush()
        except (OSError, ValueError):
            raise LabError("the host went off") from None

    def join(self) -> None:
        """Return when all has been read that the other side said."""
        self._thread.join()

    def take(self, message: dict[str, Any]) -> None:
        """What is done with an object that arrived; called with `_changed` held."""
        raise NotImplementedError

    def _read(self) -> None:
        try:
            for line in self._reading:
                with self._changed:
                    self.take(json.loads(line))
                    self._changed.notify_all()
        except (OSError, ValueError):
            pass  # it ended in the middle of a line
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def wait(self, condition: Callable[[], Any], what: str, timeout_s: float) -> None:
        """Wait for a condition on what arrived. LabError when the other side ends first, and after the limit."""
        patience = Patience(timeout_s)
        with self._changed:
            while not condition():
                if self._over:
                    raise LabError("the host went off")
                if patience.is_over():
                    raise LabError(f"{what} took more than {timeout_s:g} s of an idle machine")
                self._changed.wait(LOOK_S)


class Console(Line):
    """Commands at the console of a running host; may be called from any thread."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(str(path))
        self._numbers = itertools.count(1)
        self._answers: dict[int, dict[str, Any]] = {}
        self._ready = False
        super().__init__(self._socket.makefile("rb"), self._socket.makefile("wb"))

    def take(self, message: dict[str, Any]) -> None:
        self._ready = True
        self._answers[message["id"]] = message

    def run(self, argv: list[str], stdin: str, timeout_s: float) -> dict[str, Any]:
        """Run a command. `stdin`, and `out` and `err` of the answer, are base64; `code` is its exit code."""
        patience = Patience(timeout_s)
        what = f"`{' '.join(argv)}`"
        self.wait(lambda: self._ready, what, timeout_s)
        number = next(self._numbers)
        limit_s = max(1.0, patience.left_s()) * 2  # it ends on the host, too, when nobody waits for it any more
        self.say({"id": number, "argv": argv, "stdin": stdin or base64.b64encode(b"").decode(), "timeout_s": limit_s})
        self.wait(lambda: number in self._answers, what, timeout_s)
        with self._changed:
            return self._answers.pop(number)

    def close(self) -> None:
        """End the line."""
        self._socket.close()


class Monitor(Line):
    """QEMU's own line: why the host ended, and its cables."""

    def __init__(self, reading: IO[bytes], writing: IO[bytes]) -> None:
        self.end = ""
        self._greeted = False
        self._replies: list[dict[str, Any]] = []
        self._asking = threading.Lock()
        super().__init__(reading, writing)
        self.ask("qmp_capabilities")

    def take(self, message: dict[str, Any]) -> None:
        if message.get("event") == "SHUTDOWN":
            self.end = str(message["data"]["reason"])
        elif "return" in message or "error" in message:
            self._replies.append(message)

    def ask(self, command: str, **arguments: Any) -> None:
        """Have QEMU do something; LabError when it does not."""
        with self._asking:
            self.say({"execute": command, "arguments": arguments})
            self.wait(lambda: self._replies, command, timeout_s=10)
            reply = self._replies.pop()
        if "error" in reply:
            raise LabError(f"{command}: {reply['error']['desc']}")


def connected(path: Path) -> Console:
    """The console whose socket QEMU makes as it starts."""

    def attempt() -> Console | None:
        try:
            return Console(path)
        except OSError:
            return None

    return wait_for(attempt, "QEMU to offer the host's console", timeout_s=20)
