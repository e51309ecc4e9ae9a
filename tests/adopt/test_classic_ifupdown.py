"""A host with the classic ifupdown: the spec has what that program sets, and the report names what it loses."""

from dataclasses import replace

from service.adopt import adopt
from tests.adopt.trees import material

BY_CLASS = b"""auto lo
iface lo inet loopback

auto enp1s0
iface enp1s0 inet static
\taddress 198.51.100.11
\tgateway 198.51.100.1

auto vmbr0
iface vmbr0 inet static
\taddress 10.10.10.1/24
\taddress 10.10.11.1/24
\tbridge_ports none
\tbridge_fd 0
"""


def test_on_a_host_with_the_classic_ifupdown_the_spec_says_what_that_program_sets() -> None:
    given, path = material("classic"), "/etc/network/interfaces"
    packages = {**given.packages, "ifupdown": True, "ifupdown2": False, "bridge-utils": True}
    made = adopt(replace(given, files={**given.files, path: BY_CLASS}, packages=packages, ifupdown2=""))
    assert "  enp1s0: {addresses: [198.51.100.11/24], gateway: 198.51.100.1}\n" in made.text
    assert "  vmbr0: {addresses: [10.10.10.1/24], ports: []" in made.text
    dangers = {note.where: note.what for note in made.report.of("danger") if note.where.startswith(path)}
    assert dangers == {
        f"{path}:6": "without a netmask ifupdown sets 198.51.100.11/24, by the class of the address",
        f"{path}:12": "vmbr0: address 10.10.11.1/24 (unmanaged); ifupdown takes one `address` of a stanza. "
        "Fix: give this one a stanza of its own",
    }
