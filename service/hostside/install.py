"""The verb that brings packages, before a transaction."""

from __future__ import annotations

import contextlib
import os

from service.hostside.apt import APT_OPTIONS, allowed, installed, package_names
from service.hostside.commands import run_command, safe_line
from service.hostside.durable import make_folders, write_atomic
from service.hostside.errors import Json, Refused, Trouble, need
from service.hostside.host import Host
from service.hostside.inside import find_guest, is_running, within
from service.hostside.journal import armed_id
from service.hostside.lines import read_input
from service.hostside.lock import locked
from service.hostside.policy import begin_packages, finish_packages
from service.hostside.tidy import tidy

OWN_NETWORKS = {
    "lxc": (
        "/etc/default/lxc-net",
        '# Written by passerelle: guests are in bridges of the spec.\nUSE_LXC_BRIDGE="false"\n',
    )
}
"""Packages that make a bridge of their own, by what keeps it off: (file, content)."""


def verb_packages(host: Host) -> dict[str, Json]:
    order = read_input()
    need(
        isinstance(order, dict) and set(order) <= {"install", "timeout_s", "promised", "guest"},
        "stdin: {install, timeout_s, promised, guest}",
    )
    install = package_names(order.get("install", []))
    timeout_s = float(order.get("timeout_s", 600))
    if "guest" in order:
        return _inside(host, str(order["guest"]), install, timeout_s)
    with locked(host):
        tidy(host)
        if armed_id(host):
            raise Refused("armed", f"transaction {armed_id(host)} is armed; packages come before")
        results: dict[str, Json] = {}
        disabled: list[str] = []
        before = installed(host, install)
        missing = [name for name in install if not before[name]]
        results.update({name: {"state": "present"} for name in install if before[name]})
        if missing:
            allowed(host, "install", missing, order.get("promised"))
            keep_off(host, missing)
            begin_packages(host)
            try:
                error = apt_install(host, missing, order.get("promised"), timeout_s)
            finally:
                disabled = finish_packages(host, ours=True)
            now = installed(host, missing)
            for name in missing:
                results[name] = {"state": "installed"} if now[name] else {"state": "failed", "reason": error}
        bad = any(result["state"] == "failed" for result in results.values())
        return {"state": "failed" if bad else "done", "packages": results, "units_disabled": disabled}


def _inside(host: Host, key: str, install: list[str], timeout_s: float) -> dict[str, Json]:
    """Packages of a guest, from its own sources. What comes may start there: nobody depends on it to reach the host."""
    guest = find_guest(host, key)
    if guest is None or not is_running(host, guest):
        raise Refused("guest", f"guest {key.partition('@')[0]} is not running, so nothing can be installed in it")
    there = within(host, guest)
    before = installed(there, install)
    missing = [name for name in install if not before[name]]
    error = ""
    if missing:
        allowed(there, "install", missing, None)
        error = apt_install(there, missing, None, timeout_s)
    now = installed(there, missing)
    results: dict[str, Json] = {name: {"state": "present"} for name in install if before[name]}
    for name in missing:
        results[name] = {"state": "installed"} if now[name] else {"state": "failed", "reason": error}
    bad = any(result["state"] == "failed" for result in results.values())
    return {"state": "failed" if bad else "done", "packages": results}


def keep_off(host: Host, names: list[str]) -> None:
    """Settings that keep a package from bringing a network of its own: written before it, and only where there are
    none."""
    for name, (path, text) in OWN_NETWORKS.items():
        if name in names and not os.path.lexists(host.path(path)):
            make_folders(os.path.dirname(host.path(path)))
            write_atomic(host.path(path), text.encode(), 0o644)


def apt_install(host: Host, names: list[str], promised: Json, timeout_s: float) -> str:
    """apt-get without questions, which removes nothing; "" or why it failed. Its lists are renewed once when what they
    offer is gone."""
    error = ""
    for attempt in (1, 2):
        try:
            argv = ["apt-get", *APT_OPTIONS, "--no-remove", "install", "--", *names]
            ran = run_command(host, argv, timeout_s, group=True)
        except Trouble as trouble:
            return str(trouble)
        if ran.code == 0:
            return ""
        lines = [line for line in ran.err.splitlines() if line.startswith("E:")]
        error = safe_line(lines[-1] if lines else ran.err)
        stale = any(
            word in ran.err for word in ("Unable to locate", "404", "no installation candidate", "Failed to fetch")
        )
        if attempt == 2 or not stale:
            break
        with contextlib.suppress(Trouble):
            run_command(host, ["apt-get", *APT_OPTIONS, "update"], timeout_s, group=True)
        allowed(host, "install", names, promised)
    return error
