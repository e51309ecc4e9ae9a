"""Would the plan cut the way by which it is applied? Controller's address → host's address → sshd, as it will be.

The path is evaluated on a picture of the host before and after: addresses, links, bridge ports, default routes and
listeners. What cannot be proven to stay is refused; the automatic rollback stays active in every case.
"""

import ipaddress
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from service.formats.read_once import word_once
from service.model.facts import Step
from service.model.observed import HostObserved, Listener, ManagementPath
from service.model.plans import Refusal
from service.model.states import Json, Seen
from service.observe.at_boot import NETWORK_UNITS, SSH_UNITS
from service.resources.desired import Desired, LastApplied
from service.resources.traits import DecidingPackets, Routing, having

NEEDED_UNITS = (*SSH_UNITS, *NETWORK_UNITS)
ANY_ADDRESS = frozenset({"*", "0.0.0.0", "::", "[::]"})  # noqa: S104 (compared, not bound)
HINT = (
    "if you want this change, add `allow_management_change: true` under `connection:` in the same commit. The key only "
    "has an effect in the commit that adds it. If it is already there, remove it first"
)


@dataclass(frozen=True, slots=True)
class Picture:
    """The part of a host's state that a connection depends on. `routes` are default routes as captured. `below` has the
    link below each VLAN. `dynamic` are those of the addresses that a DHCP server or a router gave: no step changes
    them, but for the end of their link."""

    addresses: Mapping[str, tuple[str, ...]]
    down: frozenset[str]
    enslaved: Mapping[str, str]
    routes: tuple[tuple[str, str], ...]
    stopped: frozenset[str]
    below: Mapping[str, str] = field(default_factory=dict)
    dynamic: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def silent(self) -> frozenset[str]:
        """Interfaces that carry no packets of the host's own: down, on a link that is down, or a port of a bridge."""
        return self.down | self.enslaved.keys() | {name for name, link in self.below.items() if link in self.down}


def management_refusals(
    desired: Desired, base: LastApplied, observed: HostObserved, steps: Sequence[Step]
) -> tuple[Refusal, ...]:
    """Refusals of rule `management-path`; empty where the path is proven to stay."""
    if not steps:
        return ()
    path = observed.path
    if path is None:
        what = "the host did not say by which address it was reached, so its route to the service cannot be checked"
        return (Refusal("management-path", what, hint="see `passerelle doctor`"),)
    now = picture(observed)
    then = after(now, steps)
    beyond = {pair for _, one in having(desired, Routing) for pair in one.beyond_subnets()}
    devices = carriers(path, then)
    kept_out = [why for _, one in having(desired, DecidingPackets) for why in one.keeps_out(path, devices)]
    broken = [*cuts(path, now, then, observed, base, beyond), *kept_out]
    return tuple(Refusal("management-path", what, hint=HINT) for what in broken)


def cuts(
    path: ManagementPath,
    now: Picture,
    then: Picture,
    observed: HostObserved,
    base: LastApplied,
    beyond: Collection[tuple[str, str]],
) -> Iterator[str]:
    """Everything that would break the path, in words. `beyond` are (via, dev) of on_link gateways."""
    devices, here = carriers(path, then), carriers(path, now)
    if not devices:
        yield f"{path.server}, by which the service reaches this host, would be removed from {', '.join(here) or 'it'}"
        return
    device = devices[0]
    if device in then.down:
        yield f"{device}, which carries {path.server}, would go down"
    if (below := then.below.get(device)) in then.down:
        yield f"{below} would go down, and {device} on it carries {path.server}"
    if device in then.enslaved:
        yield f"{device}, which carries {path.server}, would become a port of {then.enslaved[device]}"
    if device in here and here[0] in ways_to(path.controller, now) - {*devices}:
        yield (
            f"{path.server} would be removed from {here[0]}, on which the service's packets arrive. {device} keeps it, "
            f"and nothing proves that the host still answers for it on {here[0]}"
        )
    yield from way_back(path, now, then, base, beyond)
    for unit in NEEDED_UNITS:
        if unit in then.stopped and unit not in now.stopped:
            cut = " and the network with it" if unit in NETWORK_UNITS else ""
            yield f"{unit} would be stopped or not start at the next boot{cut}"
    if isinstance(observed.listeners, Seen) and not listens(observed.listeners.value, path):
        yield f"nothing listens on {path.server}:{path.port} for new connections"


