"""The transactions that are broken in every way, with the worlds before and after them as the harness expects them."""

import base64
import json
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.hostside.scratch import (
    ADDED,
    CONF,
    ID,
    NEW_CONF,
    NEW_SITE,
    NFT_FILE,
    NFT_NEW,
    NFT_OLD,
    OLD_CONF,
    OLD_SITE,
    SITE,
    fact_of,
    loaded,
)
from tests.safety.scratch_host import ScratchHost
from tests.safety.worlds import FileState, World, difference, read_world

Document = dict[str, Any]
TIMEOUT_S = 3600  # the harness lets time pass itself
GONE, TIGHTER = "/etc/network/old.conf", "/etc/passerelle/mode.conf"
NOTE = (("user.note", b"kept\x00\xff"),)
SYSCTL = b"net.ipv4.ip_forward=1\n"


class Workload(NamedTuple):
    """A transaction: what is on the host before it, its document, what it makes of files, units and the kernel."""

    name: str
    files_before: dict[str, FileState]
    files_after: dict[str, FileState | None]
    document: Callable[[ScratchHost], Document]
    change: Callable[[dict[str, Any], dict[str, Any]], None]  # of units, kernel: from old to new
    on_confirm: int  # the number of the step that waits for the confirmation


def _value(file: FileState) -> dict[str, Any]:
    return {**fact_of(file.content, f"{file.mode:04o}"), "uid": file.uid, "gid": file.gid}


FILES_BEFORE = {
    CONF: FileState(OLD_CONF, 0o640, 0, 33, NOTE),
    NFT_FILE: FileState(NFT_OLD.encode(), 0o644),
    GONE: FileState(b"iface old\n" * 40, 0o600, 7, 8, NOTE),
    TIGHTER: FileState(b"secret\n", 0o644, 0, 33),
}
FILES_AFTER: dict[str, FileState | None] = {
    CONF: FileState(NEW_CONF, 0o640, 0, 33, NOTE),
    NFT_FILE: FileState(NFT_NEW.encode(), 0o644),
    GONE: None,
    TIGHTER: FileState(b"secret\n", 0o600, 0, 33),
    ADDED: FileState(SYSCTL, 0o644),
}


def _files_document(host: ScratchHost) -> Document:
    steps = []
    for path in (CONF, ADDED, GONE, TIGHTER, NFT_FILE):
        before, after = FILES_BEFORE.get(path), FILES_AFTER[path]
        values = [None if file is None else _value(file) for file in (before, after)]
        steps.append(host.step(f"file:{path}", *values, on_confirm=path == NFT_FILE))
    down = {"enabled": "disabled", "active": False}
    steps.insert(4, host.step("unit:named.service", {"enabled": "enabled", "active": True}, down))
    blobs = {fact_of(f.content)["sha256"]: base64.b64encode(f.content).decode() for f in FILES_AFTER.values() if f}
    return host.document(timeout_s=TIMEOUT_S, steps=steps, keep=[], checks=[], blobs=blobs)


def _files_change(units: dict[str, Any], _kernel: dict[str, Any]) -> None:
    units["named.service"] = {"enabled": "disabled", "active": False}


def _everything_change(units: dict[str, Any], kernel: dict[str, Any]) -> None:
    _files_change(units, kernel)
    kernel["forward"] = "1"
    kernel["tables"]["inet passerelle_nat"] = NFT_NEW
    kernel["links"]["vmbr1"] = {
        "type": "bridge",
        "up": True,
        "mtu": 1500,
        "master": None,
        "delay": 0,
        "stp": 0,
        "mac": "02:00:00:00:00:01",
    }
    kernel["addresses"].update(vmbr1=["10.10.20.1/24"], enp1s0=["198.51.100.12/24"])
    kernel["rules"] = kernel["rules"][:1]
    kernel["nginx"]["loaded"] = loaded(NEW_SITE)


WORKLOADS = {
    "files": Workload("files", FILES_BEFORE, FILES_AFTER, _files_document, _files_change, 5),
    "everything": Workload(
        "everything",
        {CONF: FileState(OLD_CONF, 0o640), NFT_FILE: FileState(NFT_OLD.encode(), 0o644)},
        {
            CONF: FileState(NEW_CONF, 0o640),
            NFT_FILE: FileState(NFT_NEW.encode(), 0o644),
            ADDED: FileState(SYSCTL, 0o644),
            SITE: FileState(NEW_SITE, 0o644),
        },
        lambda host: host.document(timeout_s=TIMEOUT_S),
        _everything_change,
        12,
    ),
}


def lay_out(host: ScratchHost, workload: Workload) -> World:
    """Put the files of the old world in place; the world before."""
    for path, file in workload.files_before.items():
        real = host.root / path[1:]
        real.parent.mkdir(parents=True, exist_ok=True)
        real.write_bytes(file.content)
        os.chown(real, file.uid, file.gid)
        real.chmod(file.mode)
        for name, value in file.xattrs:
            os.setxattr(real, name, value)
    old = read_world(host.root, host.model)
    on_each = {SITE: FileState(OLD_SITE, 0o644)}  # every scratch host has a guest with nginx
    assert old.files == {**on_each, **workload.files_before}, "the old world is laid out as written"
    return old


def expected_after(old: World, workload: Workload) -> World:
    """The new world, from the workload's own words and not from what the host-side file does."""
    files = {path: file for path, file in {**old.files, **workload.files_after}.items() if file is not None}
    units, kernel = json.loads(json.dumps(old.units)), json.loads(json.dumps(old.kernel))
    workload.change(units, kernel)
    others = {*old.others, "/etc/sysctl.d/new 0o40755"}
    return World(files, tuple(sorted(others)), units, kernel)


def apply(host: ScratchHost, workload: Workload) -> None:
    """Begin and apply, undisturbed. AssertionError when that does not work."""
    _, answer, said = host.verb("begin", give=workload.document(host))
    assert answer.get("state") == "applied", (answer, said)
    host.settle_run()


def prove_undisturbed(applied: ScratchHost, old: World, new: World) -> None:
    """Without a fault a confirmed change is all new, and one that expires all old. AssertionError otherwise."""
    spare = applied.copy(applied.folder.with_name(applied.folder.name + "-spare"))
    assert spare.verb("confirm", ID)[1].get("state") == "confirmed"
    assert (differs := difference(read_world(spare.root, spare.model), new, kernel=True)) == "", differs
    spare = applied.copy(spare.folder)
    spare.late_deadline()
    assert spare.verb("expire", ID)[1].get("state") == "rolled_back"
    assert (differs := difference(read_world(spare.root, spare.model), old, kernel=True)) == "", differs
    assert not spare.refused_calls(), spare.refused_calls()
    spare.remove()
