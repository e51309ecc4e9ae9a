"""The runner over interfaces files of others, on small files of our own, and the faults that it found in adopt."""

from pathlib import Path

import pytest

from service.adopt import ConnectionGiven, adopt
from tests.adopt.corpora import MAIN
from tests.adopt.public import ADDRESS, host_with, judge, judged, listed

LO = b"auto lo\niface lo inet loopback\n\n"
UPLINK = b"auto eth0\niface eth0 inet static\n\taddress 198.51.100.11/24\n\tgateway 198.51.100.1\n"
BRIDGE = b"\niface eth7 inet manual\n\nauto vmbr0\niface vmbr0 inet static\n\taddress 10.0.0.1/24\n\tbridge-ports %s\n"
FILES = {
    "whole": LO + UPLINK,
    "stanzas": LO + UPLINK + b"\tdns-nameservers 198.51.100.1\n",
    "part": LO + UPLINK + b"\niface eth1 inet static\n\taddress 10.0.0.1/24\n",
}


@pytest.mark.parametrize("result", FILES)
def test_a_file_is_judged_by_what_is_left(result: str) -> None:
    assert judge(FILES[result]).result == result


def test_a_file_has_its_kinds_and_its_program() -> None:
    data = LO + UPLINK + BRIDGE % b"eth7 eth8"
    assert judge(data).kinds == ("pve", "bridge")
    assert host_with(data).boot_program().name == "ifupdown2"
    assert host_with(LO + UPLINK).boot_program().name == "ifupdown"
    assert judge(data).result == "whole", judge(data).left


def test_what_is_left_is_in_adopts_words() -> None:
    assert judge(FILES["stanzas"]).left == ("eth0: dns-nameservers 198.51.100.1",)


def test_a_list_has_no_words_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "index.tsv").write_text("".join(f"{n}\towner/{n}\tetc/network/interfaces\tx\n" for n in FILES))
    for name, data in FILES.items():
        (tmp_path / f"{name}.txt").write_bytes(data)
    text = listed([*judged(tmp_path)])
    assert "3 files; every stanza understood and the plan empty: 2 (67 %)." in text
    assert "| owner/part | etc/network/interfaces |  | part |\n" in text
    assert ADDRESS not in text


def test_a_default_route_by_another_interface_is_not_that_of_the_stanza() -> None:
    line = b"ip -6 route add default via 2001:db8::1 dev eth0"
    data = LO + UPLINK + b"\nauto eth1\niface eth1 inet6 static\n\taddress 2001:db8:1::1/64\n\tpost-up " + line + b"\n"
    made = adopt(host_with(data))
    assert '  eth1: {addresses: ["2001:db8:1::1/64"]}\n' in made.text
    notes = {note.where: (note.sort, note.what) for note in made.report.notes}
    assert notes[f"{MAIN}:12"] == ("unmanaged", f"eth1: post-up {line.decode()}")


def test_an_address_with_a_remark_behind_it_is_named() -> None:
    lines = b"\taddress 10.0.0.1 # ours\n\tgateway 10.0.0.2 # theirs\n"
    data = LO + UPLINK + b"\nauto eth1\niface eth1 inet static\n" + lines
    made = adopt(host_with(data))
    found = {note.where: note for note in made.report.notes}
    assert found[f"{MAIN}:11"].in_spec is False
    assert found[f"{MAIN}:12"].what == "eth1: gateway 10.0.0.2 # theirs; it is not an address"


def test_stanzas_of_a_file_that_the_boot_cannot_read_say_so() -> None:
    one = judge(LO + UPLINK + b"\nauto eth0:0\n\taddress 198.51.100.12/24\n")
    assert one.result == "part"
    assert "eth0: nothing of the interfaces files is applied at boot" in one.left[1]


def test_a_line_that_makes_its_interface_what_it_is_counts_as_the_stanza() -> None:
    assert judge(LO + UPLINK + b"\nauto eth1\niface eth1 inet manual\n\tvlan-raw-device eth0\n").result == "part"


def test_a_vlan_by_dhcp_keeps_its_lease_and_its_stanza() -> None:
    one = judge(
        LO + b"auto eth0\niface eth0 inet static\n\taddress 10.0.0.1/24\n\nauto eth0.2\niface eth0.2 inet dhcp\n"
    )
    assert one.result == "whole", one.left


def test_a_static_address_beside_dhcp_is_named() -> None:
    data = LO + b"auto eth0\niface eth0 inet dhcp\niface eth0 inet static\n\taddress 10.0.0.1/24\n"
    notes = {note.where: note for note in adopt(host_with(data), ConnectionGiven(address=ADDRESS)).report.notes}
    assert notes[f"{MAIN}:7"].in_spec is False
    assert "keep one of the two" in notes[f"{MAIN}:7"].what
