"""Packages and services that matter to the network, and fail2ban's jails."""

import re

from service.adopt.material import FAIL2BAN_FILES, Material
from service.adopt.sketch import Sketch
from service.model.states import Json
from service.spec.yaml_text import flow

STATUS_FILE = "/var/lib/dpkg/status"
_SECTIONS = {
    "/etc/dnsmasq": "dnsmasq", "/etc/nftables": "nat", "/etc/iptables": "nat", "/etc/ethers": "guests",
    "/etc/pve/lxc": "guests", "/etc/pve/qemu-server": "guests", "/etc/pve/firewall": "firewall",
}  # fmt: skip
"""Whom a file concerns that could not be read."""
_SECTION = re.compile(r"\[([A-Za-z0-9_.-]{1,60})\]")


def read_system(material: Material, sketch: Sketch) -> None:
    """Write `packages` and `services` into the sketch."""
    uses = {
        "dnsmasq": "dnsmasq" in sketch.values,
        "nftables": "nat" in sketch.values or material.is_on("nftables.service"),
        "fail2ban": material.is_on("fail2ban.service"),
    }
    for name, is_used in uses.items():
        if is_used and material.packages.get(name) is True:
            sketch.mapping("packages")[name] = "present"
            sketch.notes.add("understood", "packages", STATUS_FILE, f"{name} is installed")
    if material.packages.get("bind9") is True and "named.service" in material.units:
        state = material.units["named.service"]
        if material.is_off("named.service"):
            sketch.mapping("services")["named"] = "masked" if state.startswith("masked") else "disabled"
            sketch.notes.add("understood", "services", "", f"named.service is {state}")
        elif "dnsmasq" in sketch.values:
            what = "BIND starts at boot, too: whoever comes first has port 53"
            sketch.notes.add("danger", "services", "", what)
    if material.is_on("systemd-resolved.service") and "dnsmasq" in sketch.values:
        sketch.notes.add("danger", "services", "", "systemd-resolved starts at boot and may hold port 53")
    if material.packages.get("ifupdown") is True and material.packages.get("ifupdown2") is not True:
        what = "the classic ifupdown is installed: what it reads otherwise than ifupdown2 is told with the line"
        sketch.notes.add("danger", "interfaces", "", what)
    _jails(material, sketch)
    for path, why in material.unread.items():
        section = next((name for prefix, name in _SECTIONS.items() if path.startswith(prefix)), "")
        if section:
            sketch.notes.add("unmanaged", section, path, f"could not be read: {why}")


def _jails(material: Material, sketch: Sketch) -> None:
    """The jails that are switched on, by name."""
    enabled: dict[str, tuple[bool, str]] = {}
    jails: list[Json] = []
    for path, data in material.below(*(p for p in FAIL2BAN_FILES if not p.endswith("jail.conf"))).items():
        if not path.endswith((".conf", ".local")):
            continue
        section = ""
        for number, raw in enumerate(data[: 1 << 20].decode("utf-8", "replace").split("\n"), 1):
            line = raw.strip()
            if head := _SECTION.fullmatch(line):
                section = head[1]
            elif section and (pair := re.fullmatch(r"enabled\s*[=:]\s*(\S+)\s*", line)):
                enabled[section] = (pair[1].lower() in ("true", "yes", "1", "on"), f"{path}:{number}")
    for name, (is_on, where) in enabled.items():
        if is_on and name != "DEFAULT":
            sketch.notes.add("unmanaged", "fail2ban", where, f"jail {name}")
            if name in ("sshd", "proxmox"):
                jails.append(name)
    if jails:
        lines = ["  # made by hand now: without the signs in front passerelle writes the jails"]
        sketch.suggestions["fail2ban"] = [*lines, f"  jails: {flow([*jails])}"]
