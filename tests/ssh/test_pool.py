"""One connection a host, kept while it serves; confirmations always get one of their own."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from service.errors import HostKeyChanged
from service.ssh.connection import SshDialer, SshHost
from service.ssh.pool import Connections
from tests.ssh.servers import OTHER_HOST_KEY, public_line
from tests.ssh.sshd import Sshd, real_sshd

pytestmark = pytest.mark.host


@pytest.fixture
async def pool(sshd: Sshd) -> AsyncIterator[Connections]:
    connections = Connections(SshDialer(sshd.client_key))
    yield connections
    await connections.close()


async def login(host: SshHost) -> bytes:
    """What says two connections apart: both ends, as the host sees them."""
    return await host.ask(b'echo "$SSH_CONNECTION"', 5)


async def test_the_same_connection_serves_until_it_dies(pool: Connections, sshd: Sshd) -> None:
    first = await pool.host(sshd.target())
    before = await login(first)
    assert await login(await pool.host(sshd.target())) == before
    with pytest.raises(Exception, match="lost"):
        await first.run(["sh", "-c", "kill -9 $PPID; exec tail -f /dev/null --pid=$PPID"], timeout_s=10)
    second = await pool.host(sshd.target())
    assert await login(second) != before


async def test_callers_at_the_same_time_share_one_login(pool: Connections, sshd: Sshd) -> None:
    hosts = await asyncio.gather(*(pool.host(sshd.target()) for _ in range(20)))
    assert len({id(host) for host in hosts}) == 1


async def test_a_fresh_connection_is_new_and_nobody_elses(pool: Connections, sshd: Sshd) -> None:
    kept = await pool.host(sshd.target())
    fresh = await pool.fresh(sshd.target())
    assert await login(kept) != await login(fresh)
    await fresh.close()
    assert await pool.host(sshd.target()) is kept
    assert not kept.is_closed


async def test_a_changed_address_closes_the_old_connection(pool: Connections, sshd: Sshd, tmp_path: Path) -> None:
    first = await pool.host(sshd.target())
    with real_sshd(tmp_path, sshd.client_key) as moved:
        second = await pool.host(moved.target())
        assert first.is_closed
        assert not second.is_closed
        await pool.close()


async def test_a_changed_pin_is_proved_at_once_and_not_at_the_next_loss(pool: Connections, sshd: Sshd) -> None:
    first = await pool.host(sshd.target())
    with pytest.raises(HostKeyChanged, match=sshd.host_key.get_fingerprint().replace("+", r"\+")):
        await pool.host(replace(sshd.target(), host_keys=(public_line(OTHER_HOST_KEY),)))
    assert first.is_closed


async def test_two_hosts_do_not_wait_for_each_other(pool: Connections, sshd: Sshd) -> None:
    first = await pool.host(sshd.target("pve1"))
    second = await pool.host(sshd.target("pve2"))
    slow = asyncio.ensure_future(first.ask(b"exec tail -f /dev/null --pid=$PPID", 60))
    assert await second.ask(b"echo quick", 5) == b"quick\n"
    assert not slow.done()
    slow.cancel()
    await asyncio.wait([slow])
