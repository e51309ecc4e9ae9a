"""What becomes of a packet on a host: the verdict, the line that decides, and why.

    HostAnalyser(firewall).trace(source, dest, flow) -> Verdict

`source` and `dest` are interfaces, "" for the host itself. The packet is the first of its flow; what belongs to a
connection passes.
"""

from collections.abc import Mapping

from service.firewall.chains import ACCEPT, DROP, REJECT, Flow, Outcome, Ruleset
from service.firewall.host_firewall import PREROUTING, HostFirewall, chains
from service.firewall.model import Family
from service.firewall.sets import build_sets
from service.firewall.verdict import Verdict


class HostAnalyser:
    """Compiles each family when it is first asked for, answers many times."""

    def __init__(self, firewall: HostFirewall) -> None:
        self.firewall = firewall
        self._sets = build_sets(firewall.levels)
        self._rulesets: dict[Family, Ruleset] = {}

    def ruleset(self, family: Family) -> Ruleset:
        """The chains of a family."""
        if family not in self._rulesets:
            self._rulesets[family] = chains(self.firewall, family, self._sets)
        return self._rulesets[family]

    def trace(self, source: str, dest: str, flow: Flow) -> Verdict:
        """The verdict on a packet. The flow's interfaces are set here."""
        ruleset = self.ruleset(flow.family)
        flow.iif, flow.oif = source or "lo", dest or "lo"
        path = [PREROUTING] if source else []
        path.append("output" if not source else "forward" if dest else "input")
        if not source and not dest:
            path = ["output", "input"]
        last = Outcome(ACCEPT)
        for name in path:
            last = ruleset.walk(name, flow)
            if last.action in (DROP, REJECT):
                break
        step = last.step
        said = step.note if step else "nothing filters it"
        detail = f" [{last.detail}]" if last.detail else ""
        action = last.action if last.action in (DROP, REJECT) else ACCEPT
        return Verdict(action, step.where if step else None, f"{_PLACES[name]}: {said}{detail}")


_PLACES: Mapping[str, str] = {
    PREROUTING: "before routing",
    "input": "into the host",
    "output": "out of the host",
    "forward": "through the host",
}
