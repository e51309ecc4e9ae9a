"""Ports of the machine's loopback that lead into a namespace of the lab.

The caller made the listening socket in the machine's root namespace, and it stays there. Only the lab holds it, so the
port is free again as soon as the lab dies.
"""

import contextlib
import socket
import threading

from service.lab.inside import topology

CHUNK_BYTES = 1 << 16


def start(listener: socket.socket, netns: str, port: int) -> None:
    """Carry every connection of the listener to 127.0.0.1:port inside the namespace."""
    threading.Thread(target=_accept, args=(listener, netns, port), daemon=True).start()


def _accept(listener: socket.socket, netns: str, port: int) -> None:
    while True:
        client, _ = listener.accept()
        threading.Thread(target=_carry, args=(client, netns, port), daemon=True).start()


def _carry(client: socket.socket, netns: str, port: int) -> None:
    with client, topology.socket_in(netns, socket.AF_INET, socket.SOCK_STREAM) as target:
        try:
            target.connect(("127.0.0.1", port))
        except OSError:
            return
        back = threading.Thread(target=_pump, args=(target, client), daemon=True)
        back.start()
        _pump(client, target)
        back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(CHUNK_BYTES):
            sink.sendall(chunk)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
