"""A drill over a real sshd, with the real host-side file on a host in a folder."""

from dataclasses import dataclass

import pytest

from service.apply.drilling import DrillRun, drill_document
from service.model.runs import Proof
from tests.apply.clocks import QuickClock
from tests.apply.test_transaction import Controller
from tests.hostside.scratch import ID, Scratch
from tests.ssh.sshd import Sshd

pytestmark = pytest.mark.host


@dataclass
class Firing(QuickClock):
    """Whoever waits for the deadline sees the host's timer fire, as systemd would let it."""

    scratch: Scratch

    def __post_init__(self) -> None:
        super().__init__()
        self.fired = False

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        if not self.fired:
            self.fired = True
            self.scratch.call("expire", ID)  # not due yet: nothing
            self.scratch.expire()
            self.scratch.call("watch", ID)


async def drilled(sshd: Sshd, scratch: Scratch) -> dict[str, Proof]:
    controller = Controller(sshd, scratch)
    host = await controller.dialer.connect(sshd.target())
    facts = {"addresses:enp1s0": ["198.51.100.11/24"], "link:enp1s0": {"type": "other", "up": True}}
    order = drill_document(facts, drill_id=ID, generation=4, controller="test")  # type: ignore[arg-type]  # JSON
    run = DrillRun(controller.dialer, [sshd.target()], Firing(scratch), controller.switch)
    return {proof.name: proof for proof in await run.run(host, order)}


async def test_a_drill_proves_each_piece_and_leaves_the_host_as_it_was(sshd: Sshd, scratch: Scratch) -> None:
    before = scratch.state()
    proofs = await drilled(sshd, scratch)
    armed = ["timer", "watcher", "boot unit", "way in"]
    assert list(proofs) == [*armed, "watcher fired", "timer fired", "rollback", "new connection"]
    late = {proofs.pop("timer fired").told, proofs.pop("watcher fired").told}  # the test set the deadline to now
    assert {name for name, proof in proofs.items() if not proof.ok} == set()
    assert any("rolled the change back" in told for told in late)
    assert scratch.state() == before
    assert not (scratch.root / f"run/passerelle-drill-{ID}").exists()
    assert scratch.call("status")["generation"] == 4


async def test_a_drill_that_is_refused_says_why_and_waits_for_nothing(sshd: Sshd, scratch: Scratch) -> None:
    (scratch.bin / "systemd-run").unlink()
    proofs = await drilled(sshd, scratch)
    assert list(proofs) == ["armed"]
    assert not proofs["armed"].ok
    assert "could not be armed" in proofs["armed"].told