def carriers(path: ManagementPath, state: Picture) -> list[str]:
    """The interfaces that have the host's address, which a /32 or /128 may have on several.

    First those on which the service's packets arrive, then those that carry packets at all. The others answer only if
    the kernel does so for them (`arp_ignore` in ip-sysctl.rst; for IPv6 it does not).
    """
    held = [name for name, addresses in state.addresses.items() if path.server in hosts_of(addresses)]
    ways = ways_to(path.controller, state)
    return sorted(held, key=lambda name: (name in state.silent, name not in ways))


def ways_to(controller: str, state: Picture) -> frozenset[str]:
    """The interfaces by which the host sends to the controller."""
    return links_to(controller, state.addresses, state.silent) or frozenset(d for _, d in routes_of(controller, state))


def way_back(
    path: ManagementPath, now: Picture, then: Picture, base: LastApplied, beyond: Collection[tuple[str, str]]
) -> Iterator[str]:
    """The route from the host to the controller: on the same link as before, or over a default route that stays.

    What the last confirmed apply had counts as proven, too: a new connection went that way. So a drift can be healed.
    """
    confirmed = confirmed_addresses(base)
    links, links_now, links_confirmed = (
        links_to(path.controller, addresses, silent)
        for addresses, silent in ((then.addresses, then.silent), (now.addresses, now.silent), (confirmed, ()))
    )
    if links:
        if links not in (links_now, links_confirmed):
            yield (
                f"{path.controller} would be addressed as a neighbour on {', '.join(sorted(links))}, "
                "and nothing proves that this works"
            )
        return
    routes, routes_now = routes_of(path.controller, then), routes_of(path.controller, now)
    is_as_before = routes == routes_now and not links_now
    if not routes and not is_as_before:
        yield f"no route to {path.controller} would be left"
    elif lost := sorted(
        (unconnected(routes, then, beyond) - unconnected(routes_now, now)) | silenced(routes, now, then)
    ):
        yield f"the gateway {lost[0][0]} to {path.controller} would be in no connected network"
    elif not is_as_before and (routes != confirmed_routes(base, path.controller) or links_confirmed):
        yield (
            f"the route to {path.controller} would change from {words(routes_now, links_now)} to {words(routes)}, "
            "and nothing proves that this works"
        )


def picture(observed: HostObserved) -> Picture:
    """The host as it is."""
    addresses: dict[str, tuple[str, ...]] = {}
    down: set[str] = set()
    enslaved: dict[str, str] = {}
    below: dict[str, str] = {}
    stopped: set[str] = set()
    for fact, seen in observed.facts.items():
        if not isinstance(seen, Seen):
            continue
        kind, _, name = fact.partition(":")
        if kind == "addresses" and isinstance(seen.value, list):
            addresses[name] = tuple(str(a) for a in seen.value)
        elif kind == "link" and isinstance(seen.value, dict):
            if seen.value.get("up") is False:
                down.add(name)
            if isinstance(master := seen.value.get("master"), str) and master:
                enslaved[name] = master
            if isinstance(parent := seen.value.get("parent"), str):
                below[name] = parent
        elif kind == "unit" and name in NEEDED_UNITS and isinstance(seen.value, dict) and not works(seen.value):
            stopped.add(name)
    for name, given in observed.dynamic.items():
        addresses[name] = (*addresses.get(name, ()), *(a for a in given if a not in addresses.get(name, ())))
    routes = observed.facts.get("routes:default")
    found = route_pairs(routes.value) if isinstance(routes, Seen) else ()
    return Picture(addresses, frozenset(down), enslaved, found, frozenset(stopped), below, observed.dynamic)


def after(now: Picture, steps: Sequence[Step]) -> Picture:
    """The host as the steps would make it."""
    addresses, down, enslaved, below = dict(now.addresses), set(now.down), dict(now.enslaved), dict(now.below)
    stopped, routes = set(now.stopped), now.routes
    for step in steps:
        kind, _, name = step.fact.partition(":")
        if kind == "addresses":
            static = tuple(str(a) for a in step.after) if isinstance(step.after, list) else ()
            addresses[name] = (*static, *(a for a in now.dynamic.get(name, ()) if a not in static))
        elif kind == "routes":
            routes = route_pairs(step.after)
        elif kind == "link" and step.after is None:
            for gone in {name, *(link for link, parent in below.items() if parent == name)}:  # VLANs go along
                addresses.pop(gone, None)
                enslaved = {port: master for port, master in enslaved.items() if gone not in (port, master)}
        elif kind == "link" and isinstance(step.after, dict):
            up = step.after.get("up")
            down = (down - {name}) if up else (down | {name} if up is False else down)
            below |= {name: parent} if isinstance(parent := step.after.get("parent"), str) else {}
            if step.after.get("type") == "bond":  # its ports are these and no other
                enslaved = {port: master for port, master in enslaved.items() if master != name}
            for port in names_of(step.after.get("ports")):
                enslaved[port] = name
        elif kind == "unit" and name in NEEDED_UNITS and isinstance(step.after, dict):
            stopped = stopped - {name} if works(step.after) else stopped | {name}
    return replace(
        now, addresses=addresses, down=frozenset(down), enslaved=enslaved, routes=routes, stopped=frozenset(stopped),
        below=below,
    )  # fmt: skip


