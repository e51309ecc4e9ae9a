"""What is read of a container's settings (lxc.container.conf(5))."""

import time

from hypothesis import given, settings
from hypothesis import strategies as st

from service.formats.lxc_guests import LxcCard, is_guest_file, parse

PATH = "/var/lib/lxc/box/config"
CONFIG = b"""\
# Template used to create this container: /usr/share/lxc/templates/lxc-busybox
lxc.include = /usr/share/lxc/config/common.conf
lxc.net.0.type = veth
lxc.net.0.link = vmbr0
lxc.net.0.hwaddr = BC:24:11:00:00:A1
lxc.net.1.link = vmbr1
lxc.net.1.hwaddr = 00:16:3e:xx:xx:xx
lxc.net.2.hwaddr = bc:24:11:00:00:a2
lxc.net.2.ipv4.address = 10.10.10.5/24 10.10.10.255
lxc.uts.name = "Web.example.lan"
"""


def test_a_container_has_its_host_name_and_the_cards_whose_mac_is_fixed() -> None:
    guest = parse(CONFIG, PATH)
    assert guest.name == "web"
    assert guest.cards == (LxcCard("bc:24:11:00:00:a1", "vmbr0"), LxcCard("bc:24:11:00:00:a2", "", "10.10.10.5"))


def test_without_a_host_name_it_is_called_as_its_folder_and_old_keys_are_known() -> None:
    old = b"lxc.network.link = br0\nlxc.network.hwaddr = bc:24:11:00:00:a1\n"
    assert (parse(old, PATH).name, parse(old, PATH).cards) == ("box", (LxcCard("bc:24:11:00:00:a1", "br0"),))
    assert parse(b"lxc.uts.name = not_a_name\n", PATH).name == ""


def test_only_a_container_s_own_file_is_one() -> None:
    assert is_guest_file(PATH)
    for path in ("/var/lib/lxc/config", "/var/lib/lxc/a/b/config", "/var/lib/lxc/../config", f"{PATH}\n"):
        assert not is_guest_file(path)


LINES = st.sampled_from(CONFIG.splitlines(keepends=True)) | st.binary(max_size=40)


@settings(max_examples=60, deadline=None)
@given(st.lists(LINES, max_size=30))
def test_no_file_makes_it_fail_or_slow(lines: list[bytes]) -> None:
    began = time.monotonic()
    guest = parse(b"".join(lines), PATH)
    assert time.monotonic() - began < 1
    assert all(len(card.mac) == 17 and len(card.bridge) <= 15 for card in guest.cards)
