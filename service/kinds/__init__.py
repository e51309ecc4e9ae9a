"""What is managed: one file or folder for each key of a host's spec.

The tuple is explicit. Its order decides only which of two things that collide a finding names: the later one.
"""

from service.kinds.bonds import Bonds
from service.kinds.bridges import Bridges
from service.kinds.dnsmasq import Dnsmasq
from service.kinds.fail2ban import Fail2ban
from service.kinds.firewall import Firewall
from service.kinds.forwards import Forwards
from service.kinds.guests import Guests
from service.kinds.interfaces import Interfaces
from service.kinds.kind import Kind
from service.kinds.nat import Nat
from service.kinds.packages import Packages
from service.kinds.services import Services
from service.kinds.vlans import Vlans
from service.kinds.web import Web

KINDS: tuple[Kind, ...] = (
    Interfaces(),
    Bonds(),
    Bridges(),
    Vlans(),
    Nat(),
    Dnsmasq(),
    Firewall(),
    Forwards(),
    Fail2ban(),
    Guests(),
    Web(),
    Packages(),
    Services(),
)
