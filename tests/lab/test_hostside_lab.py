"""The host-side file on a real host: systemd's timer, the boot unit, ifupdown2's boot, apt."""

import base64
import contextlib
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from service.apply.host_file import host_file
from service.errors import LabError
from service.lab import Host, Lab
from service.lab.waiting import grown_s, wait_for
from tests.hostside.rooms import earlier_version

pytestmark = [pytest.mark.lab(minutes=4), pytest.mark.every_suite]

FILE = "/root/passerelle_host.py"
INTERFACES = "/etc/network/interfaces"
UNIT = "/etc/systemd/system/trial-of-units.service"
BRIDGE = """
auto vmbr0
iface vmbr0 inet static
\taddress 10.10.10.1/24
\tbridge-ports none
\tbridge-stp off
\tbridge-fd 0
"""
ID = "01JD0000000000000000000000"
LOOK = """\
ip -br addr | sed 's/@if[0-9]*//' | tr -s ' '; ip route; nft list ruleset; cat /proc/sys/net/ipv4/ip_forward
find /etc -type f ! -name .updated | sort | xargs sha256sum; find /etc/systemd/system -type l | sort
systemctl is-active named || true"""


def call(host: Host, *words: str, give: Any = None, peer: int = 1) -> dict[str, Any]:
    """The result of a verb, as over the `peer`-th connection."""
    client = f"SSH_CONNECTION=198.18.0.10 {50000 + peer} 198.51.100.11 22"
    command = ["env", client, "python3", "-I", "-S", FILE, *words]
    ran = host.exec(command, input=json.dumps(give) if give is not None else None, timeout_s=90)
    answer = dict(json.loads(ran.stdout.splitlines()[-1]))
    print(*words, answer)  # pytest shows it where a test fails
    return answer


def begin(host: Host, given: dict[str, Any]) -> None:
    """Begin a transaction that has to be applied; otherwise the whole answer is in the failure, with its cause."""
    answer = call(host, "begin", give=given)
    assert answer["state"] == "applied", answer


def soon_s() -> int:
    """A deadline that comes soon, and not before the steps are done."""
    return round(grown_s(5))


def read_if_there(host: Host, path: str) -> bytes:
    try:
        return host.read(path)
    except (OSError, LabError):
        return b""


@pytest.fixture(scope="module")
def armed_disk(lab: Lab, suite: str) -> str:
    """The disk of a host with the file on it, that has been through one confirmed transaction which changed nothing."""
    host = lab.host("pve1")
    host.fresh(suite=suite)
    host.write(FILE, host_file().content, mode=0o700)
    drill = {**document(host, 60), "id": "01JC0000000000000000000000", "generation": 1}
    drill.update(steps=[], blobs={})
    begin(host, drill)
    assert call(host, "confirm", drill["id"], peer=2)["state"] == "confirmed"
    host.keep_disk("armed")
    return "armed"


@pytest.fixture
def armed_host(lab: Lab, suite: str, armed_disk: str) -> Host:
    """A host with that disk, freshly booted."""
    host = lab.host("pve1")
    host.fresh(suite=suite, disk=armed_disk)
    return host


def document(host: Host, timeout_s: int) -> dict[str, Any]:
    """Another address, a bridge, forwarding, a table, a new unit, BIND away."""
    old = host.read(INTERFACES)
    contents = [
        (old if isinstance(old, bytes) else old.encode()).replace(b"100.11/", b"100.99/") + BRIDGE.encode(),
        b"[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n",
    ]
    digests = [hashlib.sha256(content).hexdigest() for content in contents]
    unit, load = "unit:trial-of-units.service", "table inet passerelle_nat {\n\tchain post { }\n}"
    names = [f"file:{INTERFACES}", "addresses:enp1s0", "routes:default", "unit:named.service"]
    found = call(host, "capture", give=names)["facts"]
    after: dict[str, Any] = {
        f"file:{INTERFACES}": {"sha256": digests[0]},
        f"file:{UNIT}": {"sha256": digests[1]},
        unit: {"enabled": "enabled", "active": True},
        "sysctl:net.ipv4.ip_forward": "1",
        "nft:inet passerelle_nat": {"load": load},
        "link:vmbr0": {"type": "bridge", "up": True, "stp": False, "forward_delay_s": 0},
        "addresses:vmbr0": ["10.10.10.1/24"],
        "addresses:enp1s0": ["198.51.100.99/24"],
        "unit:named.service": {"enabled": "disabled", "active": False},
    }
    found["sysctl:net.ipv4.ip_forward"] = "0"
    steps = [{"fact": fact, "before": found.get(fact), "after": value} for fact, value in after.items()]
    route = found["routes:default"]
    return {
        "format": 1,
        "id": ID,
        "generation": 2,
        "controller": "test",
        "plan_digest": "sha256:0",
        "confirm_timeout_s": timeout_s,
        "steps": steps,
        "keep": [{"fact": "routes:default", "before": route, "after": route}],
        "blobs": {d: base64.b64encode(c).decode() for d, c in zip(digests, contents, strict=True)},
    }


