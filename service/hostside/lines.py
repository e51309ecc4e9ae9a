"""What comes in on stdin and goes out on stdout: JSON."""

from __future__ import annotations

import contextlib
import json
import os
import sys

from service.hostside.document import DOCUMENT_LIMIT_BYTES
from service.hostside.errors import BadInput, Json, need


def emit(**line: Json) -> None:
    """One JSON line on stdout. A connection that has gone stops nothing."""
    data = json.dumps(line, sort_keys=True).encode() + b"\n"
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(1, data) :]


def read_input() -> Json:
    """The JSON value on stdin, bounded. BadInput."""
    limit = 2 * DOCUMENT_LIMIT_BYTES
    raw = sys.stdin.buffer.read(limit + 1)
    need(len(raw) <= limit, f"stdin: more than {limit >> 20} MiB")
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise BadInput("stdin: no JSON") from None
