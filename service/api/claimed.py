"""What became of a request that must not be done twice."""

from typing import Literal, Protocol

from service.model.states import Json


class Claimed(Protocol):
    """What became of an Idempotency-Key: see `service.history.store.access.Claim`."""

    @property
    def outcome(self) -> Literal["new", "busy", "other", "done"]: ...

    @property
    def status(self) -> int: ...

    @property
    def location(self) -> str: ...

    @property
    def body(self) -> Json: ...
