"""Before the change: may it begin, is the host as planned for, and everything that a rollback needs on the disk."""

from __future__ import annotations

import errno
import os
import re
import time

from service.hostside.apt import allowed
from service.hostside.canonical import STATE, as_bytes
from service.hostside.capture import capture, capture_detail
from service.hostside.commands import run_command
from service.hostside.copies import keep_package, package_units, packages_of
from service.hostside.durable import make_folders, read_file, sync_folder, worded, write_new
from service.hostside.errors import Json, Refused, Trouble
from service.hostside.facts import implied_facts, same, split_fact
from service.hostside.host import Host, read_json
from service.hostside.journal import KEPT_COPY, Transaction, armed_id, discard, quarantined
from service.hostside.vital import power_unit


def gate(host: Host, document: dict[str, Json]) -> None:
    """Refused unless this transaction may begin now."""
    bad = quarantined(host)
    if bad:
        raise Refused("quarantined", f"the rollback of {bad} failed; a person has to look and release it", id=bad)
    armed = armed_id(host)
    if armed:
        raise Refused("armed", f"transaction {armed} is armed; confirm it or roll it back first", armed=armed)
    if os.path.exists(host.state("txn", document["id"])):
        state = Transaction(host, document["id"]).load().state
        raise Refused("known", f"transaction {document['id']} was here before and is {state}", known=state)
    try:
        stored = read_json(host.state("generation")) or {"generation": 0, "controller": ""}
        last, controller = int(stored["generation"]), str(stored["controller"])
    except (ValueError, KeyError, TypeError):
        raise Refused("generation", f"{STATE}/generation is damaged; a person has to look") from None
    if document["generation"] <= last:
        message = f"generation {document['generation']} is not above {last}, given to {controller}"
        raise Refused("fenced", message, generation=last, controller=controller)


def observe(host: Host, document: dict[str, Json]) -> dict[str, Json]:
    """What the host has now of all that is named or implied. Refused (conflict) when it is not what was planned for."""
    entries = document["steps"] + document["keep"]
    try:
        implied = implied_facts(document["steps"]) + package_units(host, packages_of(document))
        found = capture(host, [entry["fact"] for entry in entries] + implied)
    except (Trouble, OSError) as error:
        raise Refused("unknown", f"this host cannot be read: {error}") from None
    first: dict[str, dict[str, Json]] = {}
    for entry in entries:
        first.setdefault(entry["fact"], entry)
    differing = []
    for fact, entry in first.items():
        value = found[fact]
        if fact.startswith("file:") and isinstance(value, dict) and "type" in value:
            raise Refused("not-regular", f"{fact[5:]} is not a regular file ({value['type']})")
        if not same(fact, entry["before"], value):
            differing.append({"fact": fact, "expected": entry["before"], "found": value})
    if differing:
        names = ", ".join(item["fact"] for item in differing[:5])
        conflict = Refused("conflict", f"the host is not as planned for: {names}", conflicts=differing[:200])
        conflict.answer["state"] = "conflict"
        raise conflict
    return found


def stage(host: Host, document: dict[str, Json], blobs: dict[str, bytes], found: dict[str, Json]) -> Transaction:
    """Snapshot, new bytes, room for a rollback, journal: all on disk. Refused, and cleaned, when it cannot be."""
    transaction = Transaction(host, document["id"])
    try:
        _stage(transaction, document, blobs, found)
    except (OSError, Trouble) as error:
        discard(host, transaction.id)
        code = error.errno if isinstance(error, OSError) else 0
        reason = {errno.ENOSPC: "space", errno.EDQUOT: "space", errno.EROFS: "read-only"}.get(code or 0, "stage")
        raise Refused(
            reason, f"nothing was changed, the snapshot could not be written: {worded(host, error)}"
        ) from None
    except Refused:
        discard(host, transaction.id)
        raise
    return transaction


