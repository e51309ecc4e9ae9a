"""The questions that a host's firewall answers, put to a Proxmox node's.

    NodeAnalyser(firewall).trace(source, dest, flow) -> Verdict

A guest is known by its MAC address or by its address; anybody else behind an interface has no firewall of his own.
"""

from ipaddress import ip_address

from service.firewall.pve.cards import Card
from service.firewall.pve.node import NodeFirewall
from service.firewall.trace.chains import Flow
from service.firewall.trace.nft_verdict import NftNode
from service.firewall.trace.packets import AskedFlow
from service.firewall.trace.verdict import Analyser, Verdict


class NodeAnalyser:
    """Compiles once, answers many times; `by_nft`: as proxmox-firewall (nftables) would.

    Raises InputError where Proxmox would not load the rule set.
    """

    def __init__(self, firewall: NodeFirewall, *, by_nft: bool = False) -> None:
        self.node = NftNode(firewall) if by_nft else Analyser(firewall)
        self.node.check()
        self._cards = [card for guest in firewall.cards.values() for card in guest.cards.values()]

    def trace(self, source: str, dest: str, flow: Flow, sent_on: Flow | None = None) -> Verdict:
        """The verdict; `source` and `dest` are interfaces, "" for the node itself. The filter sees `sent_on`."""
        asked = sent_on or flow
        return self.node.trace(
            AskedFlow(self._zone(source, flow.mac, asked.source), self._zone(dest, asked.dest_mac, asked.dest), asked)
        )

    def _zone(self, interface: str, mac: str, address: int) -> str:
        if not interface:
            return "host"
        for card in self._cards:
            if card.bridge == interface and (card.mac == mac if mac else _has(card, address)):
                return f"ct{card.vmid}"
        return f"{interface}/port"


def _has(card: Card, address: int) -> bool:
    return any(int(ip_address(own)) == address for own in card.addresses)
