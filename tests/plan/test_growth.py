"""What a plan costs grows with the host, not with its square; what an observation says is worked out once.

Counted are calls of functions, not seconds. The yardstick is what one reading of the host's own files takes.
"""

import math
from dataclasses import replace
from itertools import pairwise

import pytest

from service.formats.interfaces import FILES, load, meanings
from service.formats.read_once import forget
from service.kinds import KINDS
from service.kinds.desire import desire
from service.model.observed import HostObserved
from service.model.plans import Plan
from service.model.states import Seen
from service.plan.make import make_plan
from service.resources.desired import Desired, LastApplied
from tests.calls import counted
from tests.laws.host import after_plan, bare_host
from tests.laws.specs import head, spec_of

COUNTS = (10, 20, 40, 80)
"""Each twice the one before."""
MOST_DHCP = 60
"""What one spec may have."""
MOST_READINGS = 10
"""A quiet plan is worth so many readings of the interfaces files; when each question read them again it was 380."""
PARSE = "formats/interfaces/stanzas.py:parse"


def quad_text(bridges: int) -> str:
    """A spec with so many bridges, each with a network that leaves under the host's address and with DHCP."""
    numbers = range(bridges)
    lines = [
        "interfaces: {enp1s0: {addresses: [198.51.100.11/24], gateway: 198.51.100.1}}",
        "bridges:",
        *(f"  vmbr{n}: {{addresses: [10.{n}.0.1/24]}}" for n in numbers),
        "nat:",
        *(f"  - {{source: 10.{n}.0.0/24, out: enp1s0}}" for n in numbers),
        "dnsmasq:",
        "  dhcp:",
        *(f"    - {{interface: vmbr{n}, start: 10.{n}.0.100, end: 10.{n}.0.200}}" for n in numbers[:MOST_DHCP]),
        "packages: {dnsmasq: present}",
    ]
    return "\n".join(lines) + "\n"


def quad(bridges: int) -> Desired:
    """What is wanted on such a host."""
    return desire(spec_of(head() + quad_text(bridges)), KINDS)


def planned(desired: Desired, base: LastApplied, host: HostObserved) -> tuple[Plan, dict[str, int]]:
    """The plan for a fresh observation that says the same, and the calls that it took."""
    fresh = replace(host)
    forget()
    with counted() as calls:
        plan = make_plan(desired, base, fresh)
    return plan, calls


def settled(desired: Desired) -> HostObserved:
    """A host on which all that is wanted was done."""
    bare = bare_host(desired.watch)
    plan = make_plan(desired, LastApplied(), bare)
    assert not plan.refusals
    return after_plan(bare, plan)


def quiet(bridges: int) -> tuple[int, int]:
    """The calls of a plan with nothing to do, and those of one reading of the interfaces files."""
    desired = quad(bridges)
    host = settled(desired)
    plan, calls = planned(desired, LastApplied.from_json(desired.as_json()), host)
    assert (plan.steps, plan.drifts) == ((), ())
    texts = {path: seen.value for path, seen in host.texts.items() if path in FILES and isinstance(seen, Seen)}
    forget()
    with counted() as reading:
        meanings(load(texts))
    return calls[""], reading[""]


def test_a_quiet_plan_grows_with_the_host_and_not_with_its_square() -> None:
    took = [quiet(count) for count in COUNTS]
    growths = [math.log2(after / before) for (before, _), (after, _) in pairwise(took)]
    assert max(growths) <= 1.2, growths
    assert took[-1][0] <= MOST_READINGS * took[-1][1], took


@pytest.mark.parametrize("bridges", [3, 12])
def test_a_quiet_plan_reads_the_interfaces_file_once(bridges: int) -> None:
    desired = quad(bridges)
    _, calls = planned(desired, LastApplied.from_json(desired.as_json()), settled(desired))
    assert calls[PARSE] == 1


def test_a_plan_that_adds_a_bridge_reads_the_file_as_it_is_and_as_it_will_be() -> None:
    before, after = quad(3), quad(4)
    host = settled(before)
    plan, calls = planned(after, LastApplied.from_json(before.as_json()), host)
    assert "file:/etc/network/interfaces" in {step.fact for step in plan.steps}
    assert calls[PARSE] == 2


def test_what_was_made_of_one_observation_is_not_taken_for_another() -> None:
    desired = quad(2)
    host = settled(desired)
    base = LastApplied.from_json(desired.as_json())
    assert not make_plan(desired, base, host).drifts
    other = replace(host, texts={**host.texts, "/etc/network/interfaces": Seen(b"auto lo\niface lo inet loopback\n")})
    assert make_plan(desired, base, other).drifts
    assert not make_plan(desired, base, host).drifts
