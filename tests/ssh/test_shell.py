"""Questions to the long-lived shell: one after the other, apart from each other, and never out of step."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncssh
import pytest

from service.errors import Garbled, Unreachable
from service.ssh.connection import SshDialer, SshHost
from tests.ssh.servers import CLIENT_KEY, Serve, ssh_server, target
from tests.ssh.sshd import Sshd

pytestmark = pytest.mark.host

Process = asyncssh.SSHServerProcess[bytes]


@pytest.fixture
async def host(sshd: Sshd) -> AsyncIterator[SshHost]:
    connected = await SshDialer(sshd.client_key).connect(sshd.target())
    yield connected
    await connected.close()


@asynccontextmanager
async def connected(serve: Serve) -> AsyncIterator[SshHost]:
    async with ssh_server(serve) as port:
        host = await SshDialer(CLIENT_KEY).connect(target(port))
        try:
            yield host
        finally:
            await host.close()


async def test_many_questions_go_to_one_shell(host: SshHost) -> None:
    answers = [await host.ask(b"echo $$", 5) for _ in range(20)]
    assert len(set(answers)) == 1


async def test_questions_asked_at_once_wait_for_their_turn(host: SshHost) -> None:
    answers = await asyncio.gather(*(host.ask(b"echo %d" % n, 10) for n in range(30)))
    assert answers == [b"%d\n" % n for n in range(30)]


async def test_a_script_leaves_no_trace_for_the_next_one(host: SshHost) -> None:
    before = await host.ask(b"pwd; umask", 5)
    await host.ask(b"cd /; x=1; umask 0; exec >/dev/null; set -e; false; echo never", 5)
    assert await host.ask(b"pwd; umask; echo ${x-unset}", 5) == before + b"unset\n"


async def test_a_script_that_reads_its_input_gets_none_of_the_next_question(host: SshHost) -> None:
    assert await host.ask(b"cat; read x; echo [$x]", 5) == b"[]\n"
    assert await host.ask(b"echo still here", 5) == b"still here\n"


async def test_bytes_come_back_as_they_are(host: SshHost) -> None:
    answer = await host.ask(rb"printf '\000\001\377\n\n\r\n@@ shut\n'", 5)
    assert answer == b"\x00\x01\xff\n\n\r\n@@ shut\n"


async def test_a_script_of_many_lines_arrives_whole(host: SshHost) -> None:
    script = b"\n".join(b"echo line %d; : %s" % (n, b"x" * 90) for n in range(2000))
    assert (await host.ask(script, 20)).count(b"\n") == 2000


async def test_an_answer_over_the_bound_is_garbled_and_ends_the_connection(host: SshHost) -> None:
    with pytest.raises(Garbled, match="more than 8 MiB"):
        await host.ask(b"exec cat /dev/zero", 30)
    assert host.is_closed


async def test_a_hang_in_the_middle_of_an_answer_ends_at_the_deadline(host: SshHost) -> None:
    with pytest.raises(Unreachable, match=r"did not end within 0\.5 s"):
        await host.ask(b"echo half; exec tail -f /dev/null --pid=$PPID", 0.5)
    assert host.is_closed


async def test_a_broken_script_is_an_error_of_this_question(host: SshHost) -> None:
    with pytest.raises(Unreachable, match="its shell ended"):
        await host.ask(b"if then", 5)


async def test_a_shell_that_was_killed_is_started_again(host: SshHost) -> None:
    pid = int(await host.ask(b"echo $$", 5))
    await host.run(["kill", "-9", str(pid)], timeout_s=5)
    while (await host.run(["test", "-e", f"/proc/{pid}"], timeout_s=5)).exit_status == 0:
        continue
    assert int(await host.ask(b"echo $$", 5)) != pid


async def test_a_cancelled_question_does_not_spoil_the_next_one(host: SshHost) -> None:
    task = asyncio.ensure_future(host.ask(b"echo late; exec tail -f /dev/null --pid=$PPID", 60))
    await asyncio.wait([task], timeout=0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await host.ask(b"echo mine", 5) == b"mine\n"


async def test_what_an_rc_file_prints_is_left_out() -> None:
    async def noisy(process: Process) -> None:
        process.stdout.write(b"Last login: today\n@@0 open\n@@0 shut\n\xff\xfe\n" * 500)
        process.stderr.write(b"-bash: warning: setlocale\n" * 5000)
        while line := await process.stdin.readline():
            if mark := re.search(rb"@@([0-9a-f]{32}) (open|shut)", line):
                process.stdout.write(b"\n@@%b %b\nfine" % (mark[1], mark[2]))

    async with connected(noisy) as host:
        assert await host.ask(b"echo fine", 5) == b"fine"


async def test_a_login_shell_that_is_none_is_told_with_its_own_words() -> None:
    async def nologin(process: Process) -> None:
        process.stdout.write(b"This account is currently \x1b[31mnot available.\n")
        process.exit(1)

    async with connected(nologin) as host:
        with pytest.raises(Unreachable, match=r"currently \[31mnot available") as error:
            await host.ask(b"echo", 5)
    assert "\x1b" not in str(error.value)
