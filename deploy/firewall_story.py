"""The demo's firewall: three levels, seen by packets, and a broken state, which lint refuses."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from service.errors import LabError
from service.lab import Guest, Host, Lab
from service.lab.field import Field

FLEET = """\
passerelle: 1
firewall:
  policy_in: drop
  policy_out: accept
  rules:
    - {type: in, action: accept, macro: Ping, source: 198.18.0.0/24, comment: the provider's monitors}
"""
HOST = """\
firewall:
  rules:
    - {type: in, action: accept, macro: SSH}
    - {type: in, action: accept, proto: tcp, dport: 8006}
    - {type: in, action: accept, macro: HTTP}
    - {type: in, action: accept, macro: HTTPS}
"""
GUEST = (
    ", port: veth-dev, firewall: {rules: [{type: in, action: accept, macro: HTTP}, "
    "{type: in, action: accept, macro: Ping}]}"
)
GUEST_ADDRESS = "10.10.10.10"
LISTEN = """\
import select, socket
waiting = [socket.create_server(("", port)) for port in (80, 8006, 9999)]
while True:
    for one in select.select(waiting, [], [])[0]:
        one.accept()[0].close()
"""
CONNECT = """\
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=2).close()
    print("open")
except ConnectionRefusedError:
    print("refused")
except OSError:
    print("silent")
"""
WANTED = {
    "outside to host 8006": "open",
    "outside to host 9999": "silent",
    "alpine to host 53": "open",
    "alpine to host 9999": "silent",
    "alpine to dev 80": "open",
    "alpine to dev 9999": "silent",
    "host to dev 80": "open",
    "host to dev 9999": "silent",
}


class Told(Protocol):
    """The story that this is a part of."""

    lab: Lab
    field: Field
    host: Host
    guests: Mapping[str, Guest]
    firewall: str
    guest: str

    def stage(self, name: str, text: str) -> AbstractContextManager[None]:
        """Say what happens, and keep how long it took."""

    def spec(self) -> str:
        """The host's file as it is now."""

    def see(self, flag: str, look: Callable[[], Any]) -> None:
        """Wait for something to be seen."""

    def in_sync(self, commit: str) -> object:
        """Wait until this commit is applied and nothing differs."""


def enforce(story: Told) -> None:
    """Push the firewall, and look at it from everywhere."""
    with story.stage("firewall", "git push: a firewall for the datacenter, the host and a guest"):
        listen(story)
        story.firewall = HOST
        story.guest = GUEST
        commit = story.field.push({"fleet.yaml": FLEET, "hosts/pve1.yaml": story.spec()}, "pve1: a firewall")
        story.in_sync(commit)
        story.see("firewall_enforced", lambda: enforced(story))


def refuse(story: Told) -> None:
    """A common mistake: nobody opened DHCP."""
    with story.stage("broken", "a common mistake: the policy is drop, and no rule accepts DHCP"):
        broken = story.spec().replace("firewall:\n  rules:", "firewall:\n  derive: false\n  rules:")
        commit = story.field.push({"hosts/pve1.yaml": broken}, "pve1: derive nothing")
        story.see("broken_firewall_refused", lambda: finding(story, commit))
        story.in_sync(story.field.push({"hosts/pve1.yaml": story.spec()}, "pve1: the firewall as it was"))


def listen(story: Told) -> None:
    """Somebody answers on ports of the host and of a guest."""
    story.host.write("/root/listen.py", LISTEN)
    story.host.sh("systemd-run -q --unit=demo-listen python3 /root/listen.py")
    dev = story.guests["dev"]
    dev.exec(["sh", "-c", "cat > /root/listen.py; python3 /root/listen.py >/dev/null 2>&1 &"], input=LISTEN, check=True)


def enforced(story: Told) -> dict[str, str]:
    """What each connection meets; empty unless all meet what they should."""
    seen = {}
    for way in WANTED:
        source, _, dest, port = way.split()
        address = GUEST_ADDRESS if dest == "dev" else "10.10.10.1" if source == "alpine" else story.host.address
        command = ["python3", "-c", CONNECT, address, port]
        done: Any
        if source == "outside":
            done = story.lab.run_in("inet", command, timeout_s=10)
        elif source == "host":
            done = story.host.exec(command)
        else:
            done = story.guests[source].exec(command)
        seen[way] = str(done.stdout).strip()
    return seen if seen == WANTED else {}


def finding(story: Told, commit: str) -> str:
    """The sentence that says what is wrong, and the fix."""
    try:
        revision = story.field.get(f"revisions/{commit}")
    except LabError:
        return ""  # not looked at yet
    errors = {found["rule"]: found for found in revision.get("findings") or () if found["severity"] == "error"}
    said = errors.get("firewall.dhcp-blocked")
    return f"{said['what']}. Fix: {said['right']}" if said and revision.get("state") == "refused" else ""
