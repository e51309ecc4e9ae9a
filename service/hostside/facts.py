"""The types of facts: one row for each, with all that a transaction asks of it. What they say is reported in
`service.hostside`.

A row's functions for the host are given who looks (`HostLook`) or who sets (`Setter`), so that this room imports
neither.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
from typing import TYPE_CHECKING, Callable, NamedTuple, Optional

from service.hostside.canonical import LINK_NAME, STATE, sorted_routes, sysctl_path
from service.hostside.errors import BadInput, Json

if TYPE_CHECKING:
    from service.hostside.capture import HostLook
    from service.hostside.setter import Setter

_SOURCE = r"[0-9a-fA-F.:]{2,45}/[0-9]{1,3}"
_PATH = r"(/[A-Za-z0-9._@%+:,=~-]+)+"
KEY = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?@(?:[0-9a-f]{2}(?::[0-9a-f]{2}){5}|[1-9][0-9]{2,8})"
"""A guest: its name in Git, and what finds it on the host: its MAC address, or its number on Proxmox."""
_LEASE_NAME = r"[0-9a-f:-]{1,60} [A-Za-z0-9_.-]{1,255}"


def is_of(value: Json, kind: type) -> bool:
    return isinstance(value, kind) and (kind is not int or not isinstance(value, bool))


def is_ip(value: Json) -> bool:
    if not isinstance(value, str) or not re.fullmatch("[0-9a-fA-F.:]{2,45}", value):
        return False
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(value))
    return False


def _text(pattern: str) -> Callable[[Json], bool]:
    return lambda value: isinstance(value, str) and bool(re.fullmatch(pattern, value))


def _whole(least: int, most: float = float("inf")) -> Callable[[Json], bool]:
    return lambda value: is_of(value, int) and least <= value <= most


def _of(kind: type) -> Callable[[Json], bool]:
    return lambda value: is_of(value, kind)


def _each(fits: Callable[[Json], bool]) -> Callable[[Json], bool]:
    return lambda value: isinstance(value, list) and all(fits(item) for item in value)


def _fields(**checks: Callable[[Json], bool]) -> Callable[[Json], bool]:
    """An object with some of these keys and no other."""
    return lambda value: isinstance(value, dict) and all(key in checks and checks[key](value[key]) for key in value)


def _same_leases(wanted: Json, found: Json) -> bool:
    """What is to lose its name has lost it, and no lease that is to have one is without."""
    kept = set((wanted or {}).get("unnamed", [])) & set((found or {}).get("named", []))
    due = {pair.split(" ")[0] for pair in (wanted or {}).get("named", [])}
    return not kept and not due & set((found or {}).get("nameless", []))


_is_link_name = _text(LINK_NAME)
BOND_MODE = "balance-(rr|xor|tlb|alb)|active-backup|broadcast|802[.]3ad"


def _is_port(value: Json) -> bool:
    return isinstance(value, dict) and set(value) <= {"name", "up"} and _is_link_name(value.get("name"))


def _is_address(value: Json) -> bool:
    address, _, length = value.partition("/") if isinstance(value, str) else ("", "", "")
    return is_ip(address) and bool(re.fullmatch("[0-9]{1,3}", length))


def _is_route(value: Json) -> bool:
    if not isinstance(value, dict) or set(value) != {"family", "via", "dev"} or value["family"] not in (4, 6):
        return False
    return _is_link_name(value["dev"]) and (value["via"] is None or is_ip(value["via"]))


def _there(same: Callable[[Json, Json], bool]) -> Callable[[Json, Json], bool]:
    """Both are not there, or both are and are the same."""
    return lambda wanted, found: (
        wanted is None and found is None if wanted is None or found is None else same(wanted, found)
    )


def _named(*uncompared: str) -> Callable[[Json, Json], bool]:
    """Only what `wanted` names is compared."""
    return _there(lambda wanted, found: all(found.get(k) == v for k, v in wanted.items() if k not in uncompared))


def _same_link(wanted: Json, found: Json) -> bool:
    ports = {port["name"]: port["up"] for port in found.get("ports", [])}
    if any(p["name"] not in ports or (p.get("up") and not ports[p["name"]]) for p in wanted.get("ports", [])):
        return False
    if wanted.get("type") == "bond" and "ports" in wanted and set(ports) != {port["name"] for port in wanted["ports"]}:
        return False  # who else is in it shares its traffic
    return _named("ports")(wanted, found)


def _nothing(_name: str, _before: Json, _after: Json) -> list[str]:
    return []


def _by_address(name: str, _before: Json, _after: Json) -> list[str]:
    return ["routes:default", "link:" + name, "addresses:" + name]


def _by_link(name: str, before: Json, after: Json) -> list[str]:
    ports = [port["name"] for value in (before, after) for port in (value or {}).get("ports", [])]
    return [*_by_address(name, before, after), *("link:" + port for port in ports)]


class FactType(NamedTuple):
    """One type of fact: `TYPE:NAME` and its value."""

    names: str
    """What NAME may be, a regular expression for the whole of it."""
    fits: Callable[[Json], bool]
    """Whether a value that is not None may be this type's. A document is checked before anything of it is used."""
    same: Callable[[Json, Json], bool]
    """Whether what was captured (second) is what is wanted (first). Pure."""
    capture: Callable[[HostLook, str], Json]
    """What the host has now, None where it is not there. Trouble where it cannot be read."""
    put: Callable[[Setter, str, Json, bool], None]
    """Bring it to a value; the flag asks for a unit's restart."""
    order: Optional[int]
    """Its place among those that a restore sets one by one; None for those that come back in ways of their own."""
    implied: Callable[[str, Json, Json], list[str]] = _nothing
    """Facts that a step from one value (second) to another may take along: they belong into the snapshot as well."""
    is_network: bool = False
    """Whether the kernel takes it along with others of its like."""


