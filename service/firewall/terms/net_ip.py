"""What Perl's Net::IP accepts as an address, a prefix or a range, with its words for what it does not accept.

Proxmox checks the addresses of rules with it. Its peculiarities are part of the meaning of the files: fewer than four
quads are filled with zeros, and a prefix length that is not a number is ignored.
"""

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from service.firewall.terms.model import Family

_PREFIX = re.compile(r"(\S+?)(/\S+)")
_RANGE = re.compile(r"(.+?)\s*-\s*(.+)")
_DIGITS = re.compile(r"[0-9]+")
_V6_PART = re.compile(r"[0-9a-fA-F]{1,4}")


class Unusable(Exception):  # noqa: N818 (an answer, not a fault)
    """The text is not an address for Net::IP; the message is Net::IP's."""


@lru_cache(maxsize=4096)
def check(text: str) -> Family:
    """The family of an address, prefix or range. Raises Unusable."""
    prefix = _PREFIX.fullmatch(text)
    if prefix:
        return _check_prefix(prefix[1], prefix[2][1:])
    span = _RANGE.fullmatch(text)
    if span:
        return _check_range(span[1], span[2])
    family = _family(text)
    _number(text, family)
    return family


def _check_prefix(address: str, length: str) -> Family:
    family = _family(address)
    number = _number(address, family)
    bits = 128 if family == 6 else 32
    if not _DIGITS.fullmatch(length):
        return family
    if len(length) > 4 or int(length) > bits:
        raise Unusable(f"Prefix length {length} is longer than IP address ({bits})")
    if number & ((1 << (bits - int(length))) - 1):
        raise Unusable(f"Invalid prefix {number:0{bits}b}/{length}")
    return family


def _check_range(first: str, last: str) -> Family:
    family = _family(first)
    low = _number(first, family)
    high = _last_number(last, family)
    if low > high:
        words = (_expanded(number, family) for number in (low, high))
        raise Unusable(f"Begin address is greater than End address {' - '.join(words)}")
    return family


def _last_number(text: str, family: Family) -> int:
    # the end of a range is filled up first and checked afterwards
    if family == 6:
        _check_v6(text)
        return _number(text, 6)
    number = _number(text.rstrip("."), 4)
    for quad in text.rstrip(".").split("."):
        if int(quad) > 255:
            raise Unusable(f"Invalid quad in IP address {text} - {int(quad)}")
    return number


def _expanded(number: int, family: Family) -> str:
    return IPv6Address(number).exploded if family == 6 else str(IPv4Address(number))


def _family(text: str) -> Family:
    if ":" not in text:
        _check_v4(text)
        return 4
    _check_v6(text)
    return 6


def _check_v4(text: str) -> None:
    if not re.fullmatch(r"[0-9.]+", text):
        raise Unusable(f"Invalid chars in IP {text}")
    if text.startswith("."):
        raise Unusable(f"Invalid IP {text} - starts with a dot")
    if text.endswith("."):
        raise Unusable(f"Invalid IP {text} - ends with a dot")
    if text.count(".") > 3:
        raise Unusable(f"Invalid IP address {text}")
    if ".." in text:
        raise Unusable(f"Empty quad in IP address {text}")
    for quad in text.split("."):
        if len(quad.lstrip("0")) > 3 or int(quad) > 255:
            raise Unusable(f"Invalid quad in IP address {text} - {quad}")


def _check_v6(text: str) -> None:
    colons = text.count(":")
    if colons > 7:
        raise Unusable("")
    last = len(text.rstrip(":").split(":"))
    for position, part in enumerate(text.rstrip(":").split(":"), 1):
        if not part or _V6_PART.fullmatch(part):
            continue
        if position == last == colons + 1 and _is_v4(part):
            colons += 1
            continue
        raise Unusable(f"Invalid IP address {text}")
    if re.match(r":[^:]", text):
        raise Unusable(f"Invalid address {text} (starts with :)")
    if re.search(r"[^:]:\Z", text):
        raise Unusable(f"Invalid address {text} (ends with :)")
    if len(re.findall(r":(?=:)", text)) > 1:
        raise Unusable(f"Invalid address {text} (More than one :: pattern)")
    if colons != 7 and "::" not in text:
        raise Unusable(f"Invalid number of octets {text}")


def _is_v4(text: str) -> bool:
    try:
        _check_v4(text)
    except Unusable:
        return False
    return True


def _number(text: str, family: Family) -> int:
    if family == 6:
        head, _, tail = text.rpartition(":")
        if "." in tail and _is_v4(tail):
            text = f"{head}:{IPv4Address(_number(tail, 4))}"
        try:
            return int(IPv6Address(text))
        except AddressValueError:
            raise Unusable(f"Invalid IP address {text}") from None
    quads = text.split(".")
    if len(quads) > 4:
        raise Unusable(f"Not a valid IPv address {text}")
    if not all(len(quad) <= 3 and _DIGITS.fullmatch(quad) for quad in quads):
        raise Unusable(f"Not a valid IPv4 address {text}")
    number = 0
    for quad in (*quads, *["0"] * (4 - len(quads))):
        number = number << 8 | int(quad)
    return number
