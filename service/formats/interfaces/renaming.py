"""Whether one configuration is another with other names of network cards, as a pinning of their names makes it."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from service.formats.interfaces.at_boot import meanings
from service.formats.interfaces.loading import InterfacesConfig
from service.formats.interfaces.meant import IfaceMeaning

MAX_NAMES = 256


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
    texts = sorted(" ".join(pairs.get(word, word) for word in line.text.split()) for line in before.up_lines)
    other = sorted((o.key, " ".join(pairs.get(word, word) for word in o.value.split())) for o in before.other)
    return (
        (before.addresses, before.gateways, before.mtu, bridge, before.methods, texts, other)
        == (after.addresses, after.gateways, after.mtu, after.bridge, after.methods,
            sorted(line.text for line in after.up_lines), sorted((o.key, o.value) for o in after.other))
    )  # fmt: skip
