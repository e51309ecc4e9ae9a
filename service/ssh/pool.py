"""One persistent connection a host, and fresh ones for confirmations.

Connections(dialer, clock, at_once=50)
    .host(target) -> SshHost        the host's connection; made, or made again, when there is none
    .fresh(target) -> SshHost       always new TCP and new authentication; the caller closes it
    .connect = fresh                so that it serves as a Dialer
    .doubt(name) -> str             why nobody could log in again while the kept connection still answers; mostly empty
    .drop(name), .close()

A connection that was made long ago proves nothing about who can log in now: after `RENEW_S` another one takes its
place. If that fails, the old one stays in use, and the status says so. OpenSSH from 9.8 on counts failed logins by the
client's address, and then refuses all of them for up to ten minutes. See PerSourcePenalties in sshd_config(5): 5 s for
each failure, in force from 15 s on. So a refused key is not offered again within `AUTH_HOLD_S`, and logins to one host
are `PACE_S` apart, unless the one before has succeeded.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime

from service.clock import Clock, SystemClock
from service.errors import AuthFailed, HostError
from service.observe.connection import Target
from service.ssh.connection import SshDialer, SshHost

RENEW_S = 3000.0
"""With its jitter less than an hour."""
RENEW_AGAIN_S = 60.0
AUTH_HOLD_S = 6.0
PACE_S = 0.1


@dataclass(slots=True)
class _Kept:
    host: SshHost
    renew_s: float


@dataclass(slots=True)
class _Doubt:
    since: datetime
    error: HostError

    def __str__(self) -> str:
        at = self.since.strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"new logins fail since {at}; only the connection made before that still answers: {self.error}"


class Connections:
    """Keeps connections. At most `at_once` hosts are dialled at the same time, and each by one call only."""

    def __init__(self, dialer: SshDialer, clock: Clock | None = None, at_once: int = 50) -> None:
        self._dialer = dialer
        self._clock = clock or SystemClock()
        self._kept: dict[str, _Kept] = {}
        self._doubts: dict[str, _Doubt] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self._next_s: dict[str, float] = {}
        self._refused: dict[str, tuple[float, AuthFailed]] = {}
        self._dialling = asyncio.Semaphore(at_once)

    async def host(self, target: Target) -> SshHost:
        """The host's connection. One that died, is old, or was made to another address or for other keys, is replaced;
        an old one stays where no other can be made."""
        async with self._turns.setdefault(target.name, asyncio.Lock()):
            kept = self._kept.get(target.name)
            if kept and kept.host.target == target and not kept.host.is_closed:
                if self._clock.monotonic_s() < kept.renew_s:
                    return kept.host
                return await self._renewed(kept, target)
            if kept:
                await self._forget(target.name, kept)
            return self._keep(await self.fresh(target))

    async def _renewed(self, kept: _Kept, target: Target) -> SshHost:
        """A new connection in the place of an old one, or the old one where there is no connection any more."""
        kept.renew_s = self._clock.monotonic_s() + RENEW_AGAIN_S
        try:
            made = await self.fresh(target)
        except HostError:
            return kept.host
        await kept.host.close()
        return self._keep(made)

    def _keep(self, made: SshHost) -> SshHost:
        self._kept[made.target.name] = _Kept(made, self._clock.monotonic_s() + self._clock.jitter(RENEW_S))
        return made

    async def fresh(self, target: Target) -> SshHost:
        """A new connection that is nobody else's: it proves that the host can be reached now.

        AuthFailed of the host, or of a jump host on the way, is raised again for `AUTH_HOLD_S` without another login.
        """
        for hop in target.way:
            held_s, refused = self._refused.get(hop.login, (0.0, None))
            if refused is not None and self._clock.monotonic_s() < held_s:
                raise AuthFailed(refused.what, hint=refused.hint, login=refused.login)
            await self._pace(hop.name)
        try:
            async with self._dialling:
                made = await self._dialer.connect(target)
        except HostError as error:
            if isinstance(error, AuthFailed):
                self._refused[error.login] = (self._clock.monotonic_s() + AUTH_HOLD_S, error)
            known = self._doubts.get(target.name)
            self._doubts[target.name] = _Doubt(known.since if known else self._clock.now(), error)
            if kept := self._kept.get(target.name):
                kept.renew_s = min(kept.renew_s, self._clock.monotonic_s() + RENEW_AGAIN_S)
            raise
        self._doubts.pop(target.name, None)
        for hop in target.way:
            self._refused.pop(hop.login, None)
            self._next_s.pop(hop.name, None)  # who waits already keeps the distance
        return made

    async def _pace(self, name: str) -> None:
        """Wait until a login to this host may begin."""
        now_s = self._clock.monotonic_s()
        begins_s = max(now_s, self._next_s.get(name, now_s))
        self._next_s[name] = begins_s + PACE_S
        if begins_s > now_s:
            await self._clock.sleep(begins_s - now_s)

    async def connect(self, target: Target) -> SshHost:
        """The same as `fresh`: this is a `service.observe.connection.Dialer`."""
        return await self.fresh(target)

    def doubt(self, name: str) -> str:
        """Why only the kept connection says anything of the host; empty where a new one came in last."""
        doubt = self._doubts.get(name)
        return str(doubt) if doubt and name in self._kept else ""

    async def drop(self, name: str) -> None:
        """Close a host's connection, if there is one."""
        kept = self._kept.get(name)
        if kept:
            await self._forget(name, kept)

    async def _forget(self, name: str, kept: _Kept) -> None:
        if self._kept.get(name) is kept:
            del self._kept[name]
        await kept.host.close()

    async def close(self) -> None:
        """Close all."""
        await asyncio.gather(*(self.drop(name) for name in list(self._kept)))
