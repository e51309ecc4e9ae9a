"""What a hostile, broken or hanging peer does never outlives the deadline, and always has a typed error with words."""

import asyncio
import resource
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncssh
import pytest

from service.apply.host import Target
from service.errors import AuthFailed, Garbled, HostKeyChanged, InputError, Unreachable
from service.ssh.connection import SshDialer, SshHost
from tests.ssh.servers import (
    CLIENT_KEY,
    HOST_KEY,
    OTHER_HOST_KEY,
    STRANGER_KEY,
    Serve,
    Talk,
    public_line,
    raw_server,
    say_nothing,
    ssh_server,
    target,
)

DEADLINE_S = 1.0
GRACE_S = 4.0  # beyond the deadline, for a busy machine

Process = asyncssh.SSHServerProcess[bytes]


def dialer(connect_s: float = DEADLINE_S) -> SshDialer:
    return SshDialer(CLIENT_KEY, connect_s=connect_s)


async def trouble(talk: Talk) -> Unreachable:
    """The error for a TCP peer, which came before the deadline and its grace were over."""
    async with raw_server(talk) as port:
        started = time.monotonic()
        with pytest.raises(Unreachable) as error:
            await dialer().connect(target(port))
        assert time.monotonic() - started < DEADLINE_S + GRACE_S
        assert f"pve1 (127.0.0.1 port {port})" in error.value.what
        assert error.value.hint
        return error.value


@asynccontextmanager
async def connected(serve: Serve, **options: Any) -> AsyncIterator[SshHost]:
    async with ssh_server(serve, **options) as port:
        host = await dialer(10).connect(target(port))
        try:
            yield host
        finally:
            await host.close()


async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def test_a_mute_peer_ends_at_the_deadline() -> None:
    error = await trouble(mute)
    assert "no SSH server greets" in error.what


async def test_a_closed_port_says_refused() -> None:
    async with raw_server(mute) as port:
        pass
    with pytest.raises(Unreachable, match="refused"):
        await dialer().connect(target(port))


async def test_a_name_without_an_address_says_so() -> None:
    nowhere = Target("pve1", "no-such-name.invalid", (public_line(HOST_KEY),))
    with pytest.raises(Unreachable, match="cannot be resolved"):
        await dialer(5).connect(nowhere)


async def test_a_flood_instead_of_a_greeting_is_cut_off() -> None:
    async def flood(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"welcome to the machine\r\n" * 1000)
            await writer.drain()

    await trouble(flood)


async def test_one_endless_line_instead_of_a_greeting_is_cut_off() -> None:
    async def line(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"\xff" * 65536)
            await writer.drain()

    await trouble(line)


