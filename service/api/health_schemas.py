"""What the API answers about itself."""

from typing import Literal

from pydantic import Field

from service.api.schemas import Answer


class Live(Answer):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Ready(Answer):
    """Whether the service can do its work; `missing` names what is in the way."""

    status: Literal["ready", "not ready"]
    missing: list[str] = Field(default_factory=list)
