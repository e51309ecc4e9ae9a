"""What the next boot makes of the files: does it bring up the way by which the service reaches the host?

The switch on the host proves what is live: a change that cuts the way is rolled back. Nothing proves what only the next
boot does, because the confirmation comes long before it. So it is judged here, and nobody can override it. Two pictures
are compared with the live way that goes with each: the files as they are, and as the plan leaves them. What breaks only
in the second is refused. What breaks in both is there already: it stops nothing, and is reported.
"""

import re
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from service.formats.interfaces import (
    FILES,
    AddressLine,
    DefaultRouteLine,
    IfaceMeaning,
    InterfacesConfig,
    Opaque,
    StaticRoute,
    carried,
    meaning,
    meanings,
    ports_of,
)
from service.formats.interfaces.wanted import DYNAMIC_METHODS
from service.model.facts import Step
from service.model.observed import HostObserved, ManagementPath
from service.model.plans import Refusal, RefusalRule
from service.model.states import Seen, Unknown
from service.observe.at_boot import LOADERS, interfaces_config, interfaces_of, program_of, texts_of
from service.observe.cards import Pinned, pinned_at_boot, pinned_for_files, present_name
from service.observe.runner import OTHERS, STARTS, runner_of
from service.plan.management import (
    NEEDED_UNITS,
    Picture,
    after,
    carriers,
    hosts_of,
    links_to,
    listens,
    picture,
    routes_of,
    words,
)
from service.plan.units_at_boot import starts_at_boot, stopped_at_boot

RULE: RefusalRule = "management-path"
AT_BOOT = "at the next boot"
CANNOT_TELL = "lines that are not understood"
"""In the key of a fault that such a line might fix: nobody is informed of it, but the line must not go."""
KEEP = "Fix: keep in the spec what brings this up at boot. Nothing rolls back a reboot, so no key overrides this"
GUEST_PORT = re.compile(r"(tap|veth|fwpr|fwln|vnet|lxc)")
"""Ports of guests: their own programs attach them after the boot."""

MAX_VLAN = 4094
Breaks = Mapping[tuple[str, ...], str]
"""What does not come up at boot, in words. The key says what it is: equal keys are the same fault."""


@dataclass(frozen=True, slots=True)
class BootPicture:
    """What a boot makes of the files and units. `routes` are (network, via, dev), network `default` for all.

    `dynamic` are interfaces that get their address from elsewhere; `opaque` are (interface, line) of shell lines that
    may do anything. `vlans` have the link below each VLAN, and its number; `closed`
    are those that no port of their bridge takes. `pinned` are cards that are renamed then; all other fields have their
    present names.
    """

    addresses: Mapping[str, tuple[str, ...]]
    enslaved: Mapping[str, str]
    routes: tuple[tuple[str, str, str], ...]
    stopped: Mapping[str, str]
    dynamic: frozenset[str] = frozenset()
    opaque: tuple[tuple[str, str], ...] = ()
    fatal: str = ""
    vlans: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    closed: frozenset[str] = frozenset()
    pinned: Mapping[str, Pinned] = field(default_factory=dict)
    bonds: frozenset[str] = frozenset()


def next_boot_refusals(
    observed: HostObserved, steps: Sequence[Step], blobs: Mapping[str, bytes]
) -> tuple[Refusal, ...]:
    """Refusals of rule `management-path` for what would break at the next boot only because of these steps."""
    path = observed.path
    if not steps or path is None:
        return ()  # without a path everything is refused already
    config = interfaces_config(observed)
    if isinstance(config, Unknown):
        if not any(matters(step) for step in steps):
            return ()
        what = f"the effect of the interfaces files at the next boot is unknown: {config.why}"
        return (Refusal(RULE, what, hint="Fix: make the file readable on the host; see `passerelle doctor`"),)
    live = picture(observed)
    then = interfaces_of(observed, texts_after(observed, steps, blobs))
    now_boot, then_boot = boot_picture(config.value, observed, ()), boot_picture(then, observed, steps)
    now_breaks = breaks(path, live, now_boot, observed)
    then_breaks = breaks(path, after(live, steps), then_boot, observed)
    worse = [what for key, what in then_breaks.items() if key not in now_breaks]
    worse += [*becomes_dynamic(path, live, now_boot, then_boot), *other_card(path, live, now_boot, then_boot)]
    return tuple(Refusal(RULE, what, hint=KEEP) for what in (*worse, *second_writers(observed, steps)))


