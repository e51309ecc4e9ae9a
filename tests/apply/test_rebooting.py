"""A drill that reboots, over a real sshd, with the real host-side file on a host in a folder that boots again."""

from dataclasses import dataclass

import pytest

from service.apply.drilling import drill_document
from service.apply.rebooting import BOOT_S, RebootRun, restored, way_in
from service.model.runs import Proof
from tests.apply.clocks import QuickClock
from tests.apply.test_transaction import Controller
from tests.hostside.scratch import ID, Scratch
from tests.ssh.sshd import Sshd

BOOT_ID = "proc/sys/kernel/random/boot_id"
NAMES = ["reboot", "boot restore", "connection after it"]
"""Below the proofs of what is armed."""


@dataclass
class Booting(QuickClock):
    """Whoever waits for the host sees it boot; `changes` is what its files then bring up otherwise."""

    scratch: Scratch
    boots: bool = True

    def __post_init__(self) -> None:
        super().__init__()

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        if self.boots:
            self.boots = False
            self.scratch.power_cut()


async def rebooted(sshd: Sshd, scratch: Scratch, *, boots: bool = True) -> dict[str, Proof]:
    controller = Controller(sshd, scratch)
    host = await controller.dialer.connect(sshd.target())
    facts = {"addresses:enp1s0": ["198.51.100.11/24"], "link:enp1s0": {"type": "other", "up": True}}
    order = drill_document(
        facts, drill_id=ID, generation=4, controller="test", deadline_s=BOOT_S, folder="/etc"  # type: ignore[arg-type]
    )  # fmt: skip
    run = RebootRun(
        controller.dialer, [sshd.target()], Booting(scratch, boots), controller.switch,
        reboot=["true"], boot_id=["cat", str(scratch.root / BOOT_ID)],
    )  # fmt: skip
    return {proof.name: proof for proof in await run.run(host, order)}


@pytest.mark.host
async def test_a_reboot_proves_the_boot_unit_and_the_way_in(sshd: Sshd, scratch: Scratch) -> None:
    proofs = await rebooted(sshd, scratch)
    assert list(proofs)[-3:] == NAMES
    assert {"timer", "boot unit"} <= proofs.keys()
    assert [proof.told for proof in proofs.values() if not proof.ok] == []
    assert not (scratch.root / f"etc/passerelle-drill-{ID}").exists()
    assert scratch.journal()["restore_began"]["verb"] == "boot"


@pytest.mark.host
async def test_a_host_that_does_not_reboot_has_proven_nothing(sshd: Sshd, scratch: Scratch) -> None:
    proofs = await rebooted(sshd, scratch, boots=False)
    assert list(proofs)[-1] == "reboot"
    assert "the host answers and has not rebooted" in proofs["reboot"].told
    scratch.expire()


@pytest.mark.host
async def test_a_host_that_cannot_be_armed_is_not_rebooted(sshd: Sshd, scratch: Scratch) -> None:
    (scratch.bin / "systemd-run").unlink()
    proofs = await rebooted(sshd, scratch)
    assert [proof.ok for proof in proofs.values()] == [False]
    assert list(proofs) == ["armed"]


@pytest.mark.parametrize(
    ("journal", "differs", "restore_ok", "way_ok"),
    [
        ({"state": "rolled_back", "restore_began": {"verb": "boot"}}, [], True, True),
        ({"state": "rolled_back", "restore_began": {"verb": "boot"}}, ["routes:default"], True, False),
        ({"state": "rolled_back", "restore_began": {"verb": "expire"}}, [], False, True),
        ({"state": "armed"}, [], False, False),
        ({"state": "rollback_failed", "restore_began": {"verb": "boot"}}, [], False, False),
        ({}, [], False, False),
    ],
)
def test_each_proof_rests_on_the_hosts_journal(
    journal: dict[str, object], differs: list[str], *, restore_ok: bool, way_ok: bool
) -> None:
    assert (restored(journal).ok, way_in(journal, differs).ok) == (restore_ok, way_ok)
    assert all(name in way_in(journal, differs).told for name in differs) or not way_ok
