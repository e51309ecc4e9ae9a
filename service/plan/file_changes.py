"""What a plan does to files, as people review it: the lines that go and come, and no line next to them.

A file may hold what is nobody else's matter, as the key of a wireless network in the interfaces file: lines that stay
are not shown. Of a secret nothing is.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence

from service.model.facts import Step
from service.model.observed import HostObserved
from service.model.plans import FileChange
from service.model.states import Seen

MOST_BYTES = 64 << 10
MOST_LINES = 200
MOST_CHARACTERS = 400
COMPARED_LINES = 400
"""Beyond, all that was goes and all that will be comes: comparing costs the square of the lines."""


def file_changes(steps: Sequence[Step], blobs: Mapping[str, bytes], observed: HostObserved) -> Iterator[FileChange]:
    """One for each file, in the order of the steps."""
    for step in steps:
        if not step.fact.startswith("file:"):
            continue
        path = step.fact.removeprefix("file:")
        if any(isinstance(side, dict) and "mark" in side for side in (step.before, step.after)):
            yield FileChange(path, is_secret=True)
            continue
        new = blobs.get(str(step.after["sha256"])) if isinstance(step.after, dict) else b""
        seen = observed.text(path)
        old = seen.value if isinstance(seen, Seen) else b"" if step.before is None else None
        size = None if step.after is None or new is None else len(new)
        lines = None if old is None or new is None else changed_lines(old, new)
        cut = max(0, len(lines or ()) - MOST_LINES)
        yield FileChange(path, size, lines if lines is None else lines[:MOST_LINES], cut)


def changed_lines(old: bytes, new: bytes) -> tuple[str, ...] | None:
    """`-` and `+` lines below their places (`@@ -1,2 +1,3 @@`); None for what is long or no UTF-8."""
    if max(len(old), len(new)) > MOST_BYTES:
        return None
    try:
        was, will = old.decode().splitlines(), new.decode().splitlines()
    except UnicodeDecodeError:
        return None
    same = 0
    while same < min(len(was), len(will)) and was[same] == will[same]:
        same += 1
    if max(len(was), len(will)) - same > COMPARED_LINES:
        place = f"@@ -{same + 1},{len(was) - same} +{same + 1},{len(will) - same} @@"
        lines = [place, *(f"-{line}" for line in was[same:]), *(f"+{line}" for line in will[same:])]
    else:
        lines = [*difflib.unified_diff(was, will, lineterm="", n=0)][2:]
    return tuple(line if len(line) <= MOST_CHARACTERS else f"{line[:MOST_CHARACTERS]}…" for line in lines)
