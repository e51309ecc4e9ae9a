"""Parts of the lab that need no host."""

import socket
import struct

import pytest

from service.cli.lab import guest_of
from service.errors import InputError, LabError
from service.lab import apt, control, files
from service.lab.control import Message
from service.lab.inside import inet


def query(name: str, kind: int = 1) -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack("!HHHHHH", 0x1234, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def test_a_known_name_is_answered_with_its_address_whatever_its_case() -> None:
    answer = inet.reply(query("WWW.inet.example"))
    assert answer is not None
    assert answer[:2] == b"\x12\x34"
    assert answer[3] & 0x0F == inet.NOERROR
    assert answer.endswith(socket.inet_aton("198.18.0.80"))


@pytest.mark.parametrize(
    ("name", "kind", "status"), [("nobody.example", 1, inet.NXDOMAIN), ("www.inet.example", 28, inet.NOERROR)]
)
def test_other_names_and_types_are_answered_empty(name: str, kind: int, status: int) -> None:
    answer = inet.reply(query(name, kind))
    assert answer is not None
    assert answer[3] & 0x0F == status
    assert struct.unpack_from("!H", answer, 6) == (0,)


@pytest.mark.parametrize("garbage", [b"", b"\0" * 11, query("a.b")[:14], b"\xff" * 40, inet.reply(query("a.b"))])
def test_what_is_no_query_gets_no_answer(garbage: bytes) -> None:
    assert inet.reply(garbage) is None


def test_a_message_carries_open_files_and_more_than_one_packet() -> None:
    here, there = socket.socketpair()
    with here, there, socket.socket() as passed:
        there.settimeout(10)
        body = {"op": "x", "filler": "é" * 30_000}
        control.send(here, Message(body, [passed.fileno()]))
        received = control.receive(there)
        with socket.socket(fileno=received.files[0]) as arrived:
            assert arrived.family == socket.AF_INET
        assert received.body == body


def test_a_message_cut_short_is_an_error() -> None:
    here, there = socket.socketpair()
    with there:
        with here:
            here.sendall(b'{"half": ')
        with pytest.raises(LabError, match="hung up in the middle"):
            control.receive(there)


def test_given_files_survive_the_journey_with_their_modes() -> None:
    given = files.given({"/etc/a": b"\x00\xff", "/etc/b": "é", "/bin/c": "#!/bin/sh\n"})
    assert files.unpacked(files.packed(given)) == given
    assert given["/etc/b"] == ("é".encode(), 0o644)
    assert given["/bin/c"][1] == 0o755


@pytest.mark.parametrize(
    ("line", "carried"),
    [
        ('Acquire::http::Proxy "http://proxy.example:3142";', True),
        ('Acquire::http::Proxy::archive.example "DIRECT";', True),
        ('Acquire::Check-Valid-Until "false";', True),
        ('Acquire::IndexTargets::deb::Packages::Description "x";', False),
        ('DPkg::Post-Invoke:: "rm -rf /";', False),
    ],
)
def test_only_what_decides_how_the_archive_is_reached_is_taken_over_from_the_machine(line: str, carried: bool) -> None:
    assert (apt.CARRIED.fullmatch(line) is not None) is carried


def test_guests_on_the_command_line_have_a_host_a_name_and_a_sort() -> None:
    assert guest_of("pve1/dev", ["pve1"]) == ("pve1", {"name": "dev", "sort": "named", "address": ""})
    assert guest_of("pve1/box=static:10.10.10.50/24", ["pve1"]) == (
        "pve1",
        {"name": "box", "sort": "static", "address": "10.10.10.50/24"},
    )
    for wrong in ("dev", "pve2/dev", "pve1/"):
        with pytest.raises(InputError, match="is not a guest of a host of this lab"):
            guest_of(wrong, ["pve1"])
