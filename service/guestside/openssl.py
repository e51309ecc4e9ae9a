"""Keys and self-signed certificates by openssl(1): they need no network and no package of ours."""

from __future__ import annotations

import os
import secrets

from .due import DAY_S
from .durable import Json, read_bytes
from .errors import Trouble
from .settings import Wanted
from .world import command

CURVE = "prime256v1"
SELF_SIGNED_DAYS = 3650
SELF_SIGNED = "placeholder"
TIMEOUT_S = 60


def new_key(path: str) -> None:
    """A new P-256 key in a file that only root can read."""
    made = command(["openssl", "ecparam", "-name", CURVE, "-genkey", "-noout"], timeout_s=TIMEOUT_S)
    pkcs8 = command(["openssl", "pkcs8", "-topk8", "-nocrypt"], timeout_s=TIMEOUT_S, stdin=made)
    if b"BEGIN PRIVATE KEY" not in pkcs8:
        raise Trouble("openssl made no key")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(pkcs8)
        file.flush()
        os.fsync(file.fileno())


def self_signed(wanted: Wanted, now: float, folder: str) -> tuple[bytes, bytes, Json]:
    """(chain, key, facts) of a certificate for these names that nobody trusts; `folder` is for the time of the call.

    One process for each: a proxy may have a hundred names, and a host waits for this.
    """
    names, serial, key = ",".join(f"DNS:{name}" for name in wanted.names), secrets.token_hex(8), folder + "/key.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", f"ec_paramgen_curve:{CURVE}", "-nodes", "-sha256"]
    argv += ["-keyout", key, "-days", str(SELF_SIGNED_DAYS), "-set_serial", f"0x{serial}"]
    argv += ["-subj", f"/O=passerelle/CN={SELF_SIGNED}", "-addext", f"subjectAltName={names}"]
    argv += ["-addext", "basicConstraints=critical,CA:FALSE"]
    chain = command(argv, timeout_s=TIMEOUT_S)
    facts = {
        "kind": "self-signed",
        "names": list(wanted.names),
        "not_before": int(now),
        "not_after": int(now) + SELF_SIGNED_DAYS * DAY_S,
        "issuer": f"CN={SELF_SIGNED},O=passerelle",
        "serial": serial,
        "directory": None,
    }
    return chain, read_bytes(key), facts
