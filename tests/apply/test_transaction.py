"""The service's side of the confirmed apply: over a real sshd, with the real host-side file on a host in a folder."""

import asyncio
import base64
import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import asyncssh
import pytest

from service.apply.switch import Switch
from service.apply.transaction import SETTLE_S, Transaction
from service.apply.way_in import ENTRIES
from service.errors import Garbled, HostRefused
from service.model.facts import Step
from service.model.plans import Plan
from service.model.telling import Ended, MissedTold, PhaseTold, ReachedTold, StepTold, Told
from service.observe.connection import Host, Target
from service.ssh.connection import SshDialer
from tests.apply.clocks import QuickClock
from tests.apply.relay import relay_to
from tests.hostside.scratch import CONF, ID, NEXT_ID, OLD_CONF, Scratch, fact_of
from tests.ssh.servers import CLIENT_KEY, raw_server, ssh_server, target
from tests.ssh.sshd import Sshd, free_port

pytestmark = pytest.mark.host

TIMEOUT_S = 60


def plan_of(document: dict[str, Any]) -> Plan:
    """The plan that becomes this document."""
    words = ("fact", "before", "after", "why", "restart", "on_confirm")
    steps, keep = (
        tuple(Step(**{word: entry[word] for word in words if word in entry}) for entry in document[name])
        for name in ("steps", "keep")
    )
    blobs = {name: base64.b64decode(content) for name, content in document["blobs"].items()}
    checks = tuple((program, path) for program, path in document["checks"])
    return Plan("pve1", "c" * 40, "sha256:1", steps=steps, keep=keep, checks=checks, blobs=blobs)


@dataclass
class Controller:
    """The service, as far as one apply needs it; remembers what it was informed and every socket it had."""

    sshd: Sshd
    scratch: Scratch
    told: list[Told] = field(default_factory=list)
    sockets: list[socket.socket] = field(default_factory=list)
    on_told: Callable[[Told], None] = lambda _told: None
    most_connections: int = 1000
    clock: QuickClock = field(default_factory=QuickClock)
    diverted_to: int = 0
    """The port that all connections but the first end up at."""

    async def dial(self, to: Target) -> socket.socket:
        if self.sockets and self.diverted_to:
            to = replace(to, port=self.diverted_to)
        if len(self.sockets) >= self.most_connections:
            raise TimeoutError("a filter lets no more through")
        sock = socket.create_connection((to.address, to.port), timeout=5)
        sock.setblocking(False)
        self.sockets.append(sock)
        return sock

    def tell(self, what: Told) -> None:
        self.told.append(what)
        self.on_told(what)

    @property
    def dialer(self) -> SshDialer:
        return SshDialer(self.sshd.client_key, dial=self.dial)

    def switch(self, host: Host) -> Switch:
        return Switch(host, str(self.scratch.root), str(self.scratch.bin))

    async def apply(
        self,
        document: dict[str, Any] | None = None,
        *,
        targets: list[Target] | None = None,
        generation: int = 1,
        via: Target | None = None,
    ) -> Ended:
        """Apply the document's plan, begun at the host itself or `via` another port, confirmed at the targets."""
        given = document or self.scratch.document()
        host = await self.dialer.connect(via or self.sshd.target())
        transaction = Transaction(
            self.dialer, targets or [self.sshd.target()], self.clock, self.tell, switch=self.switch
        )
        return await transaction.run(
            host,
            plan_of(given),
            apply_id=given["id"],
            generation=generation,
            controller="test",
            confirm_timeout_s=TIMEOUT_S,
        )

    @property
    def phases(self) -> list[str]:
        return [told.phase for told in self.told if isinstance(told, PhaseTold)]


@pytest.fixture
def controller(sshd: Sshd, scratch: Scratch) -> Controller:
    return Controller(sshd, scratch)


def nowhere(sshd: Sshd) -> Target:
    """A port at which nobody listens."""
    return replace(sshd.target(), port=free_port())


async def test_a_plan_is_applied_told_step_by_step_and_confirmed_over_a_new_connection(controller: Controller) -> None:
    ended = await controller.apply()
    assert (ended.ending, ended.error) == ("confirmed", "")
    assert {step.state for step in ended.steps} == {"done"}
    assert controller.phases == ["Running", "AwaitingConfirmation"]
    reached = [(told.moment, told.left_s) for told in controller.told if isinstance(told, ReachedTold)]
    assert reached == [("locked", None), ("snapshot", None), ("armed", TIMEOUT_S), ("confirming", None)]
    done = [told.position for told in controller.told if isinstance(told, StepTold) and told.state == "done"]
    assert list(dict.fromkeys(done)) == [step.position for step in ended.steps] and len(ended.steps) >= 5
    assert len(controller.sockets) == 1 + ENTRIES + 1
    assert controller.scratch.journal()["state"] == "confirmed"
    assert not controller.scratch.armed()
    assert (controller.scratch.root / CONF[1:]).read_bytes() != OLD_CONF


