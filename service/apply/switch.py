"""The host-side file on one open connection: sent once by its content, called by verb.

Switch(host, root="", bin_dir="", file=None)
    .ask(verb, *words, stdin=None, timeout_s=…, on_event=None) -> dict    the result line
    raises HostRefused (bad input, no python3, no room for the file), HostError (it crashed), Garbled, Unreachable

With `root` and `bin_dir` it works on a scratch root with commands of its own, not on the host itself. `file` is another
archive than the one of this service.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from service.apply.host_file import HostFile, host_file
from service.errors import Garbled, HostError, HostRefused
from service.model.states import well_formed
from service.model.trees import shown
from service.observe.connection import Answer, Host

FOLDER = "/var/lib/passerelle/hostside"
UNKEPT = """import os, sys
path = f"/proc/self/fd/{os.memfd_create('passerelle')}"
with open(path, "wb") as file:
    file.write(sys.stdin.buffer.read())
sys.path.insert(0, path)
from service.hostside.main import main
sys.exit(main(sys.argv[1:], path))"""
NOT_THERE = 97
NO_PROGRAM = 127
LAST_LINES = 20
UPLOAD_TIMEOUT_S = 30.0
SMALL_BYTES = 64 << 10
"""So long an answer is read at once. A longer one is read in a thread, which others may have taken: a confirmation does
not wait for those."""
# A file that a power cut left empty has the right name and the wrong bytes: only its digest says that it is there.
RUN = 'printf "%s  %s\\n" "$1" "$2" | sha256sum -c --status 2>/dev/null || exit 97; shift; exec python3 -I -S "$@"'
UPLOAD = """umask 077
mkdir -p "$1" && new=$(mktemp "$1/.new.XXXXXX") || exit 1
if cat >"$new" && printf '%s  %s\\n' "$2" "$new" | sha256sum -c --status && sync "$new" && mv -f "$new" "$1/$2.py"
then exit 0; fi
rm -f "$new"
exit 1"""
WORDS = {
    "conflict": "the host has changed since the plan was made",
    "fenced": "another controller has applied to this host since",
    "armed": "another transaction is armed on this host",
    "quarantined": "a rollback failed on this host before, and nobody has released it",
    "space": "the host has no room for a snapshot",
    "read-only": "nothing can be written on the host",
    "locked": "another process on the host holds passerelle's lock",
    "arm": "the automatic rollback could not be set up on the host",
    "unknown": "the host could not be read",
    "check": "a native syntax check rejected a file",
    "vital": "the rollback, the SSH connection or the boot depends on it",
    "packages": "packages that the spec does not name would be installed or removed",
    "no-way-in": "a new SSH connection to the host cannot be opened, so no change could be confirmed",
}

Event = dict[str, Any]


class Switch:
    """Verbs of the host-side file over one connection."""

    def __init__(self, host: Host, root: str = "", bin_dir: str = "", file: HostFile | None = None) -> None:
        self._host = host
        self._folder = root + FOLDER
        self._options = [*(["--root", root] if root else []), *(["--bin", bin_dir] if bin_dir else [])]
        self._file = file or host_file()

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
        if answer.exit_status == NO_PROGRAM:
            raise HostRefused(
                "python3 is not on the host", reason="no-python", hint="run `apt-get install python3` on the host"
            )
        return await _read(verb, answer)

    async def ask_unkept(self, verb: str, order: object, *, timeout_s: float) -> Event:
        """Run one verb that only looks, with its order as a word. The file goes to Python's standard input and runs
        from memory (memfd_create(2)). Nothing of it stays on the host.
        """
        argv = ["python3", "-I", "-S", "-c", UNKEPT, *self._options, verb, json.dumps(order)]
        answer = await self._host.run(argv, stdin=self._file.content, timeout_s=timeout_s)
        if answer.exit_status == NO_PROGRAM:
            raise HostRefused(
                "python3 is not on the host", reason="no-python", hint="run `apt-get install python3` on the host"
            )
        return await _read(verb, answer)

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

        path = f"{self._folder}/{self._file.digest}.py"
        argv = ["sh", "-c", RUN, "sh", self._file.digest, path, *self._options, verb, *words]
        return await self._host.run(argv, stdin=stdin, timeout_s=timeout_s, on_line=line)

    async def _upload(self) -> None:
        argv = ["sh", "-c", UPLOAD, "sh", self._folder, self._file.digest]
        answer = await self._host.run(argv, stdin=self._file.content, timeout_s=UPLOAD_TIMEOUT_S)
        if answer.exit_status != 0:
            raise HostRefused(
                f"the host-side file cannot be written below {self._folder}: {last_words(answer)}",
                reason="space",
                hint="check whether the disk is full or read-only",
            )


async def _read(verb: str, answer: Answer) -> Event:
    """The result, read off the event loop where the host said much."""
    if len(answer.stdout) <= SMALL_BYTES:
        return checked(verb, answer)
    return await asyncio.to_thread(checked, verb, answer)


def checked(verb: str, answer: Answer) -> Event:
    """The result of a verb that took its input and ended well. Raises HostRefused, HostError, Garbled."""
    result = result_of(answer)
    if result.get("state") == "invalid":
        raise HostRefused(f"{verb}: {result.get('error')}", reason="input")
    if answer.exit_status != 0 or result.get("state") == "error":
        raise HostError(f"{verb} failed on the host: {result.get('error', 'no reason was given')}")
    return result


def event_of(text: str) -> Event | None:
    """One line of the host-side file; None for anything else that the host prints."""
    if not text.startswith("{"):  # parsing costs, failing to costs more
        return None
    try:
        event = well_formed(json.loads(text))
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def result_of(answer: Answer) -> Event:
    """The result: the last line that is one, among the last few; the host-side file says nothing after it."""
    for line in reversed(answer.stdout.rstrip(b"\n").rsplit(b"\n", LAST_LINES)[-LAST_LINES:]):
        event = event_of(line.decode("utf-8", "replace"))
        if event is not None and event.get("event") == "result":
            return event
    raise Garbled(f"the host-side file gave no result: {last_words(answer)}")


def last_words(answer: Answer) -> str:
    """The last line of what a command said, to show."""
    said = (answer.stderr.strip() or answer.stdout.strip()).decode("utf-8", "replace").splitlines()
    return shown(said[-1]) if said else f"it ended with status {answer.exit_status} and said nothing"
