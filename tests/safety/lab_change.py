"""The change that the matrix applies: one of everything a transaction can do, on a host that already has neighbours.

The old world has an operator's file, mode and owner, and a masquerade rule of somebody else, all of which must stay.
"""

import hashlib
import stat
from typing import Any

from service.lab import Host
from service.model.facts import Step
from service.model.plans import Plan
from tests.safety.lab_world import FileState, Whole, read_file

INTERFACES = "/etc/network/interfaces"
DNSMASQ = "/etc/dnsmasq.d/passerelle.conf"
GONE = "/etc/dnsmasq.d/left.conf"
SYSCTL = "/etc/sysctl.d/50-passerelle.conf"
LOADER = "/etc/systemd/system/passerelle-nft.service"
NAT = "/etc/passerelle/nft.d/nat.nft"
UNITS = "/etc/systemd/system/"
DISK = "old-world"
NEIGHBOUR = "old-leases.service"
NEIGHBOUR_TEXT = b"[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"
TABLE = "table inet passerelle_nat {\n\tchain forward {\n\t\ttype filter hook forward priority 0;\n\t}\n}"

UPLINK = """\
auto lo
iface lo inet loopback

auto enp1s0
iface enp1s0 inet static
\taddress {address}/24
{more}\tgateway 198.51.100.1
\tpost-up iptables -t nat -A POSTROUTING -s 10.99.0.0/24 -o enp1s0 -j MASQUERADE
"""
BRIDGE = """
auto vmbr0
iface vmbr0 inet static
\taddress 10.10.10.1/24
\tbridge-ports none
\tbridge-stp off
\tbridge-fd 0
\tpost-up iptables -t nat -A POSTROUTING -s 10.10.10.0/24 -o enp1s0 -j MASQUERADE
"""
NEW_DNSMASQ = b"interface=vmbr0\nexcept-interface=lo\nbind-dynamic\nport=0\ndhcp-range=10.10.10.50,10.10.10.99,1h\n"
BROKEN_DNSMASQ = b"port=5353\nlisten-address=192.0.2.77\nbind-interfaces\n"  # good syntax, and it cannot start
OLD_DNSMASQ = b"interface=nothing-yet\nno-resolv\n"
LOADER_TEXT = b"""\
[Unit]
DefaultDependencies=no
After=local-fs.target
Before=network-pre.target networking.service
Wants=network-pre.target
ConditionDirectoryNotEmpty=/etc/passerelle/nft.d

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'cat /etc/passerelle/nft.d/*.nft | /usr/sbin/nft -f -'

[Install]
WantedBy=sysinit.target
"""
INSTALL = """
set -e
export DEBIAN_FRONTEND=noninteractive
printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d
apt-get update -qq
apt-get install -y -qq --no-install-recommends dnsmasq >/dev/null 2>&1
rm /usr/sbin/policy-rc.d
systemctl disable dnsmasq >/dev/null 2>&1
systemctl enable old-leases >/dev/null 2>&1
chown 0:33 /etc/dnsmasq.d/passerelle.conf && chmod 640 /etc/dnsmasq.d/passerelle.conf
touch /etc/dnsmasq.d/README
"""


def second_address(host: Host) -> str:
    """The address that the change gives the uplink in addition."""
    head, _, last = host.address.rpartition(".")
    return f"{head}.{int(last) + 90}"


def lay_ground(host: Host) -> None:
    """Make, on a bare host, the disk of the old world, with dnsmasq installed and off; the host is off then, too."""
    host.sh("mkdir -p /etc/dnsmasq.d")
    for path, content in ((DNSMASQ, OLD_DNSMASQ), (GONE, b"no-hosts\n"), (UNITS + NEIGHBOUR, NEIGHBOUR_TEXT)):
        host.write(path, content)
    host.sh(INSTALL, timeout_s=240)
    host.keep_disk(DISK)


def lay_out(host: Host, *, wait: bool = True) -> None:
    """A host in the old world, freshly booted."""
    interfaces = UPLINK.format(address=host.address, more="").encode()
    host.fresh(files={INTERFACES: interfaces}, disk=DISK, wait=wait, timeout_s=240)