def test_the_timer_brings_the_old_network_back(armed_host: Host) -> None:
    before = armed_host.sh(LOOK)
    begin(armed_host, document(armed_host, soon_s()))
    assert armed_host.sh(LOOK) != before
    armed_host.sh("while test -e /var/lib/passerelle/armed; do sleep 0.1; done", timeout_s=15)
    journal = call(armed_host, "status", ID)["journals"][0]
    assert (journal["state"], journal["cause"], journal["verified_old"]) == ("rolled_back", "deadline", True)
    assert armed_host.sh(LOOK) == before
    assert armed_host.sh("systemctl list-units --all --plain --no-legend 'passerelle-[aew]*'") == ""


@pytest.mark.every_suite(full=True)
def test_a_killed_rollback_of_the_timer_is_started_again(armed_host: Host) -> None:
    before = armed_host.sh(LOOK)
    armed_host.write("/run/passerelle-test", b"restore-file\n")
    begin(armed_host, document(armed_host, soon_s()))
    armed_host.sh("while ! test -e /run/passerelle-point; do sleep 0.05; done", timeout_s=20)
    armed_host.sh(
        "rm /run/passerelle-test; systemctl kill -s SIGKILL $(systemctl list-units --plain --no-legend -t service "
        f"'passerelle-expire-{ID}-*' 'passerelle-watch-{ID}*' | cut -d ' ' -f 1)"
    )
    armed_host.sh("while test -e /var/lib/passerelle/armed; do sleep 0.1; done", timeout_s=20)
    assert call(armed_host, "status", ID)["journals"][0]["state"] == "rolled_back"
    assert armed_host.sh(LOOK) == before


@pytest.mark.parametrize("cut", ["reboot", "power_cut"])
def test_a_boot_brings_the_old_network_back(armed_host: Host, cut: str) -> None:
    before = armed_host.sh(LOOK)
    begin(armed_host, document(armed_host, 300))
    getattr(armed_host, cut)()
    armed_host.wait_until_up(60)
    verified = call(armed_host, "status", ID, "--verify")
    assert (verified["state"], verified["cause"], verified["verified_old"]) == ("rolled_back", "boot", True)
    assert armed_host.sh(LOOK) == before


def test_a_killed_rollback_at_boot_is_finished_before_the_network_starts(armed_host: Host) -> None:
    before = armed_host.sh(LOOK)
    begin(armed_host, document(armed_host, 300))
    armed_host.write("/var/lib/passerelle/test-stop-at", b"boot-restore-file\n")
    armed_host.power_cut(wait=False)
    wait_for(lambda: b"boot" in read_if_there(armed_host, "/run/passerelle-point"), "the boot's rollback", 60)
    # Not `systemctl kill`: systemd 257 writes to cgroup.kill, and then Linux 6.18 kills whatever systemd starts in that
    # unit until it has ended. That is an admin who stops it.
    group = "/sys/fs/cgroup$(systemctl show --value -p ControlGroup passerelle-recover.service)"
    armed_host.sh(f"kill -KILL $(cat {group}/cgroup.procs)")
    armed_host.wait_until_up(60)
    verified = call(armed_host, "status", ID, "--verify")
    assert (verified["state"], verified["cause"], verified["verified_old"]) == ("rolled_back", "boot", True)
    assert armed_host.sh(LOOK) == before


