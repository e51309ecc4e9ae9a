"""How many new connections a host has to accept before a change is confirmed."""

import pytest

from service.apply.way_in import ENTRIES, LIMITED_ENTRIES, entries_of, pause_of
from service.model.facts import Step
from service.model.plans import Plan


def bringing(*rules: str) -> Plan:
    """A plan that loads a table with these rules."""
    load = "table inet passerelle { chain input { type filter hook input priority 0;\n" + "\n".join(rules) + "\n} }"
    return Plan("pve1", "c" * 40, "sha256:1", steps=(Step("nft:inet passerelle", None, {"load": load}, "a test"),))


@pytest.mark.parametrize(
    "rule",
    [
        "tcp dport 22 ct state new limit rate over 3/minute drop",
        "tcp dport 22 ct state new limit rate 10/minute burst 5 packets accept",
        "tcp dport 22 quota over 1 mbytes drop",
        "tcp dport 22 ct count over 4 reject",
        "tcp dport 22 ct state new add @seen { ip saddr timeout 1m limit rate over 6/minute } drop",
    ],
)
def test_a_limit_of_new_connections_has_to_let_more_in_than_its_first_burst(rule: str) -> None:
    assert entries_of(bringing(rule)) == LIMITED_ENTRIES > 2 * 5


def test_a_filter_without_limits_and_any_other_change_have_to_let_some_in() -> None:
    assert entries_of(bringing("tcp dport 22 accept", "ct state established accept")) == ENTRIES
    gone = Step("nft:inet passerelle", {"load": "limit rate 3/minute"}, None, "a test")
    sysctl = Step("sysctl:net.ipv4.ip_forward", "0", "1", "a test")
    assert entries_of(Plan("pve1", "c" * 40, "sha256:1", steps=(gone, sysctl))) == ENTRIES


def unit(before: bool, after: bool) -> Plan:
    values = [{"enabled": "enabled", "active": active} for active in (before, after)]
    return Plan("pve1", "c" * 40, "sha256:1", steps=(Step("unit:fail2ban.service", *values, "a test"),))


def test_a_program_that_is_started_is_given_a_moment_to_shut_the_door() -> None:
    assert pause_of(unit(before=False, after=True), 120) == 3
    assert pause_of(unit(before=False, after=True), 8) == 1
    assert [pause_of(unit(before, after), 120) for before, after in ((True, True), (True, False))] == [0, 0]
    assert pause_of(bringing("tcp dport 22 accept"), 120) == 0
