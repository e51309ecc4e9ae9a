"""Certificates that go to the guest of another host: sealed for that guest alone, so whoever carries them reads no key.

    offer    the receiving guest makes a key pair, and prints its certificate
    pack     the giving guest prints its certificates, their keys, its accounts and its orders, sealed for that one
    unpack   the receiving guest opens them, and nginx reads what is better than what it has

The seal is CMS (RFC 5652) with AES-256-GCM (RFC 5084), made by openssl-cms(1). The giving guest keeps all that it has.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import zlib
from typing import Sequence

from . import openssl, run, status, store
from .durable import Json, locked, make_folder, read_bytes, sync_folder, write_new
from .errors import Trouble
from .record import Record
from .settings import Settings, Wanted
from .world import World, command

TIMEOUT_S = 60
DAYS = "2"
MOST_BYTES = 4 << 20
MOST_OPENED = 16 << 20
ACCOUNT = re.compile(r"[0-9a-f]{16}\.pem")
FACTS = ("kind", "names", "not_before", "not_after", "issuer", "serial", "directory")


def offer(world: World) -> Json:
    """A new key pair; what the other guest has to know of it."""
    folder = world.kept("handover")
    shutil.rmtree(folder, ignore_errors=True)
    make_folder(folder)
    openssl.new_key(os.path.join(folder, "key.pem"))
    argv = ["openssl", "req", "-x509", "-new", "-key", os.path.join(folder, "key.pem"), "-sha256", "-days", DAYS]
    certificate = command([*argv, "-subj", "/O=passerelle/CN=handover"], timeout_s=TIMEOUT_S)
    write_new(os.path.join(folder, "certificate.pem"), certificate)
    sync_folder(folder)
    return {"version": 1, "certificate": certificate.decode("ascii")}


def pack(world: World, wanted: Settings, given: Json) -> Json:
    """What this guest has, sealed for the certificate that `offer` printed. Trouble where there is nothing to give."""
    certificate = _text(given, "certificate")
    with run.changing(world):
        content = {
            "version": 1,
            "accounts": _accounts(world),
            "certificates": {each.name: found for each in wanted.certificates for found in _held(world, each)},
            "record": Record(world).all,
        }
    if not content["certificates"]:
        raise Trouble("this guest has no issued certificate to give")
    with store.scratch(world) as folder:
        recipient = os.path.join(folder, "recipient.pem")
        write_new(recipient, certificate.encode())
        argv = ["openssl", "cms", "-encrypt", "-binary", "-outform", "DER", "-aes-256-gcm", recipient]
        sealed = command(argv, timeout_s=TIMEOUT_S, stdin=zlib.compress(json.dumps(content).encode()))
    return {"version": 1, "sealed": base64.b64encode(sealed).decode("ascii"), "names": sorted(content["certificates"])}


def unpack(world: World, wanted: Settings, given: Json) -> Json:
    """Open what `pack` sealed, and use it; the names of which nginx has another certificate now."""
    content = _opened(world, given)
    with locked(world.kept("run.lock"), 600) as free:
        if not free:
            raise Trouble("another run has been at work for more than 600 s. Fix: try again")
        with run.changing(world):
            _take_accounts(world, content["accounts"])
            record = Record(world)
            _take_record(record, content["record"])
            taken = [each.name for each in wanted.certificates if _take(world, wanted, each, content)]
            record.write()
        if taken:
            world.reload()
        status.write(world, status.of(world, record, wanted))
    shutil.rmtree(world.kept("handover"), ignore_errors=True)
    return {"version": 1, "names": taken}


def _text(given: Json, key: str) -> str:
    found = given.get(key) if isinstance(given, dict) else None
    if not isinstance(found, str) or not found or len(found) > MOST_BYTES:
        raise Trouble(f"stdin is not an object with the text {key!r}")
    return found


def _accounts(world: World) -> Json:
    names = [name for name in sorted(os.listdir(world.kept("accounts"))) if ACCOUNT.fullmatch(name)]
    return {name: read_bytes(world.kept("accounts", name)).decode("ascii") for name in names}


def _held(world: World, wanted: Wanted) -> Sequence[Json]:
    """What nginx reads for this name, if somebody issued it."""
    version = store.live(world, wanted.name)
    if version is None or version.facts["kind"] == "self-signed":
        return []
    chain, key = (read_bytes(os.path.join(version.folder, name)) for name in ("fullchain.pem", "privkey.pem"))
    return [{"chain": chain.decode("ascii"), "key": key.decode("ascii"), "facts": version.facts}]


def _opened(world: World, given: Json) -> Json:
    """The content, of the shape that `pack` gives it. Trouble otherwise."""
    try:
        sealed = base64.b64decode(_text(given, "sealed"), validate=True)
        key = world.kept("handover", "key.pem")
        argv = ["openssl", "cms", "-decrypt", "-binary", "-inform", "DER", "-inkey", key]
        argv += ["-recip", world.kept("handover", "certificate.pem")]
        opened = zlib.decompressobj()
        content = json.loads(opened.decompress(command(argv, timeout_s=TIMEOUT_S, stdin=sealed), MOST_OPENED))
        parts = [content[name] for name in ("accounts", "certificates", "record")]
        if content["version"] != 1 or not all(isinstance(part, dict) for part in parts):
            raise ValueError("another version")
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise Trouble(f"what was sealed cannot be opened: {error}. Fix: begin again with `offer`") from error
    return content


def _take_accounts(world: World, accounts: Json) -> None:
    """Accounts of authorities at which this guest has none."""
    for name, key in accounts.items():
        path = world.kept("accounts", name)
        if ACCOUNT.fullmatch(name) and isinstance(key, str) and not os.path.exists(path):
            write_new(path + ".new", key.encode())
            os.rename(path + ".new", path)
            sync_folder(os.path.dirname(path))


def _take_record(record: Record, theirs: Json) -> None:
    """What the authority counts for the account counts here, too."""
    for part, key, kind in (("attempts", "names", list), ("orders", "key", str)):
        rows = theirs.get(part)
        for row in rows if isinstance(rows, list) else []:
            good = isinstance(row, dict) and isinstance(row.get("at"), (int, float)) and isinstance(row.get(key), kind)
            if good and row not in record.all[part]:
                record.all[part].append(row)


def _take(world: World, wanted: Settings, each: Wanted, content: Json) -> bool:
    """One certificate, where it is for the same names and authority, and ends later than the one that is live."""
    found = content["certificates"].get(each.name)
    if not isinstance(found, dict) or not all(isinstance(found.get(key), str) for key in ("chain", "key")):
        return False
    facts = found.get("facts")
    if not isinstance(facts, dict) or any(key not in facts for key in FACTS):
        return False
    if facts["names"] != list(each.names) or facts["directory"] != wanted.acme.directory:
        return False
    own = store.live(world, each.name)
    if own is not None and own.facts["kind"] != "self-signed" and own.facts["not_after"] >= facts["not_after"]:
        return False
    chain, key = found["chain"].encode(), found["key"].encode()
    if _public(["x509", "-noout", "-pubkey"], chain) != _public(["pkey", "-pubout"], key):
        raise Trouble(f"{each.name}: the key is not that of the certificate")
    store.make_live(world, each.name, store.keep(world, each.name, chain, key, {name: facts[name] for name in FACTS}))
    store.prune(world, each.name)
    return True


def _public(words: Sequence[str], pem: bytes) -> bytes:
    """The public key of a certificate or a key."""
    return command(["openssl", *words], timeout_s=TIMEOUT_S, stdin=pem)