def becomes_dynamic(path: ManagementPath, live: Picture, now: BootPicture, then: BootPicture) -> Iterator[str]:
    """An address that a person set would come from a server at the next boot: nobody knows which one that gives."""
    device = carrier(path, live)
    if device in then.dynamic - now.dynamic and path.server not in hosts_of(live.dynamic.get(device, ())):
        yield (
            f"{AT_BOOT} {device} has an address that a server gives instead of {path.server}, by which the service "
            f"reaches this host, and nothing proves which one that is. Fix: change the stanza on the host's console "
            f"(`ifdown {device}`, edit, `ifup {device}`). Once the service reaches the host there, the spec may say so"
        )


def other_card(path: ManagementPath, live: Picture, now: BootPicture, then: BootPicture) -> Iterator[str]:
    """A bond has the MAC address of one of its ports, and by that a server knows whom it gives the address."""
    device = carrier(path, live)
    if device in then.dynamic and path.server in hosts_of(live.dynamic.get(device, ())):
        low = {device, live.below.get(device, device)}
        bonds = {bond for bond in now.bonds if bond in low or now.enslaved.get(bond) in low}
        for port in sorted(p for p, bond in now.enslaved.items() if bond in bonds and then.enslaved.get(p) != bond):
            yield (
                f"{AT_BOOT} {now.enslaved[port]} does without {port}, and may have another MAC address: a server gives "
                f"{device} another address than {path.server} then, by which the service reaches this host"
            )


def second_writers(observed: HostObserved, steps: Sequence[Step]) -> Iterator[str]:
    """Programs that the plan lets start at boot and that may configure the uplink next to what does it now."""
    for step in steps:
        unit = step.fact.removeprefix("unit:")
        wanted = step.after.get("enabled") if isinstance(step.after, dict) else None
        if unit in OTHERS and wanted in STARTS and not starts_at_boot(observed, unit):
            yield f"{AT_BOOT} {OTHERS[unit]} starts, too, and may configure the interface of the service's connection"


def next_boot_faults(observed: HostObserved, interfaces: Collection[str] = ()) -> tuple[str, ...]:
    """What the next boot breaks already, whatever is planned: sentences for people. `interfaces` are those that the
    spec names: another program than ifupdown may bring them up."""
    foreign = tuple(runner_of(observed).objections(interfaces))
    path = observed.path
    config = interfaces_config(observed)
    if path is None or (runner_of(observed).is_foreign and isinstance(config, Unknown)):
        return foreign
    if isinstance(config, Unknown):
        return (f"the effect of the interfaces files at the next boot is unknown: {config.why}",)
    found = breaks(path, picture(observed), boot_picture(config.value, observed, ()), observed)
    renamed = (
        f"{AT_BOOT} {now} is renamed to {then.name} ({then.path}). Fix: reboot {observed.host}, and write {then.name} "
        "in the spec"
        for now, then in sorted(pinned_at_boot(observed).items())
        if now in interfaces
    )
    return (*foreign, *renamed, *(what for key, what in found.items() if CANNOT_TELL not in key))


def matters(step: Step) -> bool:
    """Whether a step touches what the connection depends on, now or at boot."""
    kind, _, name = step.fact.partition(":")
    return (
        kind in ("link", "addresses", "routes")
        or name.startswith("/etc/network/")
        or (kind == "unit" and (name in NEEDED_UNITS or name in LOADERS))
    )


def texts_after(observed: HostObserved, steps: Sequence[Step], blobs: Mapping[str, bytes]) -> dict[str, bytes]:
    """The interfaces files as the steps leave them."""
    known = texts_of(observed, FILES)
    texts = {} if isinstance(known, Unknown) else dict(known)
    for step in steps:
        kind, _, path = step.fact.partition(":")
        if kind != "file" or not any(path == f or (f[-1] == "*" and path.startswith(f[:-1])) for f in FILES):
            continue
        digest = step.after.get("sha256") if isinstance(step.after, dict) else None
        if isinstance(digest, str) and digest in blobs:
            texts[path] = blobs[digest]
        elif step.after is None:
            texts.pop(path, None)
    return texts


def boot_picture(config: InterfacesConfig, observed: HostObserved, steps: Sequence[Step]) -> BootPicture:
    """Files and units as the steps leave them, as a boot takes them."""
    every = dict(stanzas_of(config, observed))
    have = {name: found for name, found in every.items() if found.at_boot and name != "lo"}
    fatal, pinned = config.fatal, pinned_for_files(observed)
    if fatal is not None:
        have = {}
    names = {name: present_name(name, pinned) for name in have}
    enslaved = {present_name(port, pinned): names[name] for name, found in have.items() for port in ports_of(found)}
    vlans = {
        names[name]: (present_name(found.vlan.parent, pinned), found.vlan.id)
        for name, found in have.items()
        if found.vlan is not None
    }
    return BootPicture(
        addresses={names[name]: addresses_of(name, found) for name, found in have.items()},
        enslaved=enslaved,
        routes=tuple(
            (network, via, present_name(dev, pinned))
            for name, found in have.items()
            for network, via, dev in routes_made(name, found)
        ),
        stopped=dict(stopped_at_boot(observed, steps)),
        dynamic=frozenset(
            names[n] for n, found in have.items() if is_dynamic(found, observed.path, config.program.has_dhcp)
        ),
        opaque=tuple(
            sorted({(names[n], e.text) for n, f in have.items() for e in f.boot_effects() if isinstance(e, Opaque)})
        ),
        fatal=f"{fatal.path}:{fatal.line}: {fatal.what}" if fatal is not None else "",
        closed=frozenset(name for name, vlan in vlans.items() if vlan[1] not in open_to(vlan[0], config, every)),
        vlans=vlans,
        pinned=pinned,
        bonds=frozenset(names[name] for name, found in have.items() if found.bond is not None),
    )


