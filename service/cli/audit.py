"""`passerelle history verify` and `export`: the chain of who did what. They work on the state directory."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from service.cli.token import Output, StateDir

if TYPE_CHECKING:
    from service.history import Queries
    from service.model.audit import Checked, Entry, Expected, Portion


def verify(
    *,
    file: Annotated[Path | None, Parameter(show_default=False, allow_leading_hyphen=True)] = None,
    expect: str = "",
    state_dir: StateDir = None,
    output: Output = "table",
) -> int:
    """Check that nobody changed, removed, inserted or reordered an entry of the audit log.

    It prints the number and the hash of the last entry. Keep them elsewhere, and name them with --expect at the next
    check. Then it also finds a chain that somebody made again from the start. Exit codes: 0 intact, 1 not.

    Parameters
    ----------
    file
        What `passerelle history export` printed, in place of the database. - is standard input.
    expect
        NUMBER:HASH of an entry, as an earlier check printed it.
    state_dir
        The service's state directory. Without it, PASSERELLE_STATE_DIR, or what the service's environment file says.
    output
        table or json.
    """
    from dataclasses import asdict

    from service.cli.output import complain, show_json, tell
    from service.cli.state import open_state
    from service.model.audit import Expected, check

    expected = Expected.of(expect)
    if file is not None:
        found = check(expected.watch(_of_file(file)))
    else:
        with open_state(state_dir) as history:
            found = checked(history.queries, expected)
    if not found.why:
        found = expected.judge(found)
    if output == "json":
        show_json(asdict(found))
    elif found.why:
        complain(f"the audit log is not what was recorded: {found.why}", "compare it with a copy from before")
    else:
        print(f"{found.last}:{found.hash}")
        tell(f"{found.entries} entries, each as it was recorded")
    return 1 if found.why else 0


def export(*, state_dir: StateDir = None) -> int:
    """Print the audit log as JSON lines, the oldest entry first.

    Parameters
    ----------
    state_dir
        The service's state directory. Without it, PASSERELLE_STATE_DIR, or what the service's environment file says.
    """
    from service.cli.state import open_state

    with open_state(state_dir) as history:
        for portion in portions(history.queries):
            for entry in portion.entries:
                sys.stdout.write(line_of(entry) + "\n")
    return 0


def checked(queries: "Queries", expected: "Expected") -> "Checked":
    """Check all entries. Between two reads the service may delete the oldest by their age. Then those that are left are
    checked again."""
    from service.model.audit import check

    while True:
        found = check(expected.watch(portions(queries)))
        oldest = next(iter(queries.acts_after(0).entries), None)
        if found.broken is None or oldest is None or oldest.id <= found.broken:
            return found
        expected.begin_again()


def portions(queries: "Queries") -> "Iterator[Portion]":
    """All entries, some at a time, so that nobody who writes waits for a long read."""
    last = 0
    while True:
        portion = queries.acts_after(last)
        yield portion
        if portion.is_last:
            return
        last = portion.entries[-1].id


def line_of(entry: "Entry") -> str:
    """An entry as a JSON object, as the API has it."""
    from dataclasses import asdict

    return json.dumps(asdict(entry) | {"at": entry.at.isoformat()}, sort_keys=True)


def _of_file(path: Path) -> "Iterator[Portion]":
    """The entries of an export. InputError for any other file."""
    from service.errors import InputError
    from service.model.audit import Portion

    number = 0
    try:
        with sys.stdin.buffer if str(path) == "-" else path.open("rb") as lines:
            for line in lines:
                number += 1
                yield Portion((_entry(json.loads(line)),))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, RecursionError):
        hint = "give what `passerelle history export` printed"
        raise InputError(f"line {number} of {path} is not an entry of the audit log", hint=hint) from None


def _entry(said: Any) -> "Entry":
    """An entry of a line. ValueError, TypeError or KeyError for any other line."""
    from dataclasses import fields
    from datetime import datetime

    from service.model.audit import Entry

    kinds = {"id": int, "detail": dict}
    if any(type(said[one.name]) is not kinds.get(one.name, str) for one in fields(Entry)):
        raise TypeError("not the type of this field")
    at = datetime.fromisoformat(said["at"])
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    return Entry(**said | {"at": at})
