"""The verb that brings packages, before a transaction."""

from __future__ import annotations

import contextlib

from service.hostside.apt import APT_OPTIONS, allowed, installed, package_names
from service.hostside.commands import run_command, safe_line
from service.hostside.errors import Json, Refused, Trouble, need
from service.hostside.host import Host
from service.hostside.journal import armed_id
from service.hostside.lines import read_input
from service.hostside.lock import locked
from service.hostside.policy import begin_packages, finish_packages
from service.hostside.tidy import tidy


def verb_packages(host: Host) -> dict[str, Json]:
    order = read_input()
    need(
        isinstance(order, dict) and set(order) <= {"install", "timeout_s", "promised"},
        "stdin: {install, timeout_s, promised}",
    )
    install = package_names(order.get("install", []))
    timeout_s = float(order.get("timeout_s", 600))
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
