"""The firewall of a host that is no hypervisor of Proxmox: its levels, what follows from its other sections, and the
chains that decide.

    HostFirewall(...).rules("in")           every rule in the order in which the kernel tries it
    chains(firewall, family)                the same as chains to walk, with what holds on every host

The order is Proxmox's: what holds everywhere, the host's rules, those that follow from other sections, the datacenter's
rules, the policy. What holds everywhere: lo; packets of no connection are dropped, those of a known one pass (ICMP
errors that belong to one are `related`); neighbour discovery, multicast listeners and IGMP (RFC 4890, 4.4.1) pass.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from service.firewall.addresses import Network, iptables_network
from service.firewall.chains import ACCEPT, DROP, Chain, Flow, Ruleset, Step
from service.firewall.firewall import Firewall
from service.firewall.matching import Site, Targets
from service.firewall.model import Family, Ignored, Level, Rule, Where
from service.firewall.names import ICMPV6
from service.firewall.sets import Sets, build_sets
from service.firewall.standard import REJECT_CHAIN, standard_chains, state

Direction = Literal["in", "out", "forward"]

DISCOVERY = (130, 131, 132, 133, 134, 135, 136, 143)
"""Messages of ICMPv6 without which a network does not work; conntrack does not track them."""
IGMP = 2
CHAIN_OF: dict[Direction, str] = {"in": "input", "out": "output", "forward": "forward"}
PREROUTING = "prerouting"

_TARGETS: Targets = {"ACCEPT": (ACCEPT, False), "REJECT": (REJECT_CHAIN, False)}


@dataclass(frozen=True, slots=True)
class Policy:
    """What becomes of packets that no rule decides about, and where that is said (None: it is the default)."""

    action: str
    where: Where | None = None


@dataclass(frozen=True, slots=True)
class Closed:
    """Packets for `network` that come in on `interface` are dropped before anything else."""

    interface: str
    network: str
    cause: str


@dataclass(frozen=True, slots=True)
class HostFirewall:
    """All that decides about packets on one host. `levels` holds datacenter and host; `derived` stand between them."""

    levels: Firewall
    policy_in: Policy
    policy_out: Policy
    policy_forward: Policy
    derived: tuple[Rule, ...] = ()
    closed: tuple[Closed, ...] = ()

    def policy(self, direction: Direction) -> Policy:
        """The policy of a direction."""
        return {"in": self.policy_in, "out": self.policy_out, "forward": self.policy_forward}[direction]

    def rules(self, direction: Direction) -> Iterator[Rule]:
        """The rules of a direction that are on and without errors, groups written out, in order."""
        for rule in (*self.levels.host.rules, *self.derived, *self.levels.cluster.rules):
            for single in self._written_out(rule):
                if single.type == direction and single.works(0):
                    yield single

    def _written_out(self, rule: Rule) -> Iterator[Rule]:
        if rule.type != "group":
            yield rule
            return
        group = self.levels.cluster.groups.get(rule.action)
        for member in group.rules if group and rule.enable else ():
            yield replace(member, iface=rule.iface or member.iface)

    def causes(self) -> Iterator[tuple[str, str]]:
        """(thing, cause) of what nobody wrote."""
        for rule in self.derived:
            yield rule.text, rule.comment
        for closed in self.closed:
            yield f"DROP {closed.network} from {closed.interface}", closed.cause


def chains(firewall: HostFirewall, family: Family, sets: Sets | None = None) -> Ruleset:
    """The chains prerouting, input, output and forward for packets of one family."""
    ruleset = Ruleset(family)
    for name, steps in standard_chains(family).items():
        ruleset.chains[name] = Chain()
        ruleset.chains[name].steps.extend(steps)
    site = site_of(firewall, family, sets or build_sets(firewall.levels), [])
    first = ruleset.chains.setdefault(PREROUTING, Chain())
    first.steps.extend(
        _closed(closed, family) for closed in firewall.closed if (":" in closed.network) == (family == 6)
    )
    for direction, name in CHAIN_OF.items():
        chain = ruleset.chains[name] = Chain()
        chain.steps.extend(_everywhere(direction))
        side = "out" if direction == "out" else "in"
        for rule in firewall.rules(direction):
            if rule.works(family):
                chain.steps.extend(site.steps(rule, _TARGETS, iface=side))
        chain.steps.append(_policy(direction, firewall.policy(direction)))
    return ruleset


def site_of(firewall: HostFirewall, family: Family, sets: Sets, refused: list[Ignored]) -> Site:
    """Where rules are compiled: names are the datacenter's."""
    own: Level = firewall.levels.host
    return Site(firewall.levels, sets, family, own, refused)


def _closed(closed: Closed, family: Family) -> Step:
    network = iptables_network(closed.network, family)
    if not isinstance(network, Network):
        raise AssertionError(f"{closed.network} came from an address that was checked: {network}")
    tests = (lambda flow: flow.iif == closed.interface, lambda flow: network.holds(flow.dest))
    return Step(DROP, tests, note=closed.cause)


def _everywhere(direction: Direction) -> Iterator[Step]:
    if direction == "in":
        yield Step(ACCEPT, (lambda flow: flow.iif == "lo",), note="the host speaks to itself")
    elif direction == "out":
        yield Step(ACCEPT, (lambda flow: flow.oif == "lo",), note="the host speaks to itself")
    yield Step(DROP, (state("INVALID"),), note="belongs to no connection")
    yield Step(ACCEPT, (state("ESTABLISHED", "RELATED"),), note="belongs to a connection")
    if direction != "forward":
        yield Step(ACCEPT, (_is_discovery,), note="neighbour discovery")
        yield Step(ACCEPT, (lambda flow: flow.proto == IGMP,), note="IGMP")


def _is_discovery(flow: Flow) -> bool:
    return flow.family == 6 and flow.proto == ICMPV6 and flow.icmp is not None and flow.icmp[0] in DISCOVERY


def _policy(direction: Direction, policy: Policy) -> Step:
    target = REJECT_CHAIN if policy.action == "REJECT" else policy.action
    return Step(target, where=policy.where, note=f"policy_{direction}: {policy.action.lower()}")
