"""Hosts to draw: as the laws have them, seen in several ways."""

from dataclasses import replace

from service.answers.topology import Looked, topology_of
from service.kinds import KINDS
from service.kinds.desire import desire
from service.model.observed import HostObserved, Lease
from service.model.plans import Plan
from service.model.states import Observed, Seen
from service.model.topology import Topology
from service.plan.make import make_plan
from service.resources.desired import LastApplied
from service.spec.host import HostSpec
from service.spec.models import claims_of
from tests.laws import specs
from tests.laws.host import after_plan, bare_host

COMMIT = "c0ffee" + "0" * 34
LEASES = (
    Lease("bc:24:11:00:00:01", "10.10.10.137", "dev", 0),
    Lease("bc:24:11:00:00:77", "10.10.10.105", "stranger", 0),
)
SEEN = Seen(LEASES)


def spec_named(name: str) -> HostSpec:
    """A spec of the laws."""
    return specs.spec_of(specs.whole((specs.FOLDER / f"{name}.yaml").read_text()))


def plan_of(spec: HostSpec, observed: HostObserved) -> Plan:
    """What the planner says of it."""
    return make_plan(desire(spec, KINDS), LastApplied(), observed, commit=COMMIT)


def drawn_of(spec: HostSpec, observed: HostObserved | None, unknown: str = "") -> Topology:
    """The topology of a host, with every difference that its plan has."""
    plan = plan_of(spec, observed) if observed is not None else None
    differences = [one.difference for one in plan.drifts] if plan is not None else []
    return topology_of(spec, claims_of(spec, KINDS), Looked(COMMIT, observed, differences, (), unknown))


def as_found(spec: HostSpec, leases: Observed[tuple[Lease, ...]] = SEEN) -> HostObserved:
    """The host before anything was applied."""
    return replace(bare_host(desire(spec, KINDS).watch), leases=leases)


def as_wanted(spec: HostSpec, leases: Observed[tuple[Lease, ...]] = SEEN) -> HostObserved:
    """The host after an apply of everything."""
    bare = bare_host(desire(spec, KINDS).watch)
    return replace(after_plan(bare, plan_of(spec, bare)), leases=leases, unlisted=bare.unlisted)
