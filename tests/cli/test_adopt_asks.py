"""`passerelle adopt` of a host whose key nobody knows: it asks a person at a terminal, and pins nothing unconfirmed."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh
import pytest

from service.cli import run
from tests.observe.samples import NONCE, answer
from tests.ssh.servers import CLIENT_KEY, HOST_KEY, public_line, ssh_server
from tests.ssh.sshd import real_sshd

QUESTION = "type yes to pin it:"


@dataclass
class LookedAt:
    """A host that answers every look with what a real one said once."""

    port: int = 0
    looks: list[bytes] = field(default_factory=list)

    async def serve(self, process: "asyncssh.SSHServerProcess[bytes]") -> None:
        """As a shell would, for the questions of the collector."""
        while script := await read_until(process, b" shut\\n'\n"):
            self.looks.append(script)
            marks, nonce = re.findall(rb"@@([0-9a-f]{32}) (?:open|shut)", script), re.search(rb"@@(\w+) done", script)
            assert nonce
            said = answer("gateway").replace(NONCE.encode(), nonce[1]).replace(b"passerelle_nat", b"by_hand_nat")
            process.stdout.write(b"\n@@%b open\n%b\n@@%b shut\n" % (marks[0], said, marks[-1]))


async def read_until(process: "asyncssh.SSHServerProcess[bytes]", end: bytes) -> bytes:
    """What was sent up to there; nothing once no more comes."""
    try:
        return await process.stdin.readuntil(end)
    except asyncio.IncompleteReadError:
        return b""


@pytest.fixture
async def host() -> AsyncIterator[LookedAt]:
    looked_at = LookedAt()
    async with ssh_server(looked_at.serve) as looked_at.port:
        yield looked_at


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """The person's end of a terminal, and the program's."""
    person, program = os.openpty()
    yield person, program
    os.close(person)
    os.close(program)


async def adopted(host: LookedAt, terminal: tuple[int, int], folder: Path, typed: bytes) -> tuple[int, str]:
    """Exit code and what was reported, once `typed` was typed to the question."""
    person, program = terminal
    (folder / "key").write_bytes(CLIENT_KEY.export_private_key())
    (folder / "key").chmod(0o600)
    words = ["root@127.0.0.1", "--port", str(host.port), "--ssh-key", str(folder / "key"), "--name", "pve1"]
    words += ["--address", "198.51.100.11"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2])}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service", "adopt", *words, "--repo", str(folder / "repo"),
        cwd=folder, env=environment, stdin=program, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr
    async with asyncio.timeout(60):
        asked = (await process.stderr.readuntil(QUESTION.encode())).decode()
        assert HOST_KEY.get_fingerprint() in asked
        assert host.looks == []
        os.write(person, typed)
        said = (await process.stderr.read()).decode()
        return await process.wait(), said


async def test_yes_pins_the_key_that_was_shown(host: LookedAt, terminal: tuple[int, int], tmp_path: Path) -> None:
    code, said = await adopted(host, terminal, tmp_path, b" Yes\n")
    assert code == 0, said
    text = (tmp_path / "repo" / "hosts" / "pve1.yaml").read_text()
    assert f"host_keys: [{' '.join(public_line(HOST_KEY).split()[:2])}]" in text
    assert len(host.looks) == 2  # the second one for what the spec depends on


async def test_anything_else_pins_nothing_and_the_host_is_not_looked_at(
    host: LookedAt, terminal: tuple[int, int], tmp_path: Path
) -> None:
    code, said = await adopted(host, terminal, tmp_path, b"y\n")
    assert code == 1
    assert "was not confirmed" in said
    assert "--host-key 'ssh-ed25519 " in said
    assert host.looks == []
    assert not (tmp_path / "repo").exists()


@pytest.mark.host
async def test_a_host_behind_another_is_adopted_through_it(host: LookedAt, tmp_path: Path) -> None:
    with real_sshd(tmp_path / "jump", CLIENT_KEY) as jump:
        key = " ".join(public_line(jump.host_key).split()[:2])
        (tmp_path / "repo/hosts").mkdir(parents=True)
        (tmp_path / "repo/fleet.yaml").write_text("passerelle: 1\n")
        (tmp_path / "repo/hosts/door.yaml").write_text(
            f"host: door\nconnection: {{address: localhost, port: {jump.port}, host_keys: [{key}]}}\n"
        )
        (tmp_path / "key").write_bytes(CLIENT_KEY.export_private_key())
        (tmp_path / "key").chmod(0o600)
        words = ["adopt", "root@127.0.0.1", "--port", str(host.port), "--ssh-key", str(tmp_path / "key")]
        words += ["--name", "pve1", "--repo", str(tmp_path / "repo"), "--jump", "door", "--address", "10.0.0.2"]
        assert await asyncio.to_thread(run, words) == 1  # no key is given to compare
        assert host.looks == []
        assert await asyncio.to_thread(run, [*words, "--host-key", public_line(HOST_KEY)]) == 0
        logins = (tmp_path / "jump/log").read_text().count("Accepted publickey")
    text = (tmp_path / "repo/hosts/pve1.yaml").read_text()
    assert "  jump: door\n" in text
    assert (len(host.looks), logins) == (2, 2)  # the second one for what the spec depends on