FACTS: dict[str, FactType] = {
    "file": FactType(
        names=_PATH,
        fits=_fields(
            sha256=_text("[0-9a-f]{64}"), mode=_text("[0-7]{4}"), uid=_whole(0), gid=_whole(0), size=_of(int),
            xattrs=_of(dict),
        ),
        same=_named(),
        capture=lambda seen, name: seen.file(name),
        put=lambda setter, name, value, _: setter.files.set(name, value),
        order=0,
    ),
    "link": FactType(
        names=LINK_NAME,
        fits=_fields(
            type=lambda v: v in ("bridge", "bond", "vlan", "other"), mode=_text(BOND_MODE), miimon=_whole(0, 65535),
            hash_policy=_text("[a-z0-9+]{1,16}"), lacp_rate=_text("slow|fast"),
            primary=lambda v: v == "" or _is_link_name(v), up=_of(bool), mtu=_whole(68, 65535),
            master=lambda v: v is None or _is_link_name(v), stp=_of(bool),
            parent=lambda v: v is None or _is_link_name(v), id=_whole(0, 4095),
            forward_delay_s=lambda v: not isinstance(v, bool) and isinstance(v, (int, float)) and 0 <= v <= 30,
            ports=_each(_is_port),
        ),
        same=_there(_same_link),
        capture=lambda seen, name: seen.links().get(name),
        put=lambda setter, name, value, _: setter.network.set_link(name, value),
        order=1,
        implied=_by_link,
        is_network=True,
    ),
    "addresses": FactType(
        names=LINK_NAME,
        fits=_each(_is_address),
        same=lambda wanted, found: sorted(wanted or []) == sorted(found or []),
        capture=lambda seen, name: seen.addresses().get(name),
        put=lambda setter, name, value, _: setter.network.set_addresses(name, value or []),
        order=2,
        implied=_by_address,
        is_network=True,
    ),
    "routes": FactType(
        names="default",
        fits=_each(_is_route),
        same=_there(lambda wanted, found: sorted_routes(wanted) == sorted_routes(found)),
        capture=lambda seen, _: seen.default_routes(),
        put=lambda setter, _name, value, _: setter.network.set_routes(value or []),
        order=3,
        implied=lambda _name, _before, _after: ["routes:default"],
        is_network=True,
    ),
    "sysctl": FactType(
        names=r"net(\.[A-Za-z0-9_/@:-]+)+",
        fits=_text(r"[\x20-\x7e]{1,400}"),
        same=_there(lambda wanted, found: str(wanted).split() == str(found).split()),
        capture=lambda seen, name: seen.sysctl(name),
        put=lambda setter, name, value, _: setter.network.set_sysctl(name, value),
        order=4,
        is_network=True,
    ),
    "nft": FactType(
        names=r"(ip|ip6|inet|bridge|arp|netdev) passerelle(_[A-Za-z0-9_]{1,40})?",
        fits=_fields(normal=_of(list), load=_of(str)),
        same=_named("load"),
        capture=lambda seen, name: seen.table(name),
        put=lambda setter, name, value, _: setter.network.set_nft(name, value),
        order=5,
        is_network=True,
    ),
    "masquerade": FactType(
        names=_SOURCE + ">" + LINK_NAME,
        fits=_whole(0, 100),
        same=_there(lambda wanted, found: bool(wanted == found)),
        capture=lambda seen, name: seen.masquerade(name),
        put=lambda setter, name, value, _: setter.network.set_masquerade(name, value or 0),
        order=6,
        is_network=True,
    ),
    "unit": FactType(
        names=r"[A-Za-z0-9_][A-Za-z0-9:_.@\\-]{0,199}\.(service|timer|socket|path|target)",
        fits=_fields(enabled=_text("[a-z-]{0,40}"), active=_of(bool)),
        same=_named(),
        capture=lambda seen, name: seen.unit(name),
        put=lambda setter, name, value, restart: setter.units.set(name, value, restart),
        order=7,
    ),
    "leases": FactType(
        names=_PATH,
        fits=_fields(
            **{"from": lambda v: _text(_PATH)(v) and "/../" not in v},
            unnamed=_each(_text(_LEASE_NAME)),
            named=_each(_text(_LEASE_NAME)),
        ),
        same=_same_leases,
        capture=lambda seen, name: seen.leases(name),
        put=lambda setter, name, value, _: setter.leases.set(name, value or {}),
        order=None,
    ),
    "package": FactType(
        names=r"[a-z0-9][a-z0-9+.-]{1,99}",
        fits=_fields(version=_text("[0-9A-Za-z.+:~-]{1,200}")),
        same=_named(),
        capture=lambda seen, name: seen.package(name),
        put=lambda setter, name, _value, _: setter.remove_package(name),
        order=None,
    ),
    "proxy": FactType(
        names=KEY,
        fits=_fields(active=_of(bool), loaded=_text("([0-9a-f]{64})?")),
        same=_named(),
        capture=lambda seen, name: seen.proxy(name),
        put=lambda setter, name, value, _: setter.proxies.set(name, value),
        order=8,
    ),
}  # fmt: skip
RESTORE_ORDER = tuple(
    sorted((k for k, row in FACTS.items() if row.order is not None), key=lambda k: FACTS[k].order or 0)
)
NETWORK = tuple(kind for kind, row in FACTS.items() if row.is_network)


