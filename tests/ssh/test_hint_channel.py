"""Hints of a host over a real OpenSSH server: changes by hand are reported, and nothing stays behind."""

import asyncio
import os
import re
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncssh
import pytest

from service.clock import SystemClock
from service.errors import Garbled
from service.model.observed import Watch
from service.observe.hints import QUIET_S, Hearing, Said, command, order_of, program
from service.observe.listening import Listening
from service.ssh.connection import SshDialer, SshHost
from service.ssh.hint_channel import listen
from tests.ssh.servers import CLIENT_KEY, ssh_server, target
from tests.ssh.sshd import Sshd

pytestmark = pytest.mark.host


class Ear:
    """Keeps everything in one queue."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[str] = asyncio.Queue()
        self.opens = 0

    def opened(self, name: str) -> None:
        self.opens += 1

    def heard(self, name: str, kind: str) -> None:
        self.told.put_nowait(f"{name} {kind}")

    def lost(self, name: str, again_s: float) -> None:
        self.told.put_nowait(f"{name} lost")

    async def next(self) -> str:
        return await asyncio.wait_for(self.told.get(), 20)


@asynccontextmanager
async def listening(host: SshHost, watch: Watch) -> AsyncIterator[tuple[Listening, Ear]]:
    ear = Ear()
    made = Listening(SystemClock(), ear)
    made.follow(host, "pve1", watch)
    try:
        await until(lambda: bool(made.kinds("pve1")))
        assert ear.opens == 1
        yield made, ear
    finally:
        await made.close()


async def until(there: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        turn = asyncio.Event()
        while not there():
            asyncio.get_running_loop().call_later(0.01, turn.set)
            await turn.wait()
            turn.clear()


def watchers(path: Path) -> list[int]:
    """The processes that run the program for hints and watch this path's folder: other tests run it, too."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                watched = [inode for fd in (entry / "fdinfo").iterdir() for inode in inodes(fd.read_text())]
            except OSError:
                continue
            is_program = words[0].endswith(b"python3") and any(b"NFNLGRP_NFTABLES" in word for word in words[1:])
            if is_program and path.parent.stat().st_ino in watched:
                found.append(int(entry.name))
    return found


def inodes(fdinfo: str) -> list[int]:
    """What an inotify instance watches, proc_pid_fdinfo(5)."""
    return [int(number, 16) for number in re.findall(r"^inotify wd:\S+ ino:(\S+)", fdinfo, re.MULTILINE)]


@pytest.fixture
async def host(sshd: Sshd) -> AsyncIterator[SshHost]:
    connected = await SshDialer(sshd.client_key).connect(sshd.target())
    yield connected
    await connected.close()


async def test_a_file_that_is_written_replaced_or_removed_is_told(host: SshHost, tmp_path: Path) -> None:
    owned, folder = tmp_path / "leases", tmp_path / "later" / "conf.d"
    owned.write_text("a\n")
    watch = Watch(files=frozenset({str(owned), f"{folder}/*"}))
    async with listening(host, watch) as (made, ear):
        assert {"network", "files"} <= set(made.kinds("pve1"))
        with owned.open("a") as open_file:  # as dnsmasq does: it stays open
            open_file.write("b\n")
            open_file.flush()
            assert await ear.next() == "pve1 files"
        (tmp_path / "new").write_text("c\n")
        (tmp_path / "new").rename(owned)
        assert await ear.next() == "pve1 files"
        folder.mkdir(parents=True)  # was not there when it began
        assert await ear.next() == "pve1 files"
        (folder / "one").write_text("d\n")
        assert await ear.next() == "pve1 files"


async def test_the_program_ends_with_its_channel_and_with_its_connection(sshd: Sshd, tmp_path: Path) -> None:
    owned = tmp_path / "owned"
    watch = Watch(files=frozenset({str(owned)}))
    for is_cut in (False, True):
        assert not watchers(owned)
        host = await SshDialer(sshd.client_key).connect(sshd.target())
        async with listening(host, watch) as (made, _):
            assert watchers(owned)
            if is_cut:
                host._connection.abort()  # the TCP connection is gone, and nobody said why
            else:
                made.forget("pve1")
            await until(lambda: not watchers(owned))
        await host.close()


async def test_the_program_ends_when_nobody_has_spoken_for_long(host: SshHost, tmp_path: Path) -> None:
    """A connection that was cut silently: sshd would know it after hours."""
    order = order_of(Watch(files=frozenset({str(tmp_path / "owned")})))
    soon = order.replace(b'"quiet_s": %.1f' % QUIET_S, b'"quiet_s": 0.3')
    assert soon != order
    heard: list[bytes] = []
    async with asyncio.timeout(20):
        await host.listen(command(), soon, heard.append)
    assert heard[0].startswith(b"ready ")


