"""Changes that wait for the next reboot: an interfaces.new, a host.fw.new.

Proxmox's interface writes them until somebody applies them. Its tool for network card names
(`pve-network-interface-pinning generate`) writes both, and the next boot renames the cards (pve-manager's own source).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from service.adopt.account import Account
from service.adopt.interfaces_read import significant
from service.adopt.material import FIREWALL_LEFT_OVER, LEFT_OVER, PVE_FIREWALL, Material
from service.formats.interfaces import MAIN_FILE, IfaceMeaning, InterfacesConfig, load, meanings

MAX_NAMES = 256
_CLUSTER_FILE = "/etc/pve/firewall/cluster.fw"


def read_left_overs(material: Material, config: InterfacesConfig, account: Account) -> None:
    """Tell what waits; where it only gives cards other names, which."""
    names: dict[str, str] = {}
    if LEFT_OVER in material.files:
        data = material.files[LEFT_OVER]
        account.read("interfaces", LEFT_OVER, significant(data), "a change that waits", whole=LEFT_OVER)
        names = renamed(config, load({MAIN_FILE: data}))
        account.add("danger", "interfaces", LEFT_OVER, _words(names))
    if FIREWALL_LEFT_OVER in material.files:
        lines = significant(material.files[FIREWALL_LEFT_OVER])
        account.read("firewall", FIREWALL_LEFT_OVER, lines, "a change that waits", whole=FIREWALL_LEFT_OVER)
        what = f"is a change that waits: the next reboot moves it over {PVE_FIREWALL[1]}"
        account.add("danger", "firewall", FIREWALL_LEFT_OVER, what)
    cluster = material.files.get(_CLUSTER_FILE, b"").decode("utf-8", "replace").splitlines()
    for old, new in names.items():
        for number, line in enumerate(cluster, 1):
            words = line.partition("#")[0].split()
            if any(word in ("-i", "-iface", "--iface") and words[n + 1] == old for n, word in enumerate(words[:-1])):
                what = f"names {old}, which is {new} after the next reboot: Proxmox's pinning does not change this file"
                account.add("danger", "firewall", f"{_CLUSTER_FILE}:{number}", what)


def _words(names: Mapping[str, str]) -> str:
    waits = "is a change that waits: the next reboot moves it over /etc/network/interfaces"
    if not names:
        return f"{waits}. Fix: apply or discard it where it was made, and adopt again"
    pairs = ", ".join(f"{old} to {new}" for old, new in names.items())
    return (
        f"a reboot renames {pairs}: Proxmox pins the names of network cards. {waits[0].upper()}{waits[1:]}. "
        "Fix: reboot the host, and adopt again; the spec written now has the old names"
    )


def renamed(config: InterfacesConfig, after: InterfacesConfig) -> dict[str, str]:
    """{old name: new name} where the new configuration is the old one with other names of cards; else empty."""
    old, new = meanings(config), meanings(after)
    gone = [name for name in old if name not in new]
    if not 0 < len(gone) <= MAX_NAMES or len(old) != len(new):
        return {}
    pairs = dict(_by_use(old, new))
    for name in gone:
        if name not in pairs:
            like = [n for n in new if n not in old and n not in pairs.values() and _same(old[name], new[n], pairs)]
            pairs |= {name: like[0]} if len(like) == 1 else {}
    for name in gone:
        card, dot, vlan = name.partition(".")
        if name not in pairs and dot and card in pairs:
            pairs[name] = f"{pairs[card]}.{vlan}"
    is_whole = set(pairs) == set(gone) and len(set(pairs.values())) == len(pairs)
    return pairs if is_whole and all(_same(old[n], new.get(pairs.get(n, n)), pairs) for n in old) else {}


def _by_use(old: Mapping[str, IfaceMeaning], new: Mapping[str, IfaceMeaning]) -> Iterator[tuple[str, str]]:
    """Names that stand at the same place in the options of an interface that keeps its own."""
    for name, before in old.items():
        after = new.get(name)
        words = [option.value.split() for option in before.options]
        others = [option.value.split() for option in after.options] if after is not None else []
        if [len(w) for w in words] == [len(w) for w in others]:
            for one, other in zip(words, others, strict=True):
                yield from ((a, b) for a, b in zip(one, other, strict=True) if a in old and a not in new and b in new)


def _same(before: IfaceMeaning, after: IfaceMeaning | None, pairs: Mapping[str, str]) -> bool:
    """Whether two interfaces are the same but for names of cards."""
    if after is None:
        return False
    bridge = before.bridge
    if bridge is not None:
        bridge = replace(bridge, ports=tuple(sorted(pairs.get(port, port) for port in bridge.ports)))
    texts = sorted(" ".join(pairs.get(word, word) for word in line.text.split()) for line in before.up_lines)
    other = sorted((o.key, " ".join(pairs.get(word, word) for word in o.value.split())) for o in before.other)
    return (
        (before.addresses, before.gateways, before.mtu, bridge, before.methods, texts, other)
        == (after.addresses, after.gateways, after.mtu, after.bridge, after.methods,
            sorted(line.text for line in after.up_lines), sorted((o.key, o.value) for o in after.other))
    )  # fmt: skip
