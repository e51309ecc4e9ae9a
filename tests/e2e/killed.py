"""`passerelle migrate`, killed (SIGKILL) at named points on two real hosts, and what has to hold after each.

points(is_back) -> the points of one direction, in their order
killed_at(pair, point, *words)              run the command until there; AssertionError where it does not come there
Witness(pair, seen)                         what a visitor saw, who has keys, what hosts and authority did
"""

import itertools
import os
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from service.lab import Host, enter
from service.lab.waiting import Patience
from service.migrate.order import STEPS
from tests.e2e import gates
from tests.e2e.pair import ALIAS, FROM, PATIENCE_S, SITE, STATE, TO, Pair

LONGEST_GAP_S = 5.0
VISITS_AFTER = 5
IN_GUEST = "/var/lib/passerelle-guest/"
PLACES = "/etc /root /home /opt /srv /tmp /run /usr/local /var"
PASSED_OVER = [f"--exclude-dir={name}" for name in ("lxc", "apt", "dpkg", "templates")]
"""Guests are looked into one by one, and there is much of what packages bring."""
HANDED = ("offer", "pack", "unpack")
GUEST_GATES = "/usr/local/gates"
OPENSSL = """\
#!/bin/sh
case " $* " in
*/CN=handover*) {offer} ;;
*" -encrypt "*) {pack} ;;
*" -decrypt "*) {unpack} ;;
esac
exec /usr/bin/openssl "$@"
"""


class Point(NamedTuple):
    """Where the command is killed: as soon as it says `line`, or while it or a host waits at the gate of this name.
    `fence` is a gate behind a line, so that it cannot be further than that. `alone`: a program that it began continues.
    """

    name: str
    gate: str = ""
    line: str = ""
    fence: str = ""
    alone: bool = False

    @property
    def is_on_hosts(self) -> bool:
        """In the proxies, while certificates are carried."""
        return self.gate in HANDED


def points(*, is_back: bool = False) -> list[Point]:
    """All of them. With --back there is no check, and no certificate to carry. There Git survives the command, and
    pushes without it.
    """
    giver, taker = (TO, FROM) if is_back else (FROM, TO)
    says = {step.name: step.between(giver, taker).does for step in STEPS}
    found = [
        Point("check", line=says["check"], fence="before-push"),
        Point("before give", "before-push"),
        Point("during give", "before-push", alone=True),
        Point("after give", "after-push"),
        Point("applied", line=says["applied"]),
        Point("offer", "offer"),
        Point("pack", "pack"),
        Point("unpack", "unpack"),
        Point("answers", line=says["answers"], fence=f"before-{SITE}"),
        Point("before names", f"before-{SITE}"),
        Point("between names", f"after-{SITE}"),
        Point("after names", f"after-{ALIAS}"),
        Point("grace", line=f"{giver} serves for", fence="before-push"),
        Point("before take", "before-push"),
        Point("during take", "before-push", alone=True),
        Point("after take", "after-push"),
        Point("last", line=says["last"]),
    ]
    others = (
        ("check", "offer", "pack", "unpack", "after give", "after take") if is_back else ("during give", "during take")
    )
    return [point for point in found if point.name not in others]


def lay_guest_gates(host: Host) -> None:
    """In the proxy of a host, where its program calls openssl for the hand-over."""
    lines = {name: gates.pass_by(name, GUEST_GATES) for name in HANDED}
    (_rootfs(host) / GUEST_GATES[1:]).mkdir(exist_ok=True)
    script = _rootfs(host) / "usr/local/sbin/openssl"
    script.write_text(OPENSSL.format(**lines))
    script.chmod(0o755)


def _rootfs(host: Host) -> Path:
    return enter.inside_root(host.console_pid, "/var/lib/lxc/proxy/rootfs")


def _folder(pair: Pair, gate: str) -> Path:
    """Where a gate is: the giver packs, the taker does the rest of the hand-over."""
    if gate in HANDED:
        return _rootfs(pair.giver if gate == "pack" else pair.taker) / GUEST_GATES[1:]
    return pair.gates


def killed_at(pair: Pair, point: Point, *words: str) -> None:
    """Run until this point, and kill the command and what it began on this machine. What waits at a gate on a host
    continues: nobody can kill that from here.
    """
    with ExitStack() as shut:
        shuts = [
            shut.enter_context(gates.shut(_folder(pair, name), name)) for name in (point.gate, point.fence) if name
        ]
        gate = shuts[0] if point.gate else None
        with pair.migrate(*words) as running:
            try:
                said = "".join(_until(running, point, gate))
            finally:
                _kill(running.pid, alone=point.alone)
        assert running.returncode == -signal.SIGKILL, f"{point.name} was not reached: {said}"


def _kill(command: int, *, alone: bool) -> None:
    """With the other processes of its session (proc_pid_stat(5)), unless alone."""
    os.kill(command, signal.SIGKILL)
    for stat in () if alone else Path("/proc").glob("[0-9]*/stat"):
        with suppress(ProcessLookupError, FileNotFoundError):
            _, _, rest = stat.read_text().rpartition(")")
            if int(rest.split()[3]) == command:
                os.kill(int(stat.parent.name), signal.SIGKILL)


