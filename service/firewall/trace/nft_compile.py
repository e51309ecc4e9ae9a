"""All chains that proxmox-firewall (Proxmox's nftables back end) makes of the same files, for one family.

    compile_nft(firewall, sets, family) -> Compiled

Tables `inet proxmox-firewall` and `bridge proxmox-firewall-guests`, as its sources of 2025 make them. What differs from
pve-firewall is in deploy/docs/firewall.md. A rule that cannot be compiled is left out (1.2.3). A rule of a group that
is not there names a chain that is not there, and nothing is loaded.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from service.firewall.pve.cards import Card
from service.firewall.pve.node import NodeFirewall
from service.firewall.terms.model import Family, Ignored, IPSet, Level, Rule, is_given
from service.firewall.terms.names import ICMP, ICMPV6, TCP, UDP
from service.firewall.trace.chains import ACCEPT, DROP, REJECT, Chain, ChainStep, Flow, Ruleset
from service.firewall.trace.compile import Compiled
from service.firewall.trace.matching import LeftOut, Site, Targets, Test
from service.firewall.trace.sets import Sets
from service.firewall.trace.standard import SMURFS, TCP_FLAGS, is_multicast, proto, standard_chains, state

INPUT, OUTPUT, FORWARD = "input", "output", "forward"
DO_REJECT = "do-reject"
MANAGEMENT_PORTS = ((8006, 8006), (5900, 5999), (3128, 3128), (22, 22))
COROSYNC_PORTS = (5405, 5412)
IGMP = 2
DISCOVERY_IN, DISCOVERY_OUT = frozenset((133, 134, 135, 136, 137)), frozenset((133, 135, 136))
ADVERTISEMENTS = frozenset((134, 137))
_VITAL = {4: frozenset((3, 4, 11)), 6: frozenset((1, 2, 3, 4))}
_ERRORS = {4: frozenset((3, 4, 5, 11, 12)), 6: frozenset((1, 2, 3, 4))}
_SMB_UDP, _SMB_TCP = frozenset((135, 137, 138, 139, 445)), frozenset((135, 139, 445))
_HOST: Targets = {"REJECT": (DO_REJECT, True)}
_GUEST: Targets = {"REJECT": (DROP, False)}
_SILENT = " (for guests REJECT is DROP with nftables)"


def compile_nft(firewall: NodeFirewall, sets: Sets, family: Family) -> Compiled:
    """The chains of one family; the cluster's switch is ignored."""
    compiler = _NftCompiler(firewall, sets, family, Compiled(Ruleset(family)))
    compiler.run()
    return compiler.result


def vnet_chain(name: str) -> str:
    """The chain of a VNet."""
    return f"bridge-{name}"


