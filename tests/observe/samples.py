"""Captured answers of real hosts, and the question they answer."""

from datetime import UTC, datetime
from pathlib import Path

from service.model.observed import HostObserved, Watch
from service.observe.read_answer import parse

NONCE = "0123456789abcdef"
AT = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
ANSWERS = Path(__file__).parent / "answers"
CASES = sorted(path.name for path in ANSWERS.iterdir() if path.is_dir())

WATCH = Watch(
    files=frozenset(
        {
            "/etc/network/interfaces",
            "/etc/network/interfaces.d/*",
            "/etc/dnsmasq.d/*",
            "/etc/dnsmasq.conf",
            "/var/lib/misc/dnsmasq.leases",
            "/etc/sysctl.d/*",
            "/etc/resolv.conf",
            "/etc/passerelle/nat.nft",
        }
    ),
    units=frozenset({"dnsmasq.service", "named.service", "bind9.service", "networking.service", "nope.service"}),
    packages=frozenset({"dnsmasq", "bind9", "nftables", "nope"}),
    sysctls=frozenset({"net.ipv4.ip_forward", "net.ipv4.conf.enp1s0.rp_filter", "net.nope"}),
    jails=frozenset({"sshd"}),
)

PROBES = ("link:nope0", "addresses:nope0", "nft:inet passerelle_nope", "file:/etc/dnsmasq.d/nope", "routes:default")
"""Facts that are not there, or that always are: what a garbled answer must not change its mind about."""


def answer(case: str) -> bytes:
    return (ANSWERS / case / "answer").read_bytes()


def read(data: bytes, watch: Watch = WATCH) -> HostObserved:
    return parse(data, NONCE, watch, "pve1", AT)
