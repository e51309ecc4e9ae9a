"""What every event has: a name, who reported it, a sentence for people, fields for programs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

from service.model.states import Json

Part = Literal["git", "host", "person", "service"]
"""Who reported it: a commit, what was seen on a host, somebody who requested something, or passerelle itself."""

Weight = Literal["news", "trouble", "silent"]
"""What the log makes of an event: a line, a warning, or nothing where the log says the same in another way."""

IN_WORDS: Mapping[str, bool] = {"words": True}
UNATTENDED = "passerelle"
"""Who requested what nobody requested."""


@dataclass(frozen=True, kw_only=True)
class Happened:
    """What every event has. `host` is empty for what concerns the fleet, `was` where there was no state before."""

    name: ClassVar[str]
    part: ClassVar[Part]
    weight: ClassVar[Weight] = "news"

    host: str = ""
    was: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The sentence for people."""
        raise NotImplementedError

    @property
    def weighs(self) -> Weight:
        """What the log makes of it."""
        return self.weight

    @property
    def detail(self) -> dict[str, Json]:
        """What programs read: every field but the host's name and those that are in words only."""
        mine = [one for one in fields(self) if one.name != "host" and not one.metadata.get("words")]
        values = {one.name.removesuffix("_"): getattr(self, one.name) for one in mine}
        found: dict[str, Json] = {name: _json(value) for name, value in values.items() if name != "was" or value}
        return found

    @classmethod
    def part_of(cls, detail: Mapping[str, Any]) -> Part:
        """Who reported an event with this detail."""
        return cls.part


def _json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _json(one) for key, one in value.items()}
    return [_json(one) for one in value] if isinstance(value, tuple | list) else value
