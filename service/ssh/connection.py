"""SSH connections to hosts, by asyncssh.

    SshDialer(key, dial=None, connect_s=10, login_s=15).connect(target) -> SshHost   a service.observe.connection.Dialer
    SshHost.run .ask .listen .close .is_closed   a service.observe.connection.Host

Nothing is read from ~/.ssh or an agent, no host is trusted that shows no pinned key, every wait has an end, and every
answer a size. `dial` makes the TCP socket instead of the library (into another network namespace, for one).
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import asyncssh

from service.errors import PasserelleError
from service.observe.connection import Answer, Target
from service.ssh.command import run_command
from service.ssh.greeting import not_turned_away, reach
from service.ssh.hint_channel import listen
from service.ssh.keys import Pinned, pinned
from service.ssh.shell import Shell
from service.ssh.words import Phase, no_sudo, trouble_connecting, trouble_running

T = TypeVar("T")

Dial = Callable[[Target], Awaitable[socket.socket]]

KEY_EXCHANGES = ("mlkem768x25519-sha256", "curve25519-sha256", "curve25519-sha256@libssh.org")
CIPHERS = ("aes256-gcm@openssh.com", "aes128-gcm@openssh.com")
CLOSE_S = 2.0
KEEPALIVE_S, KEEPALIVE_MISSED = 8, 2
"""A host that ends silently is noticed in 24 s. Where hosts report their changes, these questions are most of what a
quiet fleet costs: `tests/bench/drift.py`."""
DEBUGS = 200
"""Debug messages (RFC 4253, 11.3) of one connection; OpenSSH sends a few at the login."""


class SshHost:
    """An open connection. One command and one question to the shell at a time; others wait for their turn."""

    def __init__(
        self,
        connection: asyncssh.SSHClientConnection,
        target: Target,
        through: Sequence[asyncssh.SSHClientConnection] = (),
    ) -> None:
        """`through` are the connections to the jump hosts, the nearest first; they end with this one."""
        self.target = target
        self._connection = connection
        self._through = through
        self._running = asyncio.Lock()
        self._asking = asyncio.Lock()
        self._shell: Shell | None = None

    @property
    def is_closed(self) -> bool:
        """The connection is closed or closing; no command can run on it any more."""
        return self._connection.is_closed()

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout_s: float,
        on_line: Callable[[str], None] | None = None,
    ) -> Answer:
        """See `service.observe.connection.Host.run`."""
        async with self._running:
            return await self._bounded(self._run(argv, stdin, on_line), f"`{argv[0]}`", timeout_s)

    async def _run(self, argv: Sequence[str], stdin: bytes, on_line: Callable[[str], None] | None) -> Answer:
        answer = await run_command(self._connection, self.target, argv, stdin, on_line)
        if self.target.needs_sudo and answer.exit_status == 1 and answer.stderr.startswith(b"sudo: "):
            raise no_sudo(self.target, answer)  # it could become root when this connection was made
        return answer

    async def ask(self, script: bytes, timeout_s: float) -> bytes:
        """See `service.observe.connection.Host.ask`."""
        async with self._asking:
            return await self._bounded(self._ask(script), "a question to its shell", timeout_s)

    async def _ask(self, script: bytes) -> bytes:
        if self._shell is None or self._shell.is_over:
            self._shell = await Shell.open(self._connection, self.target)
        shell, self._shell = self._shell, None
        # Only an exchange that came to its end leaves the shell in step for the next one.
        try:
            answer = await shell.exchange(script)
        except BaseException:
            shell.abort()
            raise
        self._shell = shell
        return answer

    async def listen(self, command: str, order: bytes, heard: Callable[[bytes], None]) -> None:
        """See `service.observe.connection.Host.listen`."""
        try:
            await listen(self._connection, self.target, command, order, heard)
        except PasserelleError:
            raise
        except Exception as error:
            raise trouble_running(self.target, error, "its hints", 0) from error

    async def _bounded(self, work: Awaitable[T], what: str, timeout_s: float) -> T:
        try:
            async with asyncio.timeout(timeout_s):
                return await work
        except PasserelleError:
            await self._abort()
            raise
        except Exception as error:
            # Of every type: bytes of a hostile peer surface from the library as ValueError and similar ones, too.
            await self._abort()
            raise trouble_running(self.target, error, what, timeout_s) from error

    async def _abort(self) -> None:
        self._connection.abort()
        await self._closed()

    async def _closed(self) -> None:
        await ended(self._connection)
        await close_all(self._through)

    async def close(self) -> None:
        """See `service.observe.connection.Host.close`."""
        if not self._connection.is_closed():
            self._connection.close()
        await self._closed()


async def close_all(connections: Sequence[asyncssh.SSHClientConnection]) -> None:
    """End connections, the last one made first."""
    for connection in reversed(connections):
        if not connection.is_closed():
            connection.close()
        await ended(connection)


async def ended(connection: asyncssh.SSHClientConnection) -> None:
    """Wait until a connection that is closing is gone, at most `CLOSE_S`."""
    try:
        async with asyncio.timeout(CLOSE_S):
            await connection.wait_closed()
    except TimeoutError:
        connection.abort()


class _Client(asyncssh.SSHClient):
    """Notes how far a handshake came and which key the host showed."""

    def __init__(self) -> None:
        self.connection: asyncssh.SSHClientConnection | None = None
        self.seen: asyncssh.SSHKey | None = None
        self._debugs = 0
        self.has_reached = False

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        self.connection = conn

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Called only for keys that are not pinned: the answer is always no."""
        self.seen = key
        return False

    def debug_msg_received(self, msg: str, lang: str, always_display: bool) -> None:
        """Nobody reads them; a host that sends them without end takes the event loop's time from all others."""
        self._debugs += 1
        if self._debugs > DEBUGS and self.connection is not None:
            self.connection.abort()

    @property
    def phase(self) -> Phase:
        """How far the connection came."""
        if self.connection is None:
            return "greeting" if self.has_reached else "tcp"
        return "login" if self.connection.get_extra_info("server_version") else "greeting"


