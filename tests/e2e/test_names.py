"""Names: a silent guest gets its own without being touched, nobody else gets it, and history says who had what."""

import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import quote

import pytest

from service.lab import Guest
from tests.e2e.story import Story

pytestmark = [pytest.mark.lab(minutes=4), pytest.mark.every_suite(full=True)]

ALPINE = '  alpine: {mac: "BC:24:11:00:00:02"}\n'
GHOST = '  ghost: {mac: "BC:24:11:00:00:99"}\n'
LEASES = "/var/lib/misc/dnsmasq.leases"
ROUNDS = 3


def lease_names(story: Story, path: str = LEASES) -> dict[str, str]:
    """{MAC: name} as dnsmasq has it."""
    lines = story.host.sh(f"cat {path} 2>/dev/null || true").splitlines()
    return {words[1]: words[3] for line in lines if len(words := line.split()) == 5}


def address_of(story: Story, name: str) -> str:
    return story.host.sh(f"dig +short +tries=1 +time=2 @10.10.10.1 {name}.madyanne.lan || true").strip()


def without(text: str, *lines: str) -> str:
    for line in lines:
        text = text.replace(line, "")
    return text


def asks_for(guest: Guest, name: str = "", address: str = "") -> str:
    """The guest asks for a lease, under this name, of this address, once; the address it got."""
    argv = ["busybox", "udhcpc", "-f", "-q", "-n", "-i", "eth0", "-t", "5", "-T", "4"]
    argv += ["-x", f"hostname:{name}"] if name else []
    argv += ["-r", address] if address else []
    guest.exec([*argv, "-s", "/usr/local/lib/lab/dhcp-event"], timeout_s=45, check=True)
    return guest.address()


def touched(guest: Guest) -> str:
    """What a renewal or a restart would change: the count of the server's answers, the DHCP client's process."""
    return str(guest.exec(["cat", "/run/dhcp-count", "/run/udhcpc.pid"]).stdout)


def seconds(what: Callable[[], object]) -> float:
    began = time.monotonic()
    what()
    return time.monotonic() - began


def named(story: Story, text: str, mac: str, name: str) -> None:
    """Push, and wait until the lease has the name."""
    story.push(text, f"{name} has a name")
    story.field.wait_for(lambda: lease_names(story)[mac] == name, f"{mac} is {name}", timeout_s=60)


def dnsmasq_pid(story: Story) -> str:
    return story.host.sh("systemctl show -P MainPID dnsmasq").strip()


@pytest.fixture
def alpine(story: Story) -> Guest:
    """The silent guest with a lease; the spec does not name it."""
    story.guests["dev"].wait_for_address()
    story.guests["alpine"].wait_for_address()
    story.apply(without(story.spec(), ALPINE), "alpine is nobody")
    return story.guests["alpine"]


def test_a_silent_guest_has_no_name_until_the_spec_gives_it_one(story: Story, alpine: Guest) -> None:
    mac, before = alpine.mac.lower(), touched(alpine)
    assert (lease_names(story)[mac], address_of(story, "alpine")) == ("*", "")
    took: dict[str, list[float]] = {"name": [], "comment": [], "smallest": []}
    for number in range(ROUNDS):
        nobody = without(story.spec(cache_size=400 + number), ALPINE)
        took["smallest"].append(seconds(lambda t=nobody: story.apply(t, "one number")))  # type: ignore[misc]
        assert lease_names(story)[mac] == "*"
        took["comment"].append(seconds(lambda t=nobody: story.apply(f"# why\n{t}", "one comment")))  # type: ignore[misc]
        pid = dnsmasq_pid(story)
        somebody = story.spec(cache_size=400 + number)
        took["name"].append(seconds(lambda t=somebody: named(story, t, mac, "alpine")))  # type: ignore[misc]
        assert address_of(story, "alpine") == alpine.address()
        story.wait_synced(str(story.field.git("rev-parse", "HEAD", at=story.field.room / "work")).strip())
        assert dnsmasq_pid(story) == pid, "dnsmasq was restarted for a name"
    middle = {what: statistics.median(found) for what, found in took.items()}
    ratios = {what: round(middle["name"] / middle[what], 2) for what in ("comment", "smallest")}
    print(json.dumps({"seconds": took, "ratios": ratios}))
    assert ratios["smallest"] <= 2  # a commit that changes only a comment causes no apply: nothing is written for it
    assert touched(alpine) == before
    assert story.host.sh(f"dig +short @10.10.10.1 -x {alpine.address()}").strip() == "alpine.madyanne.lan."
    assert story.pings("dev", "alpine")


