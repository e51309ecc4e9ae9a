"""A host's firewall as chains to walk, for the analyser; nft_table.py writes the same for nft.

    chains(firewall, family) -> Ruleset      prerouting, input, output, forward, and those of guests (guest_chains.py)

What the host lets out or through continues to the guests that have rules of their own; what a guest sends to the host
meets the guest's rules first.
"""

from collections.abc import Iterator
from dataclasses import replace

from service.firewall.host import CHAIN_OF, IGMP, PREROUTING, Closed, Direction, HostFirewall, Policy
from service.firewall.terms.addresses import MaskedNetwork, iptables_network
from service.firewall.terms.model import Family, Ignored
from service.firewall.trace.chains import ACCEPT, DROP, Chain, ChainStep, Ruleset
from service.firewall.trace.guest_chains import GUESTS, TO_GUESTS, add_guest_chains, from_guests, is_discovery
from service.firewall.trace.matching import Site, Targets, Test
from service.firewall.trace.sets import Sets, build_sets
from service.firewall.trace.standard import REJECT_CHAIN, standard_chains, state

_ON_TO: dict[Direction, str] = {"out": TO_GUESTS, "forward": GUESTS}


def chains(firewall: HostFirewall, family: Family, sets: Sets | None = None) -> Ruleset:
    """All chains for packets of one family."""
    ruleset = Ruleset(family)
    sets = sets or build_sets(firewall.levels)
    for name, steps in standard_chains(family).items():
        ruleset.chains[name] = Chain()
        ruleset.chains[name].steps.extend(steps)
    first = ruleset.chains.setdefault(PREROUTING, Chain())
    first.steps.extend(
        _closed(closed, family, number)
        for number, closed in enumerate(firewall.closed, 1)
        if (":" in closed.network) == (family == 6)
    )
    if firewall.guests:
        add_guest_chains(firewall, ruleset, sets)
    site = site_of(firewall, family, sets, [])
    for direction, name in CHAIN_OF.items():
        ruleset.chains[name] = Chain()
        ruleset.chains[name].steps.extend(_host(firewall, direction, site))
    return ruleset


def site_of(firewall: HostFirewall, family: Family, sets: Sets, refused: list[Ignored]) -> Site:
    """Where rules are compiled: names are the datacenter's."""
    return Site(firewall.levels, sets, family, firewall.levels.host, refused)


def accepted(firewall: HostFirewall, direction: Direction) -> str:
    """Where a packet goes that the host's own rules accept: to the chain of this name, "" if nothing comes after."""
    return _ON_TO.get(direction, "") if firewall.guests else ""


def _host(firewall: HostFirewall, direction: Direction, site: Site) -> Iterator[ChainStep]:
    yield from everywhere(direction)
    if firewall.guests and direction == "in":
        yield from from_guests(firewall)
    if firewall.guests and direction == "forward":
        yield from (ChainStep(GUESTS, (_within(bridge),), goto=True) for bridge in firewall.bridges)
    further = accepted(firewall, direction)
    targets: Targets = {
        "ACCEPT": (further, True) if further else (ACCEPT, False),
        "REJECT": (REJECT_CHAIN, False),
    }
    for placed in firewall.placed(direction):
        if placed.rule.works(site.family):
            side = "out" if direction == "out" else "in"
            yield from site.steps(placed.rule, targets, iface=side, name=placed.name)
    yield _policy(direction, firewall.policy(direction), further)


def _within(bridge: str) -> Test:
    return lambda flow: flow.iif == bridge == flow.oif


def _closed(closed: Closed, family: Family, number: int) -> ChainStep:
    network = iptables_network(closed.network, family)
    if not isinstance(network, MaskedNetwork):
        raise AssertionError(f"{closed.network} came from an address that was checked: {network}")
    tests = (lambda flow: flow.iif == closed.interface, lambda flow: network.holds(flow.dest))
    return ChainStep(DROP, tests, note=closed.cause, name=closed_name(number))


def closed_name(number: int) -> str:
    """The name of a closed network, counted from 1."""
    return f"{PREROUTING}:{number}"


def everywhere(direction: Direction) -> Iterator[ChainStep]:
    """What every firewall tries first."""
    for number, step in enumerate(_everywhere(direction), 1):
        yield replace(step, name=f"{direction}:always:{number}")


def _everywhere(direction: Direction) -> Iterator[ChainStep]:
    if direction == "in":
        yield ChainStep(ACCEPT, (lambda flow: flow.iif == "lo",), note="the host speaks to itself")
    elif direction == "out":
        yield ChainStep(ACCEPT, (lambda flow: flow.oif == "lo",), note="the host speaks to itself")
    yield ChainStep(DROP, (state("INVALID"),), note="belongs to no connection")
    yield ChainStep(ACCEPT, (state("ESTABLISHED", "RELATED"),), note="belongs to a connection")
    if direction != "forward":
        yield ChainStep(ACCEPT, (is_discovery,), note="neighbour discovery")
        yield ChainStep(ACCEPT, (lambda flow: flow.proto == IGMP,), note="IGMP")


def _policy(direction: Direction, policy: Policy, further: str) -> ChainStep:
    note = f"policy_{direction}: {policy.action.lower()}"
    if policy.action == "ACCEPT" and further:
        return ChainStep(further, goto=True, where=policy.where, note=note, name=policy_name(direction))
    target = REJECT_CHAIN if policy.action == "REJECT" else policy.action
    return ChainStep(target, where=policy.where, note=note, name=policy_name(direction))


def policy_name(table: str) -> str:
    """The name of the policy at the end of a table."""
    return f"{table}:policy"
