"""Guests on Proxmox: made and set up with pct(1), never by writing into /etc/pve."""

from __future__ import annotations

import os
import re

from service.hostside.commands import run_command, safe_line
from service.hostside.errors import Trouble
from service.hostside.guest_order import MOUNTS, Wanted
from service.hostside.host import Host, read_text
from service.hostside.inside import PVE_CONTAINERS

PVE_IDS = 100_000
"""What Proxmox adds to the numbers of users in an unprivileged container."""
MAX_MOUNTS = 256


def make(host: Host, wanted: Wanted, archive: str, timeout_s: float) -> None:
    """A container from a template. pct locks what it has not finished."""
    card = f"name=eth0,bridge={wanted.bridge},hwaddr={wanted.mac.upper()},ip=dhcp"
    argv = ["pct", "create", str(wanted.vmid), host.path(archive), "--hostname", wanted.name, "--ostype", "debian"]
    argv += ["--unprivileged", "1", "--features", "nesting=1", "--net0", card, "--onboot", str(int(wanted.autostart))]
    argv += ["--rootfs", f"{wanted.storage}:{wanted.disk_gib}"]
    for number, (place, folder, options) in enumerate(MOUNTS):
        argv += [f"--mp{number}", mount(wanted.name, place, folder, options)]
    run(host, argv, timeout_s)


def mount(name: str, place: str, folder: str, options: str) -> str:
    """A bind mount as pct takes it."""
    return f"{folder}/{name},mp=/{place}{',ro=1' if 'ro' in options.split(',') else ''}"


def set_up(host: Host, own: str, wanted: Wanted) -> None:
    """Our two mounts, and whether the guest starts at boot; what is so already is left alone."""
    now = settings(host, own)
    argv = []
    if now.get("onboot", "0") != str(int(wanted.autostart)):
        argv += ["--onboot", str(int(wanted.autostart))]
    taken = {int(key[2:]) for key in now if re.fullmatch("mp[0-9]{1,3}", key)}
    for place, folder, options in MOUNTS:
        ours = mount(wanted.name, place, folder, options)
        here = [n for n in sorted(taken) if f"mp=/{place}" in now.get(f"mp{n}", "").split(",")]
        if here and set(now[f"mp{here[0]}"].split(",")) == set(ours.split(",")):
            continue
        number = here[0] if here else next(n for n in range(MAX_MOUNTS) if n not in taken)
        taken.add(number)
        argv += [f"--mp{number}", ours]
    if argv:
        run(host, ["pct", "set", own, *argv], 60.0)


def settings(host: Host, own: str) -> dict[str, str]:
    """What counts now of a container's settings (pct.conf(5))."""
    text = re.split(r"(?m)^\[", read_text(host.path(f"{PVE_CONTAINERS}/{own}.conf"), 1 << 20))[0]
    return dict(re.findall(r"(?m)^([a-z][a-z0-9]*):[ \t]*(.*?)[ \t]*$", text))


def number_with(host: Host, mac: str) -> str:
    """The guest of this node with a MAC address, of either kind; "" where none has it."""
    for kind in ("lxc", "qemu-server"):
        folder = host.path(f"/etc/pve/{kind}")
        for entry in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            text = re.split(r"(?m)^\[", read_text(os.path.join(folder, entry), 1 << 20))[0]
            if re.fullmatch(r"[0-9]{3,9}\.conf", entry) and re.search(rf"(?im)^net[0-9]+:.*={mac}\b", text):
                return entry[:-5]
    return ""


def mapped_root(host: Host, own: str) -> int:
    """Which user of the host is root of a container: 0 where it is privileged."""
    text = read_text(host.path(f"{PVE_CONTAINERS}/{own}.conf"), 1 << 20)
    found = re.search(r"(?m)^lxc\.idmap:[ \t]*u 0 ([0-9]{1,10}) ", text)
    if found:
        return int(found[1])
    return PVE_IDS if settings(host, own).get("unprivileged") == "1" else 0


def start(host: Host, own: str) -> None:
    """Trouble with what pct says where it does not start."""
    run(host, ["pct", "start", own], 90.0)


def run(host: Host, argv: list[str], timeout_s: float) -> None:
    ran = run_command(host, argv, timeout_s, group=argv[1] != "start")
    if ran.code != 0:
        raise Trouble(f"pct {argv[1]} {argv[2]} failed: {safe_line(ran.err)}")
