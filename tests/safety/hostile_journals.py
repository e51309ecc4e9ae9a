"""What a hostile host makes of what the host-side file prints: each takes verb, true output and turn, gives another.

JOURNALS[name](verb, stdout) -> bytes
"""

import json
from collections.abc import Callable
from typing import Any

Told = Callable[[str, bytes], bytes]
OTHER = "01ZZZZZZZZZZZZZZZZZZZZZZZZ"
MIB = 1 << 20


def line(**fields: Any) -> bytes:
    return json.dumps(fields).encode() + b"\n"


def edited(*verbs: str, **fields: Any) -> Told:
    """The result of these verbs with other fields."""

    def made(verb: str, stdout: bytes) -> bytes:
        if verb not in verbs:
            return stdout
        *events, last = stdout.rstrip(b"\n").split(b"\n") if stdout.strip() else [b"{}"]
        try:
            result = json.loads(last)
        except ValueError:
            return stdout
        return b"".join(event + b"\n" for event in events) + line(**{**result, "event": "result", **fields})

    return made


def before(verb: str, events: Callable[[], bytes]) -> Told:
    """More lines before what is true."""
    return lambda asked, stdout: events() + stdout if asked == verb else stdout


def instead(verb: str, text: bytes) -> Told:
    return lambda asked, stdout: text if asked == verb else stdout


def to_and_fro() -> bytes:
    """Steps that go forward and backward without end."""
    turns = (line(event="step", number=n % 3, state=("doing", "done")[n % 2]) for n in range(60_000))
    return line(event="state", state="armed") + b"".join(turns)


def steps_that_are_none() -> bytes:
    numbers: tuple[object, ...] = (-1, 10**30, 10**300, 1.5, None, "x", [], True)
    return line(event="state", state="armed") + b"".join(
        line(event="step", number=n, state="done") for n in numbers * 500
    )


def journals(count: int) -> list[dict[str, Any]]:
    return [{"id": f"01{n:024d}", "state": "confirmed", "steps": []} for n in range(count)]


JOURNALS: dict[str, Told] = {
    "journal: something else is armed for ever": edited("status", armed=OTHER),
    "journal: quarantined by nobody": edited("status", armed=OTHER, quarantined=OTHER),
    "journal: 60,000 of others": edited("status", journals=journals(60_000)),
    "journal: no list": edited("status", journals={"a": 1}, armed=["x"], generation="many"),
    "journal: a generation without end": edited("status", generation=10**4000),
    "journal: the generation goes backward": edited("status", "begin", generation=-5),
    "journal: half a character": edited("status", "begin", "confirm", error="\ud800\x1b[2J", controller="\udfff"),
    "begin: steps to and fro": before("begin", to_and_fro),
    "begin: steps that are none": before("begin", steps_that_are_none),
    "begin: an event of 3 MB": before(
        "begin", lambda: line(event="step", number=0, state="doing", error="x" * (3 * MIB))
    ),
    "begin: 7 MB of nothing": before("begin", lambda: b"\n" * (7 * MIB)),
    "begin: 9 MB of nothing": before("begin", lambda: b"x" * (9 * MIB)),
    "begin: confirmed already": edited("begin", state="confirmed"),
    "begin: rolled back, it says": edited("begin", state="rolled_back", cause="deadline"),
    "begin: no result": instead("begin", b"done\n"),
    "begin: results without end": instead("begin", line(event="result", state="applied") * 100_000),
    "begin: deep": instead("begin", b'{"event": "result", "steps": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"),
    "begin: 20,000 steps in the result": edited("begin", steps=[{"state": "done", "error": "x" * 50}] * 20_000),
    "confirm: confirmed, it says": instead("confirm", line(event="result", state="confirmed", steps=[])),
    "confirm: of another": edited("confirm", id=OTHER),
    "confirm: NaN": instead("confirm", b'{"event": "result", "state": "applied", "steps": NaN}\n'),
}