@dataclass(slots=True)
class _NftCompiler:
    firewall: NodeFirewall
    sets: Sets
    family: Family
    result: Compiled

    def run(self) -> None:
        standard = standard_chains(self.family)
        for name in (SMURFS, TCP_FLAGS):
            self.chain(name).steps.extend(standard[name])
        self.chain(DO_REJECT).steps.extend(_reject(self.family))
        host = self.firewall.host
        if host.on("enable", default=True):
            for name, direction in ((INPUT, "in"), (OUTPUT, "out"), (FORWARD, "forward")):
                chain = self.chain(name)
                chain.steps.extend(self.before(direction))
                self.result.first_rule[name] = len(chain.steps)
                for rule in (*host.rules, *self.firewall.cluster.rules):
                    self.add(chain, rule, host, direction, _HOST, iface="" if direction == "forward" else direction)
                chain.steps.append(self.policy(self.firewall.cluster, direction, DO_REJECT))
        for name, level in self.firewall.vnets.items():
            if level.on("enable", default=False):
                chain = self.chain(vnet_chain(name))
                chain.steps.extend(self.of_connections())
                for rule in level.rules:
                    self.add(chain, rule, None, "forward", _HOST)
                chain.steps.append(self.policy(level, "forward", DROP, f"VNet {name}"))
        for vmid, guest in self.firewall.cards.items():
            level = self.firewall.guests.get(vmid) or Level("guest", "")
            if level.on("enable", default=False):
                for card in guest.cards.values():
                    if card.firewall:
                        self.add_card(card, level)

    def chain(self, name: str) -> Chain:
        return self.result.ruleset.chains.setdefault(name, Chain())

    def site(self, own: Level | None) -> Site:
        return Site(self.firewall, self.sets, self.family, own, [])

    # rules

    def add(
        self, chain: Chain, rule: Rule, own: Level | None, direction: str, targets: Targets, *, iface: str = ""
    ) -> None:
        """Add a rule; what cannot be compiled is left out."""
        if not rule.works(self.family):
            return
        try:
            if rule.type == "group":
                self.add_group(chain, rule, direction, targets, iface)
            elif rule.type == direction:
                chain.steps.extend(self.steps(rule, own, targets, iface))
        except LeftOut as error:
            self.result.left_out.append(Ignored(rule.where, rule.text, f"left out when compiled: {error}"))

    def steps(self, rule: Rule, own: Level | None, targets: Targets, iface: str) -> list[ChainStep]:
        """Raises LeftOut, also for what nft refuses."""
        site = self.site(own)
        steps = site.steps(rule, targets, iface=iface)
        if site.refused:
            raise LeftOut(site.refused[0].reason)
        if targets is _GUEST and rule.action == REJECT:
            return [replace(step, note=step.note + _SILENT) for step in steps]
        return steps

    def add_group(self, chain: Chain, rule: Rule, direction: str, targets: Targets, iface: str) -> None:
        """The rules of a group, in its place: an accept in it is final. Raises LeftOut."""
        bound: tuple[Test, ...] = ()
        if is_given(rule.iface) and direction == "forward":
            return
        if is_given(rule.iface) and iface:
            bound = (self.site(None).interface(rule, iface),)
        group = self.firewall.cluster.groups.get(rule.action)
        if group is None:
            what = f"there is no group {rule.action}, and nft refuses everything because of it"
            self.result.refused.append(Ignored(rule.where, rule.text, what, fatal=True))
            return
        for inner in group.rules:
            if inner.type != direction or not inner.works(self.family):
                continue
            for step in self.steps(inner, None, targets, ""):
                note = f"{step.note} (group {rule.action}, named in {rule.where})"
                chain.steps.append(replace(step, tests=(*bound, *step.tests), note=note))

    def policy(self, level: Level, direction: str, reject: str, owner: str = "") -> ChainStep:
        policy = level.policy(direction, DROP if direction == "in" else ACCEPT)
        where = level.option_where(f"policy_{direction}")
        whose = owner or {"cluster": "the cluster"}.get(level.kind, f"guest {level.vmid}")
        silent = _SILENT if policy == REJECT and level.kind == "guest" else ""
        note = f"policy_{direction} {policy} of {whose}" + ("" if where else " (default)") + silent
        return ChainStep(reject if policy == REJECT else policy, goto=policy == REJECT, where=where, note=note)

    # the host

    def of_connections(self) -> Iterator[ChainStep]:
        yield ChainStep(ACCEPT, (state("ESTABLISHED", "RELATED"),), note="belongs to a connection")
        if not self.firewall.host.on("nf_conntrack_allow_invalid", default=False):
            yield ChainStep(DROP, (state("INVALID"),), note="belongs to no connection (conntrack: INVALID)")

    def vital(self) -> ChainStep:
        kinds = _VITAL[self.family]
        return ChainStep(ACCEPT, (_icmp(kinds),), note="an ICMP error that flows need")

    def before(self, direction: str) -> Iterator[ChainStep]:
        """What comes before the rules of the host."""
        if direction == "forward":
            yield from self.of_connections()
        elif direction == "in":
            yield ChainStep(ACCEPT, (lambda flow: flow.iif == "lo",), note="the loopback interface")
            yield self.vital()
            yield ChainStep(ACCEPT, (state("ESTABLISHED", "RELATED"),), note="belongs to a connection")
            yield ChainStep(ACCEPT, (proto(IGMP),), note="IGMP is always accepted")
            yield from self.management()
            yield from _noise()
            yield from self.options()
        else:
            yield ChainStep(ACCEPT, (lambda flow: flow.oif == "lo",), note="the loopback interface")
            yield self.vital()
            yield from self.of_connections()
            yield from self.discovery(self.firewall.host, DISCOVERY_OUT)

    def management(self) -> Iterator[ChainStep]:
        """Before all rules: no rule closes these ports to the set management."""
        managed = self.sets.table["0", "management", self.family].holds
        for first, last in MANAGEMENT_PORTS:
            ports = str(first) if first == last else f"{first}-{last}"
            note = f"tcp {ports} from set management (the local network and what the set names), before all rules"
            yield ChainStep(ACCEPT, (_ports(TCP, first, last), lambda flow: managed(flow.source)), note=note)
        yield ChainStep(ACCEPT, (_ports(UDP, *COROSYNC_PORTS),), note="corosync's ports, from everywhere")

    def options(self) -> Iterator[ChainStep]:
        host = self.firewall.host
        yield from self.discovery(host, DISCOVERY_IN)
        if host.on("tcpflags", default=False):
            yield ChainStep(TCP_FLAGS, (proto(TCP),))
        if self.family == 4 and host.on("nosmurfs", default=True):
            yield ChainStep(SMURFS, ())
        if not host.on("nf_conntrack_allow_invalid", default=False):
            yield ChainStep(DROP, (state("INVALID"),), note="belongs to no connection (conntrack: INVALID)")

    def discovery(self, level: Level, kinds: frozenset[int]) -> Iterator[ChainStep]:
        """Whatever the policy: option ndp accepts, without it these packets are dropped."""
        if self.family == 6:
            is_on = level.on("ndp", default=True)
            yield ChainStep(
                ACCEPT if is_on else DROP, (_icmp(kinds),), where=level.option_where("ndp"),
                note=f"IPv6 neighbor discovery (option ndp {'on' if is_on else 'off'})",
            )  # fmt: skip

    # guests

    def add_card(self, card: Card, level: Level) -> None:
        for direction in ("in", "out"):
            name = f"{card.port}-{direction.upper()}"
            chain = self.chain(name)
            chain.steps.append(self.vital())
            chain.steps.extend(self.of_connections())
            chain.steps.extend(self.filters(card, level, outgoing=direction == "out"))
            self.result.first_rule[name] = len(chain.steps)
            for rule in level.rules:
                if not is_given(rule.iface) or rule.iface == card.key:
                    self.add(chain, rule, level, direction, _GUEST)
            chain.steps.append(self.policy(level, direction, DROP))
            self.result.plugged.add((card.port, direction.upper()))

    def filters(self, card: Card, level: Level, *, outgoing: bool) -> Iterator[ChainStep]:
        """What comes before the rules of a guest."""
        if outgoing:
            yield from self.spoofing(card, level)
        client, server = (68, 67) if self.family == 4 else (546, 547)
        is_on = level.on("dhcp", default=True)
        yield ChainStep(
            ACCEPT if is_on else DROP, (_from_to(*((client, server) if outgoing else (server, client))),),
            where=level.option_where("dhcp"), note=f"DHCP (option dhcp {'on' if is_on else 'off'})",
        )  # fmt: skip
        yield from self.discovery(level, DISCOVERY_OUT if outgoing else DISCOVERY_IN)
        if outgoing and self.family == 6:
            is_router = level.on("radv", default=False)
            yield ChainStep(
                ACCEPT if is_router else DROP, (_icmp(ADVERTISEMENTS),), where=level.option_where("radv"),
                note=f"router advertisement of a guest (option radv {'on' if is_router else 'off'})",
            )  # fmt: skip

    def spoofing(self, card: Card, level: Level) -> Iterator[ChainStep]:
        """A set ipfilter-netN counts with the option ipfilter only."""
        netset = self.sets.table.get((card.vmid, f"ipfilter-{card.key}", self.family))
        if level.on("ipfilter", default=False) and netset is not None:
            holds, ipset = netset.holds, level.ipsets.get(f"ipfilter-{card.key}")
            where = ipset.where if isinstance(ipset, IPSet) else level.option_where("ipfilter")
            note = f"the source is not one of the card's addresses (set ipfilter-{card.key})"
            yield ChainStep(DROP, (lambda flow: not holds(flow.source),), where=where, note=note)
        if card.mac and level.on("macfilter", default=True):
            mac = card.mac
            yield ChainStep(DROP, (lambda flow: flow.mac != mac,), note="forged MAC (option macfilter)")


