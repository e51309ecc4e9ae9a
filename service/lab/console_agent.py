"""Runs on a host with a kernel of its own: commands of the console come over a serial port, not over the network.

One JSON object on a line each way. Question: `id`, `argv`, `stdin` (base64), `timeout_s`. Answer: `id`, `code`, `out`
and `err` (base64). The first line is `{"id": 0}`. It is copied into the host's image and needs Python's own modules.
"""

import base64
import json
import subprocess
import threading
from pathlib import Path
from typing import BinaryIO

PORT_NAME = "passerelle.lab"
_writing = threading.Lock()


def port(name: str = PORT_NAME) -> Path:
    """The device of the port of this name; StopIteration when the kernel has none."""
    ports = Path("/sys/class/virtio-ports").iterdir()
    return next(Path("/dev") / entry.name for entry in ports if (entry / "name").read_text().strip() == name)


def answer(question: dict[str, object], to: BinaryIO) -> None:
    """Run one command to its end and say how it went."""
    given = base64.b64decode(str(question["stdin"]))
    argv = [str(word) for word in question["argv"]]  # type: ignore[attr-defined]
    try:
        limit_s = float(str(question["timeout_s"]))
        done = subprocess.run(argv, input=given, capture_output=True, timeout=limit_s, check=False)
        code, out, err = done.returncode, done.stdout, done.stderr
    except (OSError, subprocess.TimeoutExpired) as error:
        code, out, err = 127, b"", str(error).encode()
    texts = {"out": base64.b64encode(out).decode(), "err": base64.b64encode(err).decode()}
    say({"id": question["id"], "code": code, **texts}, to)


def say(message: dict[str, object], to: BinaryIO) -> None:
    """Write one line, whole."""
    left = memoryview(json.dumps(message).encode() + b"\n")
    with _writing:
        while left:
            left = left[to.write(left) :]


def main() -> None:
    with port().open("r+b", buffering=0) as device, device_lines(device) as lines:
        say({"id": 0}, device)
        for line in lines:
            threading.Thread(target=answer, args=(json.loads(line), device), daemon=True).start()


def device_lines(device: BinaryIO) -> BinaryIO:
    """The same device to read lines from."""
    return open(device.fileno(), "rb", closefd=False)


if __name__ == "__main__":
    main()
