"""Patterns for the JSON Schemas: what an editor can know of a value while it is typed (ECMA 262, without anchors).

    whole(pattern, words) -> schema with the pattern over the whole value
    number(low, high) -> pattern of the digits of a number between two bounds

Lint decides with Python; a schema has only these. `tests/spec/test_agree.py` holds both against each other and lists
what no pattern can say.
"""

from typing import Any


def whole(pattern: str, words: str = "", **more: Any) -> dict[str, Any]:
    """The schema of a text that is this pattern from its first to its last character; `words` say it for people."""
    return {"pattern": f"^(?:{pattern})$", **more, **({"$comment": words} if words else {})}


def number(low: int, high: int) -> str:
    """The digits of the whole numbers from `low` to `high`, without leading zeros."""
    spans: list[str] = []
    while low <= high:
        size = 1  # the widest block of 1, 10, 100, … numbers that begins here and has the same leading digits
        while low % (size * 10) == 0 and low + size * 10 - 1 <= high and low > 0:
            size *= 10
        zeros = len(str(size)) - 1
        last = min(low + 9 * size, low + (high + 1 - low) // size * size - size)
        last = min(last, low - low // size % 10 * size + 9 * size)
        first_digits, last_digits = str(low // size), str(last // size)
        spans.append(f"{first_digits[:-1]}{_digit(first_digits[-1], last_digits[-1])}{_any_digits(zeros)}")
        low = last + size
    return spans[0] if len(spans) == 1 else f"(?:{'|'.join(spans)})"


def _digit(first: str, last: str) -> str:
    return first if first == last else f"[{first}-{last}]"


def _any_digits(count: int) -> str:
    return "" if count == 0 else "[0-9]" if count == 1 else f"[0-9]{{{count}}}"


_HEX = "[0-9A-Fa-f]{1,4}"
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_ANY_IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_LAST_TWO = rf"(?:{_HEX}:{_HEX}|{_ANY_IPV4})"
_ANY_IPV6 = (
    rf"(?:(?:{_HEX}:){{6}}{_LAST_TWO}|::(?:{_HEX}:){{5}}{_LAST_TWO}|"
    + "".join(rf"(?:(?:{_HEX}:){{0,{n}}}{_HEX})?::(?:{_HEX}:){{{4 - n}}}{_LAST_TWO}|" for n in range(5))
    + rf"(?:(?:{_HEX}:){{0,5}}{_HEX})?::{_HEX}|(?:(?:{_HEX}:){{0,6}}{_HEX})?::)"
)
"""RFC 3986, 3.2.2: IPv6address."""

_MAPPED = rf"(?:0{{1,4}}:){{5}}[Ff]{{4}}:|[0:]*:[Ff]{{4}}:(?:{_HEX}:{_HEX}|[0-9.]+)(?:$|[#@/-])"
_NOT_4 = r"(?!0\.0\.0\.0(?:$|[#@/-])|22[4-9]\.|23[0-9]\.|255\.255\.255\.255)"
_NOT_6 = rf"(?![0:.]+(?:$|[#@/-])|[Ff]{{2}}[0-9A-Fa-f]{{2}}:|{_MAPPED})"
_NOT_LOOPBACK_4 = r"(?!127\.)"
_NOT_LOOPBACK_6 = r"(?![0:.]*[:.]0{0,3}1(?:$|[#@/-]))"

ANY_IPV4, ANY_IPV6 = _ANY_IPV4, _ANY_IPV6
OWN_IPV4, OWN_IPV6 = _NOT_4 + _ANY_IPV4, _NOT_6 + _ANY_IPV6
"""Addresses of one machine, this one (loopback) among them."""
IPV4, IPV6 = _NOT_LOOPBACK_4 + OWN_IPV4, _NOT_LOOPBACK_6 + OWN_IPV6
"""Addresses of one machine."""
OWN_ADDRESS = f"(?:{OWN_IPV4}|{OWN_IPV6})"
ADDRESS = f"(?:{IPV4}|{IPV6})"

PORT = number(1, 65535)
PREFIX4 = f"(?:0{{0,2}}[0-9]|0?{number(10, 32)})"
PREFIX6 = f"(?:0{{0,2}}[0-9]|0?{number(10, 99)}|{number(100, 128)})"
"""Lengths of prefixes; Python takes leading zeros, up to three digits."""
CIDR4, CIDR6 = f"{ANY_IPV4}(?:/{PREFIX4})?", f"{ANY_IPV6}(?:/{PREFIX6})?"
"""An address or a network. Whether a network has bits of a host is not said."""


def durations(low_s: int, high_s: int, units: dict[str, int]) -> str:
    """Numbers with a unit between two bounds in seconds; `units` are seconds by their letter."""
    spans = [(-(-low_s // size), high_s // size, unit) for unit, size in units.items()]
    return "|".join(f"{number(max(low, 1), high)}{unit}" for low, high, unit in spans if max(low, 1) <= high)
