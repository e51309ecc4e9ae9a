"""All chains that Proxmox's iptables back end makes of the levels, for one family.

    compile_family(firewall, sets, family) -> Compiled

The chains are Proxmox's: PVEFW-HOST-IN and -OUT, and GROUP-…-IN and -OUT. Each card with firewall=1 of a guest that is
switched on has a pair. PVEFW-FWBR-IN comes before all of them. FORWARD rules make no chain: this back end knows none.
"""

from dataclasses import dataclass, field

from service.firewall.pve.cards import Card
from service.firewall.pve.node import NodeFirewall
from service.firewall.pve.options import parse_ratelimit
from service.firewall.terms.addresses import iptables_network
from service.firewall.terms.model import Family, Ignored, Level, Rule, Where, is_given
from service.firewall.terms.names import ICMPV6, TCP, UDP
from service.firewall.trace.chains import ACCEPT, DROP, MARK, RETURN, UNMARK, Chain, ChainStep, Flow, Outcome, Ruleset
from service.firewall.trace.matching import LeftOut, Site, Targets, Test
from service.firewall.trace.sets import Sets
from service.firewall.trace.standard import (
    DROP_POLICY,
    REJECT_CHAIN,
    REJECT_POLICY,
    SMURFS,
    TCP_FLAGS,
    is_multicast,
    proto,
    standard_chains,
    state,
)

HOST_IN, HOST_OUT, BRIDGE_IN, FORWARD = "PVEFW-HOST-IN", "PVEFW-HOST-OUT", "PVEFW-FWBR-IN", "PVEFW-FORWARD"
MAX_CHAIN_NAME = 28
MANAGEMENT_PORTS = ((8006, 8006), (5900, 5999), (3128, 3128), (22, 22), (60000, 60050))
OUTGOING_PORTS = ((8006, 8006), (22, 22), (5900, 5999), (3128, 3128))
COROSYNC_PORTS = (5404, 5405)
IGMP = 2
_SOLICITATIONS = {"router": 133, "neighbor": 135}
_ADVERTISEMENTS = {"router": 134, "neighbor": 136}

_HOST_TARGETS: Targets = {"ACCEPT": (RETURN, False), "REJECT": (REJECT_CHAIN, False)}
_GUEST_IN: Targets = {"ACCEPT": (ACCEPT, False), "REJECT": (REJECT_CHAIN, False)}
_MARKING: Targets = {"ACCEPT": (MARK, True), "REJECT": (REJECT_CHAIN, False)}


@dataclass(slots=True)
class Compiled:
    """The chains of one family. `plugged` are the (card, IN or OUT) whose chains packets reach.

    `first_rule` says at which step of a chain the rules of its level begin.

    `left_out`: what Proxmox's compiler passes over; `refused`: what keeps everything from being loaded.
    """

    ruleset: Ruleset
    plugged: set[tuple[str, str]] = field(default_factory=set)
    first_rule: dict[str, int] = field(default_factory=dict)
    left_out: list[Ignored] = field(default_factory=list)
    refused: list[Ignored] = field(default_factory=list)

    def walk(self, chain: str, flow: Flow) -> Outcome:
        """Send a packet through a chain; one that does not exist returns at once."""
        return self.ruleset.walk(chain, flow) if chain in self.ruleset.chains else Outcome(RETURN)


def compile_family(firewall: NodeFirewall, sets: Sets, family: Family) -> Compiled:
    """The chains of one family; the cluster's switch is ignored."""
    compiler = _Compiler(firewall, sets, family, Compiled(Ruleset(family)))
    compiler.run()
    return compiler.result