def _reject(family: Family) -> list[ChainStep]:
    """Unlike pve-firewall it answers ICMP. The last four are the kernel's own restraint: icmp_send(), nf_reject."""
    kinds, number = _ERRORS[family], ICMP if family == 4 else ICMPV6
    return [
        ChainStep(DROP, (lambda flow: flow.dsttype == "BROADCAST",), note="a reject never answers broadcasts"),
        ChainStep(DROP, (lambda flow: flow.family == 4 and flow.source >> 28 == 0xE,), note="a multicast source"),
        ChainStep(DROP, (proto(number), _icmp(kinds)), note="a reject never answers ICMP errors"),
        ChainStep(DROP, (is_multicast,), note="a reject never answers multicasts"),
        ChainStep(DROP, (lambda flow: flow.source == 0,), note="a reject has no address to answer to"),
        ChainStep(DROP, (proto(TCP), lambda flow: "R" in flow.flags), note="a reset is never answered by a reset"),
        ChainStep(REJECT),
    ]


def _noise() -> Iterator[ChainStep]:
    """Dropped before all rules: no rule of the host opens these."""
    tests: list[tuple[str, Callable[[Flow], bool], str]] = [
        (DO_REJECT, lambda flow: flow.proto == UDP and flow.dport in _SMB_UDP, "SMB noise, before all rules"),
        (DO_REJECT, lambda flow: flow.proto == UDP and flow.sport == 137 and flow.dport >= 1024, "SMB noise"),
        (DO_REJECT, lambda flow: flow.proto == TCP and flow.dport in _SMB_TCP, "SMB noise, before all rules"),
        (DROP, lambda flow: flow.proto == UDP and flow.dport == 1900, "UPnP noise, before all rules"),
        (DROP, lambda flow: flow.proto == UDP and flow.sport == 53, "late DNS answers, before all rules"),
    ]
    for target, test, note in tests:
        yield ChainStep(target, (test,), goto=target == DO_REJECT, note=note)


def _icmp(kinds: frozenset[int]) -> Test:
    return lambda flow: flow.icmp is not None and flow.icmp[0] in kinds


def _ports(number: int, first: int, last: int) -> Test:
    return lambda flow: flow.proto == number and first <= flow.dport <= last


def _from_to(sport: int, dport: int) -> Test:
    return lambda flow: flow.proto == UDP and flow.sport == sport and flow.dport == dport