@dataclass(frozen=True, slots=True)
class SshDialer:
    """Makes connections with the service's key. `connect_s` bounds the whole way to a logged-in connection."""

    key: asyncssh.SSHKey
    dial: Dial | None = None
    connect_s: float = 10.0
    login_s: float = 15.0

    async def connect(self, target: Target) -> SshHost:
        """See `service.observe.connection.Dialer.connect`."""
        way = [(hop, pinned(hop)) for hop in target.way]
        made: list[asyncssh.SSHClientConnection] = []
        try:
            for hop, pins in way:
                made.append(await self._logged_in(hop, pins, made[-1] if made else None))
            if target.needs_sudo:
                await self._become_root(made[-1], target)
        except BaseException:
            for connection in reversed(made):
                connection.abort()
            await close_all(made)
            raise
        return SshHost(made[-1], target, made[:-1])

    async def _logged_in(
        self, target: Target, pins: Pinned, through: asyncssh.SSHClientConnection | None
    ) -> asyncssh.SSHClientConnection:
        """A connection of its own to one host of the way: directly, or through the one before it."""
        client = _Client()
        sock: socket.socket | None = None
        try:
            async with asyncio.timeout(self.connect_s):
                if through is None:
                    sock = await (self.dial or reach)(target)
                    client.has_reached = True
                    await not_turned_away(sock)
                return await self._handshake(target, pins, client, sock, through)
        except BaseException as error:
            if sock is not None and client.connection is None:
                sock.close()
            # Of every type: a greeting that is not ASCII surfaces as UnicodeDecodeError, for one.
            if not isinstance(error, Exception):
                raise
            raise trouble_connecting(
                target,
                error,
                phase=client.phase,
                timeout_s=self.connect_s,
                seen=client.seen,
                pins=pins.fingerprints,
                key=self.key,
            ) from error

    async def _become_root(self, connection: asyncssh.SSHClientConnection, target: Target) -> None:
        """A login that cannot become root manages nothing: that is known at once, and before a change is confirmed."""
        try:
            async with asyncio.timeout(self.connect_s):
                answer = await run_command(connection, target, ["true"], b"", None)
        except PasserelleError:
            raise
        except Exception as error:
            raise trouble_running(target, error, "`sudo -n true`", self.connect_s) from error
        if answer.exit_status != 0:
            raise no_sudo(target, answer)

    async def _handshake(
        self,
        target: Target,
        pins: Pinned,
        client: _Client,
        sock: socket.socket | None,
        through: asyncssh.SSHClientConnection | None,
    ) -> asyncssh.SSHClientConnection:
        return await asyncssh.connect(
            target.address,
            target.port,
            sock=sock,
            tunnel=through or (),
            client_factory=lambda: client,
            username=target.user,
            known_hosts=pins.known_hosts,
            host_key_alias=target.name,
            server_host_key_algs=pins.algorithms,
            server_host_keys_handler=None,
            config=None,
            client_keys=[self.key],
            client_certs=(),
            agent_path=None,
            agent_forwarding=False,
            x509_trusted_certs=None,
            gss_host=None,
            gss_auth=False,
            gss_kex=False,
            kbdint_auth=False,
            password_auth=False,
            host_based_auth=False,
            preferred_auth=["publickey"],
            disable_trivial_auth=True,
            ignore_encrypted=False,
            kex_algs=KEY_EXCHANGES,
            encryption_algs=CIPHERS,
            compression_algs=None,
            x11_forwarding=False,
            send_env=[],
            request_pty=False,
            connect_timeout=self.connect_s,
            login_timeout=self.login_s,
            keepalive_interval=KEEPALIVE_S,
            keepalive_count_max=KEEPALIVE_MISSED,
            utf8_decode_errors="replace",
            encoding=None,
        )