@pytest.mark.parametrize("let_through", [1, 2, ENTRIES])
async def test_a_host_that_stops_letting_new_connections_in_is_not_confirmed(
    controller: Controller, let_through: int
) -> None:
    controller.most_connections = 1 + let_through
    ended = await controller.apply()
    assert ended.ending == "unconfirmed"
    assert f"of {ENTRIES + 1} new connections only the first {let_through} came in" in ended.error
    assert controller.scratch.journal()["state"] == "applied"
    assert controller.scratch.armed()


async def test_a_change_that_nobody_could_confirm_is_told_with_what_was_seen_here(
    controller: Controller, sshd: Sshd
) -> None:
    class LateClock(QuickClock):
        async def sleep(self, seconds: float) -> None:
            controller.scratch.pass_deadline()
            await super().sleep(seconds)

    controller.clock = LateClock()
    ended = await controller.apply(targets=[nowhere(sshd), sshd.target()])
    assert (ended.ending, ended.cause) == ("rolled_back", "deadline")
    assert ended.error.startswith("nobody confirmed before the deadline")
    assert "seen from here: " in ended.error and "refused" in ended.error


async def says_not_now(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """sshd that refuses this address for failed logins before, as OpenSSH 10.0 does."""
    writer.write(b"Not allowed at this time\r\n")
    await writer.drain()


async def test_an_sshd_that_refuses_our_address_until_the_deadline_is_no_verdict_on_the_change(
    controller: Controller,
) -> None:
    class LateClock(QuickClock):
        async def sleep(self, seconds: float) -> None:
            controller.scratch.pass_deadline()
            controller.diverted_to = 0
            await super().sleep(seconds)

    controller.clock = LateClock()
    async with raw_server(says_not_now) as port:
        controller.diverted_to = port
        ended = await controller.apply()
    assert (ended.ending, ended.cause) == ("unconfirmed", "throttled")
    assert "PerSourcePenalties" in ended.error
    assert controller.told[-1] == MissedTold("throttled")
    assert controller.scratch.journal()["state"] == "rolled_back"


async def test_the_connection_dies_in_the_middle_and_the_change_is_confirmed_all_the_same(
    controller: Controller,
) -> None:
    def cut(told: Told) -> None:
        if isinstance(told, StepTold) and told.state == "doing" and len(controller.sockets) == 1:
            controller.sockets[0].shutdown(socket.SHUT_RDWR)

    controller.on_told = cut
    assert (await controller.apply()).ending == "confirmed"
    assert len(controller.sockets) >= 1 + 1 + ENTRIES + 1, "whoever came in before the change does not count"
    assert controller.scratch.journal()["state"] == "confirmed"


async def test_a_line_that_falls_silent_in_the_middle_is_not_waited_for(controller: Controller, sshd: Sshd) -> None:
    async with relay_to(sshd.port) as relay:

        def mute(told: Told) -> None:
            relay.is_mute = isinstance(told, StepTold) or relay.is_mute

        controller.on_told = mute
        ended = await controller.apply(via=replace(sshd.target(), port=relay.port))
        assert relay.is_mute
    assert ended.ending == "confirmed"
    assert {step.state for step in ended.steps} == {"done"}
    assert controller.scratch.journal()["state"] == "confirmed"


async def test_a_host_that_moved_is_confirmed_at_its_new_address(controller: Controller, sshd: Sshd) -> None:
    ended = await controller.apply(targets=[nowhere(sshd), sshd.target()])
    assert ended.ending == "confirmed"


async def test_a_host_that_cannot_be_reached_again_is_unconfirmed_and_restores_itself(
    controller: Controller, sshd: Sshd
) -> None:
    before = controller.scratch.state()
    controller.clock = QuickClock(stride=20)
    ended = await controller.apply(targets=[nowhere(sshd)])
    assert (ended.ending, ended.cause) == ("unconfirmed", "unreachable")
    assert "rolls back automatically" in ended.error and "refused" in ended.error
    assert controller.scratch.expire()["state"] == "rolled_back"
    assert controller.scratch.state() == before


async def test_a_confirmation_after_the_hosts_deadline_is_told_as_rolled_back(controller: Controller) -> None:
    def too_late(told: Told) -> None:
        if told == PhaseTold("AwaitingConfirmation"):
            controller.scratch.pass_deadline()

    before = controller.scratch.state()
    controller.on_told = too_late
    ended = await controller.apply()
    assert (ended.ending, ended.cause) == ("rolled_back", "deadline")
    assert controller.scratch.state() == before


async def test_a_host_that_changed_since_the_plan_is_a_conflict_that_names_the_fact(controller: Controller) -> None:
    (controller.scratch.root / CONF[1:]).write_bytes(b"someone else\n")
    ended = await controller.apply()
    assert ended.ending == "conflict"
    assert CONF in ended.error
    assert len(controller.sockets) == 1
    assert (controller.scratch.root / CONF[1:]).read_bytes() == b"someone else\n"


async def test_a_second_controller_is_fenced_off_with_words(controller: Controller) -> None:
    assert (await controller.apply(generation=7)).ending == "confirmed"
    again = controller.scratch.drill(NEXT_ID)
    ended = await controller.apply(again, generation=7)
    assert (ended.ending, ended.cause) == ("refused", "fenced")
    assert "another controller" in ended.error


async def test_bytes_that_their_program_refuses_change_nothing(controller: Controller) -> None:
    wrong = b"wrong\n"
    document = controller.scratch.document()
    document["steps"] = [controller.scratch.step(f"file:{CONF}", fact_of(OLD_CONF, "0640"), fact_of(wrong, "0640"))]
    document["blobs"] = {fact_of(wrong)["sha256"]: base64.b64encode(wrong).decode()}
    document["checks"] = [["dnsmasq", CONF]]
    before = controller.scratch.state()
    ended = await controller.apply(document)
    assert (ended.ending, ended.cause) == ("refused", "check")
    assert controller.scratch.state() == before


async def test_a_plan_that_is_no_transaction_is_refused_and_nothing_is_written(controller: Controller) -> None:
    document = controller.scratch.document()
    document["steps"] = [controller.scratch.step("file:/var/lib/passerelle/armed", None, fact_of(b""))]
    ended = await controller.apply(document)
    assert ended.ending == "refused"
    assert not controller.scratch.armed()


async def test_an_apply_that_never_reached_the_host_is_told_as_not_begun(controller: Controller, sshd: Sshd) -> None:
    host = await controller.dialer.connect(sshd.target())
    controller.sockets[0].shutdown(socket.SHUT_RDWR)
    transaction = Transaction(
        controller.dialer, [sshd.target()], QuickClock(stride=30), controller.tell, switch=controller.switch
    )
    plan = plan_of(controller.scratch.document())
    ended = await transaction.run(
        host, plan, apply_id=ID, generation=1, controller="test", confirm_timeout_s=int(SETTLE_S)
    )
    assert (ended.ending, ended.cause) == ("refused", "not-begun")
    assert not (controller.scratch.root / "var/lib/passerelle/txn").exists()


async def test_the_host_side_file_is_brought_once_and_again_when_it_was_damaged(
    controller: Controller, sshd: Sshd
) -> None:
    host = await controller.dialer.connect(sshd.target())
    switch = controller.switch(host)
    assert (await switch.ask("status"))["state"] == "ok"
    (path,) = (controller.scratch.root / "var/lib/passerelle/hostside").iterdir()
    first = path.stat()
    assert first.st_mode & 0o777 == 0o600
    await switch.ask("status")
    assert path.stat().st_ino == first.st_ino
    path.write_bytes(b"")
    assert (await switch.ask("status"))["state"] == "ok"
    assert path.stat().st_size == first.st_size
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    await host.close()


async def test_a_host_without_room_for_the_file_says_so(controller: Controller, sshd: Sshd) -> None:
    (controller.scratch.root / "var/lib/passerelle").write_bytes(b"a file where the folder should be")
    host = await controller.dialer.connect(sshd.target())
    with pytest.raises(HostRefused, match="cannot be written"):
        await controller.switch(host).ask("status")
    await host.close()


Process = asyncssh.SSHServerProcess[bytes]


async def asked(stdout: bytes, status: int) -> dict[str, Any]:
    """What the switch makes of a host that answers so."""

    async def answer(process: Process) -> None:
        process.stdout.write(stdout)
        process.exit(status)

    async with ssh_server(answer) as port:
        host = await SshDialer(CLIENT_KEY).connect(target(port))
        try:
            return await Switch(host).ask("status")
        finally:
            await host.close()


async def test_a_host_without_python_is_told_as_such() -> None:
    with pytest.raises(HostRefused, match="python3 is not on the host"):
        await asked(b"", 127)


@pytest.mark.parametrize(
    "stdout", [b"", b"hello\n", b"[1]\n", b"{" * 100_000, b'{"event": "step"}\n', b"\xff\xfe\n", b'{"event": 3}\n']
)
async def test_an_answer_without_a_result_is_garbled(stdout: bytes) -> None:
    with pytest.raises(Garbled, match="gave no result"):
        await asked(stdout, 0)
