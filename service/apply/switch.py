"""The host-side file on one open connection: brought there once by its content, asked by verb.

Switch(host)
    .ask(verb, *words, stdin=None, timeout_s=…, on_event=None) -> dict    the result line
    raises HostRefused (the file said no, or the input was bad), HostError (it crashed), Garbled, Unreachable
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service.apply.host import Answer, Host
from service.errors import Garbled, HostError, HostRefused
from service.hostside import passerelle_host

FOLDER = "/var/lib/passerelle/hostside"
NOT_THERE = 97
UPLOAD_TIMEOUT_S = 30.0
RUN = '[ -f "$1" ] || exit 97; exec python3 -I -S "$@"'
UPLOAD = (
    'umask 077 && mkdir -p "$1" && t=$(mktemp "$1/.new.XXXXXX") && cat > "$t" && '
    '[ "$(sha256sum < "$t" | cut -d" " -f1)" = "$2" ] && mv -f "$t" "$1/$2.py"'
)
WORDS = {
    "conflict": "the host is not as it was when the plan was made",
    "fenced": "another controller has applied to this host since",
    "armed": "another transaction is armed on this host",
    "quarantined": "a rollback failed on this host before; a person has to look and release it",
    "space": "the host has no room for a snapshot",
    "check": "a native syntax check refused a file",
}

Event = dict[str, Any]


class Switch:
    """Verbs of the host-side file over one connection."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._source = Path(passerelle_host.__file__).read_bytes()
        self._digest = hashlib.sha256(self._source).hexdigest()

    async def ask(
        self,
        verb: str,
        *words: str,
        stdin: object = None,
        timeout_s: float = 30.0,
        on_event: Callable[[Event], None] | None = None,
    ) -> Event:
        """Run one verb to its result; every other line it prints goes to `on_event` as it comes."""
        data = b"" if stdin is None else json.dumps(stdin).encode()
        answer = await self._run(verb, words, data, timeout_s, on_event)
        if answer.exit_status == NOT_THERE:
            await self._upload()
            answer = await self._run(verb, words, data, timeout_s, on_event)
        result = result_of(answer)
        if result.get("state") == "invalid":
            raise HostRefused(f"{verb}: {result.get('error')}", reason="input")
        if answer.exit_status != 0 or result.get("state") == "error":
            raise HostError(f"{verb} failed on the host: {result.get('error', 'no reason was told')}")
        return result

    async def _run(
        self,
        verb: str,
        words: tuple[str, ...],
        stdin: bytes,
        timeout_s: float,
        on_event: Callable[[Event], None] | None,
    ) -> Answer:
        def line(text: str) -> None:
            event = event_of(text)
            if on_event is not None and event is not None and event.get("event") != "result":
                on_event(event)

        argv = ["sh", "-c", RUN, "sh", f"{FOLDER}/{self._digest}.py", verb, *words]
        return await self._host.run(argv, stdin=stdin, timeout_s=timeout_s, on_line=line)

    async def _upload(self) -> None:
        argv = ["sh", "-c", UPLOAD, "sh", FOLDER, self._digest]
        answer = await self._host.run(argv, stdin=self._source, timeout_s=UPLOAD_TIMEOUT_S)
        if answer.exit_status != 0:
            raise HostError(
                "the host-side file could not be written to the host",
                hint=f"is there room below {FOLDER}, and may the login write there?",
            )


def event_of(text: str) -> Event | None:
    """One line of the host-side file; None for anything else that the host prints."""
    try:
        event = json.loads(text)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def result_of(answer: Answer) -> Event:
    """The result: the last line that is one."""
    for text in reversed(answer.stdout.decode("utf-8", "replace").splitlines()):
        event = event_of(text)
        if event is not None and event.get("event") == "result":
            return event
    raise Garbled(f"the host-side file gave no result (exit status {answer.exit_status})")
