"""How long reading takes at most, whatever is in the files: CPU time compared with that of an ordinary file, in one
run.
"""

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest

from service.spec.fleet import Fleet
from tests.spec.conftest import HOST

Read = Callable[..., Fleet]


def cpu_s(work: Callable[[], object], runs: int = 1) -> float:
    """CPU seconds of this process, the least of some runs. The collector of cycles is off: it walks whatever the
    process holds."""
    took = []
    gc.disable()
    try:
        for _ in range(runs):
            began_s = time.process_time()
            work()
            took.append(time.process_time() - began_s)
    finally:
        gc.enable()
    return min(took)


@dataclass(frozen=True)
class Yardstick:
    """What an ordinary file without a finding costs: CPU seconds for a byte."""

    read: Read
    s_per_byte: float

    def beside(self, files: Mapping[str, str]) -> tuple[Fleet, float]:
        """What is read, and how much more it cost than ordinary files of that size."""
        fleets: list[Fleet] = []
        took_s = cpu_s(lambda: fleets.append(self.read(files)))
        return fleets[0], took_s / (sum(map(len, files.values())) * self.s_per_byte)


MOST_TIMES = 30.0
"""Seen: 1 to 7. What is tried again for each of a file's thousands of findings takes hundreds of times as much."""


@pytest.fixture
def yardstick(read: Read) -> Yardstick:
    guests = "".join(f'  g{n}: {{mac: "02:00:00:00:{n // 256:02x}:{n % 256:02x}"}}\n' for n in range(1000))
    text = HOST.replace("guests:\n", f"guests:\n{guests}")
    assert not read({"hosts/pve1.yaml": text}).findings
    return Yardstick(read, cpu_s(lambda: read({"hosts/pve1.yaml": text}), runs=3) / len(text))


def test_many_errors_are_all_said_and_more_are_counted(yardstick: Yardstick) -> None:
    for count, said in ((900, 900), (5000, 1001)):
        text = HOST + "".join(f"key{n}: [{n}]\n" for n in range(count))
        fleet, times = yardstick.beside({"hosts/pve1.yaml": text})
        found = fleet.findings
        assert len(found) == said
        assert times < MOST_TIMES
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
def test_no_file_takes_long_to_refuse(yardstick: Yardstick, text: str) -> None:
    fleet, times = yardstick.beside({"hosts/pve1.yaml": HOST.partition("interfaces:")[0] + text})
    assert fleet.has_errors
    assert times < MOST_TIMES


@pytest.mark.long
def test_a_thousand_hosts_cost_what_their_size_does_and_nothing_again(
    read: Read, yardstick: Yardstick, host: str
) -> None:
    files = {}
    for n in range(1000):
        text = host.replace("pve1", f"pve{n}").replace("198.51.100.11", f"198.18.{n // 250}.{n % 250 + 1}")
        text = text.replace("198.51.100.1}", f"198.18.{n // 250}.254}}")
        files[f"hosts/pve{n}.yaml"] = text.replace("BC:24:11:00", f"BC:24:{n // 256:02x}:{n % 256:02x}")
    fleet, times = yardstick.beside(files)
    assert len(fleet.hosts) == 1000
    assert times < MOST_TIMES
    again: list[Fleet] = []
    again_s = cpu_s(lambda: again.append(read(files, fleet.parsed)))
    assert again == [fleet]
    assert again_s < times * yardstick.s_per_byte * sum(map(len, files.values())) / 5  # seen: a hundredth
