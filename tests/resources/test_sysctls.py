"""Kernel settings: now and at the next boot, met wherever they stand, refused where a later file overrules ours."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from service.model.observed import HostObserved
from service.model.states import Seen, Unknown
from service.plan.make import make_plan
from service.resources.desired import Desired, LastApplied
from service.resources.sysctls import OWN_FILE, Sysctl
from tests.laws.host import INTERFACES, after_plan, bare_host

FORWARD = Sysctl("nat", "net.ipv4.ip_forward", "1", "nat: 10.10.10.0/24 leaves through enp1s0")
UP = b"\tpost-up echo 1 > /proc/sys/net/ipv4/ip_forward\n"
DOWN = b"\tpost-up echo 0 > /proc/sys/net/ipv4/ip_forward\n"
ON, OFF = b"net.ipv4.ip_forward = 1\n", b"net.ipv4.ip_forward=0\n"
LIVE, FILE = "sysctl:net.ipv4.ip_forward", f"file:{OWN_FILE}"


@dataclass(frozen=True)
class Row:
    """What the kernel has, what stands in files and up lines; the facts that a plan sets, and what refuses it."""

    name: str
    now: str
    steps: tuple[str, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)
    lines: bytes = b""
    refused: str = ""


ROWS = [
    Row("nowhere", "0", (FILE, LIVE)),
    Row("now, but not after a boot", "1", (FILE,)),
    Row("as we make it", "1", (), {OWN_FILE: ON}),
    Row("switched off in the kernel", "0", (LIVE,), {OWN_FILE: ON}),
    Row("switched off in our file", "1", (FILE,), {OWN_FILE: OFF}),
    Row("met in an earlier file", "1", (), {"/etc/sysctl.d/10-mine.conf": ON}),
    Row("met in a later file", "1", (), {"/etc/sysctl.d/99-mine.conf": ON}),
    Row("met in the main file", "1", (), {"/etc/sysctl.conf": ON}),
    Row("met by an up line", "1", (), lines=UP),
    Row("met by an up line, deleted in the kernel", "0", (LIVE,), lines=UP),
    Row("an earlier file says no", "0", (FILE, LIVE), {"/etc/sysctl.d/10-mine.conf": OFF}),
    Row(
        "a later file says no",
        "0",
        (LIVE,),
        {"/etc/sysctl.d/99-mine.conf": OFF},
        refused="/etc/sysctl.d/99-mine.conf:1 sets",
    ),
    Row("the main file says no", "0", (LIVE,), {"/etc/sysctl.conf": b"#\n" + OFF}, refused="/etc/sysctl.conf:2 sets"),
    Row("an up line says no", "0", (LIVE,), {OWN_FILE: ON}, DOWN, refused="/etc/network/interfaces:8 sets"),
]


def host_of(row: Row) -> HostObserved:
    bare = bare_host(FORWARD.watch(), {**row.files, "/etc/network/interfaces": INTERFACES + row.lines})
    return replace(bare, facts={**bare.facts, LIVE: Seen(row.now)})


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_setting_is_made_where_it_is_not_met(row: Row) -> None:
    desired = Desired.of("pve1", [FORWARD])
    plan = make_plan(desired, LastApplied(), host_of(row))
    assert tuple(step.fact for step in plan.steps) == row.steps
    if row.refused:
        (refusal,) = plan.refusals
        assert refusal.what.startswith(row.refused)
        assert "passerelle does not own the file" in refusal.hint
        return
    assert plan.refusals == ()
    assert make_plan(desired, LastApplied(), after_plan(host_of(row), plan)).is_empty


def test_two_settings_share_our_file_and_keep_what_others_say() -> None:
    other = Sysctl("nat", "net.ipv6.conf.all.forwarding", "1", "somebody needs it")
    desired = Desired.of("pve1", [FORWARD, other])
    host = bare_host(desired.watch, {"/etc/sysctl.d/10-mine.conf": ON})
    plan = make_plan(desired, LastApplied(), host)
    (content,) = plan.blobs.values()
    lines = [line for line in content.decode().splitlines() if line and line[0] != "#"]
    assert [line.replace(" ", "") for line in lines] == ["net.ipv6.conf.all.forwarding=1"]


@pytest.mark.parametrize("path", ["/etc/sysctl.conf", "/etc/network/interfaces", OWN_FILE])
def test_with_one_file_unread_nothing_is_written(path: str) -> None:
    host = host_of(ROWS[1])
    plan = make_plan(
        Desired.of("pve1", [FORWARD]), LastApplied(), replace(host, texts={**host.texts, path: Unknown("garbled")})
    )
    assert plan.steps == ()
    assert plan.refusals[0].rule == "unknown"