def _stage(
    transaction: Transaction, document: dict[str, Json], blobs: dict[str, bytes], found: dict[str, Json]
) -> None:
    host, folder = transaction.host, transaction.folder
    make_folders(host.state("txn"))
    for name in ("", "new", "old", "reserve"):
        os.mkdir(os.path.join(folder, name), 0o700)
    for sha256, content in blobs.items():
        write_new(os.path.join(folder, "new", sha256), content)
    size = 0
    changed: dict[str, Json] = {}  # when the files were last changed
    for fact, value in found.items():
        if fact.startswith("file:") and value is not None:
            again, content = read_file(host.path(fact[5:]))
            if again != value:
                raise Refused("conflict", f"{fact[5:]} is being changed by someone else")
            size += len(content)
            changed[fact[5:]] = [value["sha256"], os.stat(host.path(fact[5:])).st_mtime_ns]
            write_new(os.path.join(folder, "old", value["sha256"]), content)
    for step in document["steps"]:
        if step["fact"].startswith("leases:"):
            places = [step["fact"][7:], (step["after"] or {}).get("from", step["fact"][7:])]
            size += sum(os.path.getsize(host.path(place)) for place in places if os.path.isfile(host.path(place)))
    folders = [os.path.dirname(f[5:]) for f, value in found.items() if f.startswith("file:") and value is None]
    missing = sorted({parent for folder_ in folders for parent in _missing(host, folder_)})
    for name in packages_of(document):
        size += keep_package(host, name, os.path.join(folder, "old"))
    snapshot = {"facts": found, "detail": {**capture_detail(host, found), "changed": changed}, "folders": missing}
    write_new(os.path.join(folder, "old", "facts.json"), as_bytes(snapshot))
    # Room and inodes that a rollback frees before it needs them; random, so that no file system stores it in nothing.
    write_new(os.path.join(folder, "reserve", "room"), os.urandom(size + (256 << 10)))
    for number in range(len(document["steps"]) + 4):
        write_new(os.path.join(folder, "reserve", str(number)), b"")
    with open(host.archive, "rb") as own:
        write_new(os.path.join(folder, KEPT_COPY), own.read(), 0o700)
    kept = {key: value for key, value in document.items() if key != "blobs"}
    write_new(os.path.join(folder, "document.json"), as_bytes(kept))
    for name in ("new", "old", "reserve", ""):
        sync_folder(os.path.join(folder, name))
    sync_folder(host.state("txn"))
    names = ("fact", "why", "restart", "on_confirm")
    steps = [{**{key: step[key] for key in names}, "state": "pending"} for step in document["steps"]]
    for step in steps:
        step.update(started_s=None, ended_s=None, error=None)
    transaction.save(
        **{key: document[key] for key in ("format", "id", "generation", "controller", "plan_digest")},
        state="staged",
        cause=None,
        error=None,
        point=None,
        verified_old=None,
        boot_id=host.boot_id(),
        deadline_boottime_s=None,
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        steps=steps,
        peer=os.environ.get("SSH_CONNECTION", "").split()[:2],
        timers=0,
    )


def _missing(host: Host, folder: str) -> list[str]:
    missing = []
    while not os.path.isdir(host.path(folder)):
        missing.append(folder)
        folder = os.path.dirname(folder)
    return missing


def check(transaction: Transaction, document: dict[str, Json]) -> None:
    """The programs' own syntax checks on the staged bytes. Their words are not repeated: they may quote other files."""
    host = transaction.host
    for step in document["steps"]:
        kind, name = split_fact(step["fact"])
        if kind == "unit" and not same(step["fact"], step["after"], step["before"]) and (why := power_unit(name)):
            raise Refused("vital", f"{name} is not switched by anybody's spec: {why}")
    if packages_of(document):
        allowed(host, "remove", packages_of(document), None)
    after = {step["fact"]: step["after"] for step in document["steps"]}
    for program, name in document["checks"]:
        value = after.get(("nft:" if program == "nft" else "file:") + name)
        if value is None:
            continue
        text = ""
        if program == "nft":
            argv = ["nft", "-c", "-f", "-"]
            text = f"table {name}\ndelete table {name}\n{value['load']}\n"
        else:
            staged = os.path.join(transaction.folder, "new", value["sha256"])
            argv = (
                ["dnsmasq", "--test", "--conf-file=" + staged] if program == "dnsmasq" else ["sshd", "-t", "-f", staged]
            )
            if program == "sshd":
                argv[0] = transaction.host.bin_dir + "/sshd" if transaction.host.bin_dir else "/usr/sbin/sshd"
        ran = run_command(transaction.host, argv, text=text)
        if ran.code != 0:
            line = re.search(r"\bline ([0-9]{1,6})\b|:([0-9]{1,6}):", ran.err + ran.out)
            number = int(line.group(1) or line.group(2)) if line else None
            where = f", line {number}" if number else ""
            raise Refused("check", f"{program} does not accept {name}{where}", program=program, line=number)
