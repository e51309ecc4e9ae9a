"""The document of a transaction as it comes in: nothing of it is used before all of it was checked."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import ipaddress
import re
from typing import Callable

from service.hostside.canonical import FACT_NAMES, LEASE_NAME, LINK_NAME, as_bytes, split_fact
from service.hostside.errors import BadInput, Json, need
from service.hostside.journal import FORMAT

DOCUMENT_LIMIT_BYTES = 8 << 20
_DOCUMENT = {
    "format": int,
    "id": str,
    "generation": int,
    "controller": str,
    "plan_digest": str,
    "confirm_timeout_s": int,
    "steps": list,
    "keep": list,
    "checks": list,
    "blobs": dict,
}
_STEP = {"fact": str, "before": object, "after": object, "why": str, "restart": bool, "on_confirm": bool, "risk": str}
CHECKS = ("dnsmasq", "nft", "sshd")


def is_of(value: Json, kind: type) -> bool:
    return isinstance(value, kind) and (kind is not int or not isinstance(value, bool))


def check_document(document: Json) -> dict[str, bytes]:
    """BadInput unless this is a transaction; the decoded blobs by their sha256."""
    need(isinstance(document, dict), "the document is no JSON object")
    need(document.get("format") == FORMAT, f"format: {FORMAT} is the one that is known here")
    for key in document:
        need(key in _DOCUMENT, f"{str(key)[:40]!r} is no key of a transaction")
    document.setdefault("keep", [])
    document.setdefault("checks", [])
    document.setdefault("blobs", {})
    for key, kind in _DOCUMENT.items():
        need(key in document and is_of(document[key], kind), f"{key}: must be there, of type {kind.__name__}")
    need(bool(re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}", document["id"])), "id: must be a ULID")
    need(0 < document["generation"] < 1 << 62, "generation: must be a positive number")
    need(1 <= document["confirm_timeout_s"] <= 3600, "confirm_timeout_s: 1 to 3600")
    for key in ("controller", "plan_digest"):
        need(bool(re.fullmatch(r"[\x21-\x7e]{1,200}", document[key])), f"{key}: 1 to 200 printable characters")
    need(0 < len(document["steps"]) + len(document["keep"]) <= 5000, "steps: 1 to 5000")
    blobs = _check_blobs(document["blobs"])
    for where, entries in (("steps", document["steps"]), ("keep", document["keep"])):
        for number, step in enumerate(entries):
            _check_step(step, f"{where}[{number}]", blobs, where == "keep")
    stepped = {step["fact"] for step in document["steps"]}
    for step in document["keep"]:
        need(step["fact"] not in stepped, f"keep: {step['fact']} is changed by a step")
    for check in document["checks"]:
        shape = isinstance(check, list) and len(check) == 2 and all(isinstance(word, str) for word in check)
        need(shape and check[0] in CHECKS, f"checks: [program, fact's name] with a program of {', '.join(CHECKS)}")
    return blobs


def _check_blobs(encoded: dict[str, Json]) -> dict[str, bytes]:
    blobs = {}
    for name, text in encoded.items():
        try:
            content = base64.b64decode(text, validate=True)
        except (TypeError, ValueError, binascii.Error):
            raise BadInput(f"blobs: {name[:12]} is not base64") from None
        need(hashlib.sha256(content).hexdigest() == name, f"blobs: {name[:12]} is not the sha256 of its bytes")
        blobs[name] = content
    need(sum(map(len, blobs.values())) <= DOCUMENT_LIMIT_BYTES, "blobs: more than 8 MiB")
    return blobs


def _check_step(step: Json, where: str, blobs: dict[str, bytes], keep: bool) -> None:
    need(isinstance(step, dict), f"{where}: must be an object")
    for key, value in step.items():
        need(
            key in _STEP and is_of(value, _STEP[key]),
            f"{where}.{str(key)[:40]}: not a key of a step, or of another type",
        )
    for key in ("fact", "before", "after"):
        need(key in step, f"{where}.{key}: must be there")
    step.setdefault("why", "")
    step.setdefault("restart", False)
    step.setdefault("on_confirm", False)
    kind, _ = split_fact(step["fact"])
    for key in ("before", "after"):
        need(step[key] is None or _value_fits(kind, step[key]), f"{where}.{key}: no value of a {kind} fact")
    if keep:
        need(as_bytes(step["before"]) == as_bytes(step["after"]), f"{where}: what is kept has one value")
    elif kind == "file" and step["after"] is not None:
        need(step["after"].get("sha256") in blobs, f"{where}.after: its bytes are not among the blobs")
    elif kind == "package":
        need(step["after"] is None and step["before"] is not None, f"{where}: a package only goes in a transaction")
    elif kind == "nft" and step["after"] is not None:
        start = "table " + step["fact"].partition(":")[2] + " {"
        load = step["after"].get("load", "")
        need(load.startswith(start) and "include" not in load, f"{where}.after.load: must be {start!r} … '}}'")


def _value_fits(kind: str, value: Json) -> bool:
    if kind == "addresses":
        return isinstance(value, list) and all(_is_address(item) for item in value)
    if kind == "routes":
        return isinstance(value, list) and all(_is_route(item) for item in value)
    if kind == "sysctl":
        return isinstance(value, str) and bool(re.fullmatch(r"[\x20-\x7e]{1,400}", value))
    if kind == "masquerade":
        return is_of(value, int) and 0 <= value <= 100
    fields: dict[str, dict[str, Callable[[Json], bool]]] = {
        "file": {
            "sha256": lambda v: isinstance(v, str) and bool(re.fullmatch("[0-9a-f]{64}", v)),
            "mode": lambda v: isinstance(v, str) and bool(re.fullmatch("[0-7]{4}", v)),
            "uid": lambda v: is_of(v, int) and v >= 0,
            "gid": lambda v: is_of(v, int) and v >= 0,
            "size": lambda v: is_of(v, int),
            "xattrs": lambda v: isinstance(v, dict),
        },
        "link": {
            "type": lambda v: v in ("bridge", "other"),
            "up": lambda v: isinstance(v, bool),
            "mtu": lambda v: is_of(v, int) and 68 <= v <= 65535,
            "master": lambda v: v is None or _is_link_name(v),
            "stp": lambda v: isinstance(v, bool),
            "forward_delay_s": lambda v: not isinstance(v, bool) and isinstance(v, (int, float)) and 0 <= v <= 30,
            "ports": lambda v: isinstance(v, list) and all(_is_port(port) for port in v),
        },
        "nft": {"normal": lambda v: isinstance(v, list), "load": lambda v: isinstance(v, str)},
        "unit": {
            "enabled": lambda v: isinstance(v, str) and bool(re.fullmatch("[a-z-]{0,40}", v)),
            "active": lambda v: isinstance(v, bool),
        },
        "leases": {
            "from": lambda v: isinstance(v, str) and bool(re.fullmatch(FACT_NAMES["file"], v)) and "/../" not in v,
            "unnamed": lambda v: isinstance(v, list) and all(_is_lease_name(item) for item in v),
        },
        "package": {"version": lambda v: isinstance(v, str) and bool(re.fullmatch("[0-9A-Za-z.+:~-]{1,200}", v))},
    }
    checks = fields[kind]
    return isinstance(value, dict) and all(key in checks and checks[key](item) for key, item in value.items())


def _is_lease_name(value: Json) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(LEASE_NAME, value))


def _is_link_name(value: Json) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(LINK_NAME, value))


def _is_port(value: Json) -> bool:
    return isinstance(value, dict) and set(value) <= {"name", "up"} and _is_link_name(value.get("name"))


def is_ip(value: Json) -> bool:
    if not isinstance(value, str) or not re.fullmatch("[0-9a-fA-F.:]{2,45}", value):
        return False
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(value))
    return False


def _is_address(value: Json) -> bool:
    address, _, length = value.partition("/") if isinstance(value, str) else ("", "", "")
    return is_ip(address) and bool(re.fullmatch("[0-9]{1,3}", length))


def _is_route(value: Json) -> bool:
    if not isinstance(value, dict) or set(value) != {"family", "via", "dev"} or value["family"] not in (4, 6):
        return False
    return _is_link_name(value["dev"]) and (value["via"] is None or is_ip(value["via"]))