def split_fact(fact: Json) -> tuple[str, str]:
    """(type, name) of a fact id; BadInput when it is none."""
    if not isinstance(fact, str) or len(fact) > 1024:
        raise BadInput(f"a fact is a short text, not {str(fact)[:40]!r}")
    kind, _, name = fact.partition(":")
    if kind not in FACTS or not re.fullmatch(FACTS[kind].names, name):
        raise BadInput(f"{fact!r} is not a fact: TYPE:NAME with TYPE one of {', '.join(FACTS)}")
    if kind in ("file", "leases") and (set(name.split("/")) & {".", ".."} or (name + "/").startswith(STATE + "/")):
        raise BadInput(f"{fact!r} is not a place for a file of ours")
    if kind == "sysctl" and set(sysctl_path(name).split("/")[1:]) & {"", ".", ".."}:
        raise BadInput(f"{fact!r} names no kernel setting")
    return kind, name


def same(fact: str, wanted: Json, captured: Json) -> bool:
    """Is what was captured what is wanted? Only what `wanted` names is compared. Pure."""
    return FACTS[fact.partition(":")[0]].same(wanted, captured)


def implied_facts(steps: list[dict[str, Json]]) -> list[str]:
    """Facts that a step may take along though no step names them: they belong into the snapshot as well."""
    facts: list[str] = []
    for step in steps:
        kind, name = split_fact(step["fact"])
        facts += FACTS[kind].implied(name, step["before"], step["after"])
    return facts
