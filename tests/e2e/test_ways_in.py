"""Logins other than root's own and direct one: through sudo, and through another host of the fleet."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from service.lab import Lab
from service.lab.field import Field
from tests.e2e.evidence import transactions
from tests.e2e.story import Story

pytestmark = [pytest.mark.lab(minutes=2), pytest.mark.every_suite(full=True)]

CONTROLLER = "198.18.0.10"
SUDOERS = "/etc/sudoers.d/passerelle"
SSHD = "/etc/ssh/sshd_config.d/ways.conf"
OPS = f"""\
useradd --create-home --shell /bin/sh ops
install -d -m 700 -o ops /home/ops/.ssh
install -m 600 -o ops /root/.ssh/authorized_keys /home/ops/.ssh/authorized_keys
echo 'ops ALL=(root) NOPASSWD: ALL' > {SUDOERS}
chmod 440 {SUDOERS}
echo 'PermitRootLogin no' > {SSHD}
systemctl reload ssh
"""
"""A host as many hand it over: nobody logs in as root."""
BEHIND = "  user: ops\n  jump: pve1\n"
CUT = """\
firewall:
  rules:
    - {{type: in, action: accept, macro: SSH}}
    - {{type: out, action: drop, dest: {inner}, proto: tcp, dport: "22"}}
"""


@pytest.fixture(scope="module")
def fleet(lab: Lab, field: Field, suite: str) -> Iterator[tuple[Story, Story]]:
    """pve1, and pve2 that only pve1 reaches and that takes no login of root."""
    outer, inner = lab.host("pve1"), lab.add_host(f"in-{suite}", suite=suite)
    outer.fresh(suite=suite)
    inner.sh(OPS + f"ip route add blackhole {CONTROLLER}/32")
    both = Story(outer, field), Story(inner, field)
    commit = push(both, "both as the seed says")
    for story in both:
        story.wait_synced(commit)
    yield both
    inner.power_off()


def push(fleet: tuple[Story, Story], subject: str, *, cut: str = "", **inner: object) -> str:
    outer, behind = fleet
    text = behind.spec(extra=BEHIND, **inner).replace("BC:24:11:00", "BC:24:11:01")
    files = {"hosts/pve1.yaml": outer.spec() + cut, f"hosts/{behind.host.name}.yaml": text}
    return outer.field.push({"fleet.yaml": "passerelle: 1\n", **files}, subject)


@contextmanager
def without_forwarding(jump: Story) -> Iterator[None]:
    """New connections are not forwarded; existing ones continue."""
    jump.host.sh(f"echo 'AllowTcpForwarding no' > {SSHD} && systemctl reload ssh")
    try:
        yield
    finally:
        jump.host.sh(f"rm {SSHD} && systemctl reload ssh")


def test_a_host_behind_another_is_changed_and_drilled_through_sudo(fleet: tuple[Story, Story], lab: Lab) -> None:
    _, inner = fleet
    with pytest.raises(OSError):
        lab.dial(inner.host.address, timeout_s=2)
    commit = push(fleet, "another cache", cache_size=200)
    inner.wait_synced(commit)
    assert inner.port_53_owners() == {"dnsmasq"}
    assert inner.masquerades() == 1
    assert [apply["phase"] for apply in inner.applies()][:1] == ["Succeeded"]
    assert json.loads(inner.field.run("drill", inner.host.name, "-o", "json").stdout)["state"] == "Passed"
    assert inner.drift() == []


def test_without_a_new_connection_through_the_jump_host_nothing_begins(fleet: tuple[Story, Story]) -> None:
    outer, inner = fleet
    done = set(transactions(inner.host))
    with without_forwarding(outer):
        commit = push(fleet, "while nobody comes in anew", cache_size=333)

        def said() -> str:
            message = str(inner.status().get("message", ""))
            return message if "forwards no connection" in message else ""

        message = inner.field.wait_for(said, "the jump host's refusal is shown", timeout_s=60)
        assert "AllowTcpForwarding" in message
        assert set(transactions(inner.host)) == done
        assert "cache-size=333" not in inner.host.read("/etc/dnsmasq.d/passerelle.conf").decode()
    inner.wait_synced(commit)
    assert "cache-size=333" in inner.host.read("/etc/dnsmasq.d/passerelle.conf").decode()


def test_a_change_of_the_jump_host_that_cuts_the_host_behind_it_is_rolled_back(fleet: tuple[Story, Story]) -> None:
    outer, inner = fleet
    commit = push(fleet, "cut off what is behind", cut=CUT.format(inner=inner.host.address), cache_size=300)

    def ended() -> dict[str, object]:
        return next((one for one in outer.applies() if one["commit"] == commit and one["phase"] == "RolledBack"), {})

    apply = outer.field.wait_for(ended, "pve1 is rolled back", timeout_s=90)
    probes = {probe["name"]: probe for probe in outer.field.get(f"applies/{apply['id']}")["probes"]}
    lost = probes[f"tcp {inner.host.address}:22"]
    assert lost["before"] == "ok"
    assert lost["after"] not in ("", "ok")
    commit = push(fleet, "as before", cache_size=300)
    for story in fleet:
        story.wait_synced(commit)
    assert inner.status()["reachability"] == "Reachable"


def test_a_login_that_cannot_become_root_is_reported_with_what_to_do(fleet: tuple[Story, Story]) -> None:
    _, inner = fleet
    kept = inner.host.read(SUDOERS)
    inner.host.sh(f"rm {SUDOERS}")
    done = set(transactions(inner.host))
    commit = push(fleet, "while sudo asks for a password", cache_size=400)

    def said() -> str:
        message = str(inner.status().get("message", ""))
        return message if "cannot become root" in message else ""

    message = inner.field.wait_for(said, "sudo's refusal is shown", timeout_s=60)
    assert "ops ALL=(root) NOPASSWD: ALL" in message
    assert set(transactions(inner.host)) == done
    inner.host.write(SUDOERS, kept, 0o440)
    inner.wait_synced(commit)
