"""Network cards by their MAC addresses, and what they are called after the next boot.

card_of(observed, mac) -> name          the card that was made with this address, "" where the host has none
pinned_at_boot(observed) -> {name: Pinned}    cards that the next boot gives another name
"""

from collections.abc import Mapping
from dataclasses import dataclass

from service.formats.link_files import FOLDER, pinned_name
from service.model.observed import HostObserved
from service.model.states import Seen
from service.observe.at_boot import LEFT_OVER
from service.observe.derived import derived

MADE = ("bridge", "bond")
"""Types of links that have the MAC address of one of their ports, or one of their own."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """The name of a card after the next boot, and the file that gives it."""

    name: str
    path: str


@derived
def cards_by_mac(observed: HostObserved) -> Mapping[str, str]:
    """{own MAC address: name} of the host's cards: no bridge, no bond, no VLAN."""
    found: dict[str, str] = {}
    for name, card in sorted(observed.cards.items()):
        seen = observed.fact(f"link:{name}")
        type_ = seen.value.get("type") if isinstance(seen, Seen) and isinstance(seen.value, dict) else None
        if card.own_mac and not card.below and type_ not in MADE:
            found.setdefault(card.own_mac, name)
    return found


def card_of(observed: HostObserved, mac: str) -> str:
    """The name of the card that was made with this address; empty: no card of the host was."""
    return cards_by_mac(observed).get(mac.lower(), "")


@derived
def pinned_at_boot(observed: HostObserved) -> Mapping[str, Pinned]:
    """{name now: what it is called then} of cards for which a .link file has another name than the present one.

    A file that could not be read gives no name here: it says nothing against the present one.
    """
    found: dict[str, Pinned] = {}
    known: set[str] = set()
    for path in sorted(path for path in observed.texts if path.startswith(f"{FOLDER}/") and path.endswith(".link")):
        seen = observed.texts[path]
        said = pinned_name(seen.value) if isinstance(seen, Seen) else None
        for mac in said.macs if said is not None else ():
            now = card_of(observed, mac)
            if said is not None and now and mac not in known and said.name != now:
                found[now] = Pinned(said.name, path)
            known.add(mac)
    return found


def pinned_from(observed: HostObserved, name: str) -> str:
    """The card that is called `name` after the next boot, by its present name; empty: none is renamed to it."""
    return next((now for now, pinned in pinned_at_boot(observed).items() if pinned.name == name), "")


def pinned_for_files(observed: HostObserved) -> Mapping[str, Pinned]:
    """Cards that have another name when the boot reads these files. Where an interfaces.new waits, the boot reads that
    file, which Proxmox's tool writes with the new names; it is refused elsewhere as a pending change."""
    return {} if LEFT_OVER in observed.left_overs else pinned_at_boot(observed)


def present_name(name: str, pinned: Mapping[str, Pinned]) -> str:
    """What a name of the files means, by the names of now: that of a card which the boot renames means nothing then."""
    now = next((now for now, then in pinned.items() if then.name == name), "")
    return now or (f"{name} (renamed)" if name in pinned else name)
