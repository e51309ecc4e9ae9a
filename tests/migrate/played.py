"""A real repository, and two hosts and the internet as they are played, as a migration sees them."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.git.clone import Clone
from service.kinds import KINDS
from service.kinds.sites_seen import sites_of
from service.lab.waiting import grown_s
from service.migrate.judging import NameSeen, RecordChange
from service.model.sites.seen import Answer, CertificateServed
from service.model.sites.wanted import SiteWanted
from service.spec.fleet import read_fleet
from service.spec.host import HostSpec
from service.spec.models import claims_of

ADDRESSES = {"pve1": "198.51.100.11", "pve2": "198.51.100.12"}
LEASE = {"bc:24:11:00:00:01": "10.10.10.117"}
ENVIRONMENT = {
    "PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.org",
}  # fmt: skip
FLEET = "passerelle: 1\n"
PVE1 = """\
# The old host.
host: pve1
connection:
  address: 198.51.100.11
  console: https://console.example.org/pve1
  host_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA]
sync: auto
interfaces:
  enp1s0: {addresses: [198.51.100.11/24], gateway: 198.51.100.1}
bridges:
  vmbr0: {addresses: [10.10.10.1/24]}  # the guests' network
nat:
  - {source: 10.10.10.0/24, out: enp1s0}
dnsmasq:
  domain: example.lan
  dhcp:
    - {interface: vmbr0, start: 10.10.10.100, end: 10.10.10.200}

# Who lives here.
guests:
  proxy: {mac: "bc:24:11:00:00:02", address: 10.10.10.20, create: {}}  # answers on 80 and 443
  dev: {mac: "bc:24:11:00:00:01"}
web:
  proxy: proxy
  acme: {directory: letsencrypt, email: admin@example.org, terms_agreed: true}
  sites:
    www.example.org: {to: dev, port: 8080, aliases: [example.org]}  # the shop
    wiki.example.org: {to: dev, port: 8090}
forwards:
  - {in: enp1s0, ports: [2222], to: dev, to_port: 22}  # for the developers
packages: {dnsmasq: present}
services: {named: disabled, ssh: enabled}
"""
PVE2 = """\
# The new host.
host: pve2
connection:
  address: 198.51.100.12
  console: https://console.example.org/pve2
  host_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA]
sync: auto
interfaces:
  eth0: {addresses: [198.51.100.12/24], gateway: 198.51.100.1}  # another card
