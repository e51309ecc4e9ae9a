"""What becomes of a packet on a Proxmox node with pve-firewall (iptables), which rule decides, and why.

    Analyser(firewall).trace(question) -> Verdict

A packet passes up to three places: the firewall bridge of the sending guest, the node itself (as sender, receiver,
bridge or router), the firewall bridge of the receiving guest. The accept mark goes with it from one to the next.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from service.errors import InputError
from service.firewall.pve.cards import Card
from service.firewall.pve.node import NodeFirewall
from service.firewall.terms.model import FAMILIES, Family, Ignored, Where
from service.firewall.trace.chains import ACCEPT, DROP, REJECT, RETURN, ChainStep, Flow, Outcome
from service.firewall.trace.compile import BRIDGE_IN, FORWARD, HOST_IN, HOST_OUT, Compiled, compile_family
from service.firewall.trace.packets import AskedFlow, parse_packet
from service.firewall.trace.sets import Sets, build_sets

_CARD = re.compile(r"(?:ct|vm)([1-9][0-9]*)(?:i([0-9]+))?")
_OUTSIDE, _UNFILTERED = ("vmbr0", "eth0"), ("vmbr0", "tapXYZ")


@dataclass(frozen=True, slots=True)
class Verdict:
    """ACCEPT, DROP or REJECT; the line that decides, None where no line of a file does; and why, for people.

    `name` is that of the rule that decides in the list of all of the host's (`Placed`), "" where none does.
    """

    verdict: str
    rule: Where | None
    why: str
    name: str = ""

    def as_json(self) -> dict[str, str | None]:
        """For one line of output."""
        rule = str(self.rule) if self.rule and self.rule.line else None  # a derived rule is in no file
        return {"verdict": self.verdict, "rule": rule, "why": self.why}


@dataclass(frozen=True, slots=True)
class Zone:
    """Where a packet enters or leaves the node: `interface` is a bridge or a network card, "" the node itself."""

    name: str
    interface: str
    card: Card | None = None

    @property
    def bridge(self) -> str:
        """The bridge, "" if it is none."""
        return self.interface if self.interface.startswith("vmbr") else ""


class Analyser:
    """Compiles once, answers many times. Raises InputError where Proxmox would not load the rule set."""

    def __init__(self, firewall: NodeFirewall) -> None:
        self.firewall = firewall
        self.on = firewall.cluster.on("enable", default=False)
        self.compiled: dict[int, Compiled] = {}
        self.names: dict[tuple[str, Where | None, str], str] = {}
        """Names of rules by chain, line and note, for callers that list them (node_listing.py)."""
        self.refused: tuple[Ignored, ...] = ()
        if self.on:
            sets = build_sets(firewall)
            self.compiled = {family: self._compile(sets, family) for family in FAMILIES}
            refused = [*self._refused(sets), *(item for family in FAMILIES for item in self.compiled[family].refused)]
            self.refused = tuple(dict.fromkeys(refused))

    def _compile(self, sets: Sets, family: Family) -> Compiled:
        return compile_family(self.firewall, sets, family)

    def _refused(self, sets: Sets) -> tuple[Ignored, ...]:
        return sets.refused

    def check(self) -> None:
        """Raise InputError if the rule set would be refused as a whole."""
        if self.refused:
            first = self.refused[0]
            raise InputError(
                f"{first.where}: Proxmox would not load this rule set: {first.reason}: {first.text}",
                hint="correct the line. Until then the node keeps its previous rules",
            )

    def trace_packet(self, fields: Mapping[str, object]) -> Verdict:
        """The verdict on a packet given by its fields. Raises InputError for what is not a packet."""
        return self.trace(parse_packet(fields))

    def trace(self, question: AskedFlow) -> Verdict:
        """The verdict. Raises InputError for a zone that does not exist."""
        source, dest = self.zone(question.source_zone), self.zone(question.dest_zone)
        if not self.on:
            where = self.firewall.cluster.option_where("enable")
            return Verdict(ACCEPT, where, "the firewall is switched off in cluster.fw (enable)")
        flow = question.flow
        if not flow.mac:
            flow.mac = source.card.mac if source.card else ""
        compiled = self.compiled[flow.family]
        passed: list[str] = []
        decided: tuple[Where | None, str] = (None, "")
        for place, chain, outcome in self._places(compiled, flow, source, dest):
            if outcome.step is not None:
                passed.append(f"{place}: {_why(outcome)}")
                decided = _where(outcome), self._name(chain, outcome)
            if outcome.action in (DROP, REJECT):
                return Verdict(outcome.action, decided[0], "; ".join(passed), decided[1])
        return Verdict(ACCEPT, decided[0], "; ".join(passed) or "nothing on its way filters it", decided[1])

    def _name(self, chain: str, outcome: Outcome) -> str:
        step = _deciding(outcome)
        return self.names.get((chain, step.where, step.note), "") if step is not None else ""

    def _places(self, compiled: Compiled, flow: Flow, source: Zone, dest: Zone) -> Iterator[tuple[str, str, Outcome]]:
        if source.card and source.card.firewall:
            chain = f"{source.card.port}-OUT"
            yield f"from {source.name}", chain, self._bridge(compiled, flow, source.card, "OUT")
        flow.iif = source.interface or "lo"
        flow.oif = dest.interface or "lo"
        if not source.interface:
            yield "out of the host", HOST_OUT, compiled.walk(HOST_OUT, flow)
        if not dest.interface:
            flow.iif = source.interface or "lo"
            yield "into the host", HOST_IN, compiled.walk(HOST_IN, flow)
        if source.interface and dest.interface:
            yield "through the host", FORWARD, compiled.walk(FORWARD, flow)
        if dest.card and dest.card.firewall:
            yield f"to {dest.name}", f"{dest.card.port}-IN", self._bridge(compiled, flow, dest.card, "IN")

    def _bridge(self, compiled: Compiled, flow: Flow, card: Card, direction: str) -> Outcome:
        """The firewall bridge of a card."""
        chains = [FORWARD] if direction == "OUT" else [FORWARD, BRIDGE_IN]
        for chain in chains:
            outcome = compiled.walk(chain, flow)
            if outcome.action != RETURN:
                return outcome
        if (card.port, direction) not in compiled.plugged:
            return Outcome(RETURN)
        return compiled.walk(f"{card.port}-{direction}", flow)

    def zone(self, name: str) -> Zone:
        """A zone by name: host, outside, nfvm, ct100, vm200i1, BRIDGE/PORT. Raises InputError."""
        if name == "host":
            return Zone(name, "")
        if name in ("outside", "nfvm"):
            return Zone(name, (_OUTSIDE if name == "outside" else _UNFILTERED)[0])
        if "/" in name:
            card_or_bridge = name.partition("/")[0]
            return Zone(name, self.firewall.node.altnames.get(card_or_bridge, card_or_bridge))
        found = _CARD.fullmatch(name)
        guest = self.firewall.cards.get(found[1]) if found else None
        card = guest.cards.get(f"net{found[2] or 0}") if guest and found else None
        if card is None:
            if found:
                hint = "guests.json has to name it with the net lines of its configuration"
                raise InputError(f"there is no zone {name}: no such card of a guest is known", hint=hint)
            raise InputError(f"there is no zone {name}", hint="host, outside, nfvm, ctN, vmN, vmNiK or BRIDGE/PORT")
        if not card.bridge:
            raise InputError(f"{name} is on no bridge: nothing gets from or to it past the host's firewall")
        return Zone(name, card.bridge, card)


def _where(outcome: Outcome) -> Where | None:
    step = _deciding(outcome)
    return step.where if step is not None else None


def _deciding(outcome: Outcome) -> ChainStep | None:
    """The step that stands for the rule: that of a group which set the accept mark, else the one that looks at it."""
    step, marked = outcome.step, outcome.marked_by
    if step is not None and step.group and marked is not None and marked.group == step.group and marked.where:
        return marked
    return step


def _why(outcome: Outcome) -> str:
    step = outcome.step
    if step is None:
        return "nothing matches"
    marked = outcome.marked_by
    text = step.note
    if step.group and marked is not None and step.target in (ACCEPT, RETURN):
        if marked.group == step.group:
            text = f"{marked.note} (group {step.group}, named in {step.where})"
        else:
            text = f"{step.note} lets it pass because of the accept mark that was set before by: {marked.note}"
    elif step.group:
        text = f"{step.note} (group {step.group})"
    return f"{text} [{outcome.detail}]" if outcome.detail else text
