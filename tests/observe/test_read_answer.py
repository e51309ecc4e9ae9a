"""Whole answers of real hosts, read; and equal meanings with other bytes."""

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from service.model.observed import ManagementPath
from service.model.secret import Secret
from service.model.states import Absent, Seen, Unknown
from service.observe.read_answer import READERS, read_answer
from tests.golden import same_as_golden
from tests.observe.samples import ANSWERS, AT, CASES, NONCE, WATCH, answer, read


def told(value: Any, indent: str = "") -> str:
    """A value as lines that a person can compare."""
    if isinstance(value, Mapping):
        return "".join(f"\n{indent}{key}: {told(value[key], indent + '  ')}" for key in sorted(value, key=str))
    if isinstance(value, tuple) and value and is_dataclass(value[0]):
        return "".join(f"\n{indent}- {item}" for item in value)
    if isinstance(value, Seen) and isinstance(value.value, tuple):
        return "Seen" + told(value.value, indent)
    return str(value)


@pytest.mark.parametrize("case", CASES)
def test_a_real_answer_is_read_as_kept(case: str) -> None:
    observed = read(answer(case))
    shown = {
        field.name: getattr(observed, field.name)
        for field in fields(observed)
        if field.name not in ("digests", "size", "derived")
    }
    same_as_golden(ANSWERS / case / "observed", told(shown).lstrip() + "\n")


def test_a_gateway_is_seen_with_its_bridge_guests_leases_and_doubled_rule() -> None:
    observed = read(answer("gateway"))
    bridge = observed.fact("link:vmbr0")
    assert isinstance(bridge, Seen) and isinstance(bridge.value, dict)
    assert (bridge.value["type"], bridge.value["stp"], bridge.value["forward_delay_s"]) == ("bridge", False, 0)
    assert isinstance(ports := bridge.value["ports"], list) and len(ports) == 2
    assert observed.fact("addresses:vmbr0") == Seen(["10.10.10.1/24"])
    assert observed.fact("masquerade:10.10.10.0/24>enp1s0") == Seen(2)
    assert isinstance(observed.masquerades, Seen)
    made = {(m.source, m.out, m.table): m.count for m in observed.masquerades.value}
    assert made == {
        ("10.10.10.0/24", "enp1s0", "iptables nat"): 2,
        ("10.10.20.0/24", "enp1s0", "nft inet passerelle_nat"): 1,
    }
    assert isinstance(observed.leases, Seen)
    assert sorted(lease.name for lease in observed.leases.value) == ["", "dev"]
    assert observed.path is not None and observed.path.server == "198.51.100.11"
    assert isinstance(observed.listeners, Seen)
    assert any(s.port == 53 and s.program == "dnsmasq" for s in observed.listeners.value)
    assert isinstance(observed.fact("nft:inet passerelle_nat"), Seen)


def test_what_is_not_there_is_absent_because_the_host_said_so() -> None:
    observed = read(answer("gateway"))
    assert observed.fact("file:/etc/passerelle/nat.nft") == Absent()
    assert observed.fact("file:/etc/dnsmasq.d/nope") == Absent()
    assert observed.text("/etc/dnsmasq.d/nope") == Absent()
    assert observed.fact("link:nope0") == Absent()
    assert observed.fact("unit:nope.service") == Absent()
    assert observed.fact("sysctl:net.nope") == Absent()
    assert observed.packages["nope"] == Absent()


def test_a_lost_lease_file_says_nothing_of_the_leases_while_dnsmasq_has_them_in_memory() -> None:
    missing = b"stat: cannot statx '/var/lib/misc/dnsmasq.leases': No such file or directory\n"
    lost = re.sub(rb"f\|regular file\|132\|\S*dnsmasq\.leases\n", missing, answer("gateway"))
    lost = re.sub(rb"(?m)^\d{10} (?:[0-9a-f]{2}:){5}.*\n", b"", lost)
    seen = read(lost).leases
    assert isinstance(seen, Unknown)
    assert "in its memory alone" in seen.why
    stopped = re.sub(rb"(Id=dnsmasq\.service\n(?:.+\n)*?ActiveState=)active", rb"\1inactive", lost)
    assert read(stopped).leases == Absent()


def test_what_was_not_looked_at_is_unknown() -> None:
    observed = read(answer("gateway"))
    for fact in ("file:/etc/hosts", "file:/etc/dnsmasq.d/.hidden", "unit:ssh.service", "sysctl:net.ipv4.tcp_ecn"):
        assert isinstance(observed.fact(fact), Unknown)