@dataclass(slots=True)
class _Compiler:
    firewall: NodeFirewall
    sets: Sets
    family: Family
    result: Compiled
    logs: bool = False

    def run(self) -> None:
        for name, steps in standard_chains(self.family).items():
            self.create(name).steps.extend(steps)
        host = self.firewall.host
        self.add_conn_filters(self.create(FORWARD), allow_invalid=host.on("nf_conntrack_allow_invalid", default=False))
        self.add_input_filters(self.create(BRIDGE_IN))
        if host.on("enable", default=True):
            self.create_host_in()
            self.create_host_out()
        for vmid, guest in self.firewall.cards.items():
            level = self.firewall.guests.get(vmid)
            if level is not None and level.on("enable", default=False):
                try:
                    for card in guest.cards.values():
                        if card.firewall:
                            self.plug_card(card, level)
                except LeftOut:
                    # Proxmox gives up on this guest: what is plugged in so far stays, the rest is open
                    continue
        self.check_ratelimit()

    def create(self, name: str) -> Chain:
        if len(name) > MAX_CHAIN_NAME:
            raise LeftOut(f"Invalid chain name '{name}' ({MAX_CHAIN_NAME} char max)")
        chains = self.result.ruleset.chains
        if name in chains:
            raise LeftOut(f"chain '{name}' already exists")
        chains[name] = Chain()
        return chains[name]

    def site(self, own: Level | None) -> Site:
        return Site(self.firewall, self.sets, self.family, own, self.result.refused)

    def leave_out(self, rule: Rule, error: LeftOut) -> None:
        self.result.left_out.append(Ignored(rule.where, rule.text, f"left out when compiled: {error}"))

    def add(
        self, chain: Chain, rule: Rule, own: Level | None, targets: Targets, iface: str = "", group: str = ""
    ) -> None:
        """Add a rule to a chain. Raises LeftOut with the rule named."""
        site = self.site(own)
        try:
            chain.steps.extend(site.steps(rule, targets, iface=iface, group=group))
        except LeftOut as error:
            self.leave_out(rule, error)
            raise
        self.logs |= site.logs

    def check_ratelimit(self) -> None:
        value = self.firewall.cluster.options.get("log_ratelimit")
        where = self.firewall.cluster.option_where("log_ratelimit")
        if value is None or where is None or not (self.logs or self.level_logs()):
            return
        limit = parse_ratelimit(str(value))
        if limit.enable and limit.refused:
            self.result.refused.append(
                Ignored(where, f"log_ratelimit: {value}", f"iptables: {limit.refused}", fatal=True)
            )

    def level_logs(self) -> bool:
        levels = (self.firewall.host, *self.firewall.guests.values())
        names = ("log_level_in", "log_level_out", "smurf_log_level", "tcp_flags_log_level")
        return any(level.options.get(name, "") not in ("", "nolog") for level in levels for name in names)

    # what is common to host and guests

    def add_conn_filters(self, chain: Chain, *, allow_invalid: bool) -> None:
        if not allow_invalid:
            chain.steps.append(
                ChainStep(DROP, (state("INVALID"),), note="belongs to no connection (conntrack: INVALID)")
            )

    def add_neighbor_discovery(self, chain: Chain, level: Level, direction: str, target: str) -> None:
        if self.family == 6 and level.on("ndp", default=True):
            kinds = set(_SOLICITATIONS.values()) | {_ADVERTISEMENTS["neighbor"]}
            if direction == "IN" or level.on("radv", default=False):
                kinds.add(_ADVERTISEMENTS["router"])
            test = _icmpv6(kinds)
            chain.steps.append(
                ChainStep(target, (test,), goto=target == MARK, note="IPv6 neighbor discovery (option ndp)")
            )

    def add_input_filters(self, chain: Chain) -> None:
        if "blacklist" in self.firewall.cluster.ipsets:
            holds = self.sets.table["0", "blacklist", self.family].holds
            where = self.firewall.cluster.ipsets["blacklist"].where
            chain.steps.append(
                ChainStep(DROP, (lambda flow: holds(flow.source),), where=where, note="the source is in set blacklist")
            )
        if self.family == 4 and self.firewall.host.on("nosmurfs", default=True):
            chain.steps.append(ChainStep(SMURFS, (state("INVALID", "NEW"),)))
        if self.firewall.host.on("tcpflags", default=False):
            chain.steps.append(ChainStep(TCP_FLAGS, (proto(TCP),)))

    def add_policy(self, chain: Chain, level: Level, direction: str, default: str, accept: str) -> None:
        policy = level.policy(direction, default)
        where = level.option_where(f"policy_{direction}")
        owner = {"cluster": "the cluster", "guest": f"guest {level.vmid}"}.get(level.kind, level.kind)
        note = f"policy_{direction} {policy} of {owner}" + ("" if where else " (default)")
        if policy == ACCEPT:
            chain.steps.append(ChainStep(accept, goto=accept == MARK, where=where, note=note))
        elif policy == DROP:
            chain.steps += [ChainStep(DROP_POLICY, where=where, note=note), ChainStep(DROP, where=where, note=note)]
        else:
            chain.steps += [
                ChainStep(REJECT_POLICY, where=where, note=note),
                ChainStep(REJECT_CHAIN, goto=True, where=where, note=note),
            ]

    # security groups

    def add_group(self, chain: Chain, rule: Rule, direction: str, accept: str, *, iface: str) -> None:
        """A rule of type group: jump into the group's chain, then look at the accept mark. Raises LeftOut."""
        name = f"GROUP-{rule.action}-{direction}"
        if name not in self.result.ruleset.chains:
            self.create_group_chains(rule)
        tests: tuple[Test, ...] = ()
        if iface and is_given(rule.iface):
            tests = (self.site(None).interface(rule, iface),)
        chain.steps.append(ChainStep(name, tests, group=rule.action))
        chain.steps.append(
            ChainStep(accept, (lambda flow: flow.mark,), where=rule.where, note=rule.text, group=rule.action)
        )

    def create_group_chains(self, rule: Rule) -> None:
        group = self.firewall.cluster.groups.get(rule.action)
        rules = group.rules if group else ()
        for direction in ("IN", "OUT"):
            try:
                chain = self.create(f"GROUP-{rule.action}-{direction}")
            except LeftOut as error:
                self.leave_out(rule, error)
                raise
            chain.steps.append(ChainStep(UNMARK))
            for inner in rules:
                if inner.type == direction.lower() and inner.works(self.family):
                    self.add(chain, inner, None, _MARKING, group=rule.action)

    # the host

    def add_host_rules(self, chain: Chain, direction: str) -> None:
        own = self.firewall.host
        for rule in (*own.rules, *self.firewall.cluster.rules):
            if not rule.works(self.family):
                continue
            try:
                if rule.type == "group":
                    self.add_group(chain, rule, direction.upper(), RETURN, iface=direction)
                elif rule.type == direction:
                    self.add(chain, rule, own, _HOST_TARGETS, iface=direction)
            except LeftOut:
                continue

    def create_host_in(self) -> None:
        chain = self.create(HOST_IN)
        chain.steps.append(ChainStep(ACCEPT, (lambda flow: flow.iif == "lo",), note="the loopback interface"))
        self.add_conn_filters(chain, allow_invalid=False)
        self.add_neighbor_discovery(chain, self.firewall.host, "IN", RETURN)
        self.add_input_filters(chain)
        chain.steps.append(ChainStep(RETURN, (proto(IGMP),), note="IGMP is always accepted"))
        self.result.first_rule[HOST_IN] = len(chain.steps)
        self.add_host_rules(chain, "in")
        managed = self.sets.table["0", "management", self.family].holds
        chain.steps += [
            ChainStep(RETURN, (_ports(TCP, span), lambda flow: managed(flow.source)), note=_management_note(span))
            for span in MANAGEMENT_PORTS
        ]
        self.add_corosync(chain, incoming=True)
        self.add_policy(chain, self.firewall.cluster, "in", DROP, RETURN)

    def create_host_out(self) -> None:
        chain = self.create(HOST_OUT)
        chain.steps.append(ChainStep(ACCEPT, (lambda flow: flow.oif == "lo",), note="the loopback interface"))
        self.add_conn_filters(chain, allow_invalid=False)
        self.add_neighbor_discovery(chain, self.firewall.host, "OUT", RETURN)
        chain.steps.append(ChainStep(RETURN, (proto(IGMP),), note="IGMP is always let out"))
        self.result.first_rule[HOST_OUT] = len(chain.steps)
        self.add_host_rules(chain, "out")
        self.add_local_network(chain)
        self.add_corosync(chain, incoming=False)
        self.add_policy(chain, self.firewall.cluster, "out", ACCEPT, RETURN)

    def add_local_network(self, chain: Chain) -> None:
        local = self.firewall.local_network()
        if (6 if ":" in local else 4) != self.family:
            return
        network = iptables_network(local, self.family)
        alias = self.firewall.cluster.aliases.get("local_network")
        if isinstance(network, str):
            where = alias.where if alias else Where("", 0)
            program = "ip6tables" if self.family == 6 else "iptables"
            self.result.refused.append(Ignored(where, f"local_network {local}", f"{program}: {network}", fatal=True))
            return
        note = f"to the local network {local}: the node's own services"
        where_or_none = alias.where if alias else None
        for span in OUTGOING_PORTS:
            test = _ports(TCP, span)
            chain.steps.append(
                ChainStep(RETURN, (test, lambda flow: network.holds(flow.dest)), where=where_or_none, note=note)
            )

    def add_corosync(self, chain: Chain, *, incoming: bool) -> None:
        ports = _ports(UDP, COROSYNC_PORTS)
        if self.firewall.corosync.multicast:
            chain.steps.append(ChainStep(RETURN, (ports, is_multicast), note="corosync by multicast"))
        for own, peer in self.firewall.corosync.peers(self.firewall.node.host_ip, self.family):
            here, there = iptables_network(own, self.family), iptables_network(peer, self.family)
            if isinstance(here, str) or isinstance(there, str):
                continue
            source, dest = (there.value, here.value) if incoming else (here.value, there.value)
            chain.steps.append(ChainStep(RETURN, (ports, _pair(source, dest)), note=f"corosync, {own} and {peer}"))

    # guests

    def plug_card(self, card: Card, level: Level) -> None:
        """The chains of one card. Raises LeftOut where Proxmox gives up on the guest."""
        for direction in ("IN", "OUT"):
            chain = self.create(f"{card.port}-{direction}")
            self.add_card_filters(chain, card, level, direction)
            self.result.first_rule[f"{card.port}-{direction}"] = len(chain.steps)
            self.add_card_rules(chain, card, level, direction)
            if direction == "IN":
                self.add_policy(chain, level, "in", DROP, ACCEPT)
            else:
                self.add_policy(chain, level, "out", ACCEPT, MARK)
            self.result.plugged.add((card.port, direction))

    def add_card_filters(self, chain: Chain, card: Card, level: Level, direction: str) -> None:
        outgoing = direction == "OUT"
        if level.on("dhcp", default=True):
            client, server = (68, 67) if self.family == 4 else (546, 547)
            sport, dport = (client, server) if outgoing else (server, client)
            test = _from_to(sport, dport)
            chain.steps.append(
                ChainStep(MARK if outgoing else ACCEPT, (test,), goto=outgoing, note="DHCP (option dhcp)")
            )
        if outgoing:
            self.add_spoofing_filters(chain, card, level)
            chain.steps.append(ChainStep(UNMARK))
        self.add_neighbor_discovery(chain, level, direction, MARK if outgoing else ACCEPT)

    def add_spoofing_filters(self, chain: Chain, card: Card, level: Level) -> None:
        if card.mac and level.on("macfilter", default=True):
            mac = card.mac
            chain.steps.append(ChainStep(DROP, (lambda flow: flow.mac != mac,), note="forged MAC (option macfilter)"))
        if self.family == 6 and not level.on("radv", default=False):
            test = _icmpv6({_ADVERTISEMENTS["router"]})
            chain.steps.append(ChainStep(DROP, (test,), note="router advertisement of a guest (option radv)"))
        name = f"ipfilter-{card.key}"
        ipset = level.ipsets.get(name)
        if ipset is not None or level.on("ipfilter", default=False):
            holds = self.sets.table[card.vmid, name, self.family].holds
            where = ipset.where if ipset else level.option_where("ipfilter")
            note = f"the source is not one of the card's addresses (set {name})"
            chain.steps.append(ChainStep(DROP, (lambda flow: not holds(flow.source),), where=where, note=note))

    def add_card_rules(self, chain: Chain, card: Card, level: Level, direction: str) -> None:
        for rule in level.rules:
            if not rule.works(self.family) or (is_given(rule.iface) and rule.iface != card.key):
                continue
            if rule.type == "group":
                self.add_group(chain, rule, direction, RETURN if direction == "OUT" else ACCEPT, iface="")
            elif rule.type == direction.lower():
                try:
                    self.add(chain, rule, level, _MARKING if direction == "OUT" else _GUEST_IN)
                except LeftOut:
                    continue


def _ports(number: int, span: tuple[int, int]) -> Test:
    first, last = span
    return lambda flow: flow.proto == number and first <= flow.dport <= last


def _from_to(sport: int, dport: int) -> Test:
    return lambda flow: flow.proto == UDP and flow.sport == sport and flow.dport == dport


def _pair(source: int, dest: int) -> Test:
    return lambda flow: flow.source == source and flow.dest == dest


def _icmpv6(kinds: set[int]) -> Test:
    return lambda flow: flow.proto == ICMPV6 and flow.icmp is not None and flow.icmp[0] in kinds


def _management_note(span: tuple[int, int]) -> str:
    ports = str(span[0]) if span[0] == span[1] else f"{span[0]}-{span[1]}"
    return f"tcp {ports} from set management (the local network and what the set names)"
