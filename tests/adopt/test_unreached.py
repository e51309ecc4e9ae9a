"""A host whose files do not say by which address it is reached: the cause with its line."""

import pytest

from service.adopt import ConnectionGiven, Material, adopt
from service.errors import InputError
from tests.adopt.corpora import MAIN

HEAD = "auto lo\niface lo inet loopback\n"
UPLINK = "auto enp1s0\niface enp1s0 inet static\n\taddress 192.0.2.30/24\n\tgateway 192.0.2.1\n"
BOND = "auto bond0\niface bond0 inet manual\n\tbond-slaves enp1s0\n"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (UPLINK.replace(".30/", ".300/"), f"{MAIN}:5: enp1s0: `address 192.0.2.300/24` cannot be read"),
        (UPLINK.replace(".1\n", ".1.1\n"), f"{MAIN}:6: enp1s0: `gateway 192.0.2.1.1` cannot be read"),
        (UPLINK.replace("auto enp1s0", ""), f"{MAIN}:4: enp1s0 has a gateway, but the boot does not bring it up"),
        (UPLINK.replace("\tgateway", "\t# "), f"{MAIN} and the files that it sources have no `gateway` line"),
        ("auto enp1s0\niface enp1s0 inet dhcp\n", f"{MAIN}:4: enp1s0 gets its address by dhcp"),
        (UPLINK + BOND, f"{MAIN}:6: enp1s0 is a port of bond0, and ifupdown2 sets no address of a port"),
        (UPLINK.replace("\taddress 192.0.2.30/24\n", ""), f"{MAIN}:4: enp1s0 has a gateway and no address"),
        (UPLINK + "iface\n", f"{MAIN}:7: `iface` without what must follow it"),
    ],
)
def test_the_line_is_named_at_which_the_address_of_the_host_is_lost(text: str, cause: str) -> None:
    given = Material({"/etc/hostname": b"pve1\n", MAIN: (HEAD + text).encode()})
    with pytest.raises(InputError) as error:
        adopt(given)
    assert f"the files of pve1 do not say by which address it is reached: {cause}" in error.value.what
    assert "--address" in error.value.hint
    assert adopt(given, ConnectionGiven(address="192.0.2.30")).text


def test_a_name_that_is_no_text_is_shown_without_what_cannot_be_printed() -> None:
    text = (HEAD + UPLINK).encode().replace(b"auto enp1s0\n", b"").replace(b"enp1s0", b"en\x8a1s0")
    with pytest.raises(InputError) as error:
        adopt(Material({"/etc/hostname": b"pve1\n", MAIN: text}))
    assert error.value.what.isprintable()
    assert "en1s0 has a gateway, but the boot does not bring it up" in error.value.what


def test_a_host_without_an_interfaces_file_and_one_that_cannot_be_read_are_told_apart() -> None:
    with pytest.raises(InputError, match="there is no /etc/network/interfaces"):
        adopt(Material({"/etc/hostname": b"pve1\n"}))
    with pytest.raises(InputError, match="/etc/network/interfaces could not be read: permission denied"):
        adopt(Material({"/etc/hostname": b"pve1\n"}, unread={MAIN: "permission denied"}))
