"""OpenSSH public key lines, as ssh-keyscan(1) and /etc/ssh/*.pub give them: `TYPE BASE64 [COMMENT]` (RFC 4253 6.6)."""

import base64
import binascii
import re
from typing import Annotated

from service.model.trees import quoted
from service.spec.grammar import text, wrong

_LINE = re.compile(r"([a-z0-9-]+) +([A-Za-z0-9+/]+={0,2})(?: +[ -~]*)?")
_ED25519 = "ssh-ed25519"
_RSA = "ssh-rsa"
_CURVES = {f"ecdsa-sha2-nistp{bits}": 2 * ((bits + 7) // 8) + 1 for bits in (256, 384, 521)}
_TYPES = (_ED25519, *_CURVES, _RSA)
_MIN_RSA_BITS = 2048
_SCAN = "take it from `ssh-keyscan HOST` and compare it on the host's console"


def check_host_key(line: str) -> str:
    """Check a key line's structure; canonical form is without comment."""
    match = _LINE.fullmatch(line)
    if not match or match[1] not in _TYPES:
        wrong(f"{quoted(line)} is not a host key", f"write `{_ED25519} AAAA…`; {_SCAN}")
    kind, encoded = match[1], match[2]
    try:
        blob = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        wrong(f"the {kind} key is incomplete", _SCAN)
    fields = _strings(blob)
    if not fields or fields[0] != kind.encode():
        wrong(f"the {kind} key does not hold a key of that type", _SCAN)
    if problem := _wrong_fields(kind, fields[1:]):
        wrong(f"the {kind} key {problem}", _SCAN)
    return f"{kind} {encoded}"


def _strings(blob: bytes) -> list[bytes] | None:
    """The length-prefixed strings that a key blob consists of; None if it does not."""
    fields: list[bytes] = []
    at = 0
    while at < len(blob):
        size = int.from_bytes(blob[at : at + 4], "big")
        at += 4 + size
        if at > len(blob) or len(fields) > 4:
            return None
        fields.append(blob[at - size : at])
    return fields


def _wrong_fields(kind: str, fields: list[bytes]) -> str:
    if kind == _ED25519:
        return "" if [len(part) for part in fields] == [32] else "does not have 32 bytes"
    if kind == _RSA:
        if len(fields) != 2:
            return "is not an exponent with a modulus"
        bits = int.from_bytes(fields[1], "big").bit_length()
        return "" if bits >= _MIN_RSA_BITS else f"has {bits} bits, and {_MIN_RSA_BITS} is the minimum"
    curve = kind.rpartition("-")[2].encode()
    whole = len(fields) == 2 and fields[0] == curve and len(fields[1]) == _CURVES[kind]
    return "" if whole else "is not a point on its curve"


HostKey = Annotated[
    str,
    *text(
        check_host_key,
        {"pattern": f"^({'|'.join(_TYPES)}) +[A-Za-z0-9+/]+={{0,2}}( .*)?$"},
        "an SSH public key: ed25519, ECDSA, or RSA of at least 2048 bits",
    ),
]
