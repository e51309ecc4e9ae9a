"""What the receiving host gets: the guests, and what they need there.

arriving(pair, leases) -> Edit        raises InputError with every reason why it cannot be
"""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.adopt.sketch import Sketch
from service.adopt.writing import body
from service.errors import InputError
from service.migrate.reading import Pair, Side, without
from service.model.states import Json
from service.spec.document import load
from service.spec.editing import Change
from service.spec.findings import dotted
from service.spec.overriding import overridden, plain

IN_ORDER = ("bridges", "nat", "dnsmasq", "packages", "services", "guests", "forwards", "web")
"""New sections, as people write them."""


RIVALS = ("bind9", "named", "systemd-resolved", "unbound")
"""Services that hold port 53 where dnsmasq should answer."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A host's file, before and after. `moves` is what goes to the other host, `notes` are sentences for people."""

    path: str
    before: str
    after: str
    moves: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Nothing is changed."""
        return self.before == self.after


@dataclass(slots=True)
class _Gathered:
    """The changes of the receiving host's file as they are found."""

    changes: list[Change] = field(default_factory=list)
    moves: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def arriving(pair: Pair, leases: Mapping[str, str]) -> Edit:
    """The target's file with the source's guests, and what they need. `leases` are the source's: address by MAC."""
    found = _Gathered()
    moved = _guests(pair, leases, found)
    used = bridges_of(pair.source, moved)
    _bridges(pair, used, found)
    _nat(pair, used, found)
    _dnsmasq(pair, used, found)
    _forwards(pair, moved, found)
    _web(pair, found)
    if found.problems:
        fix = "correct it in Git, push, and start the command again"
        raise InputError(f"{pair.source.name} cannot be migrated: {' '.join(found.problems)}", hint=fix)
    after = _written(pair.target, found.changes)
    return Edit(pair.target.file, pair.target.text, after, tuple(found.moves), tuple(found.notes))


def _guests(pair: Pair, leases: Mapping[str, str], found: _Gathered) -> dict[str, dict[str, Any]]:
    """The guests of the source, as the target gets them. One without a fixed address keeps the one of its lease."""
    there, moved = pair.target.mapping("guests"), {}
    for name, guest in pair.source.mapping("guests").items():
        arrived = without(guest, "port")
        lease = leases.get(guest["mac"].lower(), "")
        if "address" not in guest and lease:
            arrived["address"] = lease
            found.notes.append(f"{name} has no fixed address: it keeps {lease}, the address of its lease.")
        if "port" in guest:
            found.notes.append(f"{name}: `port` is not copied, because it names a link of {pair.source.name}.")
        arrived.setdefault("create", {})
        moved[name] = arrived
        known = there.get(name)
        if known is None:
            found.changes.append((("guests", name), arrived))
            found.moves.append(f"guest {name}")
        elif known["mac"].lower() != guest["mac"].lower():
            found.problems.append(f"{pair.target.name} has another guest {name}, with another MAC address.")
    if not moved:
        found.problems.append(f"{pair.source.name} has no guests in Git.")
    return moved


