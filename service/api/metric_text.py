"""Families of numbers in Prometheus' text form 0.0.4, as `prometheus_client.generate_latest` writes them.

That one builds objects for each number, which costs ten times as much as the text.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from prometheus_client.utils import floatToGoString

Row = tuple[Sequence[str], float]
"""The values of the labels, and the number."""


class Family(NamedTuple):
    """Numbers of one name; `labels` has a name for each value of a row."""

    name: str
    about: str
    labels: Sequence[str]
    rows: Iterable[Row]
    kind: Literal["gauge", "counter"] = "gauge"


def head_of(family: Family) -> str:
    """The lines that say what it is."""
    about = family.about.replace("\\", r"\\").replace("\n", r"\n")
    return f"# HELP {family.name} {about}\n# TYPE {family.name} {family.kind}\n"


def lines_of(family: Family) -> str:
    """A line for each number."""
    shape = family.name
    if family.labels:
        shape += "{" + ",".join(f'{label}="%s"' for label in family.labels) + "}"
    return "".join(f"{shape % tuple(map(_escaped, values))} {_number(number)}\n" for values, number in family.rows)


def text_of(families: Iterable[Family]) -> str:
    """All of them."""
    return "".join(head_of(family) + lines_of(family) for family in families)


def _number(value: float) -> str:
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]


def _escaped(value: str) -> str:
    if value.isalnum():
        return value
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
