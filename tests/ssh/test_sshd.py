"""Commands over a real OpenSSH server."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from service.observe.connection import Target
from service.ssh.connection import SshDialer, SshHost
from tests.ssh.sshd import Sshd

pytestmark = pytest.mark.host


@pytest.fixture
async def host(sshd: Sshd) -> AsyncIterator[SshHost]:
    connected = await SshDialer(sshd.client_key).connect(sshd.target())
    yield connected
    await connected.close()


async def test_a_large_input_and_a_large_output_pass_each_other(host: SshHost) -> None:
    large = bytes(range(256)) * (1 << 14)
    answer = await host.run(["cat"], stdin=large, timeout_s=30)
    assert (answer.exit_status, answer.stdout) == (0, large)


async def test_arguments_reach_the_command_as_they_are(host: SshHost) -> None:
    odd = ["printf", "%s|", "a b", "$HOME", "'", "`id`", "x;y", "", "é", "\n"]
    answer = await host.run(odd, timeout_s=5)
    assert answer.stdout.decode() == "a b|$HOME|'|`id`|x;y||é|\n|"


async def test_status_and_errors_come_apart_from_the_output(host: SshHost) -> None:
    answer = await host.run(["sh", "-c", "echo out; echo err >&2; exit 7"], timeout_s=5)
    assert (answer.exit_status, answer.stdout) == (7, b"out\n")
    assert answer.stderr.endswith(b"err\n")


async def test_lines_are_given_while_the_command_still_runs(host: SshHost) -> None:
    lines: asyncio.Queue[str] = asyncio.Queue()
    script = "echo first; read go; echo second; printf third"
    task = asyncio.ensure_future(host.run(["sh", "-c", script], stdin=b"", timeout_s=10, on_line=lines.put_nowait))
    assert await asyncio.wait_for(lines.get(), 5) == "first"
    await task
    assert [lines.get_nowait(), lines.get_nowait()] == ["second", "third"]


async def test_a_socket_made_elsewhere_is_used_instead_of_our_own(sshd: Sshd) -> None:
    made: list[socket.socket] = []

    async def dial(target: Target) -> socket.socket:
        sock = socket.socket()
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", sshd.port))
        made.append(sock)
        return sock

    elsewhere = Target("pve1", "198.51.100.11", sshd.target().host_keys, port=sshd.port)
    host = await SshDialer(sshd.client_key, dial=dial).connect(elsewhere)
    assert await host.ask(b"echo there", 5) == b"there\n"
    await host.close()
    assert len(made) == 1


async def test_no_agent_no_terminal_and_no_environment_of_ours_reach_the_host(host: SshHost) -> None:
    answer = await host.run(["sh", "-c", "env; tty"], timeout_s=5)
    assert b"SSH_AUTH_SOCK" not in answer.stdout
    assert b"SSH_TTY" not in answer.stdout
    assert answer.stdout.endswith(b"not a tty\n")