def test_a_folder_with_a_name_that_cannot_be_told_is_unknown_for_the_rest() -> None:
    assert isinstance(read(answer("gateway")).fact("file:/etc/sysctl.d/nope"), Unknown)


def test_a_symlink_is_told_and_not_followed() -> None:
    observed = read(answer("gateway"))
    assert observed.fact("file:/etc/sysctl.d/linked") == Seen({"type": "symlink"})
    assert isinstance(observed.text("/etc/sysctl.d/linked"), Unknown)


def test_left_overs_and_the_armed_transaction_are_told() -> None:
    observed = read(answer("gateway"))
    assert observed.left_overs == ("/etc/dnsmasq.conf.dpkg-new", "/etc/network/interfaces.new")
    assert observed.armed == "01JD0000000000000000000000"


def test_a_daemon_started_before_its_file_changed_can_be_told() -> None:
    observed = read(answer("gateway"))
    assert observed.started_at_s["dnsmasq.service"] > observed.changed_at_s["/etc/dnsmasq.d/guests"]


def test_an_address_that_another_machine_has_is_listed_by_the_kernel_and_not_there() -> None:
    plain = b'"family":"inet","local":"10.10.10.1","prefixlen":24,'
    found = b'"family":"inet6","local":"fd00::1","prefixlen":64,"scope":"global","dadfailed":true,"tentative":true}'
    assert plain in answer("gateway")
    observed = read(answer("gateway").replace(b"{" + plain, b"{" + found + b",{" + plain))
    assert observed.fact("addresses:vmbr0") == Seen(["10.10.10.1/24"])
    assert observed.duplicates == {"vmbr0": ("fd00::1/64",)}


MOVED = (
    (rb'"valid_life_time":\d+', b'"valid_life_time":77'),
    (rb'"tentative":true,', b""),
    (rb":PREROUTING ACCEPT \[\d+:\d+\]", b":PREROUTING ACCEPT [99:12345]"),
    (rb"# Generated by (.*) on .*", rb"# Generated by \1 on Tue Nov 24 09:00:00 2026"),
    (rb"pid=\d+,fd=\d+", b"pid=4242,fd=17"),
    (rb"now \d+\.\d+\nuptime \d+\.\d+", b"now 1795450000.000000000\nuptime 9999.99"),
)


@pytest.mark.parametrize("case", CASES)
def test_what_changes_by_itself_is_no_change(case: str) -> None:
    before = answer(case)
    after = before
    for pattern, new in MOVED:
        after = re.sub(pattern, new, after)
    assert after != before
    assert read(after).digests == read(before).digests


def test_a_section_that_did_not_change_is_not_read_again_and_one_that_did_is() -> None:
    first = read_answer(answer("gateway"), NONCE, WATCH, "pve1", AT)
    changed = answer("gateway").replace(b"10.10.10.1", b"10.10.10.9")
    second = read_answer(changed, NONCE, WATCH, "pve1", AT, before=first)
    kept = {reader.name for reader in READERS if second.parts[reader.name][1] is first.parts[reader.name][1]}
    assert "units" in kept and "packages" in kept and "nft" in kept
    assert "addresses" not in kept
    assert second.observed.fact("addresses:vmbr0") == Seen(["10.10.10.9/24"])
    assert second.observed == read(changed)


def test_another_watch_reads_everything_again() -> None:
    first = read_answer(answer("gateway"), NONCE, WATCH, "pve1", AT)
    more = WATCH | type(WATCH)(sysctls=frozenset({"net.ipv4.other"}))
    second = read_answer(answer("gateway"), NONCE, more, "pve1", AT, before=first)
    assert isinstance(second.observed.fact("sysctl:net.ipv4.other"), Unknown)


def test_reading_the_clock_twice_does_not_look_like_a_restart() -> None:
    first = read_answer(answer("gateway"), NONCE, WATCH, "pve1", AT)
    later = re.sub(rb"uptime (\d+)\.(\d+)", lambda m: b"uptime %d.%02d" % (int(m[1]), 1), answer("gateway"))
    second = read_answer(later, NONCE, WATCH, "pve1", AT, before=first)
    assert second.observed.started_at_s == first.observed.started_at_s


@pytest.mark.parametrize("case", CASES)
def test_an_answer_with_no_news_is_the_observation_of_before(case: str) -> None:
    """Besides when it was made, how long it is and from where it came."""
    first = read_answer(answer(case), NONCE, WATCH, "pve1", AT)
    later = AT + timedelta(seconds=60)
    again = answer(case)
    for pattern, new in MOVED[:-1]:  # but not the host's clock
        again = re.sub(pattern, new, again)
    second = read_answer(again, NONCE, WATCH, "pve1", later, before=first)
    assert second.observed == replace(first.observed, observed_at=later, size=len(again))
    assert second.observed.facts is first.observed.facts
    assert second.observed.digests is first.observed.digests
    assert read_answer(again, NONCE, WATCH, "pve1", later).observed == second.observed