"""
PVE1 = PVE1.replace("ports: [2222], to: dev, to_port: 22", "ports: [2222], to: proxy, to_port: 22")


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=ENVIRONMENT, capture_output=True, check=False, timeout=grown_s(60)
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def new_clone(place: Path, files: Mapping[str, str]) -> Path:
    """A clone of a new repository with these files."""
    forge, clone = place / "fleet.git", place / "clone"
    git(place, "init", "--quiet", "--bare", "--initial-branch=main", str(forge))
    git(place, "clone", "--quiet", str(forge), str(clone))
    for path, text in files.items():
        (clone / path).parent.mkdir(exist_ok=True)
        (clone / path).write_text(text)
    git(clone, "switch", "--quiet", "--create", "main")
    git(clone, "add", ".")
    git(clone, "commit", "--quiet", "-m", "the hosts")
    git(clone, "push", "--quiet", "--set-upstream", "origin", "main")
    return clone


class Killed(BaseException):
    """The process is killed here."""


@dataclass
class Points:
    """Places at which a process may be killed, by number. `at` 0: it lives."""

    at: int = 0
    passed: int = 0
    names: list[str] = field(default_factory=list)

    def pass_by(self, name: str) -> None:
        self.passed += 1
        self.names.append(name)
        if self.passed == self.at:
            raise Killed(name)


@dataclass
class Played:
    """Hosts that apply what the branch says at once, proxies with certificates, name servers, and time."""

    clone: Path
    points: Points = field(default_factory=Points)
    issued: set[str] = field(default_factory=lambda: {"pve1"})
    upstreams: set[str] = field(default_factory=lambda: {"pve1", "pve2"})
    dns: dict[str, str] = field(default_factory=dict)
    changes_names: bool = True
    time: int = 1_790_000_000
    waits_s: float = 0
    down: set[str] = field(default_factory=set)
    known: dict[str, dict[str, tuple[SiteWanted, ...]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("www.example.org", "example.org", "wiki.example.org"):
            self.dns[name] = ADDRESSES["pve1"]

    @property
    def head(self) -> str:
        return (self.clone.parent / "fleet.git" / "refs" / "heads" / "main").read_text().strip()

    def sites(self) -> dict[str, tuple[SiteWanted, ...]]:
        """Those that each host has at the newest commit."""
        head = self.head
        if head not in self.known:
            git(self.clone, "fetch", "--quiet", "origin", "main")
            hosts = read_fleet(Clone.of(self.clone).tree(head), KINDS).hosts
            self.known[head] = {name: sites_of(spec, claims_of(spec, KINDS)) for name, spec in hosts.items()}
        return self.known[head]

    def serves(self, name: str) -> bool:
        """Whether a visitor of this name gets the site, with an issued certificate."""
        host = next(host for host, address in ADDRESSES.items() if address == self.dns[name])
        has_site = any(name in site.names for site in self.sites()[host])
        return has_site and host in self.issued and host in self.upstreams

    def look(self, point: str) -> None:
        """Everything that the migration does comes by here: the sites have no gap."""
        for name in self.dns:
            assert self.serves(name), f"{name} is not served at {point}"
        self.points.pass_by(point)

    def status(self, host: str) -> dict[str, Any]:
        self.look(f"status of {host}")
        reached = host not in self.down
        return {
            "host": host, "message": "" if reached else "connection refused", "quarantined": "", "sync_mode": "auto",
            "reason": "", "reachability": "Reachable" if reached else "Unreachable", "sync": "Synced",
            "phase": "Idle",
            "observed_commit": self.head,
        }  # fmt: skip

    def facts(self, host: str) -> dict[str, Any]:
        self.look(f"guests of {host}")
        return {"guest:proxy": {"running": True}, "guest:dev": {"running": True}}

    def leases(self, host: str) -> dict[str, str]:
        return LEASE

    def answers(self, sites: Sequence[SiteWanted]) -> list[Answer]:
        there = self.sites()
        return [self._answer(site, there) for site in sites]

    def _answer(self, site: SiteWanted, there: Mapping[str, tuple[SiteWanted, ...]]) -> Answer:
        (address,) = site.addresses
        host = next(host for host, its in ADDRESSES.items() if its == address)
        if not any(one.name == site.name for one in there[host]):
            return Answer(address, error="the connection was refused")
        own = host not in self.issued
        certificate = CertificateServed(site.names, self.time + 86400, "CN=x", "01", is_self_signed=own)
        return Answer(address, 200 if host in self.upstreams else 502, "", certificate)

    def names(self, names: Sequence[str]) -> list[NameSeen]:
        return [NameSeen(name, (self.dns[name],)) for name in names]

    def hand_over(self, giver: HostSpec, taker: HostSpec, sites: tuple[SiteWanted, SiteWanted]) -> None:
        self.look("before the certificates")
        assert giver.name in self.issued
        self.issued.add(taker.name)
        self.look("after the certificates")

    def change(self, record: RecordChange) -> bool:
        self.look(f"before {record.name} is changed")
        if self.changes_names:
            (self.dns[record.name],) = record.new
        self.look(f"after {record.name} is changed")
        return self.changes_names

    def now(self) -> int:
        return self.time

    def wait(self, seconds: float) -> None:
        self.look("waiting")
        self.time += int(seconds)
        self.waits_s += seconds


class Mortal(Clone):
    """A clone of which the process may be killed before and after what it does at the remote."""

    points = Points()

    def push(self, commit: str) -> None:
        Mortal.points.pass_by("before a push")
        super().push(commit)
        Mortal.points.pass_by("after a push")