def _until(running: "subprocess.Popen[bytes]", point: Point, gate: gates.Gate | None) -> Iterator[str]:
    """What it says until it is at the point, or ends."""
    assert running.stderr is not None
    patience, said = Patience(PATIENCE_S), ""
    while not patience.is_over():
        sources = [running.stderr.fileno(), *([gate.reached] if gate is not None else [])]
        ready, _, _ = select.select(sources, [], [], 1.0)
        if gate is not None and gate.reached in ready and gate.is_reached():
            return
        if running.stderr.fileno() in ready:
            text = os.read(running.stderr.fileno(), 65536).decode()
            yield text
            said += text
            if not text:
                running.wait()
                return
            if point.line and point.line in said:
                return
    raise AssertionError(f"{point.name} was not reached in time: {said}")


@dataclass
class Witness:
    """`seen` is the visitor's file, `orders` how many the authority had when it began. `secrets` are the keys of the
    site's certificate and of the account: of each a line of base64 that is its own.
    """

    pair: Pair
    seen: Path
    orders: int
    secrets: str
    kills: int = 0

    @classmethod
    def begun(cls, pair: Pair, seen: Path) -> "Witness":
        """While the site is the giver's."""
        pem = pair.giver.sh(f"cat {STATE}live/*/privkey.pem {STATE}accounts/*.pem").splitlines()
        secrets = [pem[at + 2] for at, line in enumerate(pem) if line == "-----BEGIN PRIVATE KEY-----"]
        assert len(secrets) == 2 and all(len(line) == 64 for line in secrets)
        return cls(pair, seen, pair.acme.orders(), "".join(f"{line}\n" for line in secrets))

    def visits(self) -> list[tuple[float, str, str]]:
        """(seconds, address, status or why not) of every visit."""
        rows = [line.split(maxsplit=2) for line in self.seen.read_text().splitlines(keepends=True)]
        return [(float(row[0]), row[1], row[2].rstrip()) for row in rows if len(row) == 3 and row[2].endswith("\n")]

    def is_at(self, host: Host) -> None:
        """The site has come to this host, and everything is as it should be."""
        self.answered()
        assert {address for _, address, _ in self.visits()[-VISITS_AFTER:]} == {host.address}
        self.as_git_says()

    def told(self) -> dict[str, object]:
        """For the list of results."""
        visits = self.visits()
        return {
            "kills": self.kills, "visits": len(visits),
            "unanswered": sum(status != "200" for *_, status in visits),
            "longest_gap_s": round(self.longest_gap_s(), 2), "orders": self.pair.acme.orders() - self.orders,
        }  # fmt: skip

    def kills_at(self, point: Point, *words: str) -> None:
        """The command is killed there, and the site continues to answer."""
        killed_at(self.pair, point, *words)
        self.kills += 1
        self.answered()

    def answered(self) -> None:
        """Every visit got its page, some more of them since the call."""
        already = len(self.visits())
        enough = already + VISITS_AFTER
        self.pair.field.wait_for(lambda: len(self.visits()) >= enough, "the visitor comes by", timeout_s=60)
        visits = self.visits()
        unanswered = [
            f"{at - visits[0][0]:.1f} s after the first: {address} {said}"
            for at, address, said in visits
            if said != "200"
        ]
        assert not unanswered, unanswered
        assert self.longest_gap_s() <= LONGEST_GAP_S
        assert self.pair.acme.orders() == self.orders, "a certificate was ordered"

    def longest_gap_s(self) -> float:
        times = [at for at, _, _ in self.visits()]
        return max(later - earlier for earlier, later in itertools.pairwise(times))

    def as_git_says(self) -> None:
        """Both hosts are in sync with the branch, and the proxy of each has the sites that it has in Git."""
        pair, head = self.pair, self.pair.head

        def in_sync() -> bool:
            rows = {row["host"]: row for row in pair.field.items("hosts?limit=200")}
            undone = [row["message"] for row in rows.values() if row["reason"] == "RolledBackLatched"]
            assert undone == []
            return all(rows[host]["sync"] == "Synced" and rows[host]["observed_commit"] == head for host in (FROM, TO))

        pair.field.wait_for(in_sync, f"both hosts are as {head[:10]} says", timeout_s=300)
        for host in (pair.giver, pair.taker):
            text = pair.field.git("show", f"{head}:hosts/{host.name}.yaml", at=pair.field.repository)
            there = host.sh("ls /etc/passerelle/guests/proxy/sites 2>/dev/null || true").split()
            assert there == ([f"{SITE}.conf"] if "\nweb:" in text else []), host.name

    def keys_are_with(self, *hosts: Host) -> None:
        """Keys are in the folder of the proxy on these hosts, and nowhere else: not on the other host, not in another
        guest, not on the way.
        """
        pair = self.pair
        own = ["grep", "-rlsFa", "-D", "skip", "-f", "-", str(pair.room), str(pair.field.room)]
        assert subprocess.run(own, input=self.secrets, text=True, stdout=subprocess.PIPE, check=False).stdout == ""
        for host in (pair.giver, pair.taker):
            there = self._found(host)
            assert {path for path in there if not path.startswith(STATE)} == set(), host.name
            assert bool(there) == (host in hosts), f"{host.name}: {there}"
            for guest in host.sh("lxc-ls --running -1 2>/dev/null || true").split():
                within = self._found(host, "lxc-attach", "-n", guest, "--clear-env", "--")
                own_folder = IN_GUEST if guest == "proxy" and host in hosts else "/nowhere/"
                assert {path for path in within if not path.startswith(own_folder)} == set(), f"{guest} on {host.name}"

    def _found(self, host: Host, *inside: str) -> list[str]:
        """Files of a host, or of a guest of it, in which there is a key."""
        argv = [*inside, "grep", "-rlsFa", "-D", "skip", *PASSED_OVER, "-f", "-", *PLACES.split()]
        return host.exec(argv, input=self.secrets, timeout_s=120).stdout.splitlines()
