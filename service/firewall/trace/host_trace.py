"""What becomes of a packet on a host: the verdict, the line that decides, and why.

    HostAnalyser(firewall).trace(source, dest, flow) -> Verdict

`source` and `dest` are interfaces, "" for the host itself; the same bridge twice is a packet that stays on it. The
packet is the first of its flow; what belongs to a connection passes.
"""

from collections.abc import Iterator, Mapping

from service.firewall.host import PREROUTING, HostFirewall
from service.firewall.terms.model import Family
from service.firewall.trace.chains import ACCEPT, DROP, REJECT, Flow, Outcome, Ruleset
from service.firewall.trace.guest_chains import BRIDGE_IN, BRIDGE_OUT
from service.firewall.trace.host_chains import chains
from service.firewall.trace.sets import build_sets
from service.firewall.trace.verdict import Verdict


class HostAnalyser:
    """Compiles each family when it is first requested, answers many times."""

    def __init__(self, firewall: HostFirewall) -> None:
        self.firewall = firewall
        self._sets = build_sets(firewall.levels)
        self._rulesets: dict[Family, Ruleset] = {}

    def ruleset(self, family: Family) -> Ruleset:
        """The chains of a family."""
        if family not in self._rulesets:
            self._rulesets[family] = chains(self.firewall, family, self._sets)
        return self._rulesets[family]

    def trace(self, source: str, dest: str, flow: Flow, sent_on: Flow | None = None) -> Verdict:
        """The verdict on a packet. The flow's interfaces are set here. `sent_on` is the packet as it is after its
        destination was changed, which the filters see but for those before routing."""
        ruleset = self.ruleset(flow.family)
        flow.iif, flow.oif = source or "lo", dest or "lo"
        flow.mark, flow.marked_by = False, None
        last = Outcome(ACCEPT)
        for name in self._path(source, dest):
            if sent_on is not None and name not in (BRIDGE_IN, PREROUTING):
                sent_on.iif, sent_on.oif, sent_on.mark, sent_on.marked_by = (
                    flow.iif,
                    flow.oif,
                    flow.mark,
                    flow.marked_by,
                )
                flow, sent_on = sent_on, None
            came = ruleset.walk(name, flow)
            if came.step is None:
                continue
            last, place = came, _PLACES[name]
            if last.action in (DROP, REJECT):
                break
        if last.step is None:
            return Verdict(ACCEPT, None, "nothing filters it")
        return _verdict(last, place)

    def _path(self, source: str, dest: str) -> Iterator[str]:
        bridges = self.firewall.bridges if self.firewall.guests else ()
        if source in bridges:
            yield BRIDGE_IN
        if source:
            yield PREROUTING
        else:
            yield "output"
        if not dest:
            yield "input"
        elif source:
            yield "forward"
        if dest in bridges and source != dest:
            yield BRIDGE_OUT


def _verdict(last: Outcome, place: str) -> Verdict:
    step, marked = last.step, last.marked_by
    if step is None:
        raise AssertionError("a verdict comes from a step")
    if step.where is None and marked is not None and last.action == ACCEPT:
        # nothing beyond the sender's own rule decided
        step = marked
    detail = f" [{last.detail}]" if last.detail else ""
    action = last.action if last.action in (DROP, REJECT) else ACCEPT
    where = step.where if step.where is not None and step.where.line else None  # a derived rule is in no file
    return Verdict(action, where, f"{place}: {step.note}{detail}", step.name)


_PLACES: Mapping[str, str] = {
    BRIDGE_IN: "on the bridge",
    PREROUTING: "before routing",
    "input": "into the host",
    "output": "out of the host",
    "forward": "through the host",
    BRIDGE_OUT: "on the bridge",
}
