"""The verb that makes guests, before a transaction, and starts new ones, after it. No rollback touches them."""

from __future__ import annotations

import contextlib
import os
import time

from service.hostside import lxc, pct
from service.hostside.durable import make_folders, remove, worded, write_atomic
from service.hostside.errors import Json, Refused, Trouble, need
from service.hostside.guest_order import FILES, KEPT, Wanted, wanted_of
from service.hostside.host import Host, read_text
from service.hostside.inside import CONTAINERS, Guest, find_guest, is_proxmox, is_running
from service.hostside.journal import armed_id
from service.hostside.lines import emit, read_input
from service.hostside.lock import locked
from service.hostside.proxies import load_once_up
from service.hostside.template import recipe_of, template
from service.hostside.tidy import tidy

MAX_GUESTS = 64


def verb_guests(host: Host) -> dict[str, Json]:
    order = read_input()
    need(
        isinstance(order, dict) and set(order) == {"action", "guests", "timeout_s"},
        "stdin: {action, guests, timeout_s}",
    )
    need(order["action"] in ("make", "start"), "action: make or start")
    given = order["guests"]
    need(isinstance(given, list) and 0 < len(given) <= MAX_GUESTS, f"guests: a list of at most {MAX_GUESTS}")
    guests = [wanted_of(each) for each in given]
    deadline_s = time.monotonic() + float(order["timeout_s"])
    results: dict[str, Json] = {}
    with locked(host):
        tidy(host)
        if armed_id(host):
            raise Refused("armed", f"transaction {armed_id(host)} is armed; guests are made before it, or after it")
        for wanted in guests:
            try:
                one = start if order["action"] == "start" else make
                results[wanted.name] = {"state": one(host, wanted, max(1.0, deadline_s - time.monotonic()))}
            except (Trouble, OSError) as error:
                results[wanted.name] = {"state": "failed", "reason": worded(host, error)}
    bad = any(result["state"] == "failed" for result in results.values())
    return {"state": "failed" if bad else "done", "guests": results}


def make(host: Host, wanted: Wanted, timeout_s: float) -> str:
    """What became of it: made, or set up where it was there."""
    found, note = find_guest(host, wanted.key), host.state("guests", wanted.name)
    at_first = wanted._replace(autostart=False)  # no unit that comes up within the change starts it before its time
    if found is not None:
        folders(host, wanted.name, root_of(host, found))
        is_new = os.path.exists(note) and not is_running(host, found)
        (lxc if found.kind == "lxc" else pct).set_up(host, found.own, at_first if is_new else wanted)
        if not is_new:
            remove(note)
        return "set up"
    on_proxmox = is_proxmox(host)
    need(bool(wanted.vmid and wanted.storage and wanted.disk_gib) == on_proxmox, "number, storage and disk: of Proxmox")
    if on_proxmox and (twin := pct.number_with(host, wanted.mac)):
        raise Trouble(
            f"guest {twin} of this host has the MAC address {wanted.mac}. Fix: write `vmid: {twin}`, or another address"
        )

    def say(doing: str) -> None:
        emit(event="guest", guest=wanted.name, doing=doing)

    began_s = time.monotonic()
    ending = ".tar.zst" if on_proxmox else ".tar"
    archive = template(host, recipe_of(host, list(wanted.packages)), ending, timeout_s, say)
    left_s = max(10.0, timeout_s - (time.monotonic() - began_s))
    say("making the container")
    folders(host, wanted.name, pct.PVE_IDS if on_proxmox else lxc.id_base(host))
    make_folders(host.state("guests"))
    write_atomic(note, b"\n")  # before the container: new ones are known for sure
    (pct if on_proxmox else lxc).make(host, at_first, archive, left_s)
    say("made")
    return "made"


def start(host: Host, wanted: Wanted, _timeout_s: float) -> str:
    """Start a guest that passerelle made and that never ran; one that somebody stopped is left so."""
    found = find_guest(host, wanted.key)
    note = host.state("guests", wanted.name)
    if found is None:
        raise Trouble(f"guest {wanted.name} is not on the host")
    if not os.path.exists(note):
        return "running" if is_running(host, found) else "left"
    room = lxc if found.kind == "lxc" else pct
    if not is_running(host, found):
        emit(event="guest", guest=wanted.name, doing="starting")
        try:
            room.start(host, found.own)
        except Trouble as trouble:
            with contextlib.suppress(OSError):
                write_atomic(note, f"{trouble}\n".encode())
            raise
    room.set_up(host, found.own, wanted)
    remove(note)
    load_once_up(host, wanted.key, wanted.name)
    return "started"


def root_of(host: Host, guest: Guest) -> int:
    """Which user of the host is root in a guest."""
    if guest.kind == "pct":
        return pct.mapped_root(host, guest.own)
    return lxc.mapped_root(read_text(host.path(f"{CONTAINERS}/{guest.own}/config"), 1 << 20))


def folders(host: Host, name: str, root: int) -> None:
    """What a guest reads, and what it keeps: only its own root may look into that. Others may pass through, as nginx's
    workers do to the proofs for a certificate authority."""
    make_folders(host.path(f"{FILES}/{name}"))
    make_folders(host.path(KEPT))
    kept = host.path(f"{KEPT}/{name}")
    with contextlib.suppress(FileExistsError):
        os.mkdir(kept, 0o711)
    fd = os.open(kept, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchmod(fd, 0o711)
        os.fchown(fd, root, root)
    finally:
        os.close(fd)
