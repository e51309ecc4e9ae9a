"""The server of the models: answers the fakes of all hosts that one test process made, until that process ends.

    python3 -I -S serve.py SOCKET

Says "ready" on standard output, and ends when its standard input does. A request is a row of texts, each after its
length (4 bytes, big-endian): the model's folder, the program's name, its standard input, its arguments. The length of
the row comes first. An answer is the exit code (1 byte) and such a row: standard output, standard error, and a command
line that the caller has to start.
"""

import contextlib
import os
import shutil
import socketserver
import struct
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.hostside.fakes import fake_commands, guest_commands, network_commands
from tests.hostside.fakes.fake_commands import Call, answer

fake_commands.COMMANDS.update({**network_commands.COMMANDS, **guest_commands.COMMANDS})


def unpack(row: bytes) -> list[str]:
    texts, at = [], 0
    while at < len(row):
        (length,) = struct.unpack_from(">I", row, at)
        texts.append(row[at + 4 : at + 4 + length].decode())
        at += 4 + length
    return texts


def pack(*texts: str) -> bytes:
    return b"".join(struct.pack(">I", len(text)) + text for text in map(str.encode, texts))


class Asked(socketserver.StreamRequestHandler):
    """One connection is one call."""

    def handle(self) -> None:
        request = self.rfile.read()
        if len(request) < 4 or request[:4] != struct.pack(">I", len(request) - 4):
            return  # the caller was killed during its request
        model, name, stdin, *argv = unpack(request[4:])
        call = Call(Path(model), name, argv, stdin)
        code, out, err = answer(call)
        with contextlib.suppress(OSError):  # or while it waited
            self.wfile.write(bytes([code]) + pack(out, err, *call.start))


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """The hosts' calls do not wait for each other."""

    daemon_threads = True
    request_queue_size = 64


def main() -> None:
    socket = Path(sys.argv[1])
    with Server(str(socket), Asked) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        os.write(1, b"ready\n")
        while os.read(0, 1):
            pass
    shutil.rmtree(socket.parent)


if __name__ == "__main__":
    main()
