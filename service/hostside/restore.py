"""The rollback: every fact to its snapshot, whatever state it is in now."""

from __future__ import annotations

import errno
import os
import shutil
import time
from typing import Callable

from service.hostside.arming import disarm
from service.hostside.capture import capture
from service.hostside.commands import run_command
from service.hostside.copies import bring_back, kept_file
from service.hostside.durable import make_folders, read_file, remove, sync_folder, write_new
from service.hostside.errors import BadInput, Json, Trouble
from service.hostside.facts import RESTORE_ORDER, same
from service.hostside.host import boottime_s
from service.hostside.journal import Transaction
from service.hostside.points import point
from service.hostside.proxies import away
from service.hostside.setter import Setter
from service.hostside.verify import PAUSES_S, not_restored, told


def failed(transaction: Transaction, cause: str, error: str) -> dict[str, Json]:
    """Keep the first error, restore at once."""
    if not transaction.journal.get("error"):
        transaction.journal["error"] = error[:1000]
    return restore(transaction, cause)


def restore(transaction: Transaction, cause: str, at_boot: bool = False) -> dict[str, Json]:
    """Restore the snapshot of everything that this transaction may have changed, and prove that it is restored.

    Can be cut and started again anywhere. At boot the kernel is fresh: files and units only. Needs no room on the disk,
    no network, no packages; one fact that resists does not keep the others from being restored.
    """
    host = transaction.host
    prefix = "boot-" if at_boot else ""
    if not transaction.journal.get("cause"):
        transaction.journal["cause"] = cause
    shutil.rmtree(os.path.join(transaction.folder, "reserve"), ignore_errors=True)
    cut = ("doing", "done") if transaction.state == "rolling_back" else ("doing",)
    began = {"verb": host.verb, "boottime_s": round(boottime_s(), 3), "state": transaction.state}
    transaction.journal.setdefault("restore_began", began)
    transaction.try_save(state="rolling_back")
    point(host, prefix + "restore-begin")
    snapshot = transaction.snapshot()
    facts = _to_restore(transaction, snapshot["facts"], at_boot)
    setter = transaction.setter("old", snapshot["detail"])
    setter.units.no_block = at_boot
    setter.network.is_back = True
    setter.units.unsure = {
        e["fact"][5:] for e in transaction.steps if e["fact"].startswith("unit:") and e["state"] in cut
    }
    setter.files.taken = lambda fact, path: _keep_foreign(transaction, snapshot, fact, path)
    errors: list[str] = []
    unseen: list[str] = []
    left: list[dict[str, Json]] = []
    for attempt, pause_s in enumerate(PAUSES_S):
        time.sleep(pause_s)
        errors, unseen = _restore_round(transaction, setter, facts, attempt == 0)
        errors += _sweep(transaction, setter, snapshot)
        point(host, prefix + "restore-verify")
        try:
            left = not_restored(host, facts, at_boot)
        except (Trouble, OSError) as error:
            errors.append(str(error))
            continue
        if not left and not errors:
            break
    if left or errors:
        problem = "; ".join([told(left)] * bool(left) + errors)[:1000]
        transaction.save(state="rollback_failed", verified_old=False, rollback_error=problem)
        return transaction.answer(rollback_error=problem)
    if unseen:
        transaction.journal["error"] = "; ".join([transaction.journal.get("error") or "", *unseen])[:1000].strip("; ")
    for entry in transaction.journal["steps"]:
        entry["state"] = "undone" if entry["state"] != "pending" else "pending"
    seen_all = not at_boot or all(fact.startswith("file:") for fact in snapshot["facts"])
    transaction.save(state="rolled_back", verified_old=True if seen_all else None)
    point(host, prefix + "restored")
    disarm(host, transaction.id)
    return transaction.answer()


