"""What every page says first: hosts that undo a change soon unless it is confirmed."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.web.asked import Asked

MOST = 5


async def banner_of(asked: Asked) -> Sequence[Mapping[str, Any]]:
    """The applies that wait for their confirmation now."""
    page = await asked.get("/api/v1/applies", phase="AwaitingConfirmation", limit=MOST)
    items: list[Mapping[str, Any]] = page["items"]
    return items