def works(unit: Mapping[str, Json]) -> bool:
    """Whether a unit is there for the next connection, now and after a boot."""
    return unit.get("active") is not False and unit.get("enabled") not in ("disabled", "masked")


def names_of(ports: Json) -> Iterator[str]:
    """The names in a link's `ports`."""
    for port in ports if isinstance(ports, list) else []:
        if isinstance(port, dict) and isinstance(name := port.get("name"), str):
            yield name


def route_pairs(routes: Json) -> tuple[tuple[str, str], ...]:
    """(via, dev) of captured default routes."""
    return tuple(
        (str(r.get("via") or ""), str(r.get("dev") or ""))
        for r in (routes if isinstance(routes, list) else [])
        if isinstance(r, dict)
    )


def hosts_of(addresses: Sequence[str]) -> set[str]:
    """Addresses without their prefix lengths."""
    return {address.split("/", 1)[0] for address in addresses}


def links_to(controller: str, addresses: Mapping[str, Sequence[str]], silent: Collection[str]) -> frozenset[str]:
    """The interfaces whose network the controller is in: of several networks the narrowest decides (ip-route(8))."""
    narrowest = -1
    found: set[str] = set()
    for name, held in addresses.items():
        for address in held:
            length = int(address.rpartition("/")[2]) if name not in silent and contains(address, controller) else -1
            if length > narrowest:
                narrowest, found = length, set()
            if length == narrowest >= 0:
                found.add(name)
    return frozenset(found)


@word_once
def contains(network: str, address: str) -> bool:
    """Whether an address lies in the network of an interface address; False where either cannot be read."""
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_interface(network).network
    except ValueError:
        return False


def routes_of(controller: str, state: Picture) -> tuple[tuple[str, str], ...]:
    """The default routes of the controller's family."""
    six = ":" in controller
    return tuple(sorted(r for r in state.routes if (":" in r[0]) == six))


def unconnected(
    routes: Sequence[tuple[str, str]], state: Picture, beyond: Collection[tuple[str, str]] = ()
) -> set[tuple[str, str]]:
    """The routes whose gateway is in no network of their own interface, or whose interface carries nothing."""
    on_link = {pair for pair in beyond if pair[1] not in state.silent}
    return {
        (via, dev)
        for via, dev in {*routes} - on_link
        if dev in state.silent
        or (via and not via.startswith("fe80:") and not any(contains(a, via) for a in state.addresses.get(dev, ())))
    }


def silenced(routes: Sequence[tuple[str, str]], now: Picture, then: Picture) -> set[tuple[str, str]]:
    """The routes whose interface carries packets now and would not. This counts also where the gateway is outside every
    network of ours, as with a /32."""
    return {pair for pair in routes if pair[1] in then.silent - now.silent}


def confirmed_addresses(base: LastApplied) -> dict[str, tuple[str, ...]]:
    """The addresses of the last confirmed apply by interface."""
    return {
        key[1]: tuple(str(address) for address in held)
        for key, held in base.wishes.items()
        if key[2:] == ("addresses", "live") and isinstance(held, list)
    }


def confirmed_routes(base: LastApplied, controller: str) -> tuple[tuple[str, str], ...] | None:
    """The default routes of the last confirmed apply in the controller's family."""
    routes = base.named("interfaces", "routes6" if ":" in controller else "routes").get("default")
    return tuple(sorted(route_pairs(routes))) if routes is not None else None


def listens(listeners: Sequence[Listener], path: ManagementPath) -> bool:
    """Whether a socket waits for new connections on the address and port in use."""
    return any(
        listener.protocol == "tcp"
        and listener.port == path.port
        and (listener.address in ANY_ADDRESS or listener.address.strip("[]") == path.server)
        for listener in listeners
    )


def words(routes: Sequence[tuple[str, str]], links: Collection[str] = ()) -> str:
    """A way for people."""
    if links:
        return f"the network on {', '.join(sorted(links))}"
    return ", ".join(f"{via} on {dev}" for via, dev in routes) or "none"
