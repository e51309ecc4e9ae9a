"""Labels of hosts, by which people choose several at once. They mean nothing to passerelle itself.

labelled("site=paris") -> ("site", "paris")        has(labels, one) -> whether a host has that label
"""

import re
from collections.abc import Mapping

MOST = 32
"""Labels of one host."""
KEY = r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?"
VALUE = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_ONE = re.compile(f"({KEY})=({VALUE})")


def labelled(text: str) -> tuple[str, str] | None:
    """The key and the value of `KEY=VALUE`; None for any other text."""
    match = _ONE.fullmatch(text)
    return (match[1], match[2]) if match else None


def has(labels: Mapping[str, str], one: tuple[str, str]) -> bool:
    """Whether these labels have that key with that value."""
    return labels.get(one[0]) == one[1]
