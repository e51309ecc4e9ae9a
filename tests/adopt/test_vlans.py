"""VLANs that a spec cannot say: each stays unmanaged with its reason, and the rest is adopted."""

from dataclasses import replace

from service.adopt import adopt
from tests.adopt.trees import material

MAIN = "/etc/network/interfaces"
FILE = b"""auto lo
iface lo inet loopback

iface nic0 inet manual

auto vmbr0
iface vmbr0 inet manual
\tbridge-ports nic0
\tbridge-stp off
\tbridge-fd 0
\tbridge-vlan-aware yes
\tbridge-vids 2-4094

auto vmbr0.20
iface vmbr0.20 inet static
\taddress 198.51.100.11/24
\tgateway 198.51.100.1

auto vmbr0.20.7
iface vmbr0.20.7 inet manual

auto vlan9
iface vlan9 inet manual
\tvlan-raw-device vmbr0.20

auto office
iface office inet manual
\tvlan-raw-device vnet1
\tvlan-id 5

source /etc/network/interfaces.d/*
"""
SDN = b"#version:1\n\nauto vnet1\niface vnet1\n\tbridge_ports none\n\tbridge_stp off\n\tbridge_fd 0\n"


def test_what_a_spec_cannot_say_of_vlans_is_named() -> None:
    given = material("vlans")
    made = adopt(replace(given, files={**given.files, MAIN: FILE, "/etc/network/interfaces.d/sdn": SDN}))
    assert "vlans:\n  vmbr0.20: {addresses: [198.51.100.11/24], gateway: 198.51.100.1}\nbridges:\n" in made.text
    told = {note.where: note.what for note in made.report.of("unmanaged")}
    assert "is a VLAN inside a VLAN" in told[f"{MAIN}:20"]
    assert "vmbr0.20 is a VLAN, and a VLAN inside a VLAN is not managed" in told[f"{MAIN}:23"]
    assert "the spec has no interface or bridge vnet1" in told[f"{MAIN}:27"]
    assert told[f"{MAIN}:11"] == "vmbr0: bridge-vlan-aware yes"
    assert told[f"{MAIN}:12"] == "vmbr0: bridge-vids 2-4094"
