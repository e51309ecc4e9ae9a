"""Guests' settings with lines of half a megabyte cost no more than their length."""

import time

import pytest

from service.formats import lxc_guests, pve_guests

N = 500_000
PVE, LXC = "/etc/pve/lxc/100.conf", "/var/lib/lxc/dev/config"


@pytest.mark.parametrize(
    "text",
    [
        "description: a" + " " * N + "b",
        "hostname: dev" + " " * N + "b",
        " " * N + "b",
        "net0: " + "," * N,
        "net0: name=eth0,ip=" + "9" * N,
        "lxc.uts.name = a" + " " * N + "b",
        "lxc.uts.name" + " " * N + "b",
    ],
    ids=lambda text: text[:12].strip() or "blanks",
)
def test_a_long_line_of_a_guests_settings_is_read_in_time(text: str) -> None:
    began_s = time.process_time()
    pve_guests.parse(text.encode(), PVE)
    lxc_guests.parse(text.encode(), LXC)
    assert time.process_time() - began_s < 1


def test_blanks_around_values_are_no_part_of_them() -> None:
    mac = "BC:24:11:00:00:01"
    container = pve_guests.parse(f"hostname: \t dev.lan \t\r\nnet0:hwaddr={mac},bridge=vmbr0  \n".encode(), PVE)
    assert (container.name, [card.bridge for card in container.cards]) == ("dev", ["vmbr0"])
    plain = lxc_guests.parse(
        f" \tlxc.uts.name=  dev \t\r\nlxc.net.0.link  =vmbr0 \nlxc.net.0.hwaddr = {mac} \n".encode(), LXC
    )
    assert (plain.name, [card.bridge for card in plain.cards]) == ("dev", ["vmbr0"])
