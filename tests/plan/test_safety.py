"""What stops a plan before anything is written: each refusal once firing and once silent, as a table."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from service.model.changes import Difference, Drift
from service.model.facts import Step
from service.model.observed import HostObserved, Watch
from service.model.states import Absent, Json, Observed, Seen
from service.plan.safety import not_ifupdown, refusals
from service.resources.desired import Desired
from tests.laws.host import bare_host, file_fact, link
from tests.laws.specs import desired_from

HOST_FW = Step("file:/etc/pve/nodes/pve1/host.fw", None, {"sha256": "0" * 64}, "asked")
FILE = Step("file:/etc/dnsmasq.d/passerelle.conf", None, {"sha256": "0" * 64}, "asked")


def drift(resource: str, unknown: str = "", kind: str = "bridges") -> Drift:
    return Drift(Difference(kind, resource, "up", "live", "changed", True, None, unknown=unknown), "git")


def bridges(count: int) -> dict[str, Observed[Json]]:
    return {f"link:vmbr{n}": Seen(link(type="bridge")) for n in range(count)}


def without(*numbers: int) -> tuple[Step, ...]:
    return tuple(Step(f"link:vmbr{n}", {"type": "bridge"}, None, "gone") for n in numbers)


@dataclass(frozen=True)
class Row:
    """A plan's parts on the bare host; `said` is each refusal as `rule: beginning of the sentence`."""

    name: str
    said: tuple[str, ...] = ()
    drifts: tuple[Drift, ...] = ()
    steps: tuple[Step, ...] = ()
    facts: Mapping[str, Observed[Json]] = field(default_factory=dict)
    left_overs: tuple[str, ...] = ()


ROWS = [
    Row("nothing to say"),
    Row("what differs is not a refusal", drifts=(drift("vmbr0"),), steps=(FILE,)),
    Row("one thing unread", ("unknown: vmbr0 could not be read: garbled",), drifts=(drift("vmbr0", "garbled"),)),
    Row(
        "two things unread for one reason are one refusal",
        ("unknown: vmbr0, vmbr1 could not be read: cut off",),
        drifts=(drift("vmbr1", "cut off"), drift("vmbr0", "cut off")),
    ),
    Row(
        "two reasons are two refusals",
        ("unknown: vmbr0 could not be read: cut off", "unknown: vmbr0 could not be read: garbled"),
        drifts=(drift("vmbr0", "garbled"), drift("vmbr0", "cut off")),
    ),
    Row("our file is a file", steps=(FILE,), facts={FILE.fact: Seen(file_fact(b""))}),
    Row("our file is absent", steps=(FILE,), facts={FILE.fact: Absent()}),
    Row(
        "our file is a link",
        ("not-ours: /etc/dnsmasq.d/passerelle.conf is a symlink, not a regular file",),
        steps=(FILE,),
        facts={FILE.fact: Seen({"type": "symlink"})},
    ),
    Row("a link that no step touches", facts={FILE.fact: Seen({"type": "symlink"})}),
    Row("left-overs without a step", left_overs=("/etc/network/interfaces.new",)),
    Row(
        "a pending change of somebody else",
        ("left-over: /etc/network/interfaces.new is a pending change that the next reboot moves",),
        steps=(FILE,),
        left_overs=("/etc/network/interfaces.new",),
    ),
    Row(
        "a firewall file that waits for the next boot",
        ("left-over: /etc/pve/local/host.fw.new is a pending change that the next reboot moves over /etc/pve/nodes/",),
        steps=(HOST_FW,),
        left_overs=("/etc/pve/local/host.fw.new",),
    ),
    Row("a firewall file that waits, beside other changes", steps=(FILE,), left_overs=("/etc/pve/local/host.fw.new",)),
    Row("a package's left-over", steps=(FILE,), left_overs=("/etc/dnsmasq.conf.dpkg-new",)),
    Row(
        "three of four bridges go",
        ("too-much-change: 3 of 4 bridges would be removed",),
        steps=without(0, 1, 2),
        facts=bridges(4),
    ),
    Row("half of the bridges go", steps=without(0, 1), facts=bridges(4)),
    Row("all of a few bridges go", steps=without(0, 1, 2), facts=bridges(3)),
    Row("interfaces are not bridges", steps=without(0, 1), facts={f"link:eth{n}": Seen(link()) for n in range(9)}),
]


def host_of(row: Row) -> HostObserved:
    bare = bare_host(Watch())
    return replace(bare, facts={**bare.facts, **row.facts}, left_overs=row.left_overs)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_plan_is_stopped_for_exactly_these_reasons(row: Row) -> None:
    found = list(refusals(row.drifts, row.steps, Desired("pve1", ()), host_of(row)))
    assert len(found) == len(row.said)
    for refusal, said in zip(found, row.said, strict=True):
        assert f"{refusal.rule}: {refusal.what}".startswith(said)
        assert refusal.hint


BY_NETWORKD: Mapping[str, Observed[Json]] = {
    "unit:networking.service": Seen({"enabled": "disabled", "active": False}),
    "unit:systemd-networkd.service": Seen({"enabled": "enabled", "active": True}),
}
INTERFACES = """\
interfaces: {enp1s0: {addresses: [198.51.100.11/24], gateway: 198.51.100.1}}
bridges: {vmbr0: {addresses: [10.10.10.1/24]}}
"""
ELSEWHERE = "the network of this host is brought up by systemd-networkd, not by ifupdown: the next boot ignores"


@pytest.mark.parametrize(
    ("differs", "steps", "facts", "stopped"),
    [
        (drift("vmbr0"), (FILE,), BY_NETWORKD, True),
        (drift("enp1s0", kind="interfaces"), (FILE,), BY_NETWORKD, True),
        (drift("enp1s0", kind="nat"), (FILE,), BY_NETWORKD, False),
        (drift("vmbr0"), (), BY_NETWORKD, False),
        (drift("vmbr9"), (FILE,), BY_NETWORKD, False),
        (drift("vmbr0"), (FILE,), {}, False),
    ],
    ids=[
        "a bridge",
        "a card",
        "no interface",
        "nothing is done",
        "a bridge that the spec has not",
        "ifupdown brings it up",
    ],
)
def test_what_another_program_brings_up_is_refused_with_the_two_ways_out(
    differs: Drift, steps: tuple[Step, ...], facts: Mapping[str, Observed[Json]], *, stopped: bool
) -> None:
    desired = desired_from(INTERFACES)
    found = list(not_ifupdown([differs], steps, desired, host_of(Row("", facts=facts))))
    assert [refusal.rule for refusal in found] == ["not-ifupdown"] * stopped
    assert all(refusal.what.startswith(ELSEWHERE) for refusal in found)
    assert all(
        refusal.hint.startswith("Fix: remove `interfaces` and `bridges` from the spec, or change to ifupdown2")
        for refusal in found
    )
