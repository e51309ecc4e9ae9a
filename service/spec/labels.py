"""`labels`: short words about a host, by which people choose several at once."""

import re
from collections.abc import Mapping
from typing import Annotated, TypeAlias

from pydantic import Field

from service.model.labels import KEY, MOST, VALUE
from service.model.trees import quoted
from service.spec.grammar import text, wrong
from service.spec.patterns import whole

_KEY, _VALUE = re.compile(KEY), re.compile(VALUE)


def check_key(value: str) -> str:
    """What a label is about."""
    if not _KEY.fullmatch(value):
        wrong(f"{quoted(value)} is not the key of a label", "write a-z, 0-9 and inner . _ -, such as site")
    return value


def check_value(value: str) -> str:
    """What a label says."""
    if not _VALUE.fullmatch(value):
        wrong(f"{quoted(value)} is not the value of a label", "write letters, digits and inner . _ -, such as paris")
    return value


LabelKey = Annotated[
    str, *text(check_key, whole(KEY, "a-z, 0-9 and inner . _ -; at most 63 characters", examples=["site"]))
]
LabelValue = Annotated[
    str, *text(check_value, whole(VALUE, "letters, digits and inner . _ -; at most 63 characters", examples=["paris"]))
]
Labels: TypeAlias = Annotated[Mapping[LabelKey, LabelValue], Field(max_length=MOST)]
