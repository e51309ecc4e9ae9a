"""sshd that refuses an address for failed logins from there: it is recognised, waited out and never made worse."""

import asyncio
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from service.errors import AuthFailed, Throttled, Unreachable
from service.observe.connection import Target
from service.ssh.connection import SshDialer
from service.ssh.greeting import reach
from service.ssh.pool import AUTH_HOLD_S, PACE_S, RENEW_AGAIN_S, RENEW_S, Connections
from service.ssh.shown_key import shown_key
from tests.reconcile.clocks import StoppedClock
from tests.ssh.servers import CLIENT_KEY, STRANGER_KEY, raw_server, target
from tests.ssh.sshd import Sshd, real_sshd

PENALTY = b"Not allowed at this time\r\n"  # OpenSSH 10.0p2 of Debian 13, once failed logins have added up to 15 s


class Dials:
    """Makes connections and counts them."""

    def __init__(self) -> None:
        self.made_s: list[float] = []

    async def __call__(self, where: Target) -> socket.socket:
        self.made_s.append(asyncio.get_running_loop().time())
        return await reach(where)

    @property
    def count(self) -> int:
        return len(self.made_s)


async def turned_away(words: bytes, *, resets: bool) -> Unreachable:
    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        await writer.drain()
        if resets:  # what a client gets that has sent something to a closed connection
            writer.transport.abort()

    async with raw_server(talk) as port:
        with pytest.raises(Unreachable) as caught:
            await SshDialer(CLIENT_KEY, connect_s=5).connect(target(port))
        return caught.value


@pytest.mark.parametrize("resets", [False, True])
async def test_a_penalty_is_told_as_one_with_the_line_that_exempts_this_address(*, resets: bool) -> None:
    error = await turned_away(PENALTY, resets=resets)
    assert isinstance(error, Throttled)
    assert "sshd rejects every login from 127.0.0.1 for a while (PerSourcePenalties)" in error.what
    assert "`PerSourcePenaltyExemptList 127.0.0.1`" in error.hint


async def test_who_only_asks_for_the_hosts_key_is_told_the_same() -> None:
    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(PENALTY)
        await writer.drain()

    async with raw_server(talk) as port:
        with pytest.raises(Throttled, match=f"127.0.0.1 port {port}: sshd rejects every login from 127.0.0.1"):
            await shown_key("127.0.0.1", port)


async def test_too_many_logins_under_way_are_no_penalty() -> None:
    error = await turned_away(b"Exceeded MaxStartups\r\n", resets=False)
    assert not isinstance(error, Throttled)
    assert "MaxStartups" in error.what


@pytest.mark.parametrize("words", [b"", b"Not", b"Not allowed\r\n", b"Welcome. Not allowed at this time\r\n"])
async def test_other_words_are_no_penalty(words: bytes) -> None:
    assert not isinstance(await turned_away(words, resets=False), Throttled)


@pytest.mark.host
async def test_a_refused_key_is_not_shown_again_at_once(sshd: Sshd) -> None:
    dials, clock = Dials(), StoppedClock()
    pool = Connections(SshDialer(STRANGER_KEY, dial=dials), clock)
    clock.move(1)
    for _ in range(20):
        with pytest.raises(AuthFailed, match="does not accept the service's key"):
            await pool.host(sshd.target())
        with pytest.raises(AuthFailed, match="does not accept the service's key"):
            await pool.fresh(sshd.target())
    assert dials.count == 1
    clock.move(AUTH_HOLD_S)
    with pytest.raises(AuthFailed):
        await pool.host(sshd.target())
    assert dials.count == 2


@pytest.mark.host
async def test_what_the_spec_changed_is_tried_at_once(sshd: Sshd) -> None:
    dials = Dials()
    pool = Connections(SshDialer(STRANGER_KEY, dial=dials))
    with pytest.raises(AuthFailed):
        await pool.host(sshd.target())
    with pytest.raises(AuthFailed):
        await pool.host(replace(sshd.target(), user="backup"))
    assert dials.count == 2


@pytest.mark.host
async def test_logins_to_one_host_keep_their_distance(sshd: Sshd) -> None:
    dials = Dials()
    pool = Connections(SshDialer(sshd.client_key, dial=dials))
    hosts = await asyncio.gather(*(pool.fresh(sshd.target()) for _ in range(6)))
    gaps_s = [later - earlier for earlier, later in zip(dials.made_s, dials.made_s[1:], strict=False)]
    for host in hosts:
        await host.close()
    assert min(gaps_s) > PACE_S / 2
    assert dials.made_s[-1] - dials.made_s[0] > 5 * PACE_S * 0.9


@pytest.mark.host
async def test_an_old_connection_is_replaced_by_a_new_login(sshd: Sshd) -> None:
    clock = StoppedClock()
    pool = Connections(SshDialer(sshd.client_key), clock)
    first = await pool.host(sshd.target())
    clock.move(RENEW_S - 1)
    assert await pool.host(sshd.target()) is first
    clock.move(2)
    second = await pool.host(sshd.target())
    assert second is not first
    assert first.is_closed
    assert pool.doubt("pve1") == ""
    assert RENEW_S * 1.1 < 3600  # with the jitter of a real clock
    await pool.close()


@pytest.mark.host
async def test_where_nobody_can_log_in_anew_the_old_connection_serves_and_that_is_said(tmp_path: Path) -> None:
    clock = StoppedClock()
    with real_sshd(tmp_path) as sshd:
        dials = Dials()
        pool = Connections(SshDialer(sshd.client_key, dial=dials), clock)
        first = await pool.host(sshd.target())
        keys = tmp_path / "authorized_keys"
        text = keys.read_bytes()
        keys.write_bytes(b"")
        assert pool.doubt("pve1") == ""
        clock.move(RENEW_S + 1)
        assert await pool.host(sshd.target()) is first
        said = pool.doubt("pve1")
        assert said.startswith(
            "new logins fail since 2026-01-01 00:50:01 UTC; only the connection made before that still"
        )
        assert "does not accept the service's key" in said
        assert await first.ask(b"echo still here", 5) == b"still here\n"
        assert await pool.host(sshd.target()) is first
        assert dials.count == 2
        clock.move(RENEW_AGAIN_S)
        assert await pool.host(sshd.target()) is first
        assert dials.count == 3
        assert "since 2026-01-01 00:50:01 UTC" in pool.doubt("pve1")
        keys.write_bytes(text)
        clock.move(RENEW_AGAIN_S)
        second = await pool.host(sshd.target())
        assert second is not first
        assert pool.doubt("pve1") == ""
        await pool.close()


@pytest.mark.host
async def test_a_fresh_login_that_fails_says_so_of_the_kept_connection_too(tmp_path: Path) -> None:
    clock = StoppedClock()
    with real_sshd(tmp_path) as sshd:
        pool = Connections(SshDialer(sshd.client_key), clock)
        first = await pool.host(sshd.target())
        clock.move(1)
        (tmp_path / "authorized_keys").write_bytes(b"")
        with pytest.raises(AuthFailed):
            await pool.fresh(sshd.target())
        assert pool.doubt("pve1").startswith("new logins fail since")
        assert await pool.host(sshd.target()) is first
        await pool.drop("pve1")
        assert pool.doubt("pve1") == ""  # nothing is kept that could say anything
