"""The document of a transaction as it comes in: nothing of it is used before all of it was checked."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

from service.hostside.canonical import as_bytes
from service.hostside.errors import BadInput, Json, need
from service.hostside.facts import FACTS, is_of, split_fact
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


def check_document(document: Json) -> dict[str, bytes]:
    """BadInput unless this is a transaction; the decoded blobs by their sha256."""
    need(isinstance(document, dict), "the document is not a JSON object")
    need(document.get("format") == FORMAT, f"format: {FORMAT} is the one that is known here")
    for key in document:
        need(key in _DOCUMENT, f"{str(key)[:40]!r} is not a key of a transaction")
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
        need(step[key] is None or FACTS[kind].fits(step[key]), f"{where}.{key}: no value of a {kind} fact")
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
