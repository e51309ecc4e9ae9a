"""What a line says has to be seen, compared with what is there."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from service.model.runs import Apply, Drill, HostStatus
from tests.scenarios.script import Line


def nth_compared(line: Line, newest_first: Sequence[Apply | Drill], rest: str) -> str:
    """`2 FIELD=VALUE …`: of the one before the newest; without a number of the newest."""
    number, _, more = rest.partition(" ")
    nth, wanted = (int(number), more) if number.isdigit() else (1, rest)
    return compared(line, next(iter(newest_first[nth - 1 :]), None), wanted)


def compared(line: Line, have: HostStatus | Apply | Drill | Any, wanted: str) -> str:
    """`field=value …` (`-` is empty), and `field~TEXT` as the last of them: what is otherwise, or empty."""
    if have is None:
        return "there is none"
    known = {item.name for item in fields(have)}
    left = wanted
    while left:
        word, _, left = left.partition(" ")
        name, sign, value = word.partition("~") if "~" in word else word.partition("=")
        if name not in known or not sign:
            raise line.bad(f"{word!r} names no field. Fix: FIELD=VALUE with one of {', '.join(sorted(known))}")
        found = str(getattr(have, name))
        if sign == "~":
            text, left = f"{value} {left}".strip(), ""
            if text not in found:
                return f"{name} is {found!r}"
        elif found != value.replace("-", "", 1) if value == "-" else found != value:
            return f"{name} is {found!r}; {have}"
    return ""
