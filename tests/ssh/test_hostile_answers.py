"""Whatever a host does instead of an answer ends by the deadline, within the bounds, in a typed error with words."""

import asyncio
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncssh
import pytest

from service.errors import Garbled, Unreachable
from service.ssh.connection import SshDialer, SshHost
from tests.ssh.servers import CLIENT_KEY, HOST_KEY, Serve, ssh_server, target

Process = asyncssh.SSHServerProcess[bytes]


@asynccontextmanager
async def connected(serve: Serve, **options: Any) -> AsyncIterator[SshHost]:
    async with ssh_server(serve, **options) as port:
        host = await SshDialer(CLIENT_KEY).connect(target(port))
        try:
            yield host
        finally:
            await host.close()


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
    host = await SshDialer(CLIENT_KEY).connect(target(server.sockets[0].getsockname()[1]))
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


@pytest.mark.long
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


@pytest.mark.parametrize("size", [1, 1023])
async def test_a_host_that_takes_tiny_packets_only_is_given_nothing(size: int) -> None:
    """64 KiB in packets of one byte kept the event loop, and with it every other host, waiting for 12 s."""

    async def takes_all(process: Process) -> None:
        await process.stdin.read()

    async with connected(takes_all, max_pktsize=size) as host:
        with pytest.raises(Garbled, match=rf"its sshd takes packets of {size} bytes; at least 1024 are needed"):
            await host.ask(b"true", 10)
    async with connected(takes_all, max_pktsize=size) as host:
        with pytest.raises(Garbled, match="at least 1024 are needed"):
            await host.run(["cat"], stdin=b"x" * 65536, timeout_s=10)


async def test_packets_of_1_kib_are_enough() -> None:
    async def count(process: Process) -> None:
        given = await process.stdin.read()
        process.stdout.write(b"%d" % len(given))
        process.exit(0)

    async with connected(count, max_pktsize=1024) as host:
        assert (await host.run(["wc"], stdin=b"x" * 65536, timeout_s=10)).stdout == b"65536"


async def test_lines_without_end_are_too_many_before_they_are_too_much() -> None:
    async def nothing(process: Process) -> None:
        while True:
            process.stdout.write(b"\n" * 10_000)
            await process.stdout.drain()

    told: list[str] = []
    async with connected(nothing) as host:
        with pytest.raises(Garbled, match="`begin` printed more than 20000 lines"):
            await host.run(["begin"], timeout_s=30, on_line=told.append)
    assert len(told) < 200_000


async def test_a_connection_with_debug_messages_without_end_is_given_up() -> None:
    async def debug(process: Process) -> None:
        connection = process.get_extra_info("connection")
        while True:
            for _ in range(50):
                connection.send_debug("x" * 100)
            await asyncio.sleep(0)

    async with connected(debug) as host:
        with pytest.raises(Unreachable):
            await host.ask(b"true", 30)
        assert host.is_closed