@pytest.mark.every_suite
def test_a_declared_name_is_given_to_no_other_guest_and_others_are_free(story: Story, alpine: Guest) -> None:
    story.apply(story.spec().replace(ALPINE, ALPINE + GHOST), "a ghost is declared, too")
    owner = address_of(story, "dev")
    thief = story.guests["thief"] = story.host.guest_add("thief", sort="silent")
    thief.wait_for_address()
    mac = thief.mac.lower()
    for name in ("dev", "ghost"):  # one whose owner is there, one whose owner never came
        asks_for(thief, name)
        assert lease_names(story)[mac] == "*"
    assert (address_of(story, "dev"), address_of(story, "ghost")) == (owner, "")
    asks_for(thief, "free")
    assert lease_names(story)[mac] == "free"
    declared = story.spec().replace("  domain: madyanne.lan\n", "  domain: madyanne.lan\n  names: declared\n")
    story.apply(declared, "only declared names")
    asks_for(thief, "another")
    assert "another" not in lease_names(story).values()


def test_a_guest_is_named_by_its_own_settings_on_the_host(story: Story, alpine: Guest) -> None:
    settings = f"hostname: bysettings\\nnet0: name=eth0,bridge=vmbr0,hwaddr={alpine.mac},ip=dhcp\\n"
    story.host.sh(f"mkdir -p /etc/pve/lxc; printf '{settings}' > /etc/pve/lxc/101.conf")
    try:
        story.field.wait_for(
            lambda: lease_names(story)[alpine.mac.lower()] == "bysettings", "named by its settings", timeout_s=60
        )
        assert address_of(story, "bysettings") == alpine.address()
    finally:
        story.host.sh("rm -r /etc/pve")
    story.field.wait_for(lambda: lease_names(story)[alpine.mac.lower()] == "*", "nobody again", timeout_s=60)


@pytest.mark.every_suite
def test_leases_move_with_their_file_and_history_tells_who_had_what(story: Story, alpine: Guest) -> None:
    address = alpine.address()
    story.wait_rounds()
    nameless_at = datetime.now(UTC)
    story.wait_rounds()
    before = lease_names(story)
    moved = "/var/lib/misc/guests.leases"
    story.apply(story.spec().replace(LEASES, moved), "the lease file moves, alpine has its name")
    assert lease_names(story, moved) == before | {alpine.mac.lower(): "alpine"}
    assert address_of(story, "alpine") == address
    now = story.field.wait_for(
        lambda: [one for one in story.field.items(f"leases?active=true&ip={address}") if one["name"]], "seen"
    )
    assert [one["name"] for one in now] == ["alpine"]
    then = story.field.items(f"leases?ip={address}&at={quote(nameless_at.isoformat())}")
    assert [(one["mac"], one["name"]) for one in then] == [(alpine.mac.lower(), "")]
    history = story.field.items(f"leases/history?ip={address}")
    assert [one["name"] for one in history][:2] == ["alpine", ""]
    story.apply(story.spec(), "and back")
    assert lease_names(story)[alpine.mac.lower()] == "alpine"


def test_a_restart_ends_no_lease_and_a_lost_file_ends_them_when_that_is_seen(story: Story, alpine: Guest) -> None:
    address = alpine.address()

    def history() -> list[tuple[str, str, bool]]:
        found = story.field.items(f"leases/history?ip={address}")
        return [(one["mac"], one["from_at"], one["until_at"] is None) for one in found]

    story.field.wait_for(lambda: history() and history()[0][2], "its lease is seen")
    before, saved = history(), story.host.sh(f"cat {LEASES}")
    assert before[0][0] == alpine.mac.lower()
    story.host.sh("systemctl restart dnsmasq")
    story.wait_rounds()
    assert history() == before
    try:
        story.host.sh(f"rm {LEASES}")  # dnsmasq has them in memory, and continues
        story.wait_rounds()
        assert history() == before
        held_at = datetime.now(UTC)
        story.host.sh("systemctl restart dnsmasq")
        story.field.wait_for(lambda: not story.field.items("leases?active=true"), "the leases are seen gone")
        assert history() == [(*before[0][:2], False), *before[1:]]
        then = story.field.items(f"leases?ip={address}&at={quote(held_at.isoformat())}")
        assert [one["mac"] for one in then] == [alpine.mac.lower()]
        assert asks_for(alpine, address=address) == address
        story.field.wait_for(lambda: len(history()) == len(before) + 1, "the lease is there again")
        assert [still for _, _, still in history()[:2]] == [True, False]
    finally:
        story.host.write(LEASES, saved.encode())
        story.host.sh("systemctl restart dnsmasq")
    story.field.wait_for(
        lambda: lease_names(story) and len(story.field.items("leases?active=true")) > 1, "all are back"
    )


