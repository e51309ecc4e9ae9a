"""Cards that a file names without a stanza: Proxmox knows them from the machine and writes them down."""

import pytest

from service.errors import InputError
from service.formats.pve_interfaces import canonical, parse, with_cards

LO = "auto lo\niface lo inet loopback\n\n"
MANUAL = "iface enp2s0 inet manual\n\n"


def written(text: str) -> str:
    """As Proxmox would write it on a machine with the cards."""
    return canonical(with_cards(parse(text.encode()))).text.decode().removeprefix(LO)


BRIDGE = "auto vmbr0\niface vmbr0 inet static\n\taddress 198.51.100.11/24\n\tgateway 198.51.100.1\n"
ON_CARD = BRIDGE + "\tbridge-ports enp2s0\n\tbridge-stp off\n\tbridge-fd 0\n\n"


def test_the_port_of_a_bridge_is_a_card_and_gets_a_stanza() -> None:
    assert written(LO + ON_CARD) == MANUAL + ON_CARD
    assert written(LO + MANUAL + ON_CARD) == MANUAL + ON_CARD


def test_a_card_that_has_a_stanza_keeps_it() -> None:
    card = "auto enp2s0\niface enp2s0 inet manual\n\tmtu 9000\n\n"
    assert written(LO + card + ON_CARD) == card + ON_CARD


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("iface bond0 inet manual\n\tslaves enp2s0\n", "auto enp2s0"),
        ("iface enp2s0.5 inet manual\n", "iface enp2s0 inet manual"),
        ("iface vmbr0 inet manual\n\tbridge-ports enp2s0.5\n", "iface enp2s0 inet manual"),
        ("iface enp2s0:1 inet static\n\taddress 10.0.0.1/24\n", "iface enp2s0 inet manual"),
        ("iface vlan5 inet manual\n\tvlan-raw-device enp2s0\n", "iface enp2s0 inet manual"),
        ("iface vmbr0 inet manual\n\tovs_type OVSBridge\n\tovs_ports enp2s0\n", "iface enp2s0 inet manual"),
    ],
)
def test_whatever_else_needs_a_card_finds_it(text: str, expected: str) -> None:
    made = written(text)
    assert "iface enp2s0 inet manual" in made
    assert expected in made


def test_a_name_that_is_not_that_of_a_card_stays_unknown() -> None:
    with pytest.raises(InputError, match="unable to find bridge port 'lan'"):
        canonical(with_cards(parse(b"iface vmbr0 inet manual\n\tbridge-ports lan\n")))


def test_what_was_read_stays_as_it_was() -> None:
    read = parse(ON_CARD.encode())
    before = read.as_json()
    with_cards(read)
    assert read.as_json() == before