def bridges_of(side: Side, guests: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The bridges that guests are on: those with DHCP, and those in whose network a guest has an address."""
    served = {entry["interface"] for entry in side.mapping("dnsmasq").get("dhcp", [])}
    fixed = [guest["address"] for guest in guests.values() if "address" in guest]
    return {
        name: bridge
        for name, bridge in side.mapping("bridges").items()
        if name in served or any(ipaddress.ip_address(one) in network for one in fixed for network in networks(bridge))
    }


def networks(bridge: Mapping[str, Any]) -> list[ipaddress.IPv4Network]:
    """The IPv4 networks of a bridge."""
    return [ipaddress.IPv4Interface(one).network for one in bridge.get("addresses", []) if ":" not in one]


def _bridges(pair: Pair, used: Mapping[str, dict[str, Any]], found: _Gathered) -> None:
    """The target has the same bridges. One without ports belongs to its host alone, so it is copied."""
    there = pair.target.mapping("bridges")
    for name, bridge in used.items():
        if name not in there and bridge.get("ports"):
            found.problems.append(
                f"{pair.target.name} has no bridge {name}, and that of {pair.source.name} has the port "
                f"{', '.join(map(str, bridge['ports']))}: which port leads to the same network on {pair.target.name}, "
                "only you know."
            )
        elif name not in there:
            found.changes.append((("bridges", name), bridge))
            found.moves.append(f"bridge {name}")
        elif not set(networks(bridge)) <= set(networks(there[name])):
            found.problems.append(
                f"{name} has the network {', '.join(map(str, networks(bridge)))} on {pair.source.name}, and "
                f"{', '.join(map(str, networks(there[name]))) or 'none'} on {pair.target.name}."
            )


def _nat(pair: Pair, used: Mapping[str, dict[str, Any]], found: _Gathered) -> None:
    sources = {str(network) for bridge in used.values() for network in networks(bridge)}
    there = pair.target.items("nat")
    known = {entry["source"] for entry in there}
    new = [
        {**entry, "out": _same_way(pair, entry["out"])}
        for entry in pair.source.items("nat")
        if entry["source"] in sources and entry["source"] not in known
    ]
    _append(("nat",), there, new, found)
    found.moves += [f"nat of {entry['source']}" for entry in new]


def _dnsmasq(pair: Pair, used: Mapping[str, dict[str, Any]], found: _Gathered) -> None:
    """The ranges of the bridges, and the domain of the names."""
    here, there = pair.source.mapping("dnsmasq"), pair.target.mapping("dnsmasq")
    if not here:
        return
    served = {entry["interface"] for entry in there.get("dhcp", [])}
    new = [one for one in here.get("dhcp", []) if one["interface"] in used and one["interface"] not in served]
    found.moves += [f"DHCP range of {entry['interface']}" for entry in new]
    if "dnsmasq" not in pair.target.values:
        found.changes.append((("dnsmasq",), {**here, **({"dhcp": new} if new else {})}))
        found.notes.append(f"{pair.target.name} gets all of `dnsmasq`, because it has no such section.")
        _around_dnsmasq(pair, found)
        return
    _append(("dnsmasq", "dhcp"), there.get("dhcp", []), new, found)
    domain, other = here.get("domain"), there.get("domain")
    if domain and not other:
        found.changes.append((("dnsmasq", "domain"), domain))
    elif domain != other:
        found.notes.append(f"The domain of the guests' names is {other} on {pair.target.name}, not {domain}.")
    local = [one for one in here.get("local", []) if one not in there.get("local", [])]
    _append(("dnsmasq", "local"), there.get("local", []), local, found)


def _around_dnsmasq(pair: Pair, found: _Gathered) -> None:
    """A host that has no dnsmasq yet needs its package, and port 53 free."""
    if "dnsmasq" not in pair.target.mapping("packages"):
        found.changes.append((("packages", "dnsmasq"), "present"))
        found.moves.append("package dnsmasq")
    there = pair.target.mapping("services")
    for name, state in pair.source.mapping("services").items():
        if name.removesuffix(".service") in RIVALS and state != "enabled" and name not in there:
            found.changes.append((("services", name), state))
            found.moves.append(f"service {name} {state}")


def forwards_of(side: Side, moved: Mapping[str, Mapping[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
    """The forwards that lead to guests which move, each with its number."""
    targets = {*moved, *(guest["address"] for guest in moved.values() if "address" in guest)}
    return [(number, entry) for number, entry in enumerate(side.items("forwards")) if entry["to"] in targets]


def _forwards(pair: Pair, moved: Mapping[str, dict[str, Any]], found: _Gathered) -> None:
    there = pair.target.items("forwards")
    arrived = [{**entry, "in": _same_way(pair, entry["in"])} for _, entry in forwards_of(pair.source, moved)]
    new = [entry for entry in arrived if entry not in there]
    _append(("forwards",), there, new, found)
    found.moves += [f"forward to {entry['to']}" for entry in new]


def _web(pair: Pair, found: _Gathered) -> None:
    here, there = pair.source.mapping("web"), pair.target.mapping("web")
    if not here:
        return
    arrived = {**here, **({"in": _same_way(pair, here["in"])} if "in" in here else {})}
    if there and there != arrived:
        found.problems.append(f"{pair.target.name} has a section `web` of its own, and a host has one proxy.")
    elif not there:
        found.changes.append((("web",), arrived))
        found.moves += [f"site {name}" for name in here.get("sites", {})]


def _same_way(pair: Pair, interface: str) -> str:
    """The uplink of one host is that of the other; any other interface has the same name there."""
    return pair.target.uplink or interface if interface == pair.source.uplink else interface


def _append(path: tuple[str, ...], there: Sequence[Json], new: Sequence[Json], found: _Gathered) -> None:
    """More elements of a list, or the list."""
    if there:
        found.changes += [((*path, len(there) + number), entry) for number, entry in enumerate(new)]
    elif new:
        found.changes.append((path, list(new)))


def _written(side: Side, changes: Sequence[Change]) -> str:
    """The file after the changes. A section that it does not have is written at its end, over several lines."""
    text = side.text
    for section, values in _new_sections(side, changes).items():
        text += ("" if text.endswith("\n") else "\n") + body(Sketch({section: values}))
    whole = overridden(text, list(_of_old_sections(side, changes)), side.layers).text
    read = load(whole.encode())
    assert not read.problems, f"{side.file}: {read.problems[:1]}"
    for path, value in changes:
        there: Any = read.value
        for part in path:
            there = there.get(part) if isinstance(there, dict) else there[int(part)]
        if plain(there) != value:
            raise InputError(f"{side.file}: {dotted(path)} cannot be written", hint="write it by hand, and push")
    return whole


def _new_sections(side: Side, changes: Sequence[Change]) -> dict[str, Json]:
    own = load(side.text.encode()).value or {}
    found: dict[str, Json] = {}
    for path, value in changes:
        if path[0] in own or path[0] in side.values:
            continue
        if len(path) == 1:
            found[str(path[0])] = plain(value)
        else:
            section = found.setdefault(str(path[0]), {})
            assert isinstance(section, dict)
            section[str(path[1])] = plain(value)
    return {key: found[key] for key in IN_ORDER if key in found}


def _of_old_sections(side: Side, changes: Sequence[Change]) -> Iterator[Change]:
    fresh = _new_sections(side, changes)
    for path, value in changes:
        if path[0] not in fresh:
            yield path, value
