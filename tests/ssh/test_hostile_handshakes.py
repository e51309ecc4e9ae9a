"""Whatever a peer does instead of a handshake ends by the deadline, in a typed error with words."""

import asyncio
import time

import asyncssh
import pytest

from service.errors import AuthFailed, HostKeyChanged, InputError, Unreachable
from service.observe.connection import Target
from service.ssh.connection import SshDialer
from tests.ssh.servers import (
    CLIENT_KEY,
    HOST_KEY,
    OTHER_HOST_KEY,
    STRANGER_KEY,
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


async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.long
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


@pytest.mark.long
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


@pytest.mark.long
async def test_a_hang_in_the_key_exchange_ends_at_the_deadline() -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2p1\r\n")
        await reader.read()

    error = await trouble(stall)
    assert "the login did not end" in error.what


@pytest.mark.long
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
    assert "tries again after the next commit" in error.value.hint


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


@pytest.mark.long
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
