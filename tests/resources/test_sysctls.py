"""Kernel settings: now and at the next boot, recognised in any file, refused if a later file overrules ours."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from service.model.observed import HostObserved
from service.model.states import Seen, Unknown
from service.plan.make import make_plan
from service.resources.desired import Desired, LastApplied
from service.resources.ending import shared
from service.resources.kernel_at_boot import OWN_FILE
from service.resources.sysctls import Sysctl
from tests.laws.host import INTERFACES, after_plan, bare_host

FORWARD = Sysctl("nat", "net.ipv4.ip_forward", "1", "nat: 10.10.10.0/24 leaves through enp1s0")
UP = b"\tpost-up echo 1 > /proc/sys/net/ipv4/ip_forward\n"
DOWN = b"\tpost-up echo 0 > /proc/sys/net/ipv4/ip_forward\n"
ON, OFF = b"net.ipv4.ip_forward = 1\n", b"net.ipv4.ip_forward=0\n"
LIVE, FILE = "sysctl:net.ipv4.ip_forward", f"file:{OWN_FILE}"


@dataclass(frozen=True)
class Row:
    """What the kernel has, what is in files and up lines; the facts that a plan sets, and what refuses it."""

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


def desired_of(*settings: Sysctl) -> Desired:
    return Desired.of("pve1", [*settings, *shared(settings)])


def host_of(row: Row) -> HostObserved:
    bare = bare_host(FORWARD.watch(), {**row.files, "/etc/network/interfaces": INTERFACES + row.lines})
    return replace(bare, facts={**bare.facts, LIVE: Seen(row.now)})


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_setting_is_made_where_it_is_not_met(row: Row) -> None:
    desired = desired_of(FORWARD)
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
    desired = desired_of(FORWARD, other)
    host = bare_host(desired.watch, {"/etc/sysctl.d/10-mine.conf": ON})
    plan = make_plan(desired, LastApplied(), host)
    (content,) = plan.blobs.values()
    lines = [line for line in content.decode().splitlines() if line and line[0] != "#"]
    assert [line.replace(" ", "") for line in lines] == ["net.ipv6.conf.all.forwarding=1"]


@pytest.mark.parametrize("path", ["/etc/sysctl.conf", "/etc/network/interfaces", OWN_FILE])
def test_with_one_file_unread_nothing_is_written(path: str) -> None:
    host = host_of(ROWS[1])
    plan = make_plan(desired_of(FORWARD), LastApplied(), replace(host, texts={**host.texts, path: Unknown("garbled")}))
    assert plan.steps == ()
    assert plan.refusals[0].rule == "unknown"


BRIDGED = Sysctl("nat", "net.bridge.bridge-nf-call-iptables", "1", "guests have firewalls of their own")
UNKNOWN_DEFAULT = "net.core.somaxconn"


def left(own: bytes, *settings: Sysctl, files: Mapping[str, bytes] | None = None) -> tuple[HostObserved, Desired]:
    """A host with our file and everything on that it names, and a spec that still wants some settings."""
    desired = desired_of(*settings)
    host = bare_host(desired.watch, {OWN_FILE: own, **(files or {})})
    on = {f"sysctl:{key}": Seen("1") for key in (FORWARD.key, BRIDGED.key)}
    return replace(host, facts={**host.facts, **on}), desired


def test_a_line_that_no_spec_needs_goes_and_the_kernel_has_what_the_boot_makes() -> None:
    host, desired = left(ON + b"net.bridge.bridge-nf-call-iptables = 1\n", FORWARD)
    plan = make_plan(desired, LastApplied(), host)
    assert [(step.fact, step.after) for step in plan.steps[1:]] == [(f"sysctl:{BRIDGED.key}", "0")]
    (content,) = plan.blobs.values()
    assert b"bridge" not in content and b"ip_forward" in content
    assert make_plan(desired, LastApplied(), after_plan(host, plan)).is_empty


@pytest.mark.parametrize("said_by", [{"/etc/sysctl.d/10-mine.conf": ON}, {"/etc/sysctl.d/99-mine.conf": ON}])
def test_what_another_file_says_stays_when_our_line_goes(said_by: Mapping[str, bytes]) -> None:
    host, desired = left(ON, files=said_by)
    plan = make_plan(desired, LastApplied(), host)
    assert [(step.fact, step.after) for step in plan.steps] == [(FILE, None)]


def test_the_last_line_takes_the_file_along_and_says_what_stops() -> None:
    host, desired = left(ON)
    plan = make_plan(desired, LastApplied(), host)
    assert [(step.fact, step.after) for step in plan.steps] == [(FILE, None), (LIVE, "0")]
    assert plan.steps[1].why.endswith("; what this host forwards for others stops")
    assert not plan.steps[1].risk  # who takes NAT out of the spec has decided; only a risk waits for an approval


def test_a_value_whose_default_nobody_knows_is_named_as_left_behind() -> None:
    host, desired = left(f"{UNKNOWN_DEFAULT} = 1024\n".encode())
    plan = make_plan(desired, LastApplied(), host)
    assert [step.fact for step in plan.steps] == [FILE]
    (thing,) = plan.left_behind
    assert (thing.fact, thing.what) == (
        f"sysctl:{UNKNOWN_DEFAULT}",
        f"the kernel keeps {UNKNOWN_DEFAULT} = 1024 until the next boot",
    )


def test_a_setting_whose_default_nobody_knows_is_written_even_where_it_is_zero() -> None:
    cookies = Sysctl("nat", "net.ipv4.tcp_syncookies", "0", "somebody needs it")
    desired = desired_of(cookies)
    plan = make_plan(desired, LastApplied(), bare_host(desired.watch))
    assert FILE in [step.fact for step in plan.steps]


def test_what_goes_with_a_section_is_gits_move_under_the_name_of_that_section() -> None:
    asked = desired_of(Sysctl("firewall", BRIDGED.key, "1", "guests have firewalls of their own"))
    host, desired = left(f"{BRIDGED.key} = 1\n".encode())
    plan = make_plan(desired, LastApplied.from_json(asked.as_json()), host)
    assert {(one.difference.kind, one.moved) for one in plan.drifts} == {("firewall", "git")}
