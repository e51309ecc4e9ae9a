"""The lab's control socket: one JSON line as question, one as answer, and open files passed along (unix(7)).

The socket also says who the lab is: its peer credentials are those of the lab's PID 1, in the asker's own numbering.
"""

import contextlib
import json
import os
import select
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.errors import LabError, PasserelleError
from service.lab.waiting import LOOK_S, Patience, grown_s

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
MAX_FILES = 4


@dataclass
class Message:
    """One request or answer: its JSON object and the open files (owned by the receiver) that came with it."""

    body: dict[str, Any]
    files: list[int] = field(default_factory=list)


Answer = Callable[[str, Message], Message]


def send(connection: socket.socket, message: Message) -> None:
    """Send one message; files are duplicated by the kernel and stay open here."""
    line = json.dumps(message.body).encode() + b"\n"
    if message.files:
        sent = socket.send_fds(connection, [line], message.files)
        line = line[sent:]
    if line:  # a peer that has read it all may be gone by now, and even nothing cannot be sent to it
        connection.sendall(line)


def receive(connection: socket.socket) -> Message:
    """Receive one message; LabError when the other side hung up before the end of it."""
    data, files, _, _ = socket.recv_fds(connection, 1 << 16, MAX_FILES)
    parts, size = [data], len(data)
    while not parts[-1].endswith(b"\n"):
        parts.append(connection.recv(1 << 20))
        size += len(parts[-1])
        if not parts[-1] or size > MAX_MESSAGE_BYTES:
            for fd in files:
                os.close(fd)
            raise LabError("the lab hung up in the middle of an answer")
    return Message(json.loads(b"".join(parts)), list(files))


def ask(path: Path, op: str, timeout_s: float, files: Sequence[int] = (), **arguments: Any) -> Message:
    """Ask the lab to do something; raises LabError with the lab's own words when it says no."""
    with _connected(path, timeout_s) as connection:
        send(connection, Message({"op": op, **arguments}, list(files)))
        patience = Patience(timeout_s)
        while not select.select([connection], [], [], LOOK_S)[0]:
            if patience.is_over():
                raise LabError(f"the lab did not answer `{op}` within {timeout_s:g} s of an idle machine")
        try:
            answer = receive(connection)
        except TimeoutError:
            raise LabError(f"the lab's answer to `{op}` did not come to its end") from None
    if error := answer.body.get("error"):
        raise LabError(str(error))
    return answer


def lab_pid(path: Path) -> int:
    """The lab's PID 1 as this process numbers it; LabError when no lab listens there."""
    with _connected(path, timeout_s=5) as connection:
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", raw)[0])


def _connected(path: Path, timeout_s: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(grown_s(timeout_s))
    try:
        connection.connect(str(path))
    except OSError as error:
        connection.close()
        raise LabError(f"no lab answers at {path}: {error.strerror}", hint="passerelle lab up") from None
    return connection


def serve(listener: socket.socket, answer: Answer) -> None:
    """Answer each connection in a thread of its own, for ever."""
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_converse, args=(connection, answer), daemon=True).start()


def _converse(connection: socket.socket, answer: Answer) -> None:
    with connection, contextlib.suppress(OSError):
        request = receive(connection)
        try:
            reply = answer(str(request.body.pop("op", "")), request)
        except (PasserelleError, OSError, KeyError, ValueError, TypeError) as error:
            what = str(error) if isinstance(error, PasserelleError) else f"{type(error).__name__}: {error}"
            reply = Message({"error": what})
        send(connection, reply)
        for fd in reply.files:
            os.close(fd)