@pytest.mark.every_suite(full=True)
def test_the_power_goes_in_the_middle_of_the_steps(armed_host: Host) -> None:
    before = armed_host.sh(LOOK)
    armed_host.write("/run/passerelle-test", b"step-7-after\n")
    given = json.dumps(document(armed_host, 300))
    armed_host.write("/root/document", given.encode())
    armed_host.sh(f"python3 -I -S {FILE} begin </root/document >/dev/null 2>&1 & ")
    armed_host.sh("while ! test -e /run/passerelle-point; do sleep 0.05; done", timeout_s=20)
    armed_host.power_cut()
    armed_host.wait_until_up(60)
    assert call(armed_host, "status", ID, "--verify")["verified_old"] is True
    armed_host.sh("rm /root/document")
    assert armed_host.sh(LOOK) == before


@pytest.mark.every_suite(full=True)
def test_a_confirmation_over_a_new_connection_keeps_the_new_network(armed_host: Host) -> None:
    begin(armed_host, document(armed_host, 60))
    assert call(armed_host, "confirm", ID)["reason"] == "same-connection"
    assert call(armed_host, "confirm", ID, peer=2)["state"] == "confirmed"
    assert "198.51.100.99/24" in armed_host.sh("ip -br addr")
    assert armed_host.sh("systemctl list-timers --all | grep passerelle || true") == ""


def test_a_package_is_installed_without_its_service(armed_host: Host) -> None:
    answer = call(armed_host, "packages", give={"install": ["dnsmasq"], "timeout_s": 60})
    assert answer["packages"] == {"dnsmasq": {"state": "installed"}}, answer
    facts = call(armed_host, "capture", give=["unit:dnsmasq.service", "unit:named.service"])["facts"]
    assert facts["unit:dnsmasq.service"] == {"enabled": "disabled", "active": False}
    assert facts["unit:named.service"]["active"] is True
    assert "policy-rc.d" not in armed_host.sh("ls /usr/sbin")


@contextlib.contextmanager
def storm(host: Host, what: str) -> Iterator[None]:
    """Let systemd do something every second, as an admin or packages' scripts would."""
    script = f"#!/bin/sh\ntouch /run/storm\nwhile test -e /run/storm; do systemctl {what}; sleep 1; done\n"
    host.write("/root/storm", script.encode(), mode=0o755)
    host.sh("systemd-run --quiet --collect --unit=storm /root/storm; while ! test -e /run/storm; do sleep 0.05; done")
    try:
        yield
    finally:
        host.sh("rm /run/storm; while pgrep -x storm >/dev/null; do sleep 0.1; done; rm /root/storm", timeout_s=60)


def woke(host: Host) -> dict[str, float]:
    """How long after the deadline each waker came, once the change is rolled back."""
    host.sh("while test -e /var/lib/passerelle/armed; do sleep 0.1; done", timeout_s=60)
    left = "systemctl list-units --all --plain --no-legend 'passerelle-[aew]*'"
    wait_for(lambda: host.sh(left) == "", "the wakers end", 20)
    journal = call(host, "status", ID)["journals"][0]
    assert (journal["state"], journal["cause"], journal["verified_old"]) == ("rolled_back", "deadline", True)
    return {verb: at_s - journal["deadline_boottime_s"] for verb, at_s in journal["woke"].items()}


@pytest.mark.parametrize("what", ["daemon-reload", "daemon-reexec"])
def test_no_storm_of_reloads_moves_the_deadline(armed_host: Host, what: str) -> None:
    before = armed_host.sh(LOOK)
    with storm(armed_host, what):
        begin(armed_host, document(armed_host, 2 * soon_s()))
        armed_host.sh("while test -e /var/lib/passerelle/armed; do sleep 0.1; done", timeout_s=60)
    late_s = woke(armed_host)
    assert set(late_s) == {"watch", "expire"}
    assert all(0 <= seconds <= 5 for seconds in late_s.values()), late_s
    assert armed_host.sh(LOOK) == before


