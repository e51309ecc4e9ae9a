"""Addresses in the kernel: which count, and what is reported of those that do not."""

from dataclasses import replace

from service.model.states import Seen
from service.plan.make import make_plan
from service.resources.addresses import Addresses
from service.resources.desired import Desired, LastApplied
from tests.laws.host import bare_host


def test_an_address_that_another_machine_has_is_a_difference_with_its_cause_and_is_tried_again() -> None:
    wanted = Addresses("bridges", "vmbr0", ("10.10.10.1/24", "fd00::1/64"))
    desired = Desired.of("pve1", [wanted])
    bare = bare_host(desired.watch)
    link = Seen({"type": "bridge", "up": True, "mtu": 1500, "master": None})
    facts = {**bare.facts, "link:vmbr0": link, "addresses:vmbr0": Seen(["10.10.10.1/24"])}
    host = replace(bare, facts=facts, duplicates={"vmbr0": ("fd00::1/64", "fd00::2/64")})
    plan = make_plan(desired, LastApplied(), host)
    cause = (
        "another machine on the network of vmbr0 has fd00::1/64 (duplicate address detection failed). "
        "Fix: remove the address from one of the two"
    )
    assert [drift.difference.cause for drift in plan.drifts] == [cause]
    assert [(step.fact, step.after) for step in plan.steps] == [("addresses:vmbr0", ["10.10.10.1/24", "fd00::1/64"])]
    assert cause in plan.steps[0].why
    free = make_plan(desired, LastApplied(), replace(host, duplicates={}))
    assert [drift.difference.cause for drift in free.drifts] == [""]