def open_to(bridge: str, config: InterfacesConfig, made: Mapping[str, IfaceMeaning]) -> Container[int]:
    """The VLANs that can pass a bridge's ports; all where it is not VLAN-aware, as under the classic ifupdown."""
    found = None if config.program.is_classic else carried(bridge, made)
    return range(MAX_VLAN + 1) if found is None else found


def stanzas_of(config: InterfacesConfig, observed: HostObserved) -> Iterator[tuple[str, IfaceMeaning]]:
    """Every interface that a stanza is about; a range of names such as `eth[0-2]` is about the links that it covers."""
    ranges = False
    for name, found in meanings(config).items():
        if "[" in name:
            ranges = True
        else:
            yield name, found
    for fact in observed.facts if ranges else ():
        kind, _, name = fact.partition(":")
        wide = meaning(config, name) if kind == "link" else None
        if wide is not None:
            yield name, wide


def is_dynamic(found: IfaceMeaning, path: ManagementPath | None, has_dhcp: bool) -> bool:
    """Whether its addresses of the family in use come from elsewhere: DHCP, if there is a client, PPP, router
    advertisements."""
    methods = ("inet6 auto", "inet6 dhcp") if path is not None and ":" in path.server else DYNAMIC_METHODS
    usable = [method for method in found.methods if has_dhcp or not method.endswith(" dhcp")]
    return any(method in methods for method in usable)


def addresses_of(name: str, found: IfaceMeaning) -> tuple[str, ...]:
    """The addresses that the stanzas and their shell lines set."""
    lines = [e.cidr for e in found.boot_effects() if isinstance(e, AddressLine) and e.action == "add" and e.dev == name]
    return (*found.addresses, *lines)


def routes_made(name: str, found: IfaceMeaning) -> Iterator[tuple[str, str, str]]:
    """The routes that an interface brings up: `gateway` lines, and shell lines that are understood."""
    for gateway in found.gateways:
        yield "default", gateway, name
    for effect in found.boot_effects():
        if isinstance(effect, DefaultRouteLine) and effect.action == "add":
            yield "default", effect.via, effect.dev or name
        elif isinstance(effect, StaticRoute) and effect.action == "add":
            yield effect.network, effect.via, effect.dev or name


def breaks(path: ManagementPath, live: Picture, boot: BootPicture, observed: HostObserved) -> Breaks:
    """In what the boot differs from the live way between host and service; empty where it brings the same way up.

    Of what another program than ifupdown brings up the files say nothing.
    """
    runner = runner_of(observed)
    if boot.fatal and not runner.is_foreign:
        return {
            ("fatal",): f"{AT_BOOT} {program_of(observed).name} applies nothing of the interfaces files: {boot.fatal}"
        }
    found: dict[tuple[str, ...], str] = {}
    for unit, what in boot.stopped.items():
        if unit != "ssh" or not isinstance(observed.listeners, Seen) or listens(observed.listeners.value, path):
            found["unit", unit] = f"{AT_BOOT} {what}"
    device = carrier(path, live)
    if not device or runner.is_foreign or device in runner.kept:
        return found
    is_given = device in boot.dynamic and device not in boot.enslaved  # the address and the route come from elsewhere
    if not is_given and (lost := address_lost(path, device, live, boot)):
        return {**found, ("address", *unclear(text for name, text in boot.opaque if name == device)): lost}
    if lost := vlan_lost(device, observed, boot):
        found["vlan", device] = lost
    found |= ports_lost(live.below.get(device, device), live, boot)
    if not is_given and (lost := route_lost(path, live, boot)):
        found["route", *unclear(text for _, text in boot.opaque)] = lost
    return found


def unclear(lines: Iterable[str]) -> tuple[str, ...]:
    """For a fault's key: the lines that might fix it."""
    found = tuple(lines)
    return (CANNOT_TELL, *found) if found else ()


