"""Changes that wait for the next reboot: an interfaces.new, a host.fw.new.

Proxmox's interface writes them until somebody applies them. Its tool for network card names
(`pve-network-interface-pinning generate`) writes both, and the next boot renames the cards (pve-manager's own source).
"""

from collections.abc import Mapping

from service.adopt.account import Account
from service.adopt.interfaces_read import significant
from service.adopt.material import FIREWALL_LEFT_OVER, PVE_FIREWALL, Material
from service.formats.interfaces import MAIN_FILE, InterfacesConfig, load, renamed
from service.observe.at_boot import LEFT_OVER

_CLUSTER_FILE = "/etc/pve/firewall/cluster.fw"


def read_left_overs(material: Material, config: InterfacesConfig, account: Account) -> None:
    """Tell what waits; where it only gives cards other names, which."""
    names: dict[str, str] = {}
    if LEFT_OVER in material.files:
        data = material.files[LEFT_OVER]
        account.read("interfaces", LEFT_OVER, significant(data), "not applied yet", whole=LEFT_OVER)
        if data == material.files.get(MAIN_FILE):
            what = f"identical to {MAIN_FILE}, so no change waits. Fix: remove it before you change {MAIN_FILE}"
            account.add("unmanaged", "interfaces", LEFT_OVER, what)
        else:
            names = renamed(config, load({MAIN_FILE: data}))
            account.add("danger", "interfaces", LEFT_OVER, _words(names))
    if FIREWALL_LEFT_OVER in material.files:
        lines = significant(material.files[FIREWALL_LEFT_OVER])
        account.read("firewall", FIREWALL_LEFT_OVER, lines, "not applied yet", whole=FIREWALL_LEFT_OVER)
        what = f"the next reboot moves it over {PVE_FIREWALL[1]}"
        account.add("danger", "firewall", FIREWALL_LEFT_OVER, what)
    cluster = material.files.get(_CLUSTER_FILE, b"").decode("utf-8", "replace").splitlines()
    for old, new in names.items():
        for number, line in enumerate(cluster, 1):
            words = line.partition("#")[0].split()
            if any(word in ("-i", "-iface", "--iface") and words[n + 1] == old for n, word in enumerate(words[:-1])):
                what = (
                    f"names {old}, which is {new} after the next reboot. Proxmox's pinning does not change this file. "
                )
                what += f"Fix: write {new} there when the host has rebooted"
                account.add("danger", "firewall", f"{_CLUSTER_FILE}:{number}", what)


def _words(names: Mapping[str, str]) -> str:
    waits = f"the next reboot moves it over {MAIN_FILE}"
    if not names:
        return f"{waits}. Fix: apply or discard it where it was made, and adopt again"
    pairs = ", ".join(f"{old} to {new}" for old, new in sorted(names.items()))
    return (
        f"a reboot renames {pairs}. Proxmox pins the names of network cards, and {waits}. "
        "Fix: reboot the host, and adopt again. Until then the spec has the old names"
    )
