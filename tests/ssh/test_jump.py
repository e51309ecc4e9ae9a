"""Hosts behind a jump host: each login is a new one on every hop, and each hop has to show its own pinned key."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest

from service.errors import AuthFailed, HostKeyChanged, Unreachable
from service.observe.connection import Target
from service.ssh.connection import SshDialer, SshHost
from service.ssh.own_key import authorized_line
from service.ssh.pool import AUTH_HOLD_S, Connections
from tests.reconcile.clocks import StoppedClock
from tests.ssh.servers import (
    CLIENT_KEY,
    OTHER_HOST_KEY,
    STRANGER_KEY,
    public_line,
    ssh_server,
    target,
)
from tests.ssh.sshd import Sshd, real_sshd
from tests.ssh.test_penalties import Dials

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def jump(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with real_sshd(tmp_path_factory.mktemp("jump"), CLIENT_KEY) as running:
        yield running


@pytest.fixture(scope="module")
def inner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with real_sshd(tmp_path_factory.mktemp("inner"), CLIENT_KEY) as running:
        yield running


@pytest.fixture
async def pool() -> AsyncIterator[Connections]:
    connections = Connections(SshDialer(CLIENT_KEY))
    yield connections
    await connections.close()


def through(inner: Sshd, *jumps: Sshd) -> Target:
    """The inner server, behind these."""
    way: Target | None = None
    for number, one in enumerate(jumps):
        way = replace(one.target(f"jump{number}"), jump=way, is_jump=True)
    return replace(inner.target("pve2"), jump=way)


async def peer(host: SshHost) -> bytes:
    return await host.ask(b'echo "$SSH_CONNECTION"', 10)


async def test_commands_run_on_the_host_behind_and_are_kept_on_one_connection(
    pool: Connections, jump: Sshd, inner: Sshd
) -> None:
    host = await pool.host(through(inner, jump))
    assert (await peer(host)).split()[3] == str(inner.port).encode()
    answer = await host.run(["cat"], stdin=b"x" * (1 << 20), timeout_s=20)
    assert answer.stdout == b"x" * (1 << 20)
    assert await pool.host(through(inner, jump)) is host


async def test_a_fresh_connection_is_new_on_the_jump_host_too(pool: Connections, jump: Sshd, inner: Sshd) -> None:
    logins = 'grep -c "Accepted publickey" {}/log'
    kept = await pool.host(through(inner, jump))

    async def counted(host: SshHost) -> list[int]:
        done = [await host.run(["sh", "-c", logins.format(one.folder)], timeout_s=10) for one in (jump, inner)]
        return [int(answer.stdout) for answer in done]

    before = await counted(kept)
    fresh = await pool.fresh(through(inner, jump))
    assert await counted(kept) == [number + 1 for number in before]
    assert await peer(fresh) != await peer(kept)
    await fresh.close()
    assert not kept.is_closed


async def test_two_jump_hosts_one_after_the_other(pool: Connections, jump: Sshd, inner: Sshd, tmp_path: Path) -> None:
    with real_sshd(tmp_path, CLIENT_KEY) as second:
        host = await pool.fresh(through(inner, jump, second))
        assert (await peer(host)).split()[3] == str(inner.port).encode()
        await host.close()


async def test_each_hop_has_to_show_its_own_key(pool: Connections, jump: Sshd, inner: Sshd) -> None:
    behind = through(inner, jump)
    assert behind.jump is not None
    wrong = (public_line(OTHER_HOST_KEY),)
    with pytest.raises(HostKeyChanged, match=r"jump host jump0 .* shows the host key"):
        await pool.fresh(replace(behind, jump=replace(behind.jump, host_keys=wrong)))
    with pytest.raises(HostKeyChanged, match=r"^pve2 .* shows the host key"):
        await pool.fresh(replace(behind, host_keys=wrong))
    # the jump host's key is not good for the host behind it
    with pytest.raises(HostKeyChanged, match=r"^pve2 "):
        await pool.fresh(replace(behind, host_keys=behind.jump.host_keys))


async def test_a_key_that_a_jump_host_refuses_is_not_shown_to_it_for_the_next_host(jump: Sshd, inner: Sshd) -> None:
    clock, dials = StoppedClock(), Dials()
    pool = Connections(SshDialer(STRANGER_KEY, dial=dials), clock)
    behind = through(inner, jump)
    for name in ("pve2", "pve3", "pve4"):
        with pytest.raises(AuthFailed, match=r"jump host jump0 .* does not accept") as error:
            await pool.fresh(replace(behind, name=name))
        assert "authorized_keys there: restrict,port-forwarding ssh-ed25519 " in error.value.hint
    assert dials.count == 1
    clock.move(AUTH_HOLD_S)
    with pytest.raises(AuthFailed):
        await pool.fresh(behind)
    assert dials.count == 2


async def test_a_host_that_the_jump_host_does_not_reach(pool: Connections, jump: Sshd, inner: Sshd) -> None:
    with pytest.raises(Unreachable, match=r"pve2 .*: jump host jump0 .* does not reach it"):
        await pool.fresh(replace(through(inner, jump), port=1))


async def test_a_jump_host_that_forwards_nothing_says_what_to_set(
    pool: Connections, inner: Sshd, tmp_path: Path
) -> None:
    refused = pytest.raises(Unreachable, match="forwards no connection to it")
    with real_sshd(tmp_path, CLIENT_KEY, more="AllowTcpForwarding no\n") as closed, refused as error:
        await pool.fresh(through(inner, closed))
    assert "AllowTcpForwarding" in error.value.hint


@pytest.mark.parametrize("permitted", ["inner", "another"])
async def test_the_line_of_the_key_command_lets_a_jump_host_forward(
    pool: Connections, inner: Sshd, tmp_path: Path, permitted: str
) -> None:
    """The plain line forbids it, whatever the sshd allows; `permitopen` also limits the targets, as documented."""
    file = tmp_path / "key" / "ssh_key"
    file.parent.mkdir()
    file.write_bytes(CLIENT_KEY.export_private_key())
    file.chmod(0o600)
    with real_sshd(tmp_path / "sshd", CLIENT_KEY) as jump:
        keys = jump.folder / "authorized_keys"
        keys.write_text(authorized_line(file) + "\n")
        with pytest.raises(Unreachable, match="forwards no connection to it") as error:
            await pool.fresh(through(inner, jump))
        assert "passerelle key --jump" in error.value.hint
        line = authorized_line(file, is_jump=True)
        keys.write_text(line + "\n")
        await (await pool.fresh(through(inner, jump))).close()
        port = inner.port if permitted == "inner" else 9
        keys.write_text(line.replace("forwarding ", f'forwarding,permitopen="127.0.0.1:{port}" ') + "\n")
        if permitted == "inner":
            await (await pool.fresh(through(inner, jump))).close()
        else:
            with pytest.raises(Unreachable, match="forwards no connection to it"):
                await pool.fresh(through(inner, jump))


async def test_a_jump_host_that_goes_away_ends_the_connection_and_the_next_look_makes_another(
    pool: Connections, inner: Sshd, tmp_path: Path
) -> None:
    with real_sshd(tmp_path / "first", CLIENT_KEY) as gone:
        host = await pool.host(through(inner, gone))
        answer = await host.run(["sh", "-c", f"pgrep -P {gone.pid}"], timeout_s=10)
        with pytest.raises(Unreachable):
            await host.run(["kill", *answer.stdout.decode().split()], timeout_s=10)
    with pytest.raises(Unreachable):
        await host.ask(b"echo there", 5)
    with real_sshd(tmp_path / "second", CLIENT_KEY) as back:
        again = await pool.host(through(inner, back))
        assert await again.ask(b"echo there", 5) == b"there\n"
        await pool.close()


@pytest.mark.parametrize("said", ["sudo: a password is required", "sudo: command not found", ""])
async def test_a_login_that_cannot_become_root_is_said_with_what_to_do(said: str) -> None:
    async def no_sudo(process: "asyncssh.SSHServerProcess[bytes]") -> None:
        process.stderr.write(f"{said}\n".encode())
        process.exit(1)

    async with ssh_server(no_sudo) as port:
        with pytest.raises(AuthFailed, match="ops logs in but cannot become root: ") as error:
            await SshDialer(CLIENT_KEY).connect(replace(target(port), user="ops"))
    assert said in error.value.what
    assert "ops ALL=(root) NOPASSWD: ALL" in error.value.hint


async def test_every_command_of_another_user_goes_through_sudo_with_its_connection() -> None:
    commands: list[str] = []

    async def listen(process: "asyncssh.SSHServerProcess[bytes]") -> None:
        commands.append(str(process.command))
        if process.command and process.command.startswith("exec"):
            script = await process.stdin.readline()
            while b"shut" not in script:
                script = await process.stdin.readline()
        process.exit(0)

    async with ssh_server(listen) as port:
        host = await SshDialer(CLIENT_KEY).connect(replace(target(port), user="ops"))
        await host.run(["python3", "a b"], timeout_s=5)
        with pytest.raises(Unreachable):
            await asyncio.wait_for(host.ask(b"true", 5), 10)
        await host.close()
        root = await SshDialer(CLIENT_KEY).connect(target(port))
        await root.run(["python3", "a b"], timeout_s=5)
        await root.close()
    as_root = 'sudo -n -- /usr/bin/env "SSH_CONNECTION=$SSH_CONNECTION"'
    assert commands == [f"{as_root} true", f"{as_root} python3 'a b'", f"exec {as_root} /bin/sh", "python3 'a b'"]


def inner_of(port: int) -> Target:
    from tests.ssh.servers import target

    return target(port)


async def test_a_login_that_could_become_root_once_says_so_when_it_cannot_any_more() -> None:
    refuses = False

    async def sudo(process: "asyncssh.SSHServerProcess[bytes]") -> None:
        if refuses:
            process.stderr.write(b"sudo: a password is required\n")
        process.exit(1 if refuses else 0)

    async with ssh_server(sudo) as port:
        host = await SshDialer(CLIENT_KEY).connect(replace(target(port), user="ops"))
        await host.run(["python3"], timeout_s=5)
        refuses = True
        with pytest.raises(AuthFailed, match="ops logs in but cannot become root: sudo: a password is required"):
            await host.run(["python3"], timeout_s=5)
        assert host.is_closed  # the next look has to log in again
