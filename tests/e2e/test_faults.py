"""A host with a fault: each change ends wholly old or wholly new, and the status says why in words for tired people."""

from collections.abc import Iterator

import pytest

from service.lab import Lab
from service.lab.field import Field
from tests.e2e.trials import Fault, Outcome, Trials

pytestmark = [pytest.mark.lab(minutes=3), pytest.mark.timeout(400)]

UNCONFIRMED = "nobody confirmed before the deadline, so the host rolled back"
LATCHED = "this desired state was rolled back and is not tried again: "
BEFORE = [
    Fault("a full disk", lambda host: host.faults.full_disk(), "before", "the disk is full (0 KiB free)"),
    Fault("a read-only disk", lambda host: host.faults.read_only_disk(), "before", "the disk is read-only"),
    Fault("no inode left", lambda host: host.faults.no_inodes(), "before", "the disk has no free inode"),
]
APT_LOCKED = Fault(
    "apt locked",
    lambda host: host.faults.apt_locked(),
    "before",
    "nobody knows what apt would do with python3-systemd: process ",
    more="packages: {python3-systemd: present}\n",
)
# Long enough for the service to find out what the matter is; a new connection is given 10 s.
MIDWAY = [
    Fault("a frozen host", lambda host: host.faults.hang(), "midway", hold_s=2),
    Fault("sshd stopped", lambda host: host.faults.sshd_stopped(), "midway", "no SSH server greets", hold_s=10),
    Fault("nothing gets to it", lambda host: host.faults.partition("to_host"), "midway", "no TCP", hold_s=10),
    Fault("nothing comes back", lambda host: host.faults.partition("from_host"), "midway", "no TCP", hold_s=10),
    Fault("large packets lost", lambda host: host.faults.mtu_black_hole(), "midway", "(MTU)", hold_s=10),
    Fault("a disk that fills", lambda host: host.faults.full_disk(), "midway"),
]
THROUGHOUT = [Fault("30 % loss", lambda host: host.faults.loss(30), "throughout")]


@pytest.fixture(scope="module")
def trials(lab: Lab) -> Iterator[Trials]:
    """All of them on four hosts, one after the other on each."""
    hosts = [lab.add_host(f"faulty{number}", wait=False) for number in range(4)]
    for host in hosts:
        host.wait_until_up()
    full, read_only, no_inode = BEFORE
    frozen, no_sshd, to_host, from_host, mtu, fills = MIDWAY
    shares = [
        [full, frozen, no_sshd],
        [read_only, to_host, fills],
        [from_host, no_inode, *THROUGHOUT],
        [mtu, APT_LOCKED],
    ]
    with Field.open(lab, poll_s="1", observe_s="1") as opened:
        running = Trials(opened, dict(zip(hosts, shares, strict=True)))
        running.join()
        yield running
    for host in hosts:
        host.power_off()


def outcome_of(trials: Trials, fault: Fault) -> Outcome:
    outcome = trials.outcomes[fault.name]
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def name_of(fault: Fault) -> str:
    return fault.name


@pytest.mark.parametrize("fault", BEFORE, ids=name_of)
def test_nothing_is_changed_while_the_host_lacks_something_and_the_change_is_made_once_it_has_it(
    trials: Trials, fault: Fault
) -> None:
    outcome = outcome_of(trials, fault)
    assert outcome.sides == ["old", "new"]
    assert outcome.apply["phase"] == "Refused"
    assert outcome.journal == {}, "nothing was armed"
    assert fault.words in outcome.apply["error"]
    assert any(fault.words in told for told in outcome.told)
    assert "Errno" not in " ".join(outcome.told)
    assert (outcome.status["sync"], outcome.status["phase"], outcome.is_synced) == ("Synced", "Succeeded", True)


def test_nothing_is_begun_while_somebody_changes_packages_and_the_change_is_made_afterwards(trials: Trials) -> None:
    outcome = outcome_of(trials, APT_LOCKED)
    assert outcome.sides == ["old", "new"]
    assert outcome.apply["phase"] == "Succeeded", "the first apply that was begun"
    assert any(APT_LOCKED.words in told for told in outcome.told)
    assert (outcome.status["sync"], outcome.status["phase"], outcome.is_synced) == ("Synced", "Succeeded", True)


@pytest.mark.parametrize("fault", MIDWAY, ids=name_of)
def test_what_goes_wrong_in_the_middle_is_undone_by_the_host_and_told(trials: Trials, fault: Fault) -> None:
    outcome = outcome_of(trials, fault)
    assert outcome.sides == ["old"]
    assert outcome.apply["phase"] == "RolledBack"
    assert (outcome.journal["state"], outcome.journal["verified_old"]) == ("rolled_back", True)
    assert outcome.apply["cause"] == outcome.journal["cause"]
    error, message = outcome.apply["error"], outcome.status["message"]
    if fault.name == "a disk that fills":
        assert error.startswith("a step failed, so the host rolled back: the disk is full")
    else:
        assert error.startswith(UNCONFIRMED)
    assert fault.words in error
    assert message == LATCHED + error or message == error
    assert (outcome.status["sync"], outcome.status["reason"]) == ("OutOfSync", "RolledBackLatched")


@pytest.mark.parametrize("fault", THROUGHOUT, ids=name_of)
def test_a_line_that_loses_packets_ends_in_one_of_both(trials: Trials, fault: Fault) -> None:
    outcome = outcome_of(trials, fault)
    ends = {
        "Succeeded": ("new", "confirmed", ""),
        "RolledBack": ("old", "rolled_back", UNCONFIRMED),
        "Refused": ("old", None, ""),
        "Failed": ("old", None, ""),  # not reached before anything was armed
    }
    side, state, words = ends[outcome.apply["phase"]]
    assert outcome.sides[-1] == side
    assert outcome.journal.get("state") == state
    assert outcome.apply["error"].startswith(words)
