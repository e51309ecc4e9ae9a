"""Column types: times as integers that sort, canonical JSON, compressed bytes, addresses that sort as numbers."""

import ipaddress
import json
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Dialect, LargeBinary, Text
from sqlalchemy.types import TypeDecorator

from service.history.words import WIDE

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class UtcTime(TypeDecorator[datetime]):
    """An aware datetime as microseconds since 1970: exact, 8 bytes, sorts as it should. Naive values are refused."""

    impl = WIDE
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else microseconds(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        return None if value is None else _EPOCH + timedelta(microseconds=int(value))


class WideNumber(TypeDecorator[int]):
    """A number of 64 bits."""

    impl = WIDE
    cache_ok = True


class JsonText(TypeDecorator[Any]):
    """Canonical JSON. None is JSON's null, not SQL's. A lone surrogate, which no UTF-8 can hold, becomes `?`."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any | None, dialect: Dialect) -> str:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode("utf-8", "replace").decode()

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)


MAX_BYTES = 16 << 20
LEVEL = 1
"""Of zlib: about a third of the CPU time of its default, and a third more bytes. Each host has one such value."""


class Compressed(TypeDecorator[bytes]):
    """Bytes as a zlib stream (RFC 1950). ValueError for one that would become more than `MAX_BYTES`, or is damaged."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: bytes | None, dialect: Dialect) -> bytes | None:
        return None if value is None else zlib.compress(value, LEVEL)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> bytes | None:
        if value is None:
            return None
        stream = zlib.decompressobj()
        try:
            found = stream.decompress(value, MAX_BYTES)
        except zlib.error as error:
            raise ValueError(f"the compressed value is damaged: {error}") from None
        if not stream.eof:
            raise ValueError(f"the compressed value is cut, or has more than {MAX_BYTES} bytes")
        return found


def microseconds(at: datetime) -> int:
    """Microseconds since 1970. ValueError for a time without a zone."""
    if at.tzinfo is None:
        raise ValueError(f"{at!r} has no time zone")
    return (at - _EPOCH) // timedelta(microseconds=1)


def from_microseconds(value: int) -> datetime:
    """The reverse."""
    return _EPOCH + timedelta(microseconds=value)


def ip_order(ip: str) -> str:
    """A fixed-width key by which addresses sort as numbers, IPv4 before IPv6. ValueError if `ip` is not an address."""
    address = ipaddress.ip_address(ip)
    return f"{address.version}{int(address):032x}"