def test_the_command_line_tells_who_is_who_how_full_the_pool_is_and_makes_a_lease_fixed(
    story: Story, alpine: Guest
) -> None:
    story.wait_rounds()
    told = json.loads(story.field.run("guests", "pve1", "-o", "json").stdout)
    states = {one["mac"]: (one["name"], one["source"], one["state"]) for one in told["items"]}
    assert states[story.guests["dev"].mac.lower()] == ("dev", "spec", "named")
    assert states[alpine.mac.lower()] == ("", "lease", "silent")
    (pool,) = json.loads(story.field.run("pools", "pve1", "-o", "json").stdout)
    assert (pool["size"], pool["free"] + pool["leased"] + pool["reserved"]) == (101, 101)
    assert pool["leased"] >= 2
    patch = story.field.run("fix", "pve1", alpine.address()).stdout.decode()
    work = story.field.room / "work"
    (work / "lease.patch").write_text(patch)
    story.field.git("apply", "lease.patch", at=work)
    text = (work / f"hosts/{story.host.name}.yaml").read_text()
    assert f'mac: "{alpine.mac.lower()}", address: {alpine.address()}' in text
    (work / "lease.patch").unlink()
    story.field.git("checkout", "--", ".", at=work)


def test_a_name_server_that_takes_a_served_address_is_drift_that_names_it(story: Story) -> None:
    """BIND as Debian sets it up listens on every address of its own; dnsmasq runs on, and gets no query any more."""
    story.apply(without(story.spec(), "services: {named: disabled}\n"), "nobody speaks of BIND")
    story.apply(without(story.spec(cache_size=300), "services: {named: disabled}\n"), "dnsmasq starts anew")
    probes = {p["name"]: p for p in story.field.get(f"applies/{story.applies()[0]['id']}")["probes"]}
    asked = probes["server 10.10.10.1:53 dnsmasq"]
    assert (asked["before"], asked["after"]) == ("ok", "ok")
    story.host.sh("systemctl start named")
    try:
        status = story.wait_status(sync="OutOfSync", reason="Drifted", health="Degraded", phase="Idle")
        assert "named holds udp/53 on 10.10.10.1 (vmbr0)" in status["message"]
        assert [(one["resource"], one["want"], one["have"]) for one in story.drift()] == [
            ("udp/53 on 10.10.10.1 (vmbr0)", "dnsmasq", "named")
        ]
        assert story.host.sh("systemctl is-active dnsmasq").strip() == "active"
    finally:
        story.host.sh("systemctl stop named")
    story.wait_status(sync="Synced", health="Healthy")


def test_a_guest_that_gets_another_address_has_its_name_at_once_and_keeps_it(story: Story, alpine: Guest) -> None:
    before, mac = alpine.wait_for_address(), alpine.mac.lower()
    assert lease_names(story)[mac] == "*"
    fixed = story.spec().replace(ALPINE, f'  alpine: {{mac: "{alpine.mac}", address: 10.10.10.20}}\n')
    try:
        commit = story.apply(fixed, "alpine has an address for good")
        (plan,) = [one for one in story.applies() if one["commit"] == commit]
        notes = story.field.get(f"plans/{plan['plan_id']}")["body"]["notes"]
        assert [n for n in notes if n.startswith(f"alpine keeps {before} until it renews its lease")], notes
        assert (lease_names(story)[mac], address_of(story, "alpine"), alpine.address()) == ("alpine", before, before)
        story.field.wait_for(lambda: alpine.renew() == "10.10.10.20", "the new address", timeout_s=60)
        assert (lease_names(story)[mac], address_of(story, "alpine")) == ("alpine", "10.10.10.20")
    finally:
        story.apply(story.spec(), "as usual")
        story.field.wait_for(lambda: alpine.renew() != "10.10.10.20", "an address of the pool again", timeout_s=60)
