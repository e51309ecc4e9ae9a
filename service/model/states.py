"""What may be known of one thing on a host. Unknown is never Absent."""

from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


@dataclass(frozen=True, slots=True)
class Seen(Generic[T_co]):
    """It is there, and this is its canonical value. `where` says in which file or rule, if that is not obvious."""

    value: T_co
    where: str = ""


@dataclass(frozen=True, slots=True)
class Absent:
    """It was looked for and is not there."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """It could not be read; `why` in words. Nothing Unknown is ever overwritten or deleted."""

    why: str


Observed: TypeAlias = Seen[T] | Absent | Unknown
