"""The guests that live on a host by their own settings: Proxmox's and plain LXC's, as an observation holds them."""

from collections.abc import Iterator, Sequence

from service.formats import lxc_guests, pve_guests
from service.model.observed import HostObserved
from service.model.states import Seen, Unknown
from service.observe.derived import derived

CONFIGS = (*(f"{folder}/*" for folder in pve_guests.FOLDERS), "/var/lib/lxc/*/config")
"""The files with guests' settings. `*` in the middle takes one level of folders."""

GuestRow = tuple[str, str, str]
"""(name, MAC, address or empty)"""


def configured_guests(observed: HostObserved, bridges: Sequence[str]) -> tuple[GuestRow, ...] | Unknown:
    """(name, MAC, address where one is fixed) of every guest with a card in one of these bridges, by path.

    Templates are not guests. Only what counts now is taken, not what waits for a restart. Of several cards in the
    bridges the first one has the name: dnsmasq gives a name to one lease at a time. Of guests with the same name or
    address the first one keeps it.
    """
    found = settings_of(observed, tuple(bridges))
    return found if isinstance(found, Unknown) else tuple(without_twins((), [row for _, row in found]))


@derived
def settings_of(observed: HostObserved, bridges: tuple[str, ...]) -> tuple[tuple[str, GuestRow], ...] | Unknown:
    """(path, guest) of every guest with a card in one of these bridges, as their settings say, twins and all."""
    rows: list[tuple[str, GuestRow]] = []
    for path in sorted(observed.texts):
        if not (pve_guests.is_guest_file(path) or lxc_guests.is_guest_file(path)):
            continue
        text = observed.texts[path]
        if isinstance(text, Unknown):
            return Unknown(f"{path}: {text.why}")
        if isinstance(text, Seen):
            rows.extend((path, row) for row in rows_of(path, text.value, bridges))
    return tuple(rows)


def without_twins(first: Sequence[GuestRow], others: Sequence[GuestRow]) -> Iterator[GuestRow]:
    """Of `others` those that are known by no name or MAC yet, without an address that is another's."""
    names, macs, addresses = ({row[n].lower() for row in first if row[n]} for n in range(3))
    for name, mac, address in others:
        if name in names or mac in macs:
            continue
        yield name, mac, "" if address in addresses else address
        names.add(name)
        macs.add(mac)
        addresses.add(address or "-")


def rows_of(path: str, data: bytes, bridges: Sequence[str]) -> Iterator[GuestRow]:
    """The guest of one file of settings, if it is on one of these bridges."""
    if lxc_guests.is_guest_file(path):
        container = lxc_guests.parse(data, path)
        found = [(card.mac, card.address) for card in container.cards if card.bridge in bridges]
        name = container.name
    else:
        guest = pve_guests.parse(data, path)
        if guest.is_template or not (guest.is_named or guest.sort == "lxc"):
            return
        fixed = [(card, "" if card.address == "dhcp" else card.address.split("/")[0]) for card in guest.cards]
        found = [(card.mac, address) for card, address in fixed if card.bridge in bridges]
        name = guest.name
    if found and name:
        yield name, *found[0]
