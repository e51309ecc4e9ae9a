"""The demo's story: a bare host, a push, a guest with a name, a change by hand, a commit that would cut the connection.

Every flag of the result comes from an observation outside of the service: in the guests, on the host's console, on
the wire. Progress goes to stderr, the result to stdout.
"""

import argparse
import json
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import firewall_story
import web_story

from service.errors import LabError, PasserelleError
from service.lab import Guest, Host, Lab, apt
from service.lab.field import Field, RolledBack
from service.lab.waiting import grown_s

SPEC = """\
# yaml-language-server: $schema=../host.schema.json
host: pve1
platform: debian
sync: auto
connection:
  address: 198.51.100.11
  host_keys: [{host_key}]
  confirm_timeout: {confirm_s}s
  console: https://console.example.net/pve1
{extra}interfaces:
  enp1s0: {{addresses: [{uplink}/24], gateway: 198.51.100.1}}
bridges:
  vmbr0: {{addresses: [10.10.10.1/24], ports: [], stp: false, forward_delay: 0}}
nat:
  - {{source: 10.10.10.0/24, out: enp1s0}}
dnsmasq:
  domain: madyanne.lan
  local: madyanne.lan
  domain_needed: true
  bogus_priv: true
  no_poll: true
  no_hosts: true
  expand_hosts: true
  cache_size: 256
  dhcp:
    - interface: vmbr0
      start: 10.10.10.100
      end: 10.10.10.200
      lease_time: 12h
      authoritative: true
      options: {{3: 10.10.10.1, 6: 10.10.10.1}}
guests:
  dev: {{mac: "{dev}", address: 10.10.10.10{guest}}}
  alpine: {{mac: "{alpine}"}}
{created}packages: {{dnsmasq: present}}
services: {{named: disabled}}
{firewall}{web}"""
CONFIRM_S = 20.0
"""Short, so that the demo does not wait long for the rollback. A busy machine gets more time: on one, 15 s ran out in
the middle of the steps. The default for real hosts is two minutes."""
CUT_CONFIRM_S = 10.0
"""Of the change that cuts: two steps, and then nothing but the wait for the host's own rollback."""
UPLINK = "198.51.100.11"
OUTSIDE = "198.18.0.80"
DISK_MIB = 2048


