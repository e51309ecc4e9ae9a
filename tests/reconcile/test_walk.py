"""A push walked from the notice to the history: how often the loop plans and reads a file, and what code it enters."""

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.formats.read_once import forget
from tests.calls import counted
from tests.laws.specs import FOLDER, head
from tests.reconcile.rooms import Room, a_room

SPEC = (FOLDER / "two-bridges.yaml").read_text()
PLAN = "plan/make.py:make_plan"
INTERFACES = "formats/interfaces/stanzas.py:parse"
DNSMASQ = "formats/dnsmasq.py:parse"
NAT = "formats/nat_rules.py:parse_nat_file"

Calls = Counter[str]

PUSHES = {
    "a range of DHCP": ("10.10.10.200", "10.10.10.220", 1, (1, 0), 2),
    "a bridge's address": ("10.10.10.1/24, ", "10.10.10.2/24, ", 1, (2, 0), 1),
    "a comment": ("bridges:", "bridges: # two", 0, (1, 0), 1),
}
"""A replacement, the number of applies that follow, how often the first two rounds read the interfaces file, and how
often dnsmasq's files are read. They are read once for each text, before and after.
"""

ONE_EACH = ("kinds/", "resources/")
"""Rooms with a file for each key of a spec and each thing on a host: a push asks all of them."""
MOST_ENTERED, MOST_ONE_EACH = 108, 64
"""66 and 42 at first; 77 and 42 since stages, requests, events and the dialect have files of their own. The picture of
the next boot, with programs and single interfaces, adds six. Leases that clones
share, and addresses that dnsmasq cannot use, have a file each. Guests that are made add three, sites four.
VLANs, bonds, addresses from elsewhere, what IPv6 needs on its way and ranges of DHCPv6 add six. Cards by their MAC
address, the links of the SSH connection and the units of the next boot add three.
Rounds in which nothing changed add one, whether an apply may begin adds five,
and five what a rollout keeps and what is removed of a firewall. The log adds one, for the id of an apply in its lines,
and one writes what happens in an apply, apart from what confirms it.
Besides these, each step is one or two files.
What a spec does not use is not entered: its forwards, its checks, files of groups."""


async def walked(room: Room, spec: str) -> tuple[Calls, list[Calls]]:
    """The calls of taking a push in, and of each round from then on, until the host is as wanted and was looked at once
    more."""
    forget()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(4))  # only threads that begin now are counted
    with counted() as notice:
        await room.push(head() + spec)
    rounds = []
    for _ in range(4):
        with counted() as calls:
            await room.round()
        rounds.append(calls)
    assert room.status.sync == "Synced"
    return notice, rounds


@pytest.mark.parametrize("push", PUSHES)
async def test_a_push_plans_once_a_round_and_reads_each_text_of_a_file_once(push: str, tmp_path: Path) -> None:
    old, new, applies, interfaces, dnsmasq = PUSHES[push]
    with a_room(tmp_path) as room:
        await walked(room, SPEC)
        before = len(room.hosts.applied)
        assert old in SPEC
        _, (first, second, *idle) = await walked(room, SPEC.replace(old, new))
        assert len(room.hosts.applied) - before == applies
    assert [calls[PLAN] for calls in (first, second)] == [1, 1 if applies else 0]
    assert (first[INTERFACES], second[INTERFACES]) == interfaces
    assert sum(interfaces) <= 2
    assert first[DNSMASQ] + second[DNSMASQ] <= dnsmasq
    assert first[NAT] + second[NAT] == 1
    assert [(calls[PLAN], calls[INTERFACES]) for calls in idle] == [(0, 0)] * len(idle)


async def test_a_push_enters_few_files(tmp_path: Path) -> None:
    """Besides the one file for each kind and resource; on the hosts' side the double is in."""
    with a_room(tmp_path) as room:
        await walked(room, SPEC)
        notice, rounds = await walked(room, SPEC.replace("10.10.10.1/24, ", "10.10.10.2/24, "))
    calls = sum((notice, *rounds), Counter[str]())
    files = {name.partition(":")[0] for name in calls if name} - {"lab/waiting.py"}  # what the tests wait with
    one_each = {file for file in files if file.startswith(ONE_EACH)}
    assert len(files - one_each) <= MOST_ENTERED, sorted(files - one_each)
    assert len(one_each) <= MOST_ONE_EACH, sorted(one_each)
