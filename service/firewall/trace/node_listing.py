"""Every rule that Proxmox's firewall tries on a node, in its order, and their names in answers about packets.

    listed_node(analyser, firewall) -> (Tried, …)

`firewall` has the rules as the spec has them, with what follows from other sections; the analyser has the chains that
Proxmox makes of the same. What is in the chains and in no spec is an entry, too. A rule about the node's own network,
as Proxmox guesses it, or about a set of the SDN is not judged: the addresses are not known here.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from service.firewall.host import FilteredGuest, HostFirewall, Placed, guest_table
from service.firewall.terms.model import FAMILIES, Where
from service.firewall.trace.chains import ACCEPT, DROP, MARK, REJECT, RETURN, ChainStep
from service.firewall.trace.compile import BRIDGE_IN, FORWARD, HOST_IN, HOST_OUT
from service.firewall.trace.host_chains import policy_name
from service.firewall.trace.listing import Entry, Tried, entry_of, judge
from service.firewall.trace.node_trace import NodeAnalyser
from service.firewall.trace.sets import Sets, build_sets

_GUESSED = ("local_network", "management", "+sdn/")
_ACTIONS = {ACCEPT: ACCEPT, RETURN: ACCEPT, MARK: ACCEPT, DROP: DROP, REJECT: REJECT}

Key = tuple[Where | None, str]
"""Line and note of a step."""


def listed_node(analyser: NodeAnalyser, firewall: HostFirewall) -> tuple[Tried, ...]:
    """All tables of a node. The analyser's answers have the names of these entries from then on."""
    levels = analyser.node.firewall
    lister = _Lister(analyser, replace(firewall, levels=levels), build_sets(levels))
    tables = [
        lister.table("in", "in", "", [HOST_IN], firewall.placed("in")),
        lister.table("out", "out", "", [HOST_OUT], firewall.placed("out")),
        lister.table("forward", "forward", "", [FORWARD], ()),
    ]
    ports = {card.mac: card.port for guest in levels.cards.values() for card in guest.cards.values()}
    for guest in firewall.guests:
        if port := ports.get(guest.mac.upper()):
            tables += lister.guest(guest, port, firewall)
    return tuple(table for table in tables if table.entries)


@dataclass(slots=True)
class _Found:
    """The steps of some chains that stand for no rule of the spec: before the rules, after them."""

    before: dict[Key, ChainStep] = field(default_factory=dict)
    after: dict[Key, ChainStep] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Lister:
    analyser: NodeAnalyser
    boxed: HostFirewall
    sets: Sets

    def guest(self, guest: FilteredGuest, port: str, firewall: HostFirewall) -> Iterator[Tried]:
        """What a guest may send, and what may reach it."""
        for direction, chains in (("out", [FORWARD, f"{port}-OUT"]), ("in", [FORWARD, BRIDGE_IN, f"{port}-IN"])):
            placed = firewall.guest_placed(guest, "out" if direction == "out" else "in")
            yield self.table(guest_table(guest.name, direction), direction, guest.name, chains, placed)

    def table(self, name: str, direction: str, guest: str, chains: list[str], placed: Iterable[Placed]) -> Tried:
        """The entries of one table; the last of the chains is the one with the rules."""
        rules = [(one, _judgeable(entry_of(one))) for one in placed]
        own: dict[Key, Entry] = {(one.rule.where, one.rule.text): entry for one, entry in reversed(rules)}
        found = self.found(chains, own)
        entries = [
            *self.always(name, found.before, 1),
            *(entry for _, entry in rules),
            *self.always(name, found.after, len(found.before) + 1),
        ]
        chain = chains[-1]
        for key, entry in own.items():
            self.analyser.node.names[(chain, *key)] = entry.name
        keys = [*found.before, *found.after]
        implied = [entry for entry in entries if entry.rule is None]
        for key, entry in zip(keys, implied, strict=True):
            self.analyser.node.names[(chain, *key)] = entry.name
        return Tried(name, direction, guest, judge(self.boxed, self.sets, entries, {}))

    def found(self, chains: list[str], own: dict[Key, Entry]) -> _Found:
        """The steps that stand for no rule, of both families."""
        found = _Found()
        for family in FAMILIES:
            compiled = self.analyser.node.compiled.get(family)
            for chain in chains if compiled else ():
                steps = compiled.ruleset.chains[chain].steps if compiled and chain in compiled.ruleset.chains else []
                first = compiled.first_rule.get(chain, len(steps)) if compiled else 0
                for position, step in enumerate(steps):
                    kept = found.before if position < first else found.after
                    for inner in self.told(step, family):
                        if (inner.where, inner.note) not in own:
                            kept.setdefault((inner.where, inner.note), inner)
        return found

    def told(self, step: ChainStep, family: int) -> Iterator[ChainStep]:
        """The step, or those of the chain that it jumps to silently."""
        if step.group:
            return
        if step.note:
            yield step
        elif step.target not in _ACTIONS and (
            inner := self.analyser.node.compiled[family].ruleset.chains.get(step.target)
        ):
            yield from (one for one in inner.steps if one.target != RETURN and one.note)

    @staticmethod
    def always(table: str, steps: dict[Key, ChainStep], first: int) -> Iterator[Entry]:
        """Entries for steps that are in no spec."""
        for number, step in enumerate(steps.values(), first):
            if step.note.startswith("policy_"):
                yield Entry(policy_name(table), "policy", step.note.split()[1], step.note, where=step.where)
            else:
                action = _ACTIONS.get(step.target, DROP)
                yield Entry(f"{table}:always:{number}", "always", action, step.note, where=step.where)


def _judgeable(entry: Entry) -> Entry:
    rule = entry.rule
    if (
        entry.decides == "some"
        and rule is not None
        and any(name in f"{rule.source} {rule.dest}".lower() for name in _GUESSED)
    ):
        return replace(entry, decides="not judged")
    return entry
