"""What answered before a change must answer after it: over a real sshd, with real sockets."""

import os
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from service.apply.proving import Proving
from service.apply.transaction import Transaction
from service.model.probes import Probe
from service.model.runs import ProbeRecord
from service.model.telling import Ended, PhaseTold, ProbesTold, Told
from tests.apply.clocks import QuickClock
from tests.apply.test_transaction import Controller, nowhere, plan_of
from tests.hostside.scratch import Answer, Scratch
from tests.ssh.sshd import Sshd, free_port

pytestmark = pytest.mark.host

RESOLVER = f"127.{64 + (os.getpid() >> 16) % 64}.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
"""Of this process: another one of pytest's may run another of these tests at the same time."""


class Names(socketserver.BaseRequestHandler):
    """A resolver that knows no name but answers: its rcode is the server's."""

    def handle(self) -> None:
        query, sock = self.request
        code = self.server.code  # type: ignore[attr-defined]
        if code is not None:
            sock.sendto(
                query[:2] + bytes([0x81, 0x80 | code]) + query[4:6] + bytes(6) + query[12:], self.client_address
            )


@dataclass
class Resolver:
    """Answers with `code`: 0 fine, 2 SERVFAIL, 3 no such name."""

    server: socketserver.UDPServer

    def answers(self, code: int) -> None:
        self.server.code = code  # type: ignore[attr-defined]


@contextmanager
def resolver() -> Iterator[Resolver]:
    with socketserver.ThreadingUDPServer((RESOLVER, 53), Names) as server:
        made = Resolver(server)
        made.answers(3)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def names(scratch: Scratch) -> Iterator[Resolver]:
    """The host's resolver."""
    (scratch.root / "etc/resolv.conf").write_text(f"# by hand\nnameserver {RESOLVER}\noptions edns0\n")
    with resolver() as made:
        yield made


@dataclass
class Careful(Controller):
    """A service that asks around."""

    checks: list[Probe] = field(default_factory=list)
    confirm_timeout_s: int = 60

    async def change(self, document: Answer | None = None, port: int = 0) -> Ended:
        given = document or self.scratch.document()
        host = await self.dialer.connect(self.sshd.target())
        targets = [self.sshd.target() if not port else nowhere(self.sshd)]
        proving = Proving(self.dialer, self.checks, self.clock, self.tell, self.switch)
        transaction = Transaction(self.dialer, targets, self.clock, self.tell, self.switch, proving)
        return await transaction.run(
            host, plan_of(given), apply_id=given["id"], generation=1, controller="test",
            confirm_timeout_s=self.confirm_timeout_s,
        )  # fmt: skip

    @property
    def probes(self) -> dict[str, ProbeRecord]:
        last = [told for told in self.told if isinstance(told, ProbesTold)][-1]
        return {probe.name: probe for probe in last.probes}


@pytest.fixture
def careful(sshd: Sshd, scratch: Scratch, names: Resolver) -> Careful:
    return Careful(sshd, scratch, clock=QuickClock())


def after_the_change(what: object) -> bool:
    return what == PhaseTold("AwaitingConfirmation")


async def test_all_is_asked_before_and_after_and_then_it_is_confirmed(careful: Careful) -> None:
    ended = await careful.change()
    assert (ended.ending, ended.error) == ("confirmed", "")
    assert careful.probes == {
        name: ProbeRecord(name, before="ok", after="ok") for name in ("ssh", "gateway IPv4", f"dns {RESOLVER}")
    }


async def test_a_resolver_that_is_lost_undoes_the_change_and_is_named(careful: Careful, names: Resolver) -> None:
    said = "SERVFAIL"

    def lose(told: Told) -> None:
        if after_the_change(told):
            names.answers(2)

    before = careful.scratch.state()
    careful.on_told = lose
    ended = await careful.change()
    assert (ended.ending, ended.cause) == ("rolled_back", "probe lost")
    assert f"so the host rolled back: dns {RESOLVER}: {said}" in ended.error
    assert f"after the rollback, still dns {RESOLVER}: {said}" in ended.error
    assert careful.scratch.journal()["cause"] == f"asked: probe lost: dns {RESOLVER}: {said}"
    assert careful.scratch.state() == before
    assert not careful.scratch.armed()
    assert careful.probes[f"dns {RESOLVER}"] == ProbeRecord(f"dns {RESOLVER}", before="ok", after=said, undone=said)
    assert careful.probes["gateway IPv4"].undone == "ok"


async def test_what_comes_back_in_time_is_not_lost(careful: Careful, names: Resolver) -> None:
    asked = 0

    def blink(told: Told) -> None:
        nonlocal asked
        if after_the_change(told):
            names.answers(2)
        elif isinstance(told, ProbesTold):
            asked += 1
            if asked == 2:
                names.answers(0)

    careful.on_told = blink
    assert (await careful.change()).ending == "confirmed"
    assert asked == 3


async def test_what_did_not_answer_before_proves_nothing(careful: Careful, names: Resolver) -> None:
    names.answers(2)
    shut = free_port()
    careful.checks = [Probe("tcp", "127.0.0.1", port=shut, timeout_s=1)]
    assert (await careful.change()).ending == "confirmed"
    assert careful.probes[f"tcp 127.0.0.1:{shut}"].before == "connection refused"
    assert careful.probes[f"dns {RESOLVER}"].before == "SERVFAIL"


async def test_what_the_change_is_to_make_answer_has_to_answer_after_it(careful: Careful) -> None:
    before, shut = careful.scratch.state(), free_port()
    careful.checks = [Probe("tcp", "127.0.0.1", port=shut, timeout_s=1, is_due=True)]
    ended = await careful.change()
    assert (ended.ending, ended.cause) == ("rolled_back", "probe lost")
    assert ended.error.endswith(f"so the host rolled back: tcp 127.0.0.1:{shut}: connection refused")
    assert careful.scratch.state() == before


async def test_what_answers_once_the_change_is_in_force_confirms_it(careful: Careful) -> None:
    shut = free_port()
    careful.checks = [Probe("tcp", "127.0.0.1", port=shut, timeout_s=1, is_due=True)]
    servers: list[socket.socket] = []

    def come(told: Told) -> None:
        if after_the_change(told):
            servers.append(socket.create_server(("127.0.0.1", shut)))

    careful.on_told = come
    ended = await careful.change()
    servers[0].close()
    assert ended.ending == "confirmed"
    record = careful.probes[f"tcp 127.0.0.1:{shut}"]
    assert (record.before, record.after) == ("connection refused", "ok")


async def test_a_check_of_the_spec_that_is_lost_undoes_the_change(careful: Careful) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        careful.checks = [Probe("tcp", "127.0.0.1", port=port, timeout_s=1)]
        careful.on_told = lambda told: server.close() if after_the_change(told) else None
        ended = await careful.change()
    assert (ended.ending, ended.cause) == ("rolled_back", "probe lost")
    assert f"tcp 127.0.0.1:{port}: connection refused" in ended.error


async def test_without_a_way_in_for_new_connections_nothing_is_begun(careful: Careful) -> None:
    before = careful.scratch.state()
    ended = await careful.change(port=1)
    assert (ended.ending, ended.cause) == ("refused", "no-way-in")
    assert "a new SSH connection to the host cannot be opened" in ended.error
    assert careful.scratch.state() == before
    assert not (careful.scratch.root / "var/lib/passerelle/txn").exists()


async def test_a_deadline_too_near_to_verify_again_is_moved_by_its_holder(careful: Careful) -> None:
    careful.confirm_timeout_s = 9
    assert (await careful.change()).ending == "confirmed"
    assert careful.scratch.journal()["timers"] == 1