async def test_a_greeting_of_no_text_encoding_hurts_nobody() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\xff\xfe\x00 caf\xe9\r\nSSH-2.0-\xc3\x28\x1b[2J\r\n")
        await reader.read()

    error = await trouble(babble)
    assert "\x1b" not in error.what


async def test_a_greeting_that_drips_ends_at_the_deadline() -> None:
    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        turn = asyncio.Event()
        for byte in b"SSH-2.0-OpenSSH_9.2p1 " + b"x" * 200:
            writer.write(bytes([byte]))
            await writer.drain()
            asyncio.get_running_loop().call_later(0.05, turn.set)
            await turn.wait()
            turn.clear()

    await trouble(drip)


async def test_a_server_of_the_wrong_protocol_is_told_as_such() -> None:
    async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        await writer.drain()

    await trouble(http)


async def test_a_hang_in_the_key_exchange_ends_at_the_deadline() -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2p1\r\n")
        await reader.read()

    error = await trouble(stall)
    assert "the login did not end" in error.what


async def test_rubbish_after_the_greeting_ends_the_connection() -> None:
    async def rubbish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2p1\r\n" + bytes(range(256)) * 64)
        await reader.read()

    await trouble(rubbish)


async def test_a_packet_of_absurd_length_ends_the_connection() -> None:
    async def huge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2p1\r\n" + b"\xff\xff\xff\xf0" + b"\x00" * 64)
        await reader.read()

    await trouble(huge)


async def test_a_peer_that_hangs_up_at_once_is_told_as_such() -> None:
    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    error = await trouble(hang_up)
    assert "ended while greeting" in error.what or "was reset" in error.what


async def test_a_server_with_old_algorithms_only_is_told_as_such() -> None:
    async with ssh_server(say_nothing, kex_algs=["diffie-hellman-group14-sha256"]) as port:
        with pytest.raises(Unreachable, match="no common SSH algorithm"):
            await dialer(5).connect(target(port))


async def test_a_server_without_authenticated_encryption_is_refused() -> None:
    async with ssh_server(say_nothing, encryption_algs=["chacha20-poly1305@openssh.com", "aes128-ctr"]) as port:
        with pytest.raises(Unreachable, match="no common SSH algorithm"):
            await dialer(5).connect(target(port))


async def test_another_host_key_is_told_with_both_fingerprints_and_nothing_is_sent() -> None:
    async with ssh_server(say_nothing, host_key=OTHER_HOST_KEY) as port:
        with pytest.raises(HostKeyChanged) as error:
            await dialer(5).connect(target(port))
    assert OTHER_HOST_KEY.get_fingerprint() in error.value.what
    assert HOST_KEY.get_fingerprint() in error.value.what
    assert not error.value.retry


async def test_another_host_key_of_another_type_is_told_as_changed() -> None:
    rsa = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
    async with ssh_server(say_nothing, host_key=rsa) as port:
        with pytest.raises(HostKeyChanged, match="ssh-rsa"):
            await dialer(5).connect(target(port))


async def test_two_pinned_keys_let_a_host_change_from_one_to_the_other() -> None:
    for shown in (HOST_KEY, OTHER_HOST_KEY):
        async with ssh_server(say_nothing, host_key=shown) as port:
            host = await dialer(5).connect(target(port, HOST_KEY, OTHER_HOST_KEY))
            await host.close()


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("",),
        ("*",),
        ("ssh-ed25519",),
        ("ssh-ed25519 AAAA",),
        ("@cert-authority * " + public_line(HOST_KEY),),
        (public_line(HOST_KEY) + "\n* " + public_line(OTHER_HOST_KEY),),
    ],
    ids=["none", "empty", "star", "type only", "cut", "authority", "second line"],
)
async def test_without_a_usable_pinned_key_nothing_is_dialled(lines: tuple[str, ...]) -> None:
    asked: list[Target] = []

    async def dial(asked_for: Target) -> object:
        asked.append(asked_for)
        raise AssertionError

    careless = SshDialer(CLIENT_KEY, dial=dial)  # type: ignore[arg-type]  # must never be called
    with pytest.raises(InputError):
        await careless.connect(Target("pve1", "127.0.0.1", lines))
    assert asked == []


@pytest.mark.parametrize("field", [{"name": "a b"}, {"address": "-oProxyCommand=x"}, {"user": "a\nb"}, {"port": 0}])
async def test_a_target_that_no_spec_allows_is_never_dialled(field: dict[str, object]) -> None:
    given: dict[str, object] = {"name": "pve1", "address": "127.0.0.1", "host_keys": (public_line(HOST_KEY),), **field}
    with pytest.raises(InputError):
        await dialer().connect(Target(**given))  # type: ignore[arg-type]  # one field is wrong on purpose


async def test_a_refused_key_says_which_key_and_what_to_add() -> None:
    async with ssh_server(say_nothing) as port:
        with pytest.raises(AuthFailed) as error:
            await SshDialer(STRANGER_KEY, connect_s=5).connect(target(port))
    assert STRANGER_KEY.get_fingerprint() in error.value.what
    assert public_line(STRANGER_KEY) in error.value.hint


