"""How long reading takes at most, whatever is in the files."""

import time
from collections.abc import Callable

import pytest

from service.spec.fleet import Fleet
from tests.spec.conftest import HOST

Read = Callable[..., Fleet]


def test_many_errors_are_all_said_and_more_are_counted(read: Read) -> None:
    for count, said in ((900, 900), (5000, 1001)):
        text = HOST + "".join(f"key{n}: [{n}]\n" for n in range(count))
        started = time.perf_counter()
        found = read({"hosts/pve1.yaml": text}).findings
        assert time.perf_counter() - started < 5
        assert len(found) == said
    assert (
        found[0].message
        == "the file has 4000 more findings of this kind. Fix: correct the first ones, and run lint again"
    )


ADDRESSES = "{addresses: [%s]}"


@pytest.mark.long
@pytest.mark.parametrize(
    "text",
    [
        "nat: [" + "{source: 1, out: x}, " * 45_000 + "]\n",
        "nat: [" + "{source: 10.0.0.0/24, out: x}, " * 256 + "]\n",
        "guests: {" + ", ".join(f"g{n}: {{mac: 1}}" for n in range(45_000)) + "}\n",
        "guests: {"
        + ", ".join(
            f'g{n}: {{mac: "02:00:00:00:{n // 256:02x}:{n % 256:02x}", address: 10.{n // 256}.{n % 256}.9}}'
            for n in range(4096)
        )
        + "}\nbridges: {"
        + ", ".join(
            f"b{n}: " + ADDRESSES % ", ".join(f"10.{n}.{m}.1/{24 - m % 8}" for m in range(16)) for n in range(256)
        )
        + "}\n",
        "bridges: {"
        + ", ".join(f"b{n}: " + ADDRESSES % ", ".join(["2001:db8::1/64"] * 16) for n in range(256))
        + "}\n",
        "dnsmasq: {no_dhcp_interface: [" + "x, " * 100_000 + "]}\n",
    ],
    ids=["wrong-nat", "equal-nat", "wrong-guests", "guests-and-bridges", "one-address", "interfaces"],
)
def test_no_file_takes_long_to_refuse(read: Read, text: str) -> None:
    head = HOST.partition("interfaces:")[0]
    started = time.perf_counter()
    found = read({"hosts/pve1.yaml": head + text})
    assert time.perf_counter() - started < 10
    assert found.has_errors


@pytest.mark.long
def test_a_thousand_hosts_are_read_in_seconds(read: Read, host: str) -> None:
    files = {}
    for n in range(1000):
        text = host.replace("pve1", f"pve{n}").replace("198.51.100.11", f"198.18.{n // 250}.{n % 250 + 1}")
        text = text.replace("198.51.100.1}", f"198.18.{n // 250}.254}}")
        files[f"hosts/pve{n}.yaml"] = text.replace("BC:24:11:00", f"BC:24:{n // 256:02x}:{n % 256:02x}")
    started = time.perf_counter()
    fleet = read(files)
    assert len(fleet.hosts) == 1000
    assert time.perf_counter() - started < 15
    again = time.perf_counter()
    assert read(files, fleet.parsed) == fleet
    assert time.perf_counter() - again < 1
