"""The status that the program in a proxy's guest writes about its certificates, as JSON.

    read_status(text) -> Seen(GuestTold) | Absent | Unknown     Absent for an empty text: nothing was written yet

A guest writes it, so it is hostile: at most 256 KiB, at most 2,000 certificates. Names are domain names, times before
the year 10000, texts are one line without control characters, and bounded. Anything wrong makes all of it Unknown, with
the place. Keys that are not known are passed over: a newer program may say more.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn, get_args

from service.model.sites.told import (
    Attempt,
    CertificateHeld,
    CertificateKind,
    CertificateTold,
    GuestTold,
    Outcome,
    PermitKept,
    RenewalWindow,
    WindowBy,
)
from service.model.states import Absent, Observed, Seen, Unknown, well_formed
from service.model.trees import shown

MOST_BYTES = 256 * 1024
MOST_CERTIFICATES = 2000
MOST_NAMES = 100
DETAIL = 500
"""How much of the CA's reason is kept."""
VERSION = 1
_LATEST = 253_402_300_799  # the end of the year 9999, the last that a datetime can tell
_LABEL = r"[a-z0-9_](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z)(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")
_SERIAL = re.compile(r"[0-9a-fA-F:]{0,64}")
_PLAIN = re.compile(r"[a-z][a-z-]{0,29}")
_MOST_COUNT = 1_000_000
MOST_WHY = 2000


class WrongStatusError(ValueError):
    """What is wrong, and where."""


def read_status(text: bytes) -> Observed[GuestTold]:
    """What the program says. Never raises."""
    if not text.strip():
        return Absent()
    if len(text) > MOST_BYTES:
        return Unknown(f"its status is larger than {MOST_BYTES // 1024} KiB")
    try:
        value = well_formed(json.loads(text.decode(), parse_constant=_no_constant))
    except (ValueError, RecursionError):
        return Unknown("its status is not JSON")
    try:
        return Seen(_status(value))
    except WrongStatusError as error:
        return Unknown(f"its status cannot be read: {error}")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _status(value: Any) -> GuestTold:
    top = _mapping(value, "the whole")
    if top.get("version") != VERSION or isinstance(top["version"], bool):
        raise WrongStatusError(f"version is not {VERSION}")
    rows = _mapping(top.get("certificates"), "certificates")
    if len(rows) > MOST_CERTIFICATES:
        raise WrongStatusError(f"more than {MOST_CERTIFICATES:,} certificates")
    found = {_name(name, "certificates"): _certificate(name, row) for name, row in rows.items()}
    trouble = _text(top.get("trouble"), "trouble", DETAIL)
    return GuestTold(_time(top.get("written_at"), "written_at"), found, trouble)


def _certificate(name: str, value: Any) -> CertificateTold:
    row = _mapping(value, name)
    names = row.get("names")
    if not isinstance(names, list) or not 0 < len(names) <= MOST_NAMES:
        raise WrongStatusError(f"{name}: names is not a list of 1 to {MOST_NAMES} names")
    return CertificateTold(
        name=name,
        names=tuple(_name(one, f"{name}: names") for one in names),
        held=_held(row.get("certificate"), f"{name}: certificate"),
        window=_window(row.get("window"), f"{name}: window"),
        last_attempt=_attempt(row.get("last_attempt"), f"{name}: last_attempt"),
        failures_in_the_hour=_count(row.get("failures_in_the_hour"), f"{name}: failures_in_the_hour"),
        failed_since_issue=_count(row.get("failed_since_issue"), f"{name}: failed_since_issue"),
        next_attempt_at=_maybe_time(row.get("next_attempt_at"), f"{name}: next_attempt_at"),
        waits_for=_plain(row.get("waits_for"), f"{name}: waits_for"),
        permit=_permit(row.get("permit"), f"{name}: permit"),
    )


def _held(value: Any, where: str) -> CertificateHeld | None:
    if value is None:
        return None
    row = _mapping(value, where)
    serial = _text(row.get("serial"), f"{where}: serial", 64)
    if not _SERIAL.fullmatch(serial):
        raise WrongStatusError(f"{where}: serial is not hexadecimal")
    return CertificateHeld(
        _word(row.get("kind"), CertificateKind, f"{where}: kind"),
        _time(row.get("not_before"), f"{where}: not_before"),
        _time(row.get("not_after"), f"{where}: not_after"),
        _text(row.get("issuer"), f"{where}: issuer", 200),
        canonical_serial(serial),
    )


def canonical_serial(text: str) -> str:
    """A serial number in hex as it is compared: lower case, without colons and leading zeros."""
    return text.replace(":", "").lower().lstrip("0")


def _window(value: Any, where: str) -> RenewalWindow | None:
    if value is None:
        return None
    row = _mapping(value, where)
    start, end = _time(row.get("start"), f"{where}: start"), _time(row.get("end"), f"{where}: end")
    if end < start:
        raise WrongStatusError(f"{where}: it ends before it starts")
    return RenewalWindow(start, end, _word(row.get("by"), WindowBy, f"{where}: by"))


def _attempt(value: Any, where: str) -> Attempt | None:
    if value is None:
        return None
    row = _mapping(value, where)
    return Attempt(
        _time(row.get("at"), f"{where}: at"),
        _word(row.get("outcome"), Outcome, f"{where}: outcome"),
        _plain(row.get("stage"), f"{where}: stage"),
        _text(row.get("type"), f"{where}: type", 200),
        _text(row.get("detail"), f"{where}: detail", DETAIL),
    )


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise WrongStatusError(f"{where} is not an object")
    return value


def _name(value: Any, where: str) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise WrongStatusError(f"{where}: {shown(str(value)[:200], 60)} is not a domain name")
    return value


def _time(value: Any, where: str) -> int:
    """Whole seconds; a fraction is cut off."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
        raise WrongStatusError(f"{where} is not a time")
    return int(value)


def _maybe_time(value: Any, where: str) -> int | None:
    return None if value is None else _time(value, where)


def _count(value: Any, where: str) -> int:
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_COUNT:
        raise WrongStatusError(f"{where} is not a count")
    return value


def _text(value: Any, where: str, limit: int) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise WrongStatusError(f"{where} is not a text")
    return shown(value, limit)


def _word(value: Any, words: Any, where: str) -> Any:
    if not isinstance(value, str) or value not in get_args(words):
        raise WrongStatusError(f"{where} is none of {', '.join(get_args(words))}")
    return value


def _plain(value: Any, where: str) -> str:
    """A plain word of the program, also one that is not known here: a newer program may have others."""
    if value is None:
        return ""
    if not isinstance(value, str) or not _PLAIN.fullmatch(value):
        raise WrongStatusError(f"{where} is not a word")
    return value


def _permit(value: Any, where: str) -> PermitKept | None:
    if value is None:
        return None
    row = _mapping(value, where)
    return PermitKept(row.get("ok") is True, _text(row.get("why"), f"{where}: why", MOST_WHY))