def test_a_host_that_booted_meanwhile_has_other_times_though_nothing_else_is_news() -> None:
    first = read_answer(answer("gateway"), NONCE, WATCH, "pve1", AT)
    moved = re.sub(rb"now \d+\.\d+", b"now 1795450000.000000000", answer("gateway"))
    second = read_answer(moved, NONCE, WATCH, "pve1", AT, before=first)
    assert second.observed.started_at_s != first.observed.started_at_s
    assert second.observed == read(moved)


def test_another_way_in_is_seen_though_nothing_else_is_news() -> None:
    first = read_answer(answer("gateway"), NONCE, WATCH, "pve1", AT)
    moved = re.sub(rb"\nconnection .*\n", b"\nconnection 192.0.2.7 4242 192.0.2.8 22\n", answer("gateway"))
    second = read_answer(moved, NONCE, WATCH, "pve1", AT, before=first)
    assert second.observed.path == ManagementPath("192.0.2.7", "192.0.2.8", 22)


def test_a_daemon_that_waits_its_turn_at_boot_is_unknown_and_no_drift() -> None:
    waiting = answer("gateway").replace(b"Id=dnsmasq.service\n", b"Id=dnsmasq.service\nJob=217\n")
    assert waiting != answer("gateway")
    seen = read(waiting).fact("unit:dnsmasq.service")
    assert isinstance(seen, Unknown) and "being started" in seen.why


def bans_of(text: str) -> object:
    body = f"begin bans\n{text}\n\n@@".encode()
    return read(re.sub(rb"begin bans\n.*?\n@@", lambda _: body, answer("gateway"), flags=re.DOTALL)).bans


def test_bans_are_read_as_fail2ban_says_them_and_nothing_else_is() -> None:
    assert bans_of("[{'sshd': ['192.0.2.9', '192.0.2.0/28']}]") == Seen({"sshd": ("192.0.2.0/28", "192.0.2.9")})
    assert bans_of("[]") == Seen({})
    assert bans_of("down") == Absent()
    assert bans_of("[{'sshd': []}]\nhears|sshd|yes|sshd-session") == Seen({"sshd": ()})
    for proof in (
        "hears|sshd|no|sshd",
        "hears|x|yes|sshd",
        "hears|sshd|yes|sh'",
        "hears|sshd|yes|sshd\nhears|sshd|yes|sshd",
    ):
        assert isinstance(bans_of(f"[]\n{proof}"), Unknown), proof
    for text in (
        "",
        "[{'sshd': ['x']}]",
        "[{'sshd': [1, 2",
        "__import__('os')",
        "[" * 5000 + "]" * 5000,
        "[{'a': {'b': 1}}]",
    ):
        assert isinstance(bans_of(text), Unknown), text


@pytest.mark.parametrize("patterns", [{"/etc/dnsmasq.d/guests"}, {"/etc/dnsmasq.d/*"}])
def test_what_nobody_may_see_is_read_as_a_secret_also_in_a_watched_folder(patterns: set[str]) -> None:
    path = "/etc/dnsmasq.d/guests"
    plain = read(answer("gateway"), replace(WATCH, files=WATCH.files | patterns))
    text, fact = plain.text(path), plain.fact(f"file:{path}")
    assert isinstance(text, Seen) and isinstance(fact, Seen) and isinstance(fact.value, dict)
    told = read(answer("gateway"), replace(WATCH, files=WATCH.files | patterns, secrets=frozenset({path})))
    assert told.secret(path) == Seen(Secret(text.value))
    assert told.text(path) == Unknown(f"what {path} holds is a secret")
    assert told.fact(f"file:{path}") == Seen({key: fact.value[key] for key in ("mode", "uid", "gid")})
    assert text.value.decode() not in repr(told) and str(fact.value["sha256"]) not in repr(told)


def test_a_secret_that_is_not_there_or_cannot_be_read_is_told_as_that() -> None:
    gone = "/etc/dnsmasq.d/nope"
    watch = replace(WATCH, files=WATCH.files | {gone}, secrets=frozenset({gone}))
    for told in (read(answer("gateway"), watch), read(answer("gateway").replace(b"begin stat", b"begin state"), watch)):
        assert type(told.secret(gone)) is type(told.text(gone)) is type(told.fact(f"file:{gone}"))
