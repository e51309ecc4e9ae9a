"""The key `checks`: which probes are allowed, who runs them, and what is reported of others."""

from collections.abc import Callable

import pytest

from service.model.probes import Probe
from service.spec.fleet import Fleet

HEAD = """\
host: pve1
connection:
  address: 198.51.100.11
  console: https://console.example.net/pve1
  host_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPnMuRArpXCMB2oMafDHiIjr90HGUiuvwRcPlZ9pAPrT]
checks:
"""
Read = Callable[..., Fleet]


def fleet(read: Read, *checks: str) -> Fleet:
    return read({"hosts/pve1.yaml": HEAD + "".join(f"  - {check}\n" for check in checks)})


def test_every_type_of_check_is_read_with_its_usual_values(read: Read) -> None:
    found = fleet(
        read,
        "{type: tcp, address: 198.18.0.80, port: 443}",
        "{type: http, address: 10.10.10.20, path: /health, status: 204, name: www.example.org, timeout: 5s}",
        "{type: icmp, address: 2001:db8::1, from: controller}",
        "{type: dns, address: 127.0.0.1, name: dev.madyanne.lan}",
    )
    assert found.findings == ()
    assert found.hosts["pve1"].checks == (
        Probe("tcp", "198.18.0.80", port=443),
        Probe("http", "10.10.10.20", port=80, path="/health", status=204, asked="www.example.org", timeout_s=5),
        Probe("icmp", "2001:db8::1", "controller"),
        Probe("dns", "127.0.0.1", port=53, asked="dev.madyanne.lan"),
    )
    assert [probe.name for probe in found.hosts["pve1"].checks] == [
        "tcp 198.18.0.80:443",
        "http 10.10.10.20:80/health www.example.org",
        "icmp 2001:db8::1 from the controller",
        "dns 127.0.0.1:53 dev.madyanne.lan",
    ]


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ("{type: tcp, address: 198.18.0.80}", "7:5: checks.0: a check of type tcp needs a port"),
        ("{type: dns, address: 198.18.0.80}", "a check of type dns needs a name"),
        ("{type: icmp, address: 198.18.0.80, port: 1}", "checks.0.port: a check of type icmp takes no port"),
        ("{type: tcp, address: 198.18.0.80, port: 1, path: /}", "a check of type tcp takes no path"),
        ("{type: https, address: 198.18.0.80}", "checks.0.type"),
        ("{type: icmp, address: www.example.org}", "`www.example.org` is not an address"),
        ("{type: icmp, address: 0.0.0.0}", "`0.0.0.0` is not the address of one machine"),
        ("{type: icmp, address: 224.0.0.1}", "not the address of one machine"),
        ('{type: icmp, address: "fe80::1%eth0"}', "cannot be checked"),
        ('{type: icmp, address: "::ffff:127.0.0.1", from: controller}', "cannot be checked"),
        ("{type: icmp, address: 127.0.0.1, from: controller}", "the service's own machine, and the service does not"),
        ('{type: icmp, address: "::1", from: controller}', "the service's own machine"),
        ("{type: http, address: 169.254.169.254, from: controller}", "where clouds keep their metadata"),
        ('{type: http, address: 198.18.0.80, path: "/a b"}', "is not a path"),
        ("{type: http, address: 198.18.0.80, path: health}", "is not a path"),
        ("{type: http, address: 198.18.0.80, status: 99}", "checks.0.status"),
        ("{type: icmp, address: 198.18.0.80, timeout: 11s}", "out of range"),
        ("{type: icmp, address: 198.18.0.80, form: host}", "checks.0.form: unknown key"),
        ("{type: icmp, address: 198.18.0.80, from: elsewhere}", "checks.0.from"),
    ],
)
def test_a_check_that_cannot_be_asked_is_refused_where_it_stands(read: Read, check: str, said: str) -> None:
    found = fleet(read, check)
    assert found.has_errors
    assert said in "\n".join(map(str, found.findings))
    assert found.hosts == {}
    rules = {finding.rule for finding in found.findings}
    assert rules <= {"checks.fields", "checks.target", "value", "type", "unknown-key"}


def test_the_same_check_twice_is_one_too_many(read: Read) -> None:
    found = fleet(read, *["{type: icmp, address: 198.18.0.80}"] * 2)
    assert [finding.rule for finding in found.findings] == ["checks.twice"]


def test_there_is_an_end_to_how_many(read: Read) -> None:
    found = fleet(read, *[f"{{type: icmp, address: 198.18.0.{n}}}" for n in range(1, 18)])
    assert "checks" in "\n".join(map(str, found.findings))
    assert found.has_errors