@pytest.mark.parametrize(
    ("blow", "comes"),
    [
        (f"systemctl stop 'passerelle-expire-{ID}-*.timer'", {"watch"}),
        (f"systemctl stop passerelle-watch-{ID}", {"expire"}),
        (f"systemctl kill -s SIGSTOP passerelle-watch-{ID}", {"expire"}),
        (f"systemctl kill -s SIGKILL passerelle-watch-{ID}", {"watch", "expire"}),  # systemd starts it again
        (
            "ln -sf /usr/share/zoneinfo/Asia/Tokyo /etc/localtime",
            {"watch", "expire"},
        ),  # systemd starts all timers again
    ],
)
def test_one_waker_is_enough(armed_host: Host, blow: str, comes: set[str]) -> None:
    begin(armed_host, document(armed_host, 60))
    assert call(armed_host, "extend", ID, str(soon_s()))["state"] == "applied", "both wakers are moved"
    armed_host.sh(blow)
    armed_host.sh("while test -e /var/lib/passerelle/armed; do sleep 0.1; done", timeout_s=60)
    armed_host.sh("systemctl kill -s SIGKILL 'passerelle-watch-*'", check=False)  # one that was stopped
    late_s = woke(armed_host)
    assert set(late_s) == comes
    assert all(0 <= seconds <= 5 for seconds in late_s.values()), late_s


@pytest.mark.every_suite(full=True)
def test_the_boot_unit_is_nobodys_to_switch(armed_host: Host) -> None:
    """`services: {passerelle-recover: disabled}` was reported as a success once."""
    before = armed_host.sh(LOOK)
    recover = "unit:passerelle-recover.service"
    was = call(armed_host, "capture", give=[recover])["facts"][recover]
    step = {"fact": recover, "before": was, "after": {"enabled": "disabled", "active": False}}
    answer = call(armed_host, "begin", give={**document(armed_host, 60), "steps": [step], "blobs": {}})
    assert (answer["state"], answer["reason"]) == ("refused", "vital")
    assert armed_host.sh(LOOK) == before


@pytest.mark.every_suite(full=True)
def test_a_change_that_takes_the_boot_unit_along_is_undone_with_words(armed_host: Host) -> None:
    text = (
        b"[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/systemctl disable passerelle-recover.service\n"
    )
    digest = hashlib.sha256(text).hexdigest()
    steps = [
        {"fact": f"file:{UNIT}", "before": None, "after": {"sha256": digest}},
        {"fact": "unit:trial-of-units.service", "before": None, "after": {"active": True}},
    ]
    blobs = {digest: base64.b64encode(text).decode()}
    trial = {**document(armed_host, 60), "steps": steps, "blobs": blobs}
    answer = call(armed_host, "begin", give=trial)
    assert (answer["state"], answer["cause"]) == ("rolled_back", "switch lost")
    assert "passerelle-recover.service: UnitFileState is disabled, not enabled" in answer["error"]
    again = call(armed_host, "begin", give={**document(armed_host, 60), "id": f"{ID[:-1]}1", "generation": 3})
    assert again["state"] == "applied", "the next change puts the boot unit back"


@pytest.mark.every_suite(full=True)
@pytest.mark.parametrize("end", ["confirm", "boot"])
def test_a_change_that_an_earlier_version_armed_is_taken_over(armed_host: Host, end: str) -> None:
    armed_host.write(FILE, earlier_version(), mode=0o700)
    before = armed_host.sh(LOOK)
    begin(armed_host, document(armed_host, 300))
    armed_host.write(FILE, host_file().content, mode=0o700)
    assert [proof["told"] for proof in call(armed_host, "prove", ID)["proofs"] if not proof["ok"]] == []
    if end == "confirm":
        assert call(armed_host, "confirm", ID, peer=2)["state"] == "confirmed"
        assert armed_host.sh(LOOK) != before
    else:  # the boot unit runs the file that armed
        armed_host.power_cut()
        armed_host.wait_until_up(60)
        assert call(armed_host, "status", ID, "--verify")["cause"] == "boot"
        assert armed_host.sh(LOOK) == before
