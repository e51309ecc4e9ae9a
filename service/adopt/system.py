"""Packages and services that matter to the network."""

from service.adopt.jails import read_jails
from service.adopt.material import Material
from service.adopt.sketch import Sketch

STATUS_FILE = "/var/lib/dpkg/status"
_SECTIONS = {
    "/etc/dnsmasq": "dnsmasq", "/etc/nftables": "nat", "/etc/iptables": "nat", "/etc/ethers": "guests",
    "/etc/pve/lxc": "guests", "/etc/pve/qemu-server": "guests", "/etc/pve/firewall": "firewall",
}  # fmt: skip
"""Whom a file concerns that could not be read."""


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
            what = f"{name} is installed"
            sketch.notes.add("understood", "packages", STATUS_FILE, what, ("packages", name))
    state = material.units.get("named.service", "absent")
    if material.packages.get("bind9") is True and state != "absent":
        if material.is_off("named.service"):
            sketch.mapping("services")["named"] = "masked" if state.startswith("masked") else "disabled"
            sketch.notes.add("understood", "services", "", f"named.service is {state}", ("services", "named"))
        elif "dnsmasq" in sketch.values:
            what = "BIND starts at boot, too: whoever comes first has port 53"
            sketch.notes.add("danger", "services", "", what)
    if material.is_on("systemd-resolved.service") and "dnsmasq" in sketch.values:
        sketch.notes.add("danger", "services", "", "systemd-resolved starts at boot and may hold port 53")
    read_jails(material, sketch)
    for path, why in material.unread.items():
        section = next((name for prefix, name in _SECTIONS.items() if path.startswith(prefix)), "")
        if section:
            sketch.notes.add("unmanaged", section, path, f"could not be read: {why}")
