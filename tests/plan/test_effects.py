"""What a plan does to others: openings that the operator did not allow, and guests whose lease a new range strands."""

from dataclasses import replace

import pytest

from service.model.observed import HostObserved, Lease
from service.model.plans import Plan
from service.model.states import Seen, Unknown
from service.plan.effects import MOST_SHOWN
from service.plan.make import Permission, make_plan
from service.resources.desired import Desired, LastApplied
from tests.laws.host import after_plan, bare_host
from tests.laws.specs import desired_from

FROM = "    - {{type: in, action: accept, proto: tcp, dport: {}, source: 192.0.2.{}}}\n"
TABLE = "firewall:\n  rules:\n    - {type: in, action: accept, macro: SSH}\n"
SERVED = """\
interfaces: {enp1s0: {addresses: [198.51.100.11/24], gateway: 198.51.100.1}}
bridges: {vmbr0: {addresses: [10.10.10.1/24]}}
packages: {dnsmasq: present}
dnsmasq:
  dhcp: [{interface: vmbr0, start: 10.10.10.100, end: 10.10.10.200}]
"""
FEWER = SERVED.replace("start: 10.10.10.100", "start: 10.10.10.150")


def settled(sections: str, then: Desired) -> HostObserved:
    """A host as a spec wants it, with what is watched for another."""
    desired = desired_from(sections)
    bare = bare_host(desired.watch | then.watch)
    return after_plan(bare, make_plan(desired, LastApplied(), bare))


def opening(ports: int, permission: Permission) -> tuple[str, ...]:
    """What is raised where a commit opens so many ports, each to a neighbour of its own."""
    then = desired_from(TABLE + "".join(FROM.format(8000 + 2 * n, n) for n in range(ports)))
    return make_plan(then, LastApplied(), settled(TABLE, then), permission=permission).raises


@pytest.mark.parametrize(("ports", "more"), [(1, []), (MOST_SHOWN, []), (MOST_SHOWN + 1, ["and 1 more"])])
def test_what_opens_beyond_is_told_by_the_first_and_the_number_of_the_others(ports: int, more: list[str]) -> None:
    told = [f"opens tcp/{8000 + 2 * n} from 192.0.2.{n}" for n in range(min(ports, MOST_SHOWN))]
    raised = opening(ports, Permission(may_open=()))
    assert raised == tuple(f"beyond PASSERELLE_MAX_OPEN: {what}" for what in [*told, *more])
    assert opening(ports, Permission(may_open=None)) == ()


def served(leases: Seen[tuple[Lease, ...]] | Unknown) -> Plan:
    """A commit takes the lower half of a range away from a host with these leases."""
    then = desired_from(FEWER)
    base = LastApplied.from_json(desired_from(SERVED).as_json())
    return make_plan(then, base, replace(settled(SERVED, then), leases=leases))


NOW = int(bare_host(desired_from(SERVED).watch).observed_at.timestamp())


@pytest.mark.parametrize(
    ("expires", "is_active"),
    [(NOW + 1, True), (0, True), (NOW, False), (NOW - 1, False)],
    ids=["in a second", "never", "this second", "a second ago"],
)
def test_only_a_lease_that_has_not_run_out_can_be_stranded(expires: int, *, is_active: bool) -> None:
    mac = "bc:24:11:00:00:01"
    plan = served(Seen((Lease(mac, "10.10.10.120", "dev", expires), Lease("", "2001:db8::5", "dev", NOW + 9))))
    stranded = "strands 1 active lease: 10.10.10.120 (dev); these guests get another address when they renew"
    assert plan.notes == ((stranded,) if is_active else ())
    assert plan.steps, "the commit does something either way"


def test_leases_that_could_not_be_read_are_not_told_as_stranded() -> None:
    assert served(Unknown("cut off")).notes == ()
