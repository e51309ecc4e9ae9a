"""What a round says of a host, once when it is new: the next boot, what stays behind, names that two want."""

import io
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from service.logs import JsonLines, Once, fields
from service.model.listings import ApplyListing, EventListing
from service.model.observed import Lease
from service.model.states import Seen
from tests.answers.test_guest_views import LEASES, SETTINGS
from tests.answers.test_guest_views import SPEC as GUESTS
from tests.laws.specs import head
from tests.plan.test_next_boot import LO, MAIN
from tests.reconcile.rooms import Room, a_room


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with a_room(tmp_path) as one:
        yield one


async def seen(room: Room, texts: Mapping[str, bytes], leases: tuple[Lease, ...] = ()) -> None:
    """A round that finds these files and leases, and one that finds the same again."""
    assert room.hosts.host is not None
    known = room.hosts.host
    files = {**known.texts, **{path: Seen(data) for path, data in texts.items()}}
    room.hosts.host = replace(known, texts=files, leases=Seen(leases))
    await room.round()
    await room.round()


async def test_a_host_that_the_next_boot_loses_is_told_once(room: Room) -> None:
    await room.push(head("observe") + "bridges: {vmbr0: {addresses: [10.10.10.1/24]}}\n")
    await room.round()
    assert room.events("host.next-boot") == []
    await seen(room, {MAIN: LO})
    (text,) = room.events("host.next-boot")
    assert text.startswith("pve1: ")


async def test_what_left_the_spec_and_stays_is_told_once(room: Room) -> None:
    await room.push(head("auto") + "services: {named: disabled}\n")
    await room.round()
    await room.round()
    assert room.events("host.left-behind") == []
    await room.push(head("auto"))
    await room.round()
    await room.round()
    (text,) = room.events("host.left-behind")
    assert "named.service stays disabled" in text
    assert ". Fix: " in text


@pytest.mark.parametrize(
    ("name", "texts", "leases"),
    [
        ("name.taken", {}, (*LEASES, Lease("bc:24:11:00:00:66", "10.10.10.107", "dev", 0))),
        ("name.conflict", {"/etc/pve/lxc/101.conf": SETTINGS.replace(b"alpine", b"dev")}, LEASES),
        (
            "name.twice",
            {"/etc/pve/lxc/101.conf": SETTINGS, "/etc/pve/lxc/102.conf": SETTINGS.replace(b"00:03", b"00:04")},
            LEASES,
        ),
    ],
)
async def test_a_name_that_two_want_is_told_once(
    name: str, texts: Mapping[str, bytes], leases: tuple[Lease, ...], room: Room
) -> None:
    await room.push(GUESTS.replace("sync: auto", "sync: observe"))
    await room.round()
    await seen(room, texts, leases)
    (event,) = [one for one in room.queries.events(EventListing(limit=200)).items if one.type.startswith("name.")]
    assert (event.type, sorted(event.detail)) == (name, ["mac", "name"])
    assert event.origin.part == "host"


async def test_a_lease_that_two_clones_share_is_told_once_whoever_asked_last(room: Room) -> None:
    await room.push(GUESTS.replace("sync: auto", "sync: observe"))
    await room.round()
    clone = Lease("bc:24:11:00:00:66", "10.10.10.100", "clone", 0, "ff:01:02")
    first = Lease("bc:24:11:00:00:01", "10.10.10.100", "dev", 0, "ff:01:02")
    for held in (first, clone, first, clone):
        await seen(room, {}, (held,))
    (event,) = [one for one in room.queries.events(EventListing(limit=200)).items if one.type == "lease.shared"]
    assert (event.detail["mac"], event.origin.part) == (first.mac, "host")
    (text,) = room.events("lease.shared")
    assert "bc:24:11:00:00:66 (10.10.10.100, clone) send the same DHCP client-id" in text


async def test_each_round_says_that_it_has_ended_once_its_result_is_shown(room: Room) -> None:
    """Whoever waits for a look is woken, also where nothing was different and there is no event of it."""
    await room.push(head("observe"))
    for number in range(1, 4):
        await room.round()
        assert (room.ended, room.rounds.tried["pve1"]) == (["pve1"] * number, room.clock.now())


async def test_each_line_of_an_apply_has_its_id(room: Room) -> None:
    """Also of events that do not name it, and what another thread writes."""
    text = io.StringIO()
    plain = logging.StreamHandler(text)
    plain.setFormatter(JsonLines())
    handler, logger = Once(plain, now_s=lambda: 100.0), logging.getLogger()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    room.database.tell_to(lambda event: logger.info("%s", event.text, extra=fields(event=event.name)))
    await room.push(head("auto") + "services: {named: disabled}\n")
    await room.round()
    logger.removeHandler(handler)
    logger.setLevel(before)
    (apply,) = room.queries.applies(ApplyListing()).items
    said = [json.loads(line) for line in text.getvalue().splitlines()]
    names = [one.get("event") for one in said]
    first, last = names.index("apply.started"), names.index("apply.finished")
    assert {one.get("apply") for one in said[first : last + 1]} == {apply.id}
    assert "apply" not in said[0], "the commit is not of the apply"
