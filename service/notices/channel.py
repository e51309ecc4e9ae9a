"""A way by which people are informed, and what all ways share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from service.errors import PasserelleError
from service.model.states import Json

Send: TypeAlias = Callable[[str, datetime, Mapping[str, Json]], str]
"""(id, at, body) of a notice: sends it once. Blocks. Returns what was wrong though the notice was taken, or nothing.
NoticeError where it was not taken."""


class NoticeError(PasserelleError):
    """A notice was not taken. It is sent again later."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One way. `name` is the key of its row in the database and a label of its numbers, `where` its address in words,
    without anything secret."""

    name: str
    where: str
    send: Send