@pytest.mark.parametrize(("allowed", "kinds"), [(4, "network rules"), (40, "network rules files")])
def test_where_few_inotify_instances_are_left_it_takes_none(tmp_path: Path, allowed: int, kinds: str) -> None:
    """systemd could not execute itself again without them. A user namespace has a limit of its own."""
    limited = f'echo {allowed} >/proc/sys/user/max_inotify_instances && exec python3 -I -S -c "$0"'
    ran = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", limited, program()],
        input=order_of(Watch(files=frozenset({str(tmp_path / "owned")}))),
        capture_output=True, timeout=20, check=True,
    )  # fmt: skip
    said = ran.stdout.decode().split()
    assert said[0] == "ready"
    assert [kind for kind in said[1:] if kind != "units"] == kinds.split()


async def test_it_goes_on_while_somebody_listens(host: SshHost, tmp_path: Path) -> None:
    order = order_of(Watch(files=frozenset({str(tmp_path / "owned")})))
    soon = order.replace(b'"quiet_s": %.1f' % QUIET_S, b'"quiet_s": 2.0')
    heard: list[bytes] = []
    task = asyncio.ensure_future(listen(host._connection, host.target, command(), soon, heard.append, beat_s=0.2))
    await asyncio.wait([task], timeout=4)
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_killed_program_is_told_as_lost_and_the_connection_goes_on(host: SshHost, tmp_path: Path) -> None:
    owned = tmp_path / "owned"
    async with listening(host, Watch(files=frozenset({str(owned)}))) as (made, ear):
        (pid,) = watchers(owned)
        os.kill(pid, 9)
        assert await ear.next() == "pve1 lost"
        assert made.kinds("pve1") == ()
        assert await host.ask(b"echo here", 5) == b"here\n"


async def test_a_host_that_says_something_else_is_not_heard_any_more() -> None:
    async def liar(process: "asyncssh.SSHServerProcess[bytes]") -> None:
        process.stdout.write(b"ready network files\nhint network\nhint \x1b[2J; rm -rf /\n")
        await process.stdin.read()

    async with ssh_server(liar) as port:
        host = await SshDialer(CLIENT_KEY).connect(target(port))
        ear = Ear()
        made = Listening(SystemClock(), ear)
        made.follow(host, "pve1", Watch())
        assert [await ear.next(), await ear.next()] == ["pve1 network", "pve1 lost"]
        assert not host.is_closed
        await made.close()
        await host.close()


async def test_a_host_without_python_is_polled() -> None:
    async def without(process: "asyncssh.SSHServerProcess[bytes]") -> None:
        process.stdout.write(b"none\n")
        process.exit(0)

    async with ssh_server(without) as port:
        host = await SshDialer(CLIENT_KEY).connect(target(port))
        ear = Ear()
        made = Listening(SystemClock(), ear)
        made.follow(host, "pve1", Watch())
        task = made._kept["pve1"].task
        assert task is not None
        await task
        assert made.kinds("pve1") == ()
        assert ear.told.empty()
        assert ear.opens == 0
        made.follow(host, "pve1", Watch())  # not tried again at once
        assert made._kept == {}
        await host.close()


async def test_a_flood_ends_the_channel() -> None:
    async def flood(process: "asyncssh.SSHServerProcess[bytes]") -> None:
        process.stdout.write(b"ready network\n")
        while True:
            process.stdout.write(b"hint network\n" * 1000)
            await process.stdout.drain()

    async with ssh_server(flood) as port:
        host = await SshDialer(CLIENT_KEY).connect(target(port))
        hearing = Hearing()

        def heard(chunk: bytes) -> None:
            list(hearing.take(chunk, 0.0))

        with pytest.raises(Garbled, match="16 KiB in a minute"):
            await host.listen(command(), order_of(Watch()), heard)
        await host.close()


@pytest.mark.parametrize(
    "said",
    [b"hint network\n", b"none\nnone\n", b"ready\nready\n", b"ready network network\n", b"x" * 65, b"ready x\n", b"\n",
     b"none\nhint  rules\n", b"ready rules\nhint rules \n", b"ready rules\nhint\xff\n"],
)  # fmt: skip
def test_only_the_known_words_are_heard(said: bytes) -> None:
    with pytest.raises(Garbled):
        list(Hearing().take(said, 0.0))


def test_words_in_pieces_are_put_together() -> None:
    hearing = Hearing()
    said = [one for byte in b"ready files units\nhint units\n" for one in hearing.take(bytes([byte]), 0.0)]
    assert said == [Said(("files", "units"), ready=True), Said(("units",))]


def test_a_quiet_hour_is_not_counted_together() -> None:
    hearing = Hearing()
    list(hearing.take(b"ready rules\n", 0.0))
    for minute in range(60):
        assert len(list(hearing.take(b"hint rules\n" * 1000, 61.0 * minute))) == 1000