def new_interfaces(host: Host, cut: bool) -> bytes:
    if cut:
        return (UPLINK.format(address="203.0.113.77", more="") + BRIDGE).encode()
    more = f"\taddress {second_address(host)}/24\n"
    return (UPLINK.format(address=host.address, more=more) + BRIDGE).encode()


def fact_of(file: FileState | None) -> dict[str, Any] | None:
    """A file fact, from what the harness read."""
    if file is None:
        return None
    digest = hashlib.sha256(file.content).hexdigest()
    return {"sha256": digest, "mode": f"{file.mode & 0o7777:04o}", "uid": file.uid, "gid": file.gid}


def whole_files(host: Host, plan: Plan) -> Whole:
    """Each file of a plan that is not begun yet: as it is, and as the plan wants it."""
    whole: Whole = {}
    for step in plan.steps:
        path, value = step.fact.removeprefix("file:"), step.after
        if step.fact.startswith("file:"):
            new = None
            if isinstance(value, dict):
                mode = stat.S_IFREG | int(str(value["mode"]), 8)
                new = FileState(plan.blobs[str(value["sha256"])], mode, int(str(value["uid"])), int(str(value["gid"])))
            whole[path] = (read_file(host, path), new)
    return whole


def trial_plan(host: Host, *, cut: bool = False, broken: bool = False) -> Plan:
    """The change as a plan. `cut`: it gives the uplink an address of another network; `broken`: a step of it fails."""
    blobs: dict[str, bytes] = {}

    def file(path: str, content: bytes | None, on_confirm: bool = False) -> Step:
        old = read_file(host, path)
        kept = old or FileState(b"", 0o100644, 0, 0)
        new = None if content is None else FileState(content, kept.mode, kept.uid, kept.gid)
        if content is not None:
            blobs[hashlib.sha256(content).hexdigest()] = content
        return Step(f"file:{path}", fact_of(old), fact_of(new), "the harness wants it", on_confirm=on_confirm)

    def step(fact: str, before: Any, after: Any, restart: bool = False) -> Step:
        return Step(fact, before, after, "the harness wants it", restart=restart)

    uplink = [f"{host.address}/24"]
    route: Any = [{"family": 4, "via": "198.51.100.1", "dev": "enp1s0"}]
    bridge = {"type": "bridge", "up": True, "stp": False, "forward_delay_s": 0}
    on, off = {"enabled": "enabled", "active": True}, {"enabled": "disabled", "active": False}
    steps = (
        step(f"unit:{NEIGHBOUR}", on, off),
        file(INTERFACES, new_interfaces(host, cut)),
        file(SYSCTL, b"net.ipv4.ip_forward = 1\n"),
        file(DNSMASQ, BROKEN_DNSMASQ if broken else NEW_DNSMASQ),
        file(GONE, None),
        file(LOADER, LOADER_TEXT),
        step("link:vmbr0", None, bridge),
        step("addresses:vmbr0", None, ["10.10.10.1/24"]),
        step("addresses:enp1s0", uplink, ["203.0.113.77/24"] if cut else [*uplink, f"{second_address(host)}/24"]),
        step("sysctl:net.ipv4.ip_forward", "0", "1"),
        step("nft:inet passerelle_nat", None, {"load": TABLE}),
        step("masquerade:10.10.10.0/24>enp1s0", 0, 1),
        step("unit:passerelle-nft.service", None, {"enabled": "enabled"}),
        step("unit:dnsmasq.service", off, on, restart=True),
        file(NAT, (TABLE + "\n").encode(), on_confirm=True),
    )
    return Plan(
        host.name,
        "c" * 40,
        "sha256:" + hashlib.sha256(repr(steps).encode()).hexdigest(),
        steps=steps,
        keep=(step("routes:default", route, route),),
        checks=(("dnsmasq", DNSMASQ), ("nft", "inet passerelle_nat")),
        blobs=blobs,
    )
