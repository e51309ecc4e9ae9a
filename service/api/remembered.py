"""What was read of the database, for as long as nothing was written to it since.

    status = await parts.remembered.read(parts.reads.state, parts.reads.host, "pve1")

A value is kept with the state of the database of before its read. It is given again only in that very state, so it is
what a read would find now. Where the state is not known (`None`), everything is read.
"""

from collections import OrderedDict
from collections.abc import Callable, Sized
from typing import Any, ParamSpec, TypeVar

from service.api.values import ask

P = ParamSpec("P")
T = TypeVar("T")

MOST_ROWS = 4_000
"""So many rows at most in all values; of more, what was read longest ago goes."""


class Remembered:
    """Used from one thread (the event loop's)."""

    def __init__(self) -> None:
        self._state: int | None = None
        self._values: OrderedDict[Any, tuple[Any, int]] = OrderedDict()
        self._rows = 0

    async def read(
        self, state: Callable[[], int | None], function: Callable[P, T], *args: P.args, **named: P.kwargs
    ) -> T:
        """What the function finds in the database; called in a thread where it is not known."""
        now, key = state(), (function, args, *sorted(named.items()))
        if now is not None and self._moved_to(now) and (kept := self._values.get(key)) is not None:
            value: T = kept[0]
            return value
        value = await ask(function, *args, **named)
        if now is not None and self._moved_to(now) and key not in self._values:
            self._keep(key, value)
        return value

    def _moved_to(self, state: int) -> bool:
        """Whether it is the newest state; what was known in an earlier one goes."""
        if self._state is None or state > self._state:
            self._state = state
            self._values.clear()
            self._rows = 0
        return state == self._state

    def _keep(self, key: Any, value: Any) -> None:
        rows = rows_of(value)
        self._values[key] = value, rows
        self._rows += rows
        while self._rows > MOST_ROWS and len(self._values) > 1:
            _, (_, gone) = self._values.popitem(last=False)
            self._rows -= gone


def rows_of(value: Any) -> int:
    """About how many rows a value holds."""
    parts = (getattr(value, name, None) for name in ("items", "hosts", "sites"))
    return 1 + sum(len(one) for one in parts if isinstance(one, Sized))
