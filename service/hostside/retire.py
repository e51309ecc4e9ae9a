"""The verb that removes passerelle from this host. The network stays as it is."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil

from service.hostside.boot_unit import RECOVER_UNIT
from service.hostside.canonical import STATE
from service.hostside.commands import run_command
from service.hostside.durable import read_file, remove, sync_folder, write_new
from service.hostside.errors import Json, Refused, Trouble, need
from service.hostside.host import UNITS, Host, read_text
from service.hostside.journal import armed_id, quarantined
from service.hostside.lock import locked
from service.hostside.tidy import tidy

WAKERS = ["passerelle-expire-*", "passerelle-watch-*"]
LOGIN_NAME = r"[a-z_][a-z0-9_-]{0,31}"
KEY = r"[a-z0-9-]{1,40} [A-Za-z0-9+/]{16,4000}={0,2}"
MOST_SHOWN = 100


def verb_retire(host: Host, order: str) -> dict[str, Json]:
    """Remove the state, the units and, last of all, the service's key. Refused while a change is armed or quarantined.

    `order` is JSON: {"user": the login name, "key": "TYPE BASE64", or "" to keep the key}. The result names the files
    of passerelle that stay because the network needs them. A second run finishes what a killed one left.
    """
    user, key = read_order(order)
    with locked(host):
        tidy(host)
        if failed := quarantined(host):
            raise Refused("quarantined", f"the rollback of {failed} failed, and nobody has released the host")
        if armed := armed_id(host):
            raise Refused("armed", f"the change {armed} waits for its confirmation")
        remove_units(host)
        remove_state(host)
    kept = remove_key(host, user, key) if key else "it was to be kept"
    return {"state": "retired", "key_removed": not kept, "key_kept": kept, "stays": own_files(host)}


def read_order(order: str) -> tuple[str, str]:
    """(login name, key)."""
    try:
        wanted = json.loads(order)
    except ValueError:
        wanted = None
    need(isinstance(wanted, dict) and set(wanted) == {"user", "key"}, "retire: {user, key}")
    user, key = str(wanted["user"]), str(wanted["key"])
    need(bool(re.fullmatch(LOGIN_NAME, user)), "retire: the user is a login name")
    need(not key or bool(re.fullmatch(KEY, key)), "retire: the key is its type and its base64")
    return user, key


def remove_units(host: Host) -> None:
    """Stop what is left of the rollback timers, and remove the unit that runs before networking."""
    with contextlib.suppress(Trouble):
        run_command(
            host, ["systemctl", "stop", *(f"{name}.{kind}" for name in WAKERS for kind in ("timer", "service"))]
        )
    remove(host.path(f"{UNITS}/sysinit.target.wants/{RECOVER_UNIT}"))
    remove(host.path(f"{UNITS}/{RECOVER_UNIT}"))
    with contextlib.suppress(Trouble):
        run_command(host, ["systemctl", "daemon-reload"], 60.0)
        run_command(host, ["systemctl", "reset-failed", RECOVER_UNIT, *(f"{name}.service" for name in WAKERS)])


def remove_state(host: Host) -> None:
    """Delete the state folder: first its name, so that no half of it is ever taken for a whole."""
    gone = host.path(STATE) + ".retired"
    shutil.rmtree(gone, ignore_errors=True)
    os.rename(host.path(STATE), gone)
    sync_folder(os.path.dirname(gone))
    shutil.rmtree(gone)


def remove_key(host: Host, user: str, key: str) -> str:
    """Remove the lines with this key from the user's authorized_keys (sshd(8)); why not, or "".

    On Proxmox VE, root's file is a link into /etc/pve, which all nodes of a cluster share: such a link is left alone.
    """
    home = home_of(host, user)
    if not home:
        return f"{user} is not in /etc/passwd"
    name = f"{home}/.ssh/authorized_keys"
    fact, content = read_file(host.path(name))
    if fact is None:
        return f"{name} does not exist"
    if fact.get("type") == "symlink" or os.path.islink(host.path(os.path.dirname(name))):
        return f"{name} is a link, and other hosts may share its target"
    if "sha256" not in fact:
        return f"{name} is not a plain file"
    lines = content.splitlines(keepends=True)
    left = [line for line in lines if not has_key(line, key)]
    if len(left) == len(lines):
        return f"{name} does not have it"
    if not any(line.strip() and not line.lstrip().startswith(b"#") for line in left):
        return f"it is the only key in {name}, and nobody else might get in"
    path = host.path(name)
    write_new(path + ".new", b"".join(left), int(str(fact["mode"]), 8), fact)
    os.rename(path + ".new", path)
    sync_folder(os.path.dirname(path))
    return ""


def has_key(line: bytes, key: str) -> bool:
    """Does a line of authorized_keys have this key? Options and a comment may surround it."""
    words = line.split()
    wanted = key.encode().split()
    return not line.lstrip().startswith(b"#") and any(words[n : n + 2] == wanted for n in range(len(words)))


def home_of(host: Host, user: str) -> str:
    """The user's home folder, "" when there is no such user."""
    for line in read_text(host.path("/etc/passwd"), 1 << 20).splitlines():
        fields = line.split(":")
        if fields[0] == user and len(fields) == 7 and fields[5].startswith("/"):
            return fields[5].rstrip("/")
    return ""


def own_files(host: Host) -> list[str]:
    """What passerelle wrote below /etc, by its name: the network needs these files, so they stay."""
    found = []
    top = host.path("/etc")
    for folder, folders, files in os.walk(top):
        below = folder[len(host.root) :]
        if os.path.basename(folder) == "passerelle":
            found += [f"{below}/{name}" for name in [*folders, *files]]
            folders.clear()
        else:
            found += [f"{below}/{name}" for name in files if "passerelle" in name]
    return sorted(found)[:MOST_SHOWN]
