"""Who is behind a host, how full its pools are, and a lease made a line of the spec."""

import asyncio
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from service.errors import InputError, NeverSeen, NotFound
from service.kinds import KINDS
from service.kinds.guests_seen import guests_seen, name_findings, pools_of
from service.lab.waiting import grown_s
from service.model.observed import HostObserved, Lease
from service.model.states import Seen, Unknown
from service.spec.models import claims_of
from tests.laws.specs import head
from tests.reconcile.test_control import Desk

SPEC = (
    head()
    + """\
interfaces: {enp1s0: {addresses: [198.51.100.11/24], gateway: 198.51.100.1}}
bridges:
  vmbr0: {addresses: [10.10.10.1/24]}
dnsmasq:
  names: declared
  dhcp: [{interface: vmbr0, start: 10.10.10.100, end: 10.10.10.109}]
guests:
  dev: {mac: "BC:24:11:00:00:01"}  # the one that works
  web: {mac: "BC:24:11:00:00:02", address: 10.10.10.102}
packages: {dnsmasq: present}
"""
)
LXC = "/etc/pve/lxc/101.conf"
SETTINGS = b"hostname: alpine\nnet0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:03,ip=dhcp\n"
LEASES = (
    Lease("bc:24:11:00:00:01", "10.10.10.100", "dev", 0),
    Lease("bc:24:11:00:00:03", "10.10.10.101", "", 0),
    Lease("bc:24:11:00:00:77", "10.10.10.105", "Stranger", 0),
    Lease("bc:24:11:00:00:78", "10.10.10.9", "", 0),
    Lease("bc:24:11:00:00:79", "10.10.10.106", "old", 1),
)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "desk")


def seen_with(desk: Desk, leases: tuple[Lease, ...] = LEASES, settings: bytes = SETTINGS) -> HostObserved:
    standing = desk.rounds.standing("pve1")
    assert standing.observed is not None
    texts = {**standing.observed.texts, LXC: Seen(settings)}
    standing.observed = replace(standing.observed, leases=Seen(leases), texts=texts)
    return standing.observed


async def looked_at(desk: Desk, spec: str = SPEC) -> None:
    await desk.says(spec)
    desk.looked_at()
    seen_with(desk)


async def test_everybody_behind_a_host_is_told_with_who_knows_them(desk: Desk) -> None:
    await looked_at(desk)
    found = await desk.answers.guests("pve1")
    assert isinstance(found["items"], list)
    assert [(g["address"], g["name"], g["source"], g["state"]) for g in found["items"]] == [  # type: ignore[index,call-overload]
        ("10.10.10.9", "", "lease", "silent"),
        ("10.10.10.100", "dev", "spec", "named"),
        ("10.10.10.101", "alpine", "settings", "unnamed"),
        ("", "web", "spec", "waiting"),
        ("10.10.10.105", "Stranger", "lease", "foreign"),
    ]
    assert found["findings"] == []


async def test_pools_count_leases_in_force_and_reservations(desk: Desk) -> None:
    await looked_at(desk)
    (pool,) = await desk.answers.pools("pve1")
    assert (pool.interface, pool.size, pool.leased, pool.reserved, pool.free) == ("vmbr0", 10, 3, 1, 6)


async def test_names_that_two_want_are_findings(desk: Desk) -> None:
    await looked_at(desk)
    claims = claims_of(desk.watcher.wanted.hosts["pve1"], KINDS)
    thief = Lease("bc:24:11:00:00:66", "10.10.10.107", "dev", 0)
    taken = name_findings(claims, seen_with(desk, (*LEASES, thief)))
    assert [(one.rule, one.name, one.mac) for one in taken] == [("name-taken", "dev", "bc:24:11:00:00:66")]
    same = SETTINGS.replace(b"alpine", b"dev")
    assert [one.rule for one in name_findings(claims, seen_with(desk, settings=same))] == ["name-conflict"]
    other = SETTINGS.replace(b"00:03", b"00:01")
    assert [one.rule for one in name_findings(claims, seen_with(desk, settings=other))] == ["name-conflict"]
    assert guests_seen(claims, seen_with(desk, ())) != ()
    assert pools_of("pve1", claims, seen_with(desk, ()))[0].free == 9
    assert pools_of("pve1", claims, replace(seen_with(desk), leases=Unknown("cut short"))) == ()


@pytest.mark.parametrize(
    ("ip", "line"),
    [
        (
            "10.10.10.100",
            '+  dev: {mac: "BC:24:11:00:00:01", address: 10.10.10.100}  # the one that works',
        ),
        ("10.10.10.105", '+  stranger: {mac: "bc:24:11:00:00:77", address: 10.10.10.105}'),
        ("10.10.10.9", '+  guest-000078: {mac: "bc:24:11:00:00:78", address: 10.10.10.9}'),
    ],
)
async def test_a_lease_is_made_fixed_by_a_patch_that_git_takes(desk: Desk, tmp_path: Path, ip: str, line: str) -> None:
    await looked_at(desk)
    found = await desk.answers.fix_lease("pve1", ip)
    patch = str(found["patch"])
    added = [one for one in patch.splitlines() if one.startswith("+") and not one.startswith("+++")]
    assert added == [line]
    (tmp_path / "hosts").mkdir()
    (tmp_path / "hosts/pve1.yaml").write_text(SPEC)
    await asyncio.to_thread(
        subprocess.run, ["git", "apply", "-"], input=patch.encode(), cwd=tmp_path, check=True, timeout=grown_s(30)
    )
    after = (tmp_path / "hosts/pve1.yaml").read_text()
    await desk.says(after)
    assert desk.watcher.trouble == ""
    assert "# the one that works" in after


async def test_what_cannot_be_fixed_says_why(desk: Desk) -> None:
    await looked_at(desk)
    with pytest.raises(NotFound, match=r"nobody has a lease of 10\.10\.10\.106 on pve1 now"):
        await desk.answers.fix_lease("pve1", "10.10.10.106")
    seen_with(desk, (Lease("bc:24:11:00:00:05", "10.10.10.102", "x", 0),))
    with pytest.raises(InputError, match=r"10\.10\.10\.102 is reserved for web, but bc:24:11:00:00:05 has it"):
        await desk.answers.fix_lease("pve1", "10.10.10.102")
    seen_with(desk, (Lease("bc:24:11:00:00:02", "10.10.10.102", "web", 0),))
    with pytest.raises(InputError, match=r"web has 10\.10\.10\.102 fixed already"):
        await desk.answers.fix_lease("pve1", "10.10.10.102")


async def test_nobody_is_told_before_the_host_was_seen(desk: Desk) -> None:
    await desk.says(SPEC)
    with pytest.raises(NeverSeen, match="pve1 was not looked at yet"):
        await desk.answers.guests("pve1")
