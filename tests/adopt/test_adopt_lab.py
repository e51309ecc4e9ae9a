"""Hosts configured by hand, really booted: adopted, nothing to do, no byte changed; then one line, or all of it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from service.cli.host_tree import read_host_tree
from service.lab import Host, Lab
from service.lab.field import Field
from service.lab.waiting import grown_s
from tests.adopt.trees import NAMES, STYLES
from tests.documents import run_by
from tests.e2e.evidence import evidence

pytestmark = pytest.mark.lab(minutes=3)

KEPT = ("/etc/hostname", "/etc/ssh/ssh_host_ed25519_key.pub")
SAVED = "etc/network etc/dnsmasq.conf etc/hosts etc/sysctl.conf etc/nftables.conf"
OURS = "/etc/passerelle /etc/systemd/system/passerelle-nft.service /etc/dnsmasq.d/passerelle.conf"
INSTALL = (
    "systemctl disable --now named && apt-get update && apt-get install --yes dnsmasq && systemctl disable dnsmasq"
)


@dataclass
class Bench:
    """A real host that takes one style after the other, a service that looks after it, and a folder for its spec."""

    host: Host
    field: Field
    folder: Path
    written: list[str] = field(default_factory=list)
    pushed: str = ""

    def take(self, name: str) -> None:
        """The host as if it had been configured in this style all along. The service only looks on meanwhile."""
        self.let_go()
        given = read_host_tree(STYLES / name / "root")
        here = {path: data for path, data in sorted(given.files.items()) if path not in KEPT}
        units = STYLES / name / "root" / "etc" / "systemd" / "system"
        here |= {f"/etc/systemd/system/{file.name}": file.read_bytes() for file in units.glob("*.service")}
        gone = " ".join(path for path in self.written if path not in here)
        self.host.sh(f"rm -rf {OURS} {gone}; tar -C / -xf /root/saved.tar")
        for path, data in here.items():
            self.host.sh(f"mkdir -p {path.rpartition('/')[0]}")
            self.host.write(path, data)
        on = {"dnsmasq.service", *(unit for unit in given.units if given.is_on(unit))}
        for unit in ("dnsmasq.service", "nftables.service", "netfilter-persistent.service"):
            verb = "enable" if unit in on else "disable"
            self.host.sh(f"systemctl daemon-reload; systemctl {verb} {unit}", check=unit in on)
        self.written = list(here)
        self.host.reboot()
        self.host.wait_until_up()

    def let_go(self) -> None:
        """Have the service write nothing to the host any more."""
        if not self.pushed:
            return
        looking = self.pushed.replace("sync: auto", "sync: observe")
        commit = self.field.push({"fleet.yaml": "passerelle: 1\n", "hosts/pve1.yaml": looking}, "only look")

        def seen() -> bool:
            return any(row["observed_commit"] == commit for row in self.field.items("hosts?limit=9"))

        self.field.wait_for(seen, "the service only looks on", timeout_s=60)

    def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """A passerelle command where the host can be reached."""
        lab = self.host.lab
        argv = ["nsenter", f"--net={lab.netns('ctl')}", "--", sys.executable, "-m", "service", *words]
        environment = {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2]),
            "PASSERELLE_STATE_DIR": str(self.folder / "none"), "PASSERELLE_SSH_KEY": str(lab.key),
        }  # fmt: skip
        return subprocess.run(
            argv,
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=grown_s(60),
            stdin=subprocess.DEVNULL,
        )

    def adopt(self, name: str) -> str:
        """The spec that adopt writes of the running host."""
        repo = f"{name}-repository"
        key = ("--host-key", self.host.host_key, "--repo", repo)
        done = self.command("adopt", f"root@{self.host.address}", *key)
        assert done.returncode == 0, done.stderr
        done = self.command("plan", "pve1", "--repo", repo, "--detailed-exitcode")
        assert (done.returncode, done.stdout) == (0, "pve1: no changes\n"), done.stdout + done.stderr
        text = (self.folder / repo / "hosts" / "pve1.yaml").read_text()
        return text.replace("sync: approve", "sync: auto").replace(
            "\n  host_keys", "\n  confirm_timeout: 30s\n  host_keys"
        )

    def push(self, text: str, subject: str) -> dict[str, Any]:
        """Push a spec and wait until the service has settled on it: in sync, or refused."""
        self.pushed = text
        commit = self.field.push({"fleet.yaml": "passerelle: 1\n", "hosts/pve1.yaml": text}, subject)

        def settled() -> dict[str, Any]:
            rows = [row for row in self.field.items("hosts?limit=9") if row["host"] == "pve1"]
            row = rows[0] if rows else {}
            is_done = row.get("sync") == "Synced" and row.get("applied_commit") == commit
            return row if is_done or (row.get("observed_commit") == commit and row.get("phase") == "Refused") else {}

        found: dict[str, Any] = self.field.wait_for(settled, f"{subject} is in force or refused", timeout_s=60)
        return found

    def masquerades(self) -> int:
        """How many rules masquerade the guests, whoever has them."""
        said = self.host.sh("nft list ruleset; iptables-legacy-save -t nat 2>/dev/null || true")
        return said.lower().count("masquerade\n") + said.lower().count("masquerade comment")


@pytest.fixture(scope="module")
def bench(lab: Lab, suite: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    host = lab.host("pve1")
    host.fresh(suite=suite)
    host.sh(INSTALL, timeout_s=60)
    host.sh(f"tar -C / -cf /root/saved.tar {SAVED}; rm -f /etc/dnsmasq.d/README")
    with Field.open(lab, poll_s="1", observe_s="1") as opened:
        yield Bench(host, opened, tmp_path_factory.mktemp("adopt"))


@pytest.fixture
def styled(bench: Bench) -> Callable[[str], Bench]:
    def take(name: str) -> Bench:
        bench.take(name)
        return bench

    return take


FOR_PMXCFS = ("pve-firewall",)
"""Only a Proxmox node's own file system gives files below /etc/pve their owner: in other tests it is a value."""
REBOOTED = ("iptables-legacy", "nft-file")


