"""What may be known of one thing on a host. Unknown is never Absent."""

from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

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


def well_formed(value: Any) -> Any:
    """The value with U+FFFD for each lone surrogate. JSON may name one (RFC 8259, 8.2), but no UTF-8 can hold it."""
    if isinstance(value, str):
        return _well_formed(value)
    if isinstance(value, list | tuple):
        return [well_formed(item) for item in value]
    if isinstance(value, dict):
        return {_well_formed(key): well_formed(item) for key, item in value.items()}
    return value


def _well_formed(text: str) -> str:
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
