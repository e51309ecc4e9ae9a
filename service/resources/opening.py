"""What a resource opens beyond what the operator lets a commit open on its own.

Judged is the difference that it makes, over all packets: what is open now is not news, however it is written. What
cannot be known (a Proxmox firewall file, tables that cannot be compared) counts as beyond.
"""

import ipaddress
from collections.abc import Iterator, Sequence
from itertools import islice

from service.firewall.nft.published import NUMBERS, Published
from service.firewall.nft.reach import Box, Change
from service.firewall.nft.reach_words import in_words
from service.firewall.nft.reading import DPORT, FAMILY, PROTO, SOURCE, Ranges
from service.firewall.nft.table import Table
from service.firewall.terms.model import FAMILIES
from service.model.ceilings import Opening
from service.model.observed import HostObserved
from service.resources.reach import table_change

DIRECTIONS = ("in", "forward")
MOST_SHOWN = 8
UNTOLD = "its effect on open ports is unknown"


def filter_opens(observed: HostObserved, fact: str, table: Table | None, may_open: Sequence[Opening]) -> Iterator[str]:
    """What a table would accept beyond. `fact` is its fact, `table` what is wanted."""
    change = table_change(observed, fact, table)
    if change is None:
        yield f"changes {fact}: {UNTOLD}"
        return
    for direction in DIRECTIONS:
        changes = change.by_direction[direction]
        if changes is None:
            yield f"changes more than can be compared: {UNTOLD}"
            continue
        wide = [Change(opens=True, box=one.box) for one in changes if one.opens and not is_within(one.box, may_open)]
        yield from islice(in_words(wide, direction, change.labels), MOST_SHOWN + 1)


def is_within(box: Box, may_open: Sequence[Opening]) -> bool:
    """Whether all packets of a box may be accepted. An opening counts for the sources that it has whole; what several
    of them give for one protocol is put together by port only.
    """
    families = box.get(FAMILY, ((0, 1),))
    versions = {4 if number == 0 else 6 for first, last in families for number in range(first, last + 1)}
    fits = [one for one in may_open if _has_sources(one, versions, box.get(SOURCE))]
    if any(one.proto is None for one in fits):
        return True
    protocols = box.get(PROTO)
    if protocols is None:
        return False
    return all(
        _has_ports([one for one in fits if one.proto == number], box.get(DPORT))
        for first, last in protocols
        for number in range(first, last + 1)
    )


def _has_sources(one: Opening, versions: set[int], sources: Ranges | None) -> bool:
    if one.source is None:
        return True
    lowest, highest = one.source
    return versions == {one.version} and sources is not None and all(lowest <= a and b <= highest for a, b in sources)


def _has_ports(fits: Sequence[Opening], asked: Ranges | None) -> bool:
    if any(one.ports is None for one in fits):
        return True
    given = sorted(one.ports for one in fits if one.ports is not None)
    for first, last in asked if asked is not None else ((0, 65535),):
        reached = first
        for low, high in given:
            if low <= reached <= high:
                reached = high + 1
        if reached <= last:
            return False
    return True


def is_published_within(one: Published, may_open: Sequence[Opening]) -> bool:
    """Whether a port may be published."""
    networks = [ipaddress.ip_network(source, strict=False) for source in one.sources]
    sources = tuple((int(network[0]), int(network[-1])) for network in networks)
    number = NUMBERS[one.proto]
    family = FAMILIES.index(one.family)
    box: dict[str, Ranges] = {FAMILY: ((family, family),), PROTO: ((number, number),), DPORT: one.ports}
    if sources:
        box[SOURCE] = sources
    return is_within(box, may_open)
