"""The guests of a topology: on which bridge each one is, and whether it runs. Pure."""

import re
from collections.abc import Callable, Sequence
from ipaddress import ip_address

from service.kinds.claims import Claim, Creates, Reservation, Serves
from service.kinds.guests_seen import guests_seen
from service.kinds.published import network_of
from service.model.guests import GuestSeen
from service.model.observed import HostObserved, Lease
from service.model.states import Json, Seen, Unknown
from service.model.topology import GuestNode
from service.resources.guest_configs import settings_of

_OF_PROXMOX = re.compile(r"(?:veth|tap)([0-9]+)i[0-9]+")
"""A guest's link in the host, while it runs: pve-container and qemu-server name it so."""


def guest_nodes(
    claims: Sequence[Claim], observed: HostObserved | None, *, lost: Sequence[Lease], bridges: Sequence[str],
    drift: Callable[[str], tuple[str, ...]],
) -> tuple[GuestNode, ...]:  # fmt: skip
    """Everybody who is behind the host: declared, known by settings, strangers with a lease. `drift(name)` gives what
    differs of a guest."""
    rows = {c.name: c for c in claims if isinstance(c, Reservation)}
    links = _links(observed)
    if observed is None:
        seen = tuple(GuestSeen(c.name, c.mac.lower(), "spec", "waiting", "", c.address) for c in rows.values())
    else:
        seen = guests_seen(claims, observed, lost)
    is_read = observed is not None and not isinstance(observed.leases, Unknown)
    by_settings = _by_settings(observed, bridges)
    return tuple(
        GuestNode(
            one.name, one.mac, one.address or one.reserved,
            _bridge(one, rows.get(one.name), claims, observed, by_settings),
            _running(one.name, rows.get(one.name), observed, links),
            one.source, one.state if is_read else "unknown", drift(one.name) if one.source == "spec" else (),
        )
        for one in seen
    )  # fmt: skip


def _links(observed: HostObserved | None) -> dict[str, Json] | None:
    """The host's links by name; None where they could not be read."""
    if observed is None or isinstance(observed.unlisted.get("link:", Unknown("not read")), Unknown):
        return None
    found = ((name, seen) for name, seen in observed.facts.items() if name.startswith("link:"))
    return {name.removeprefix("link:"): seen.value for name, seen in found if isinstance(seen, Seen)}


def _running(
    name: str, row: Reservation | None, observed: HostObserved | None, links: dict[str, Json] | None
) -> bool | None:
    """Whether a guest runs, None where that is not known: as the host says it, or by its link in the host."""
    said = _said(name, observed).get("running") if row is not None else None
    if isinstance(said, bool):
        return said
    if row is None or links is None:
        return None
    if row.vmid:
        return any(match[1] == str(row.vmid) for match in map(_OF_PROXMOX.fullmatch, links) if match)
    return row.port in links if row.port.startswith("veth") else None


def _said(name: str, observed: HostObserved | None) -> dict[str, Json]:
    seen = observed.fact(f"guest:{name}") if observed is not None else None
    return seen.value if isinstance(seen, Seen) and isinstance(seen.value, dict) else {}


def _by_settings(observed: HostObserved | None, bridges: Sequence[str]) -> dict[str, str]:
    """The bridge of each MAC address by the guests' settings on the host."""
    found: dict[str, str] = {}
    for bridge in bridges if observed is not None else ():
        rows = settings_of(observed, (bridge,)) if observed is not None else ()
        for _, (_, mac, _) in () if isinstance(rows, Unknown) else rows:
            found.setdefault(mac.lower(), bridge)
    return found


def _bridge(
    one: GuestSeen, row: Reservation | None, claims: Sequence[Claim], observed: HostObserved | None,
    by_settings: dict[str, str],
) -> str:  # fmt: skip
    """The bridge of a guest: as the host says it, by its settings, its address, the spec; "" where nothing says it."""
    said = _said(one.name, observed).get("bridge") if row is not None else None
    if isinstance(said, str) and said:
        return said
    if one.mac in by_settings:
        return by_settings[one.mac]
    made = next((c.bridge for c in claims if isinstance(c, Creates) and c.guest == one.name and c.bridge), "")
    if row is not None and made:
        return made
    address = one.address or one.reserved
    if address and ip_address(address).version == 4:
        found = network_of(address, claims)
        return found[0] if found else ""
    served = {c.interface for c in claims if isinstance(c, Serves) and c.protocol == "dhcp"}
    return served.pop() if len(served) == 1 and not address else ""
