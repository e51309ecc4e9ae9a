"""Chains of matches and targets as the kernel walks them (iptables(8): jump, goto, return, mark), with an index.

    Ruleset.walk(chain, flow) -> Outcome

In a chain of thousands of rules, only the few steps that can match are visited. They are for the packet's destination
port, for a network with its source or its destination, or without such a condition.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from service.firewall.terms.addresses import MaskedNetwork
from service.firewall.terms.model import Family, Where

MARK = "MARK"
"""Target: set the accept mark and leave the chain (Proxmox always goes there, it never jumps)."""
UNMARK = "UNMARK"
ACCEPT, DROP, REJECT, RETURN = "ACCEPT", "DROP", "REJECT", "RETURN"
_ENDS = frozenset((ACCEPT, DROP, REJECT, RETURN))
_INDEX_FROM = 24


@dataclass(slots=True)
class Flow:
    """The first packet of a flow: numbers as on the wire, addresses as integers. `icmp` is type and code.

    `iif` and `oif` change from hook to hook; the mark stays with the packet while it passes the bridges of one host.
    `mac` and `dest_mac` are upper case, `port` is the bridge's port by which it came; "" where that is not known.
    """

    family: Family
    source: int
    dest: int
    proto: int
    sport: int
    dport: int
    icmp: tuple[int, int] | None = None
    flags: str = ""
    mac: str = ""
    dest_mac: str = ""
    port: str = ""
    dsttype: str = "UNICAST"
    state: str = "NEW"
    iif: str = ""
    oif: str = ""
    mark: bool = False
    marked_by: "ChainStep | None" = None


@dataclass(frozen=True, slots=True)
class ChainStep:
    """One rule of the kernel: if all tests hold, the target. `where` and `note` tell people what it stands for.

    `name` is that of the rule in the list of all of the host's (`Placed`), "" for a step that decides nothing itself.

    `group` is set on the steps of a security group and on the check of the accept mark after it. `ports` (protocol,
    destination port), `sources` and `dests` say the same as tests do, for the index; () means not bound. `proto` is
    the protocol, 0 where it is not bound or not known here.
    """

    target: str
    tests: tuple[Callable[[Flow], bool], ...] = ()
    goto: bool = False
    where: Where | None = None
    note: str = ""
    group: str = ""
    ports: tuple[tuple[int, int], ...] = ()
    sources: tuple[MaskedNetwork, ...] = ()
    dests: tuple[MaskedNetwork, ...] = ()
    proto: int = 0
    name: str = ""

    def matches(self, flow: Flow) -> bool:
        """Whether every test holds."""
        for test in self.tests:  # noqa: SIM110 (this is most of what a trace does, and all() costs twice as much)
            if not test(flow):
                return False
        return True


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a chain was left: ACCEPT, DROP, REJECT, or RETURN to the caller. `step` decided it, `detail` says more."""

    action: str
    step: ChainStep | None = None
    detail: str = ""
    marked_by: ChainStep | None = None


class Chain:
    """Steps in order, and an index over them that is built when it is first needed."""

    __slots__ = ("_index", "steps")

    def __init__(self) -> None:
        self.steps: list[ChainStep] = []
        self._index: _Index | None = None

    def candidates(self, flow: Flow) -> Iterator[ChainStep]:
        """The steps that may match, in order."""
        if len(self.steps) < _INDEX_FROM:
            return iter(self.steps)
        if self._index is None or self._index.size != len(self.steps):
            self._index = _Index(self.steps)
        return map(self.steps.__getitem__, self._index.positions(flow))


@dataclass(slots=True)
class _Index:
    """Positions of steps by what they are bound to."""

    steps: list[ChainStep]
    size: int = 0
    ports: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    sources: dict[int, dict[int, list[int]]] = field(default_factory=dict)
    dests: dict[int, dict[int, list[int]]] = field(default_factory=dict)
    protos: dict[int, list[int]] = field(default_factory=dict)
    others: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.size = len(self.steps)
        for position, step in enumerate(self.steps):
            if step.ports:
                for key in dict.fromkeys(step.ports):
                    self.ports.setdefault(key, []).append(position)
            elif step.sources:
                _add(self.sources, step.sources, position)
            elif step.dests:
                _add(self.dests, step.dests, position)
            elif step.proto:
                self.protos.setdefault(step.proto, []).append(position)
            else:
                self.others.append(position)

    def positions(self, flow: Flow) -> list[int]:
        found = [*self.ports.get((flow.proto, flow.dport), ()), *self.protos.get(flow.proto, ())]
        for mask, table in self.sources.items():
            found += table.get(flow.source & mask, ())
        for mask, table in self.dests.items():
            found += table.get(flow.dest & mask, ())
        return sorted({*found, *self.others}) if found else self.others


def _add(tables: dict[int, dict[int, list[int]]], networks: tuple[MaskedNetwork, ...], position: int) -> None:
    for network in dict.fromkeys(networks):
        tables.setdefault(network.mask, {}).setdefault(network.value, []).append(position)


@dataclass(slots=True)
class Ruleset:
    """The chains of one family by name."""

    family: Family
    chains: dict[str, Chain] = field(default_factory=dict)

    def walk(self, name: str, flow: Flow) -> Outcome:
        """Send a packet through a chain. Chains never call each other in a circle."""
        for step in self.chains[name].candidates(flow):
            if step.proto not in (0, flow.proto) or not step.matches(flow):
                continue
            target = step.target
            if target in _ENDS:
                return Outcome(target, step, marked_by=flow.marked_by)
            if target == UNMARK:
                flow.mark, flow.marked_by = False, None
            elif target == MARK:
                flow.mark, flow.marked_by = True, step
                return Outcome(RETURN, step)
            else:
                inner = self.walk(target, flow)
                if step.goto or inner.action != RETURN:
                    return _within(inner, step)
        return Outcome(RETURN)


def _within(inner: Outcome, step: ChainStep) -> Outcome:
    """What a called chain decided is reported as the caller's decision, unless the called chain knows the rule."""
    if inner.step is not None and (inner.step.where is not None or not step.note):
        return inner
    detail = inner.step.note if inner.step else ""
    return Outcome(inner.action, step, detail, inner.marked_by)
