"""Every test here also shows that nothing is left behind: no task, no socket."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.ssh.sshd import Sshd, real_sshd


def open_sockets() -> int:
    """Sockets of this process; the loop's own pair is there before and after."""
    folder = Path("/proc/self/fd")
    count = 0
    for entry in folder.iterdir():
        try:
            count += os.readlink(entry).startswith("socket:")  # noqa: PTH115 (no file: Path.readlink resolves alike)
        except FileNotFoundError:
            continue
    return count


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    before = open_sockets()
    yield
    async with asyncio.timeout(5):
        while left := [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]:
            await asyncio.wait(left, timeout=0.05)
        turn = asyncio.Event()
        while open_sockets() > before:
            asyncio.get_running_loop().call_later(0.01, turn.set)
            await turn.wait()
            turn.clear()


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with real_sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running
