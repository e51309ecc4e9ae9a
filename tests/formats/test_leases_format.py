"""dnsmasq's lease file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.formats.leases import parse
from service.model.observed import Lease

FILE = b"""\
1761234567 bc:24:11:00:00:01 10.10.10.100 dev 01:bc:24:11:00:00:01
0 bc:24:11:00:00:02 10.10.10.101 * *
1761234999 06-aa:bb:cc:dd 10.10.10.102 odd ff:00:01
vendorclass 10.10.10.100 6d7366
agent-info 10.10.10.100 0102
duid 00:01:00:01:2d:7e:11:22
1761234999 1929379840 fd00::100 dev 00:01:00:01
1761234999 T1929379841 fd00::101 * 00:01:00:02
"""


def test_leases_of_both_families_are_read() -> None:
    file = parse(FILE)
    assert (file.problems, file.complete) == ((), True)
    assert file.leases == (
        Lease("bc:24:11:00:00:01", "10.10.10.100", "dev", 1761234567, "01:bc:24:11:00:00:01"),
        Lease("bc:24:11:00:00:02", "10.10.10.101", "", 0),
        Lease("06-aa:bb:cc:dd", "10.10.10.102", "odd", 1761234999, "ff:00:01"),
        Lease("", "fd00::100", "dev", 1761234999, "00:01:00:01"),
        Lease("", "fd00::101", "", 1761234999, "00:01:00:02"),
    )


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_short_read_is_said_and_its_last_line_is_not_taken(cut: int) -> None:
    file = parse(FILE[:cut], "/leases")
    assert (file.leases, file.complete) == ((), False)
    assert file.problems == ("/leases:1: the file was cut short while it was read",)


def test_an_empty_file_has_no_leases_and_is_whole() -> None:
    assert parse(b"").complete
    assert parse(b"").leases == ()


@pytest.mark.parametrize(
    "line",
    [
        "x bc:24:11:00:00:01 10.10.10.100 dev *",
        "1 bc:24:11:00:00:0g 10.10.10.100 dev *",
        "1 bc:24:11:00:00:01 10.10.10.300 dev *",
        "1 bc:24:11:00:00:01 10.10.10.100 <b>dev *",
        "1 bc:24:11:00:00:01 10.10.10.100 dev zz",
        "1 bc:24:11:00:00:01 10.10.10.100 dev",
        "1 x fd00::1 dev *",
        "99999999999999 bc:24:11:00:00:01 10.10.10.100 dev *",
    ],
)
def test_a_line_that_is_no_lease_is_a_problem_and_the_others_stay(line: str) -> None:
    file = parse(line.encode() + b"\n" + FILE, "/leases")
    assert len(file.leases) == 5
    assert [problem.split(" ")[0] for problem in file.problems] == ["/leases:1:"]


@given(st.binary(max_size=400))
def test_no_bytes_stop_the_reader(data: bytes) -> None:
    assert all(lease.expires >= 0 for lease in parse(data).leases)