def carrier(path: ManagementPath, live: Picture) -> str:
    """The interface that carries the way: the one with the address in use, else the one of the default route."""
    here = carriers(path, live)
    return here[0] if here else next((dev for _, dev in routes_of(path.controller, live)), "")


def address_lost(path: ManagementPath, device: str, live: Picture, boot: BootPicture) -> str:
    """Why the address of the way does not come up at boot, empty where it does."""
    held = hosts_of(live.addresses.get(device, ()))
    six = ":" in path.server
    needed = {path.server} if path.server in held else {address for address in held if (":" in address) == six}
    there = hosts_of(boot.addresses.get(device, ()))
    if device in boot.enslaved:
        return f"{AT_BOOT} {device}, which carries {', '.join(sorted(needed))}, is a port of {boot.enslaved[device]}"
    lost = sorted(needed - there)
    if not lost:
        return ""
    if device not in boot.addresses:
        why = "no interfaces file has a stanza with `auto` for it"
        if device in boot.pinned:
            then = boot.pinned[device]
            why = f"{then.path} renames it to {then.name}, and no interfaces file has a stanza with `auto` for that"
        return f"{AT_BOOT} {device}, which carries {', '.join(lost)}, is not brought up: {why}"
    return f"{AT_BOOT} {', '.join(lost)}, by which the service reaches this host, is not on {device}: no file sets it"


def vlan_lost(device: str, observed: HostObserved, boot: BootPicture) -> str:
    """Why the boot does not make the VLAN that carries the way as it is now; empty where it does, or there is none."""
    seen = observed.fact(f"link:{device}")
    link = seen.value if isinstance(seen, Seen) and isinstance(seen.value, dict) else {}
    then = boot.vlans.get(device)
    if link.get("type") == "vlan" and then is not None and device in boot.closed:
        return (
            f"{AT_BOOT} no port of {then[0]} takes VLAN {then[1]}, and {device} on it carries the service's "
            f"connection. Fix: add {then[1]} to `bridge-vids`"
        )
    if link.get("type") != "vlan" or then == (link.get("parent"), link.get("id")):
        return ""
    says = f"VLAN {then[1]} of {then[0]}" if then is not None else "no VLAN"
    return f"{AT_BOOT} {device}, which carries the way, is {says}; now it is VLAN {link['id']} of {link['parent']}"


def ports_lost(device: str, live: Picture, boot: BootPicture) -> dict[tuple[str, ...], str]:
    """Ports of the bridge or bond that carries the way which the boot does not attach, and those of a bond in it.
    Guests attach their own. Of a bond one port is enough: it carries the way alone."""
    ports = sorted(port for port, bridge in live.enslaved.items() if bridge == device and not GUEST_PORT.match(port))
    there = [port for port in ports if boot.enslaved.get(port) == device]
    lost = [] if device in boot.bonds and there else [port for port in ports if port not in there]
    found: dict[tuple[str, ...], str] = {
        ("port", port): f"{AT_BOOT} {port} is not a port of {device}, which carries the service's connection"
        for port in lost
    }
    for port in there:
        found |= ports_lost(port, live, boot)
    return found


def route_lost(path: ManagementPath, live: Picture, boot: BootPicture) -> str:
    """Why the boot sets no route to the service, or another than the live one; empty if it is the same."""
    links_live = links_to(path.controller, live.addresses, live.silent)
    links = links_to(path.controller, boot.addresses, boot.enslaved.keys())
    if links and (links <= links_live or (not links_live and not routes_of(path.controller, live))):
        return ""
    if links:
        return f"{AT_BOOT} {path.controller} is addressed as a neighbour on {', '.join(sorted(links))}"
    ways = covering(path.controller, boot.routes)
    if not ways:
        return f"{AT_BOOT} no route to {path.controller} is left"
    routes_live = routes_of(path.controller, live)
    if ways[0][0] != "default" or not (routes_live or links_live):
        return ""  # a route of its own, or one that nobody can compare
    pairs = sorted({(via, dev) for network, via, dev in ways if network == "default"})
    if not links_live and all(pair in routes_live for pair in pairs):
        return ""
    return (
        f"{AT_BOOT} the route to {path.controller} is {words(pairs)} instead of {words(routes_live, links_live)}, "
        "and nothing proves that this works"
    )


def covering(controller: str, routes: Sequence[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """The routes that lead to an address, the narrowest network first."""
    there = ip_address(controller)

    def length(route: tuple[str, str, str]) -> int:
        network, via, _ = route
        if network == "default":
            return 0 if not via or (":" in via) == (there.version == 6) else -1
        known = ip_network(network)
        return known.prefixlen if known.version == there.version and there in known else -1

    return sorted((route for route in routes if length(route) >= 0), key=lambda route: (-length(route), route))
