"""What becomes of a packet on a Proxmox node with proxmox-firewall (nftables), which rule decides, and why.

    NftNode(firewall).trace(question) -> Verdict
    analyser_of(firewall) -> Analyser           that of the back end which host.fw chooses

There are no firewall bridges. A packet meets the sending guest's rules where it enters the bridge, and the receiving
guest's where it leaves. Between them are the VNet's rules if it stays on the bridge, or is from or for the node. If it
is routed, these are the node's forward rules.
"""

from collections.abc import Iterator

from service.firewall.pve.node import PROXMOX_FIREWALL, NodeFirewall
from service.firewall.terms.model import Family, Ignored
from service.firewall.trace.chains import Flow, Outcome
from service.firewall.trace.compile import Compiled
from service.firewall.trace.nft_compile import FORWARD, INPUT, OUTPUT, compile_nft, vnet_chain
from service.firewall.trace.sets import Sets
from service.firewall.trace.verdict import Analyser, Zone


class NftNode(Analyser):
    """Compiles once, answers many times, as proxmox-firewall would."""

    def _compile(self, sets: Sets, family: Family) -> Compiled:
        for netset in sets.table.values():
            netset.holes_win = True
        return compile_nft(self.firewall, sets, family)

    def _refused(self, sets: Sets) -> tuple[Ignored, ...]:
        """nft merges what overlaps."""
        return ()

    def _places(self, compiled: Compiled, flow: Flow, source: Zone, dest: Zone) -> Iterator[tuple[str, str, Outcome]]:
        if source.card and source.card.firewall:
            name = f"{source.card.port}-OUT"
            yield f"from {source.name}", name, compiled.walk(name, flow)
        flow.iif, flow.oif = source.interface or "lo", dest.interface or "lo"
        if not source.interface:
            yield "out of the host", OUTPUT, compiled.walk(OUTPUT, flow)
        for bridge in dict.fromkeys((source.interface, dest.interface)):
            if bridge and (source.interface == dest.interface or "" in (source.interface, dest.interface)):
                name = vnet_chain(bridge)
                yield f"through VNet {bridge}", name, compiled.walk(name, flow)
        if not dest.interface:
            yield "into the host", INPUT, compiled.walk(INPUT, flow)
        if source.interface and dest.interface and source.interface != dest.interface:
            yield "through the host", FORWARD, compiled.walk(FORWARD, flow)
        if dest.card and dest.card.firewall:
            name = f"{dest.card.port}-IN"
            yield f"to {dest.name}", name, compiled.walk(name, flow)


def analyser_of(firewall: NodeFirewall) -> Analyser:
    """What answers as the node's own back end."""
    return NftNode(firewall) if firewall.backend == PROXMOX_FIREWALL else Analyser(firewall)
