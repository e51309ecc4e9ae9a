"""The list of a Proxmox node's rules, over the cases of Proxmox itself: each answer about a packet names its line."""

import pytest

from service.errors import InputError
from service.firewall.host import FilteredGuest, HostFirewall, Policy
from service.firewall.pve.node import NodeFirewall
from service.firewall.trace.ignored import ignored_lines
from service.firewall.trace.listing import Entry
from service.firewall.trace.node_listing import listed_node
from service.firewall.trace.node_trace import NodeAnalyser
from service.firewall.trace.verdict import Verdict
from tests.firewall.corpus import Case, cases

ACCEPT = Policy("ACCEPT")
MOST_PACKETS = 150
ALL = [pytest.param(case, id=case.path.name) for case in cases()]


def as_host(node: NodeFirewall) -> HostFirewall:
    """The levels as a spec's assembled firewall has them, each guest with its first card."""
    guests = tuple(
        FilteredGuest(vmid, next(iter(node.cards[vmid].cards.values())).mac.lower(), (), level, ACCEPT, ACCEPT)
        for vmid, level in node.guests.items()
        if vmid in node.cards and node.cards[vmid].cards
    )
    return HostFirewall(node, ACCEPT, ACCEPT, ACCEPT, guests=guests)


def answers(case: Case) -> tuple[dict[str, Entry], list[Verdict]] | None:
    """The entries by name, and the answer about each packet; None where Proxmox would load nothing."""
    folder = case.read()
    try:
        analyser = NodeAnalyser(folder.firewall)
        tables = listed_node(analyser, as_host(folder.firewall))
    except InputError:
        return None
    entries = {entry.name: entry for table in tables for entry in table.entries}
    assert len(entries) == sum(len(table.entries) for table in tables)
    said = []
    for packet in case.packets[:MOST_PACKETS]:
        asked = {key: value for key, value in packet.items() if key not in ("verdict", "rule", "why")}
        said.append(analyser.node.trace_packet(asked))
    return entries, said


@pytest.mark.parametrize("case", ALL)
def test_an_answer_names_the_line_that_decides(case: Case) -> None:
    found = answers(case)
    if found is None or not case.read().firewall.cluster.on("enable", default=False):
        return
    entries, said = found
    is_odd = bool(ignored_lines(case.files, case.node))
    for one in said:
        if one.why == "nothing on its way filters it" or "i1:" in one.why or "i2:" in one.why:
            continue  # only the first card of a guest is listed here
        if "to ct101: the source is in set blacklist" in one.why:
            continue  # of a guest without a firewall, which no spec has
        assert one.name in entries or "accept mark that was set before" in one.why, one
        entry = entries.get(one.name)
        if entry is not None and entry.rule is not None:
            assert entry.rule.where == one.rule, (one, entry)
            assert entry.text in one.why, (one, entry)
            # names of a guest's own file, and lines that Proxmox leaves out, are in no spec
            assert entry.decides != "never" or entry.level == "guest" or is_odd, (one, entry)
