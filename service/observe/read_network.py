"""Links, addresses, routes, nft tables and masquerades: sections → facts. Pure.

The canonical forms are those of the host-side file, so that both sides compare alike.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from service.formats import nat_rules
from service.hostside.canonical import (
    addresses_from_json,
    default_routes_from_json,
    duplicates_from_json,
    dynamic_from_json,
    links_from_json,
    masquerade_counts,
    nft_normal,
)
from service.hostside.facts import FACTS
from service.model.observed import Card, Watch
from service.model.states import Absent, Json, Observed, Seen, Unknown
from service.model.trees import shown
from service.observe.bonds import bonds_of
from service.observe.frames import Section
from service.observe.part import LINK_NAME, Part, Reader, Unreadable, is_deep, json_list, json_of, succeeded
from service.observe.script import VLANS

MAX_LINKS = 1000
MAX_NAME = 64
MAX_ALTNAMES = 32
MAX_ADDRESSES = 4000
MAX_MASQUERADES = 2000
MAX_NFT_OBJECTS = 50_000
MAX_OWN_TABLES = 32
MAX_MTU = 1 << 31

_VLAN_LINE = re.compile(r"^([^\s|]{1,15}) *\| (\d{1,4}) *\| ([^\s|]{1,15})$", re.MULTILINE)
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
_BRIDGE_VALUE = re.compile(r"==> /sys/class/net/([^/\n]+)/bridge/(stp_state|forward_delay) <==\n(\d{1,9})\n")


def read_links(found: Mapping[str, Section], _watch: Watch) -> Part:
    """link facts from `ip -j addr show`, the bridges' values in /sys and the kernel's table of VLANs."""
    values = found["values"]
    if values.status not in (0, 1):
        raise Unreadable(f"`head` {values.complaint()}")
    bridges: dict[str, dict[str, int]] = {}
    for name, option, value in _BRIDGE_VALUE.findall(values.text()):
        bridges.setdefault(name, {})[option] = int(value)
    vlans = {name: (int(number), below) for name, number, below in _VLAN_LINE.findall(_vlan_lines(values.text()))}
    bonds = bonds_of(values.text())
    links = [dict(link) for link in _links(found["addresses"])]
    for link in links:
        link.pop("linkinfo", None)
        _check_link(link)
        if link["ifname"] in vlans:
            number, below = vlans[link["ifname"]]
            parent = None if "link_netnsid" in link else shown(below, MAX_NAME)
            link |= {"link": parent, "linkinfo": {"info_kind": "vlan", "info_data": {"id": number}}}
        options = bridges.get(link["ifname"])
        if options:
            if set(options) != {"stp_state", "forward_delay"}:
                raise Unreadable(f"the bridge {link['ifname']} went away while it was read")
            link["linkinfo"] = {"info_kind": "bridge", "info_data": options}
        if link["ifname"] in bonds:
            link["linkinfo"] = {"info_kind": "bond", "info_data": bonds[link["ifname"]]}
    canonical = links_from_json(links)
    facts = {f"link:{name}": Seen(_json(v)) for name, v in canonical.items()}
    return Part(facts=facts, unlisted={"link:": Absent()}, altnames=dict(_altnames(links)), cards=dict(_cards(links)))


def _cards(links: list[dict[str, Any]]) -> Iterator[tuple[str, Card]]:
    """(name, what changes on its own) of each link. One in another network namespace has no link below it here."""
    for link in links:
        flags, mac = link.get("flags", []), _mac(link.get("address"))
        carrier = "LOWER_UP" in flags if "UP" in flags else None
        below = link.get("link")
        if not isinstance(below, str) or "link_netnsid" in link or not LINK_NAME.fullmatch(below):
            below = ""
        yield link["ifname"], Card(mac, _mac(link.get("permaddr")) or mac, carrier, below)


def _mac(text: object) -> str:
    return text if isinstance(text, str) and _MAC.fullmatch(text) else ""


def _vlan_lines(values: str) -> str:
    """The kernel's table of its VLANs: name, number, link below. It has none as long as nobody made a VLAN."""
    return values.partition(f"==> {VLANS} <==\n")[2].partition("\n==> ")[0]