def shown(host: Host) -> list[str]:
    """Everything that a write would change; looking at the journals of earlier applies takes their lock."""
    return [line for line in evidence(host) if not line.startswith("/var/lib/passerelle")]


ONE_LINE = {
    "blog": ("cache_size: 256", "cache_size: 512", "/etc/dnsmasq.d/containers", "cache-size=512"),
    "pve": ("forward_delay: 0}\n  # the guests", "forward_delay: 4}\n  # the guests", "/etc/network/interfaces",
            "\tbridge-fd 4"),
    "interfaces-d": ("forward_delay: 0", "forward_delay: 4", "/etc/network/interfaces.d/20-guests", "\tbridge-fd 4"),
    "two-bridges": ("end: 10.20.0.150", "end: 10.20.0.160", "/etc/dnsmasq.d/guests",
                    "dhcp-range=set:dmz,10.20.0.100,10.20.0.160,255.255.255.0,1h"),
}  # fmt: skip
TAKEN_OVER = {
    "iptables-legacy": "nat", "nft-file": "nat", "rules-v4": "nat", "classic": "nat", "aliases": "nat",
    "comments": "dnsmasq", "several-dnsmasq": "dnsmasq", "ethers": "guests", "more-than-a-spec-says": "dnsmasq, guests",
}  # fmt: skip
TELLING = {*ONE_LINE, *REBOOTED, "several-dnsmasq", "ethers"}
"""All ways of writing and of taking over; the other styles are read in tests without a host, and here in a full run."""
IN_FULL = bool(os.environ.get("TESTS_FULL"))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in FOR_PMXCFS and (IN_FULL or name in TELLING)])
def test_a_host_configured_by_hand_is_adopted_and_not_a_byte_of_it_changes(
    styled: Callable[[str], Bench], name: str
) -> None:
    bench = styled(name)
    before = shown(bench.host)
    text = bench.adopt(name)
    assert bench.push(text, f"{name} as it is")["sync"] == "Synced"
    assert shown(bench.host) == before
    if name in ONE_LINE:
        old, new, path, line = ONE_LINE[name]
        was = bench.host.read(path).decode().splitlines()
        assert bench.push(text.replace(old, new, 1), "one line")["sync"] == "Synced"
        now = bench.host.read(path).decode().splitlines()
        assert [x for x in now if x not in was] == ([line] if line not in was else [])
        assert len([x for x in was if x not in now]) <= 1
        assert bench.host.sh("ls /etc/passerelle /etc/dnsmasq.d/passerelle.conf 2>/dev/null || true").strip() == ""
    if name in TAKEN_OVER:
        marked = text.replace("sync: auto\n", f"sync: auto\ntake_over: [{TAKEN_OVER[name]}]\n")
        assert bench.push(marked, "take over")["sync"] == "Synced"
        assert "written by passerelle" in bench.host.sh("cat /etc/passerelle/*/* /etc/dnsmasq.d/passerelle.conf; true")
        if name in REBOOTED:
            bench.host.reboot()
            assert bench.push(marked, "after a reboot")["sync"] == "Synced"
            assert bench.masquerades() == 1
    assert bench.host.sh("systemctl is-active dnsmasq").strip() == "active"


@pytest.mark.every_suite
def test_the_pages_commands_work_on_a_host(styled: Callable[[str], Bench]) -> None:
    bench = styled("blog")
    before = shown(bench.host)
    for command in run_by("test_the_pages_commands_work_on_a_host"):
        words = [word.replace("198.51.100.11", bench.host.address) for word in command.words]
        refused = bench.command(*words)
        assert refused.returncode == 1
        assert "--host-key" in refused.stderr
        done = bench.command(*words, "--host-key", bench.host.host_key)
        assert done.returncode == 0, done.stderr
    assert (bench.folder / "my-repository" / "hosts" / "pve1.yaml").exists()
    assert shown(bench.host) == before
