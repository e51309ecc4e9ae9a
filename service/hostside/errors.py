"""What goes wrong, in the four ways that a caller answers differently."""

from __future__ import annotations

from typing import Any

Json = Any


class BadInput(Exception):  # noqa: N818
    """What came in cannot be used. The message says where and why."""


class Trouble(Exception):  # noqa: N818
    """The host did not do what was requested. The message can be shown to people."""


class Foreign(Trouble):
    """A file was changed by someone else: theirs stays, nothing of ours was written."""


class Refused(Exception):  # noqa: N818
    """Nothing was changed. `reason` is a fixed word: fenced, armed, quarantined, space, check, conflict, …"""

    def __init__(self, reason: str, error: str, **more: Json) -> None:
        super().__init__(error)
        self.answer: dict[str, Json] = {"state": "refused", "reason": reason, "error": error, **more}


class UnknownFormat(Trouble):
    """A journal of a later version (or a damaged one): nothing of it is touched."""


def need(condition: bool, message: str) -> None:
    if not condition:
        raise BadInput(message)