def _to_restore(transaction: Transaction, old: dict[str, Json], at_boot: bool) -> dict[str, Json]:
    """Which facts of the snapshot: files, tables and units that a step has begun, and all else that may go along."""
    begun = {entry["fact"] for entry in transaction.steps if entry["state"] != "pending"}
    if not begun:
        return {}
    kinds = ("file", "unit") if at_boot else RESTORE_ORDER
    own = ("file", "nft") if any(fact.startswith("package:") for fact in begun) else ("file", "nft", "unit")
    return {
        fact: value
        for fact, value in old.items()
        if fact.partition(":")[0] in kinds and (fact in begun or fact.partition(":")[0] not in own)
    }


class _Round:
    """One round of the rollback: every fact is tried, also if others failed. `errors` are what went wrong;
    units of `restarts` are restarted although they are as they were. `away` are facts of guests that cannot be set."""

    def __init__(self, transaction: Transaction, setter: Setter, restarts: set[str]) -> None:
        self.host = transaction.host
        self.setter = setter
        self.restarts = restarts
        self.errors: list[str] = []
        self.away: dict[str, str] = {}

    def attempt(self, what: Callable[..., None], *args: Json) -> None:
        """Do it; what goes wrong is noted."""
        try:
            what(*args)
        except (Trouble, BadInput, OSError, ValueError, KeyError) as error:
            self.errors.append(str(error))

    def put_back(self, fact: str, value: Json) -> None:
        """One fact, if it is not so already."""
        setter, (kind, _, name) = self.setter, fact.partition(":")
        if kind == "file":  # what an apply that was killed had removed for a moment
            setter.files.taken(fact, setter.files.temporary(self.host.path(name)))
        now = capture(self.host, [fact])[fact]
        if why := away(fact, now):
            self.away[fact] = why
            return
        if kind == "file" and now is None:
            setter.files.taken(fact, self.host.path(name))
        moved = kind == "unit" and (setter.units.no_block or name in setter.units.unsure)
        if fact in self.restarts or moved or not same(fact, value, now):
            setter.set(fact, value, fact in self.restarts)
        if kind == "unit" and value is not None and not value["active"]:
            # a start of ours that failed would stay in systemd's list of failed units, which people watch
            run_command(self.host, ["systemctl", "reset-failed", name])

    def put_all_back(self, facts: list[tuple[str, Json]]) -> None:
        """Some facts, in this order."""
        for fact, value in facts:
            self.attempt(self.put_back, fact, value)


def _restore_round(
    transaction: Transaction, setter: Setter, facts: dict[str, Json], first: bool
) -> tuple[list[str], list[str]]:
    """Set every fact once, in the order that lets them hold; what went wrong, and what nobody can see."""
    restarts = {e["fact"] for e in transaction.steps if e["restart"] and e["state"] != "pending"} if first else set()
    current, at_boot = _Round(transaction, setter, restarts), setter.units.no_block
    # a unit that was not there must go while its file still is
    current.put_all_back([(fact, value) for fact, value in facts.items() if fact.startswith("unit:") and value is None])
    for kind in RESTORE_ORDER:
        if kind == "unit":
            current.put_all_back(_units_before_packages(transaction, facts))
            current.attempt(_restore_packages, transaction, setter)
            current.attempt(_restore_leases, transaction, setter)
        mine = _of_kind(facts, kind)
        current.put_all_back(mine)
        if kind == "file":
            current.attempt(setter.units.reload)
        if kind == "link" and mine:
            current.attempt(setter.network.set_port_vids, [fact[5:] for fact, _ in mine])
        if kind == "routes" and mine:
            current.attempt(setter.network.set_other_routes)
        if mine and not (at_boot and kind not in ("file", "unit")):
            point(transaction.host, ("boot-" if at_boot else "") + "restore-" + kind)
    current.attempt(setter.units.reload)
    return current.errors, [f"what nginx has loaded is not known: {why}" for why in current.away.values()]


def _of_kind(facts: dict[str, Json], kind: str) -> list[tuple[str, Json]]:
    """The facts of one kind. Of links bridges come first, for others to be put into, and VLANs after what they are on;
    what was not there comes last: it is deleted."""
    mine = [(fact, value) for fact, value in facts.items() if fact.partition(":")[0] == kind]
    if kind == "link":
        places = ("bridge", "bond", "other", "vlan")
        mine.sort(key=lambda item: (item[1] is None, places.index(item[1].get("type", "other")) if item[1] else 0))
    return mine