async def test_a_rogue_that_lets_everyone_in_is_refused() -> None:
    class Rogue(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            return False

    server = await asyncssh.create_server(Rogue, "127.0.0.1", 0, server_host_keys=[HOST_KEY], config=None)
    with pytest.raises(AuthFailed):
        await dialer(5).connect(target(server.sockets[0].getsockname()[1]))
    server.close()
    await server.wait_closed()


async def test_a_login_that_never_ends_ends_at_the_deadline() -> None:
    over = asyncio.Event()

    class Slow(asyncssh.SSHServer):
        async def begin_auth(self, username: str) -> bool:
            await over.wait()
            return True

    server = await asyncssh.create_server(Slow, "127.0.0.1", 0, server_host_keys=[HOST_KEY], config=None)
    with pytest.raises(Unreachable, match="login did not end"):
        await dialer().connect(target(server.sockets[0].getsockname()[1]))
    over.set()
    server.close()
    await server.wait_closed()


async def test_a_command_that_never_ends_ends_at_the_deadline_and_closes_the_connection() -> None:
    async def forever(process: Process) -> None:
        process.stdout.write(b"working\n")
        await asyncio.Event().wait()

    async with connected(forever) as host:
        with pytest.raises(Unreachable, match=r"`apply` did not end within 0\.3 s"):
            await host.run(["apply"], timeout_s=0.3)
        assert host.is_closed


async def test_a_gigabyte_of_output_is_cut_at_the_bound_and_never_held() -> None:
    sent = 0

    async def pour(process: Process) -> None:
        nonlocal sent
        while sent < 1 << 30:
            process.stdout.write(b"\0" * (1 << 16))
            sent += 1 << 16
            await process.stdout.drain()

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with connected(pour) as host:
        with pytest.raises(Garbled, match="more than 8192 KiB"):
            await host.run(["cat"], timeout_s=30)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # KiB
    assert sent < 64 << 20


async def test_a_flood_of_errors_is_cut_at_its_own_bound() -> None:
    async def complain(process: Process) -> None:
        while True:
            process.stderr.write(b"no\n" * 20_000)
            await process.stderr.drain()

    async with connected(complain) as host:
        with pytest.raises(Garbled, match="more than 256 KiB"):
            await host.run(["cat"], timeout_s=30)


async def test_an_answer_that_drips_ends_at_the_deadline() -> None:
    async def drip(process: Process) -> None:
        turn = asyncio.Event()
        while True:
            process.stdout.write(b".")
            asyncio.get_running_loop().call_later(0.02, turn.set)
            await turn.wait()
            turn.clear()

    async with connected(drip) as host:
        with pytest.raises(Unreachable, match="did not end"):
            await host.run(["cat"], timeout_s=0.4)


async def test_an_end_without_a_status_has_no_status() -> None:
    async def vanish(process: Process) -> None:
        process.stdout.write(b"half")
        process.close()

    async with connected(vanish) as host:
        answer = await host.run(["cat"], timeout_s=5)
    assert (answer.exit_status, answer.stdout) == (None, b"half")


async def test_an_end_by_a_signal_has_no_status() -> None:
    async def die(process: Process) -> None:
        process.exit_with_signal("KILL", False, "killed")

    async with connected(die) as host:
        assert (await host.run(["cat"], timeout_s=5)).exit_status is None


async def test_a_connection_lost_in_the_middle_is_unreachable() -> None:
    async def cut(process: Process) -> None:
        process.stdout.write(b"half")
        process.channel.get_connection().abort()

    async with connected(cut) as host:
        with pytest.raises(Unreachable, match="connection was lost during `cat`"):
            await host.run(["cat"], timeout_s=5)
        assert host.is_closed


async def test_a_host_that_opens_no_session_is_told_as_such() -> None:
    class Closed(asyncssh.SSHServer):
        def public_key_auth_supported(self) -> bool:
            return True

        def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
            return True

        def session_requested(self) -> bool:
            return False

    server = await asyncssh.create_server(Closed, "127.0.0.1", 0, server_host_keys=[HOST_KEY], config=None)
    host = await dialer(5).connect(target(server.sockets[0].getsockname()[1]))
    with pytest.raises(Unreachable, match="opened no session"):
        await host.run(["true"], timeout_s=5)
    server.close()
    await server.wait_closed()


async def test_output_of_no_text_encoding_arrives_byte_for_byte() -> None:
    every = bytes(range(256)) * 300

    async def binary(process: Process) -> None:
        process.stdout.write(every)
        process.exit(0)

    lines: list[str] = []
    async with connected(binary) as host:
        answer = await host.run(["cat"], timeout_s=5, on_line=lines.append)
    assert answer.stdout == every
    assert "".join(lines).count("\ufffd") > 0


async def test_a_command_that_reads_nothing_of_a_large_input_still_ends() -> None:
    async def refuse(process: Process) -> None:
        process.stdout.write(b"no thanks\n")
        process.exit(3)

    async with connected(refuse) as host:
        answer = await host.run(["cat"], stdin=b"x" * (6 << 20), timeout_s=10)
    assert (answer.exit_status, answer.stdout) == (3, b"no thanks\n")


async def test_a_host_that_never_reads_its_input_ends_at_the_deadline() -> None:
    async def deaf(process: Process) -> None:
        process.channel.pause_reading()
        await asyncio.Event().wait()

    async with connected(deaf, window=65536) as host:
        with pytest.raises(Unreachable, match="did not end"):
            await host.run(["cat"], stdin=b"x" * (6 << 20), timeout_s=0.5)


async def test_a_cancelled_command_leaves_nothing_running() -> None:
    async def forever(process: Process) -> None:
        await asyncio.Event().wait()

    async with connected(forever) as host:
        task = asyncio.ensure_future(host.run(["sleep"], timeout_s=60))
        await asyncio.wait([task], timeout=0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
