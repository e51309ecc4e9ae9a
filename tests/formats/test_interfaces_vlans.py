"""VLANs in the interfaces files: what is one to which program, and the lines that make one."""

import pytest

from service.errors import InputError
from service.formats.interfaces import (
    DEBIAN_12,
    MAIN_FILE,
    BootProgram,
    IfaceMeaning,
    SetStanza,
    VlanMeaning,
    WantedStanza,
    WantedVlan,
    classic_program,
    edit,
    edit_files,
    load,
    meaning,
)

CLASSIC = classic_program("0.8.41")
WITHOUT_SCRIPT = classic_program("0.8.41", makes_vlans=False)
ADDRESS = "\taddress 10.0.20.1/24\n"
RAW = "\tvlan-raw-device eno1\n"


def read(name: str, lines: str, program: BootProgram) -> IfaceMeaning:
    config = load({MAIN_FILE: f"auto {name}\niface {name} inet static\n{ADDRESS}{lines}".encode()}, program=program)
    found = meaning(config, name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "lines", "ifupdown2", "classic", "without_script"),
    [
        ("eno1.20", "", 20, 20, 20),
        ("eno1.0020", "", 20, 20, 20),
        ("eno1.20", RAW, 20, 20, None),
        ("vlan20", RAW, 20, 20, None),
        ("vlan0020", RAW, 20, 20, None),
        ("vlan20", "", None, None, None),
        ("office", RAW + "\tvlan-id 20\n", 20, None, None),
        ("office", RAW, None, None, None),
        ("vlan20", RAW + "\tvlan-id 30\n", 30, None, None),
        ("eno1.20", "\tvlan-protocol 802.1ad\n", None, None, None),
        ("eno1.20", "\tvlan-protocol 802.1q\n", 20, 20, 20),
        ("eno1.4095", "", None, None, None),
        ("eno1.20", "\tbridge_ports none\n", None, None, None),
        ("eno1", "", None, None, None),
    ],
)
def test_what_is_a_vlan_to_which_program(
    name: str, lines: str, ifupdown2: int | None, classic: int | None, without_script: int | None
) -> None:
    for program, number in ((DEBIAN_12, ifupdown2), (CLASSIC, classic), (WITHOUT_SCRIPT, without_script)):
        found = read(name, lines, program)
        assert found.vlan == (VlanMeaning("eno1", number) if number else None), program
        told = {option.key for option in found.other if option.key.startswith("vlan-")}
        written = {line.split()[0] for line in lines.splitlines() if "vlan-" in line}
        assert told == (set() if number else written), program


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("eno1.20", ""),
        ("vlan20", "\tvlan-raw-device eno1\n"),
        ("office", "\tvlan-raw-device eno1\n\tvlan-id 20\n"),
    ],
)
def test_a_new_vlan_has_the_lines_that_its_name_does_not_say(name: str, lines: str) -> None:
    wanted = WantedStanza(("10.0.20.1/24",), mtu=1400, vlan=WantedVlan(name, "eno1", 20), condone_regex="")
    made = edit(b"", [SetStanza(name, wanted)]).decode()
    assert made == f"auto {name}\niface {name} inet static\n{ADDRESS}{lines}\tmtu 1400\n"
    assert read(name, lines + "\tmtu 1400\n", DEBIAN_12).vlan == VlanMeaning("eno1", 20)


def test_the_link_below_and_the_number_are_changed_where_they_are() -> None:
    there = b"auto office\niface office inet static\n  address 10.0.20.1/24\n  vlan_raw_device eno1\n  vlan-id 20 \n"
    wanted = WantedStanza(("10.0.20.1/24",), vlan=WantedVlan("office", "eno2", 21))
    assert edit(there, [SetStanza("office", wanted)]) == there.replace(b"eno1", b"eno2").replace(b"20 ", b"21")


def test_a_name_that_says_another_vlan_is_not_edited() -> None:
    there = b"auto eno1.20\niface eno1.20 inet manual\n\tvlan-raw-device eno2\n"
    wanted = WantedStanza(vlan=WantedVlan("eno1.20", "eno1", 20))
    with pytest.raises(InputError, match="would not give vlan"):
        edit(there, [SetStanza("eno1.20", wanted)])


def test_the_classic_ifupdown_gets_the_same_lines() -> None:
    wanted = WantedStanza(("10.0.20.1/24",), vlan=WantedVlan("vlan20", "eno1", 20))
    made = edit_files({MAIN_FILE: b""}, [SetStanza("vlan20", wanted)], lambda files: load(files, program=CLASSIC))
    assert made[MAIN_FILE].decode() == f"auto vlan20\niface vlan20 inet static\n{ADDRESS}{RAW}"


@pytest.mark.parametrize("vlan", [WantedVlan("x", "eno1", 0), WantedVlan("x", "eno1", 4095), WantedVlan("x", "a b", 5)])
def test_what_is_no_vlan_is_not_written(vlan: WantedVlan) -> None:
    with pytest.raises(InputError, match="is not a VLAN"):
        edit(b"", [SetStanza("x", WantedStanza(vlan=vlan))])