def _units_before_packages(transaction: Transaction, facts: dict[str, Json]) -> list[tuple[str, Json]]:
    """Where packages have to come back, the units that steps name and that are there come first: dpkg takes its time,
    and sshd may be one of them."""
    begun = {entry["fact"] for entry in transaction.steps if entry["state"] != "pending"}
    named = [fact for fact in facts if fact.startswith("unit:") and fact in begun and facts[fact] is not None]
    if not any(fact.startswith("package:") for fact in begun):
        return []
    there = capture(transaction.host, named)
    return [(fact, facts[fact]) for fact in named if there[fact] is not None]


def _restore_packages(transaction: Transaction, setter: Setter) -> None:
    """Bring packages back from the copies that were made of them: after the network, before the units."""
    begun = [e["fact"] for e in transaction.steps if e["fact"].startswith("package:") and e["state"] != "pending"]
    old, now = transaction.snapshot()["facts"], capture(transaction.host, begun)
    gone = [fact[8:] for fact in begun if not same(fact, old[fact], now[fact])]
    if gone:
        bring_back(transaction.host, [kept_file(os.path.join(transaction.folder, "old"), name) for name in gone])
        setter.units.reload_due = True
        setter.units.reload()
        left = capture(transaction.host, begun)
        if bad := [fact for fact in begun if not same(fact, old[fact], left[fact])]:
            raise Trouble(f"not as before: {', '.join(bad)}")


def _restore_leases(transaction: Transaction, setter: Setter) -> None:
    """Bring leases back to where dnsmasq looks for them with its old files."""
    for number, entry in enumerate(transaction.steps):
        if entry["fact"].startswith("leases:") and entry["state"] != "pending":
            there = transaction.snapshot()["facts"].get(entry["fact"]) is not None
            setter.leases.put_back(entry["fact"][7:], transaction.document()["steps"][number]["after"] or {}, there)


def _keep_foreign(transaction: Transaction, snapshot: dict[str, Json], fact: str, path: str) -> None:
    """Someone edited a file while the change was on trial: the journal says so, their bytes are kept next to it.

    `path` has what is about to be deleted; null in the journal is a file that they deleted. OSError, and nothing is
    deleted, when it cannot be kept.
    """
    now, content = read_file(path)
    old = snapshot["facts"][fact]
    ours = [old, *(step["after"] for step in transaction.document()["steps"] if step["fact"] == fact)]
    entry = None
    if now is None:
        if None in ours or path != transaction.host.path(fact[5:]):
            return
    elif "sha256" not in now:
        return
    else:
        entry = {key: now[key] for key in ("sha256", "mode", "uid", "gid")}
        unnamed = old or {"mode": "0644", "uid": 0, "gid": 0}
        if any(one is not None and all(entry[key] == {**unnamed, **one}[key] for key in entry) for one in ours):
            return
    foreign = transaction.journal.setdefault("foreign", {}).setdefault(fact, [])
    if entry in foreign:
        return
    if entry is not None:
        make_folders(os.path.join(transaction.folder, "foreign"))
        write_new(os.path.join(transaction.folder, "foreign", entry["sha256"]), content)
        sync_folder(os.path.join(transaction.folder, "foreign"))
    foreign.append(entry)
    transaction.save()


def _sweep(transaction: Transaction, setter: Setter, snapshot: dict[str, Json]) -> list[str]:
    """Remove our temporary files and the folders that we made, if they are empty; what went wrong."""
    host, errors = transaction.host, []
    for entry in transaction.steps:
        left = setter.files.temporary(host.path(entry["fact"][5:])) if entry["fact"].startswith("file:") else ""
        try:
            if os.path.lexists(left):
                setter.files.taken(entry["fact"], left)
                remove(left)
        except OSError as error:
            errors.append(str(error))
    begun = any(entry["state"] != "pending" for entry in transaction.steps)
    for folder in sorted(snapshot["folders"], reverse=True) if begun else []:
        try:
            os.rmdir(host.path(folder))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.ENOTDIR):
                errors.append(str(error))
    return errors
