"""What is installed does not start on its own: a policy while dpkg works, and what came enabled is disabled."""

from __future__ import annotations

import contextlib
import errno
import os
import re

from service.hostside.boot_unit import RECOVER_UNIT
from service.hostside.canonical import as_bytes
from service.hostside.commands import must
from service.hostside.durable import make_folders, read_file, remove, sync_folder, write_atomic
from service.hostside.facts import FACTS
from service.hostside.host import UNITS, Host, read_json, start_time

POLICY = "/usr/sbin/policy-rc.d"  # called by invoke-rc.d and deb-systemd-invoke before they start a service
POLICY_ASIDE = "/usr/sbin/policy-rc.d.before-passerelle"
WANT = (".wants", ".requires", ".upholds")


def enabled_units(host: Host) -> list[str]:
    """Units that somebody has enabled: what links in /etc/systemd/system lead to, but for masked and missing ones.

    systemd.unit(5) has the kinds of links. `systemctl list-unit-files` has them too, but systemd then goes
    through all links for each of some 170 files, and does nothing else for most of a second (seen with 252).
    """
    found = set()
    for entry in [*os.scandir(host.path(UNITS)), *_wanted(host)] if os.path.isdir(host.path(UNITS)) else []:
        target = _leads_to(entry.path)
        if target is None:
            continue
        top = os.path.dirname(entry.path) == host.path(UNITS)
        name = os.path.basename(target) if top else entry.name  # an alias, or a unit that another one wants
        there = os.path.exists(host.path(target) if target.startswith("/") else entry.path)
        masked = _leads_to(host.path(f"{UNITS}/{name}")) == os.devnull
        if there and not masked and target != os.devnull and not (top and name == entry.name):
            found.add(name)
    return sorted(found)


def _wanted(host: Host) -> list[os.DirEntry[str]]:
    """The links by which other units want one, in /etc."""
    folders = [entry for entry in os.scandir(host.path(UNITS)) if entry.name.endswith(WANT) and entry.is_dir()]
    found: list[os.DirEntry[str]] = []
    for folder in folders:
        with contextlib.suppress(FileNotFoundError):
            found += os.scandir(folder.path)
    return found


def _leads_to(path: str) -> str | None:
    """The target of a link; None where no link is, or where one was until somebody removed or replaced it just now."""
    try:
        return os.readlink(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINVAL):
            return None
        raise


def _without_instance(unit: str) -> str:
    """`getty@tty1.service` as `getty@.service`: an earlier version noted templates."""
    return re.sub(r"@.*\.", "@.", unit)


def begin_packages(host: Host) -> None:
    """Keep what is installed from starting: a policy that forbids while this process lives, and a note for after us."""
    pid = os.getpid()
    note = {"pid": pid, "start": start_time(pid), "enabled": enabled_units(host)}
    write_atomic(host.state("packages.json"), as_bytes(note))
    policy, aside = host.path(POLICY), host.path(POLICY_ASIDE)
    if os.path.lexists(policy) and not os.path.lexists(aside):
        os.rename(policy, aside)
    text = (
        "#!/bin/sh\n# Written by passerelle: no service starts while packages are being installed.\n"
        f"{{ read -r stat </proc/{pid}/stat; }} 2>/dev/null\n"
        f'case "$stat" in *" {note["start"]} "*) exit 101 ;; esac\n'
        f'[ -x {POLICY_ASIDE} ] && exec {POLICY_ASIDE} "$@"\nexit 0\n'
    )
    make_folders(os.path.dirname(policy))
    write_atomic(policy, text.encode(), 0o755)


def finish_packages(host: Host, ours: bool = False) -> list[str]:
    """After an installation, also one that was cut: units that came enabled are disabled, the policy is removed."""
    try:
        note = read_json(host.state("packages.json"))
    except ValueError:
        note = {"pid": 0, "start": "", "enabled": None}
    if note is None:
        return []
    if not ours and note["start"] and start_time(int(note["pid"])) == note["start"]:
        return []
    came = []
    if note["enabled"] is not None:
        before = {_without_instance(unit) for unit in note["enabled"]}
        came = [unit for unit in enabled_units(host) if _without_instance(unit) not in before]
    came = [unit for unit in came if re.fullmatch(FACTS["unit"].names, unit) and unit != RECOVER_UNIT]
    if came:
        must(host, ["systemctl", "disable", "--now", *came], timeout_s=90.0)
    policy, aside = host.path(POLICY), host.path(POLICY_ASIDE)
    if b"Written by passerelle" in read_file(policy)[1]:
        remove(policy)
    if os.path.lexists(aside):
        os.rename(aside, policy)
        sync_folder(os.path.dirname(policy))
    remove(host.state("packages.json"))
    return came