class Story:
    """The stages in order; each proves something and leaves what it saw in `seen`."""

    def __init__(self, lab: Lab, field: Field) -> None:
        self.lab = lab
        self.field = field
        self.host: Host = lab.host("pve1")
        self.seconds: dict[str, float] = {}
        self.seen: dict[str, Any] = {}
        self.result: dict[str, Any] = {}
        self.guests: dict[str, Guest] = {}
        self.firewall = ""
        self.guest = ""
        self.created = ""
        self.web = ""
        self.confirm_s = math.ceil(grown_s(CONFIRM_S))
        self.expected_undone: set[str] | None = set()

    @contextmanager
    def stage(self, name: str, text: str) -> Iterator[None]:
        """Show what happens and that it continues, and measure how long it takes."""
        print(f"-- {text}", file=sys.stderr, flush=True)
        began = time.monotonic()
        stopped = threading.Event()

        def ticking() -> None:
            while not stopped.wait(5):
                print(f"   … {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)

        ticker = threading.Thread(target=ticking, daemon=True)
        ticker.start()
        try:
            yield
        finally:
            stopped.set()
            ticker.join()
            self.seconds[name] = round(time.monotonic() - began, 1)

    def saw(self, flag: str, what: Any) -> None:
        """A flag is true only if something was seen."""
        self.seen[flag] = what
        self.result[flag] = bool(what)
        print(f"   {flag}: {json.dumps(what)}", file=sys.stderr, flush=True)

    def spec(self, uplink: str = UPLINK, extra: str = "") -> str:
        """The host's file."""
        macs = {name: guest.mac for name, guest in self.guests.items()}
        return SPEC.format(
            confirm_s=self.confirm_s, host_key=self.host.host_key, uplink=uplink, extra=extra,
            firewall=self.firewall, guest=self.guest, created=self.created, web=self.web, **macs,
        )  # fmt: skip

    def status(self) -> dict[str, Any]:
        """The host's status in the service; empty before it knows the host."""
        try:
            found: dict[str, Any] = self.field.get("hosts/pve1")
        except LabError:
            return {}
        return found

    def in_sync(self, commit: str) -> dict[str, Any]:
        """Wait until this commit is applied and nothing differs. A rollback ends the wait at once."""
        return self.field.wait_in_force("pve1", commit, timeout_s=240)

    def push(self) -> None:
        """Describe the host, push, and see it become that."""
        self.guests["dev"] = self.host.guest_add("dev", mac="BC:24:11:00:00:01")
        self.guests["alpine"] = self.host.guest_add("alpine", sort="silent", mac="BC:24:11:00:00:02")
        files = {"fleet.yaml": "passerelle: 1\n", "hosts/pve1.yaml": self.spec()}
        with self.stage("apply", "git push: a bridge, NAT, DHCP and names for a bare host"):
            commit = self.field.push(files, "pve1: bridge, NAT and names for the guests")
            self.in_sync(commit)
            applied = [
                a for a in self.field.items("applies?host=pve1") if a["phase"] == "Succeeded" and a["commit"] == commit
            ]
            self.saw("applied", {"commit": commit, "apply": applied[0]["id"]} if applied else None)

    def guests_live(self) -> None:
        """Leases, short names, NAT, and who answers on port 53."""
        with self.stage("guests", "two guests get a lease: one sends its name, one does not"):
            address = self.guests["dev"].wait_for_address()
            self.result["lease"] = self.seen["lease"] = address
            self.guests["alpine"].wait_for_address()
            self.see("short_name_resolves", self.ping_by_name)
            self.see("nat_masquerades", self.address_seen_outside)
            self.see("bind_replaced", self.dnsmasq_has_port_53)

    def see(self, flag: str, look: Callable[[], Any], timeout_s: float = 30) -> None:
        """Wait for something to be seen. If it is not seen, the flag is false and the story continues. A rollback that
        is not a part of the story ends it at once.
        """

        def looked() -> Any:
            self.refuse_undone()
            return look()

        try:
            found = self.field.wait_for(looked, flag, timeout_s=timeout_s)
        except RolledBack:
            raise
        except LabError as error:
            print(f"   {error}", file=sys.stderr)
            found = None
        self.saw(flag, found)

    def refuse_undone(self) -> None:
        """RolledBack, with the sentence of the apply, if one was rolled back that should not have been."""
        if self.expected_undone is None:
            return
        for apply_id, sentence in self.field.undone("pve1").items():
            if apply_id not in self.expected_undone:
                raise RolledBack(sentence)

    def ping_by_name(self) -> str:
        done = self.guests["alpine"].exec(["ping", "-c", "1", "-W", "2", "dev"], check=False)
        return done.stdout.splitlines()[0] if done.returncode == 0 else ""

    def address_seen_outside(self) -> str:
        fetch = f"import urllib.request as u; print(u.urlopen('http://{OUTSIDE}/', timeout=5).read().decode())"
        done = self.guests["dev"].exec(["python3", "-c", fetch], check=False)
        seen = done.stdout.strip()
        return UPLINK if done.returncode == 0 and UPLINK in seen.split() else ""

    def dnsmasq_has_port_53(self) -> str:
        sockets = self.host.sh("ss -Hlunp 'sport = :53'", check=False)
        named = self.host.sh("systemctl is-active named; systemctl is-enabled named", check=False).split()
        return (
            "dnsmasq on udp/53, named " + " ".join(named)
            if '"dnsmasq"' in sockets and '"named"' not in sockets and named == ["inactive", "disabled"]
            else ""
        )

    def drift(self) -> None:
        """Somebody changes the host by hand."""
        with self.stage("drift", "somebody deletes the NAT table and adds an address by hand"):
            before = self.field.get("events?limit=200")["items"][-1]["id"]
            self.host.sh("nft delete table inet passerelle_nat; ip address add 10.99.0.1/24 dev vmbr0")
            self.see("drift_seen", lambda: self.drift_events(before))
            self.see("drift_healed", self.healed)

    def drift_events(self, after: int) -> list[str]:
        found = [
            e["text"]
            for e in self.field.items(f"events?after={after}&host=pve1&limit=200")
            if e["type"].startswith("drift")
        ]
        return found[:4]

    def healed(self) -> str:
        addresses = self.host.sh("ip -o -4 address show dev vmbr0")
        table = self.host.sh("nft list table inet passerelle_nat", check=False)
        return "address removed, NAT table restored" if "10.99.0.1" not in addresses and "masquerade" in table else ""

    def cut(self) -> None:
        """A commit that would cut SSH is refused. With the override, the host rolls it back without help."""
        wrong = self.spec(uplink="198.51.100.99")
        with self.stage("refuse", "a commit that would change the address by which the service reaches the host"):
            commit = self.field.push({"hosts/pve1.yaml": wrong}, "pve1: another address")
            self.see("cut_refused", lambda: self.refusal(commit))
        self.expected_undone = None
        usual_s, self.confirm_s = self.confirm_s, math.ceil(grown_s(CUT_CONFIRM_S))
        with self.stage("cut", "the same with an override: applied, never confirmed, rolled back by the host"):
            insisted = self.spec(uplink="198.51.100.99", extra="  allow_management_change: true\n")
            commit = self.field.push({"hosts/pve1.yaml": insisted}, "pve1: another address, really")
            self.field.wait_for(lambda: not self.host.ssh_answers(), "the change cuts new connections", timeout_s=60)
            print("   new connections are cut", file=sys.stderr, flush=True)
            self.field.wait_for(self.host.ssh_answers, "the host is back", timeout_s=self.confirm_s + 60)
            self.see("cut_rolled_back", lambda: self.undone_by_host(commit))
            self.see(
                "reachable", lambda: self.status().get("reachability") == "Reachable" and "new SSH connection answered"
            )
        self.expected_undone = set(self.field.undone("pve1"))
        self.confirm_s = usual_s
        with self.stage("mend", "the previous spec again"):
            commit = self.field.push({"hosts/pve1.yaml": self.spec()}, "pve1: the address as it was")
            self.in_sync(commit)

    def refusal(self, commit: str) -> str:
        if self.status().get("observed_commit") != commit:
            return ""
        refusals = self.field.get("hosts/pve1/plan")["body"]["refusals"]
        return next((r["what"] for r in refusals if r["rule"] == "management-path"), "")

    def undone_by_host(self, commit: str) -> dict[str, Any]:
        """The host's own journal says that its deadline passed, and the service's record agrees."""
        records = [a for a in self.field.items("applies?host=pve1") if a["commit"] == commit]
        if not records or records[0]["phase"] != "RolledBack":
            return {}
        path = f"/var/lib/passerelle/txn/{records[0]['id']}/journal.json"
        journal = json.loads(self.host.read(path))
        if journal["state"] != "rolled_back" or journal["cause"] != "deadline":
            return {}
        return {"apply": records[0]["id"], "cause": journal["cause"], "state": journal["state"]}

    def reboot(self) -> None:
        """After a reboot everything works again."""
        with self.stage("reboot", "the host reboots"):
            self.host.reboot()
            self.guests["dev"].wait_for_address()
            self.see("reboot_survives", self.all_there)

    def all_there(self) -> dict[str, str]:
        seen = {"nat": self.address_seen_outside(), "port 53": self.dnsmasq_has_port_53(), "name": self.ping_by_name()}
        return seen if all(seen.values()) else {}

    def play(self) -> None:
        """The whole story."""
        self.push()
        self.guests_live()
        firewall_story.enforce(self)
        firewall_story.refuse(self)
        self.drift()
        self.cut()
        self.reboot()
        web_story.publish(self)


FLAGS = (
    "applied", "short_name_resolves", "nat_masquerades", "bind_replaced", "firewall_enforced",
    "broken_firewall_refused", "drift_seen", "drift_healed", "cut_refused", "cut_rolled_back", "reachable",
    "reboot_survives", "published",
)  # fmt: skip


def main() -> int:
    """Play; then print the result, or stay."""
    parser = argparse.ArgumentParser(prog="deploy/demo")
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--name", default="lab")
    parser.add_argument("--suite", choices=apt.SUITES, default="")
    arguments = parser.parse_args()
    began = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it otherwise
    try:
        print(
            "-- the lab starts: a host, a router, an internet (the first run builds the image)",
            file=sys.stderr,
        )
        made = Lab.up(arguments.name, hosts=["pve1"], suite=arguments.suite, disk_mib=DISK_MIB)
        with made as lab, Field.open(lab, resolvers=OUTSIDE) as field:
            story = Story(lab, field)
            story.seconds["lab"] = round(time.monotonic() - began, 1)
            story.play()
            story.seconds["all"] = round(time.monotonic() - began, 1)
            good = all(story.result.get(flag) is True for flag in FLAGS) and isinstance(story.result.get("lease"), str)
            result = {**story.result, "seen": story.seen, "seconds": story.seconds}
            if arguments.once:
                print(json.dumps(result), flush=True)
                return 0 if good else 1
            stay(arguments.name, field, result)
            return 0
    except PasserelleError as error:
        print(f"deploy/demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def stay(name: str, field: Field, result: dict[str, Any]) -> None:
    """Print how to continue by hand, and wait for ^C."""
    ready = {
        "ready": True, "url": field.url, "token": field.token, "repo": str(field.repository), "host": "pve1",
        "lab": name,
        "seen": result["seen"], "seconds": result["seconds"],
    }  # fmt: skip
    print(json.dumps(ready), flush=True)
    print(
        f"-- it keeps running until ^C. Try: .venv/bin/passerelle lab exec --name {name} pve1 -- ip address\n"
        f"   PASSERELLE_URL={field.url} PASSERELLE_TOKEN={field.token} .venv/bin/passerelle status\n"
        f"   git clone {field.repository}, edit hosts/pve1.yaml, push",
        file=sys.stderr,
        flush=True,
    )
    try:
        signal.pause()
    except KeyboardInterrupt:
        print("-- taking it down", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