def _altnames(links: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """(other name, the kernel's name) of links, as far as a file can say the other one (ip-link(8), altname)."""
    for link in links:
        others = link.get("altnames", [])
        for other in others[:MAX_ALTNAMES] if isinstance(others, list) else []:
            if isinstance(other, str) and LINK_NAME.fullmatch(other):
                yield other, link["ifname"]


def _check_link(link: dict[str, Any]) -> None:
    """What the facts take over from a link is what it should be. A bridge's name may be one that we do not know."""
    mtu, master, flags = link.get("mtu"), link.get("master"), link.get("flags", [])
    if mtu is not None and not (type(mtu) is int and 0 <= mtu <= MAX_MTU):
        raise Unreadable(f"`ip addr` printed an MTU of {link['ifname']} that is not a number")
    if not isinstance(flags, list) or not isinstance(master, str | None):
        raise Unreadable(f"`ip addr` printed flags or a master of {link['ifname']} that are not valid")
    if master is not None:
        link["master"] = shown(master, MAX_NAME)


def read_addresses(found: Mapping[str, Section], _watch: Watch) -> Part:
    """addresses facts; a link that is there and has none is Seen([])."""
    links = _links(found["addresses"])
    canonical, duplicates, dynamic = addresses_from_json(links), duplicates_from_json(links), dynamic_from_json(links)
    found_all = (*canonical.values(), *duplicates.values(), *dynamic.values())
    every = [address for addresses in found_all for address in addresses]
    if len(every) > MAX_ADDRESSES:
        raise Unreadable(f"more than {MAX_ADDRESSES} addresses")
    for address in every:
        ipaddress.ip_interface(address)
    return Part(
        facts={f"addresses:{name}": Seen(_json(v)) for name, v in canonical.items()},
        unlisted={"addresses:": Absent()},
        duplicates={name: tuple(addresses) for name, addresses in duplicates.items()},
        dynamic={name: tuple(addresses) for name, addresses in dynamic.items()},
    )


def read_routes(found: Mapping[str, Section], _watch: Watch) -> Part:
    """The fact routes:default."""
    routes4 = json_list(found["routes4"], "ip route", MAX_LINKS)
    routes6 = json_list(found["ip6"], "ip -6 route", MAX_LINKS)
    routes = default_routes_from_json(routes4, routes6)
    for route in routes:
        if route["via"] is not None:
            ipaddress.ip_address(route["via"])
        if not LINK_NAME.fullmatch(route["dev"]):
            raise Unreadable("a default route over an interface without a usable name")
    return Part(facts={"routes:default": Seen(_json(routes))})


def read_nft(found: Mapping[str, Section], _watch: Watch) -> Part:
    """nft facts of our own tables. Without the program there can be no table of ours."""
    facts: dict[str, Observed[Json]] = {}
    for name, objects in _own_tables(_nft_objects(found["nft"])).items():
        if is_deep(objects):
            raise Unreadable(f"`nft` printed a table {name} that is nested too deeply")
        facts[f"nft:{name}"] = Seen({"normal": _json(nft_normal(objects))})
    return Part(facts=facts, unlisted={"nft:": Absent()})


def read_masquerades(found: Mapping[str, Section], _watch: Watch) -> Part:
    """Every masquerade, whichever table makes it, and the facts for iptables' ones."""
    text = _iptables_text(found["iptables"], "iptables-save")
    try:
        made = [*nat_rules.masquerades(text, _nft_objects(found["nft"]))]
    except nat_rules.Unsaid as why:
        raise Unreadable(str(why)) from why
    if "(nf_tables)" in text or not text:
        legacy = nat_rules.from_iptables_save(_iptables_text(found["iptables_legacy"], "iptables-legacy-save"))
        made += [replace(one, table="iptables-legacy nat") for one in legacy]
    if len(made) > MAX_MASQUERADES:
        raise Unreadable(f"more than {MAX_MASQUERADES} masquerade rules")
    counts = masquerade_counts(text)
    return Part(
        facts={f"masquerade:{name}": Seen(count) for name, count in counts.items()},
        unlisted={"masquerade:": Seen(0)},
        masquerades=Seen(tuple(sorted(made, key=lambda one: (one.table, one.source, one.out)))),
    )


def _links(section: Section) -> list[dict[str, Any]]:
    """The links with usable names; a name the kernel allows and we do not is nobody's that we know."""
    links = json_list(section, "ip addr", MAX_LINKS)
    named = [link for link in links if isinstance(link.get("ifname"), str)]
    return [link for link in named if LINK_NAME.fullmatch(link["ifname"])]


def _nft_objects(section: Section) -> list[dict[str, Any]]:
    if section.status is None:
        return []
    value = json_of(succeeded(section, "nft"))["nftables"]
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise Unreadable("`nft` printed something that is not a ruleset")
    if len(value) > MAX_NFT_OBJECTS:
        raise Unreadable(f"`nft` printed {len(value)} objects; at most {MAX_NFT_OBJECTS} are read")
    return value


def _own_tables(objects: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The objects of our own tables, by "FAMILY NAME", each table's in its order. One look at each object."""
    listed: dict[str, list[dict[str, Any]]] = {}
    there: list[str] = []
    for item in objects:
        for kind, body in item.items():
            if kind == "metainfo":
                continue
            name = f"{body.get('family')} {body.get('name' if kind == 'table' else 'table')}"
            listed.setdefault(name, []).append(item)
            if kind == "table" and re.fullmatch(FACTS["nft"].names, name):
                there.append(name)
    if len(there) > MAX_OWN_TABLES:
        raise Unreadable(f"`nft` printed {len(there)} tables of passerelle's; at most {MAX_OWN_TABLES} are read")
    return {name: listed[name] for name in there}


def _iptables_text(section: Section, program: str) -> str:
    return "" if section.status is None else succeeded(section, program).text()


def _json(value: Any) -> Json:
    """Canonical JSON as the model types it: what the host-side file returns is JSON by construction."""
    checked: Json = value
    return checked


def _all_unknown(*kinds: str) -> Any:
    return lambda why, _watch: Part(unlisted={f"{kind}:": Unknown(why) for kind in kinds})


READERS = (
    Reader("links", ("addresses", "values"), read_links, _all_unknown("link")),
    Reader("addresses", ("addresses",), read_addresses, _all_unknown("addresses")),
    Reader("routes", ("routes4", "ip6"), read_routes, _all_unknown("routes")),
    Reader("nft", ("nft",), read_nft, _all_unknown("nft")),
    Reader(
        "masquerades",
        ("nft", "iptables", "iptables_legacy"),
        read_masquerades,
        lambda why, _watch: Part(unlisted={"masquerade:": Unknown(why)}, masquerades=Unknown(why)),
    ),
)
