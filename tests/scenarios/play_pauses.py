"""The words of scenarios about what keeps applies from beginning."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from service.model.listings import ApplyListing
from service.model.suspensions import Scope
from service.stop_file import NAME
from tests.scenarios.script import Line
from tests.scenarios.stage import Stage

UNITS = {"m": "minutes", "h": "hours"}


class PlaysPauses:
    """A person suspends hosts, or lays down the stop file."""

    stage: Stage

    async def _suspend(self, line: Line) -> None:
        """`suspend`, `suspend 2h`, `suspend label KEY=VALUE`, `suspend all`: for a day without a time."""
        words = line.rest.partition("refused")[0].split()
        length = words.pop() if words and words[-1][-1:] in UNITS and words[-1][:-1].isdigit() else "24h"
        scope: Scope = "label" if words[:1] == ["label"] else "all" if words == ["all"] else "host"
        target = words[1] if scope == "label" else "" if scope == "all" else self.stage.at
        until = self.stage.clock.now() + timedelta(**{UNITS[length[-1]]: int(length[:-1])})
        await self._asked(
            line, lambda: self.stage.control.suspend(scope, target, "the switch is replaced", until, "ann")
        )

    async def _resume(self, line: Line) -> None:
        """Every suspension ends."""
        for one in self.stage.queries.suspended(self.stage.clock.now()):
            await self.stage.control.resume(one.id, "ann")

    async def _rollback(self, line: Line) -> None:
        """`rollback first`, `rollback COMMIT`: back to the first apply of the host, or to what a commit wanted."""
        to = line.rest.partition(" ")[0]
        if to == "first":
            to = self.stage.queries.applies(ApplyListing(host=self.stage.at, limit=200)).items[-1].id
        host, why = self.stage.at, "the switch is replaced"
        await self._asked(line, lambda: self.stage.control.rollback(host, to, why, "ann"))

    async def _stop(self, line: Line) -> None:
        """`stop TEXT` lays the file down, `stop none` removes it."""
        path = self.stage.state_dir / NAME
        if line.rest == "none":
            path.unlink()
        else:
            path.write_text(line.rest)

    async def _asked(self, line: Line, ask: Callable[[], Awaitable[Any]]) -> None:
        raise NotImplementedError
