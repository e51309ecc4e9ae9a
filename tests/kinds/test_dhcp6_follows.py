"""What follows from DHCPv6 on a bridge: the firewall accepts requests, and answers where it would drop them."""

import pytest

from service.firewall.host import Policy
from service.kinds.claims import Serves
from service.kinds.dnsmasq import Dnsmasq
from service.kinds.dnsmasq.range6 import Dhcp6Range
from service.kinds.dnsmasq.section import DnsmasqSection
from service.kinds.firewall.derived import _served

REQUESTS = "IN ACCEPT -i vmbr0 -p udp -dport 547"
ANSWERS = "OUT ACCEPT -i vmbr0 -p udp -dport 546 -sport 547"


@pytest.mark.parametrize(("policy", "rules"), [("ACCEPT", [REQUESTS]), ("DROP", [REQUESTS, ANSWERS])])
def test_the_firewall_accepts_dhcpv6_where_it_is_served(policy: str, rules: list[str]) -> None:
    section = DnsmasqSection.model_validate({"dhcp6": (Dhcp6Range(interface="vmbr0", mode="stateless"),)})
    claims = [claim for claim in Dnsmasq().claims(section) if isinstance(claim, Serves)]
    found = [rule.text for rule in _served(claims, Policy(policy)) if "DHCPv6" in rule.comment]
    assert found == rules
