"""Whether one configuration is another with other names of network cards, as a pinning of their names makes it."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from service.formats.interfaces.at_boot import meanings
from service.formats.interfaces.loading import InterfacesConfig
from service.formats.interfaces.meant import IfaceMeaning, ports_of

MAX_NAMES = 256
PLAIN = "inet manual"


def renamed(config: InterfacesConfig, after: InterfacesConfig) -> dict[str, str]:
    """{old name: new name} where the new configuration is the old one with other names of cards; else empty.

    Proxmox's own writer adds a plain stanza for each card of the host, so these make no difference.
    """
    old, new = _with_ports(meanings(config)), _with_ports(meanings(after))
    gone = [name for name in old if name not in new]
    if not 0 < len(gone) <= MAX_NAMES:
        return {}
    pairs = dict(_by_use(old, new))
    for name in sorted(gone, key=lambda name: "." not in name):  # a VLAN's card is that of the VLAN
        if name not in pairs:
            like = [n for n in new if n not in old and n not in pairs.values() and _same(old[name], new[n], pairs)]
            pairs |= {name: like[0]} if len(like) == 1 else {}
        card, _, vlan = name.rpartition(".")
        other, _, same = pairs.get(name, "").rpartition(".")
        if card in gone and other and vlan == same:
            pairs.setdefault(card, other)
    for name in gone:
        card, dot, vlan = name.partition(".")
        if name not in pairs and dot and card in pairs:
            pairs[name] = f"{pairs[card]}.{vlan}"
    rest = [new[name] for name in new if name not in old and name not in pairs.values()]
    rest += [old[name] for name in gone if name not in pairs]
    is_whole = len(set(pairs.values())) == len(pairs) and all(map(_is_plain, rest))  # an unused card is any of those
    known = [name for name in old if name in pairs or name in new]
    return pairs if is_whole and all(_same(old[n], new.get(pairs.get(n, n)), pairs) for n in known) else {}


def _with_ports(made: Mapping[str, IfaceMeaning]) -> dict[str, IfaceMeaning]:
    """The interfaces with the ports of bridges and bonds: one without a stanza is as with a plain one."""
    ports = (port for have in made.values() for port in ports_of(have))
    return {**{port: IfaceMeaning(port, methods=(PLAIN,)) for port in ports}, **made}


def _is_plain(have: IfaceMeaning) -> bool:
    return have.methods == (PLAIN,) and not have.options


def _by_use(old: Mapping[str, IfaceMeaning], new: Mapping[str, IfaceMeaning]) -> Iterator[tuple[str, str]]:
    """Names at the same place in the options of an interface that keeps its own."""
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
    bond = before.bond
    if bond is not None:
        ports = tuple(sorted(pairs.get(port, port) for port in bond.ports))
        bond = replace(bond, ports=ports, primary=pairs.get(bond.primary, bond.primary))
    texts = sorted(" ".join(pairs.get(word, word) for word in line.text.split()) for line in before.up_lines)
    other = sorted((o.key, " ".join(pairs.get(word, word) for word in o.value.split())) for o in before.other)
    return (
        (before.addresses, before.gateways, before.mtu, bridge, bond, before.methods, texts, other)
        == (after.addresses, after.gateways, after.mtu, after.bridge, after.bond, after.methods,
            sorted(line.text for line in after.up_lines), sorted((o.key, o.value) for o in after.other))
    )  # fmt: skip
