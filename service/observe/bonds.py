"""Bonds as the kernel shows them below /sys/class/net/NAME/bonding, in the words of `ip -d -j link`. Pure."""

import re
from typing import Any

from service.observe.part import LINK_NAME, Unreadable

_VALUE = re.compile(
    r"==> /sys/class/net/([^/\n]+)/bonding/(mode|miimon|xmit_hash_policy|lacp_rate|primary) <==\n([^\n]{0,64})(?:\n|\Z)"
)
"""The kernel prints nothing, and no line, for a bond without a primary; that file may be the last one."""
_NAMED = {"mode": "mode", "xmit_hash_policy": "xmit_hash_policy", "lacp_rate": "ad_lacp_rate"}
_WORD = re.compile(r"([A-Za-z0-9.+-]{1,20}) \d{1,2}")


def bonds_of(text: str) -> dict[str, dict[str, Any]]:
    """{name: what ip calls info_data} from `head -v` of these files. Unreadable for a bond that went meanwhile."""
    found: dict[str, dict[str, Any]] = {}
    for name, key, value in _VALUE.findall(text):
        data = found.setdefault(name, {})
        if key == "miimon":
            if not value.isdecimal():
                raise Unreadable(f"the kernel showed a miimon of {name} that is not a number")
            data[key] = int(value)
        elif key == "primary":
            if value and not LINK_NAME.fullmatch(value):
                raise Unreadable(f"the kernel showed a primary port of {name} without a usable name")
            data[key] = value
        else:
            word = _WORD.fullmatch(value)
            if word is None:
                raise Unreadable(f"the kernel showed a {key} of {name} that cannot be read")
            data[_NAMED[key]] = word[1]
    for name, data in found.items():
        if len(data) < 5:
            raise Unreadable(f"the bond {name} went away while it was read")
    return found
