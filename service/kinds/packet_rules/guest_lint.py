"""What is wrong in the firewalls of guests."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from service.firewall.host import FilteredGuest, Policy
from service.kinds.claims import Claim
from service.kinds.packet_rules.checks import alone, uncompilable
from service.kinds.packet_rules.levels import KEY, guest_level
from service.kinds.packet_rules.section import GuestFirewall
from service.kinds.packet_rules.shared import cluster_level
from service.kinds.packet_rules.useless import Useless
from service.spec.findings import Hit, LintRule
from service.spec.host import HostSpec

RULE = LintRule("guests.firewall-rule", "error", "a rule of a guest has an effect")
NO_VMID = LintRule("guests.firewall-vmid", "error", "on Proxmox a guest with a firewall has its number")
NO_HOST = LintRule("guests.firewall-alone", "error", "a guest's firewall needs a firewall of its host")
NO_ADDRESS = LintRule(
    "guests.firewall-address", "error", "a guest with rules of its own has an address", by_absence=True
)
NO_PORT = LintRule("guests.firewall-port", "warning", "a guest that may not send all it likes is known by its port")
DUPLICATE_PORT = LintRule("guests.duplicate-port", "error", "a port of a bridge belongs to one guest")
SHADOWED = LintRule(
    "guests.firewall-shadowed", "warning", "a guest's rule decides at least one packet", by_absence=True
)
DUPLICATE = LintRule("guests.firewall-duplicate-rule", "warning", "a rule of a guest is not repeated", by_absence=True)
RULES = (RULE, NO_VMID, NO_HOST, NO_ADDRESS, NO_PORT, DUPLICATE_PORT, SHADOWED, DUPLICATE)


class _Guest(Protocol):
    @property
    def mac(self) -> str: ...

    @property
    def vmid(self) -> int | None: ...

    @property
    def port(self) -> str | None: ...

    @property
    def address(self) -> str | None: ...

    @property
    def firewall(self) -> GuestFirewall | None: ...


def lint_firewalls(section: Mapping[str, _Guest], host: HostSpec, claims: Sequence[Claim]) -> Iterator[Hit]:
    """Findings; paths start in `guests`."""
    ports: dict[str, str] = {}
    for name, guest in section.items():
        if guest.port is not None:
            first = ports.setdefault(guest.port, name)
            if first != name:
                yield DUPLICATE_PORT.hit(
                    (name, "port"), f"{guest.port} is already the port of {first}", "correct one of the two"
                )
        if guest.firewall is not None:
            yield from _lint(name, guest, guest.firewall, host)


def _lint(name: str, guest: _Guest, section: GuestFirewall, host: HostSpec) -> Iterator[Hit]:
    path = (name, KEY)
    if KEY not in host.sections:
        right = "add `firewall` to the host, or to fleet.yaml"
        yield NO_HOST.hit(path, "the host has no `firewall`, so nothing would enforce this", right)
        return
    if host.platform == "proxmox" and guest.vmid is None and section.enable:
        yield NO_VMID.hit(path, f"{name} has a firewall but no `vmid`", "add its `vmid`, which names its file VMID.fw")
    if guest.address is None and section.enable:
        right = "give it an `address`, by which the rules identify the guest"
        yield NO_ADDRESS.hit(path, f"{name} has rules of its own but no fixed address", right)
    if host.platform == "debian" and guest.port is None and section.macfilter and _restrains(section):
        right = "name its interface on the host as `port`, such as veth100i0"
        yield NO_PORT.hit(path, f"without `port`, {name} can avoid these rules with another MAC address", right)
    cluster = cluster_level(host)
    level, problems = guest_level(name, section, host, cluster)
    yield from (RULE.hit((*path, *below), words, right) for below, words, right in problems)
    firewall = alone(cluster, level)
    refused = list(uncompilable(firewall, level.rules))
    yield from (RULE.hit((*path, "rules", index), words) for index, words in refused)
    if not (problems or refused):
        accept = Policy("ACCEPT")
        alike = FilteredGuest(name, guest.mac, (), level, accept, accept)
        yield from Useless(SHADOWED, DUPLICATE).of_guest(firewall, alike, path)


def _restrains(section: GuestFirewall) -> bool:
    """Whether there is anything that the guest may not send."""
    return section.policy_out != "accept" or any(
        rule.enable and rule.type == "out" and rule.action != "accept" for rule in section.rules
    )
