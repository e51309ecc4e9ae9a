"""Lines of scenarios about views: what API and CLI answer without asking the host."""

from collections.abc import Awaitable, Callable
from typing import Any

from service.errors import InputError
from tests.scenarios.script import Line
from tests.scenarios.stage import HOST, Stage

PACKET = {"from": "outside", "to": "host", "proto": "tcp", "dport": "22"}


class SeesViews:
    """`see view NAME TEXT` and `see view why TEXT`."""

    stage: Stage

    async def _see_view(self, line: Line, rest: str) -> str:
        """What API and CLI answer without asking the host."""
        name, _, text = rest.partition(" ")
        answers = self.stage.answers
        if name == "why":
            found = str(answers.not_known(self.stage.at, self.stage.status) or "")
            return "" if text in found and (found or not text) else found or "everything is known"
        views: dict[str, Callable[[], Awaitable[Any]]] = {
            "observed": lambda: answers.observed(self.stage.at), "desired": lambda: answers.desired(HOST),
            "guests": lambda: answers.guests(self.stage.at), "pools": lambda: answers.pools(HOST),
            "trace": lambda: answers.trace(self.stage.at, PACKET), "patch": lambda: answers.accept(HOST),
            "plan": self._plan_shown,
        }  # fmt: skip
        if name not in views:
            raise line.bad(f"no view {name!r}. Fix: one of {', '.join(views)}, why")
        try:
            found = str(await views[name]())
        except InputError as error:
            return str(error)
        return "" if found != "None" and text in found else found

    async def _plan_shown(self) -> Any:
        if why := self.stage.answers.not_known(self.stage.at, self.stage.status):
            raise why
        return self.stage.queries.current_plan(self.stage.at)
