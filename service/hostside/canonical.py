"""Canonical forms of facts: what a host's programs print. Pure.

The service reads a host's answers with the same functions: what both compare has one form. The facts are reported in
`service.hostside`, their types are the table in `service.hostside.facts`.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import shlex
from typing import Optional

from service.hostside.errors import BadInput, Json

STATE = "/var/lib/passerelle"  # our own: no file fact is below it


def as_bytes(value: Json) -> bytes:
    """The canonical JSON of a value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


BRIDGED = "net.bridge."  # settings that come with the module br_netfilter; without it they are as 0
ALL_FORWARDING = {
    "net.ipv4.ip_forward": "/proc/sys/net/ipv4/conf",
    "net.ipv4.conf.all.forwarding": "/proc/sys/net/ipv4/conf",
    "net.ipv6.conf.all.forwarding": "/proc/sys/net/ipv6/conf",
}  # settings of the whole host: the kernel sets every interface when one of them changes (ip-sysctl.rst)
LINK_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,14}"


def sysctl_path(key: str) -> str:
    """The file of a kernel setting; in a key "/" stands for a dot inside a name (sysctl.d(5))."""
    return "/proc/sys/" + key.translate(str.maketrans("./", "/."))


def links_from_json(links: list[dict[str, Json]]) -> dict[str, dict[str, Json]]:
    """Link facts by name from `ip -d -j link show`. Pure."""
    facts: dict[str, dict[str, Json]] = {}
    ports: dict[str, list[dict[str, Json]]] = {}
    for link in links:
        if "ifname" not in link:  # some versions of ip print empty objects
            continue
        details = link.get("linkinfo", {})
        bridge, bond = (details.get("info_kind") == kind for kind in ("bridge", "bond"))
        up = "UP" in link.get("flags", [])
        sort = "bridge" if bridge else "bond" if bond else "other"
        fact = {"type": sort, "up": up, "mtu": link.get("mtu"), "master": link.get("master")}
        if bond:
            fact.update(_bond(details.get("info_data", {})))
            fact["ports"] = ports.setdefault(link["ifname"], [])
        if details.get("info_kind") == "vlan":
            fact.update(type="vlan", parent=link.get("link"), id=details.get("info_data", {}).get("id"))
        if bridge:
            kernel = details.get("info_data", {})
            delay_s = kernel.get("forward_delay", 0) / 100
            fact["stp"] = bool(kernel.get("stp_state"))
            fact["forward_delay_s"] = int(delay_s) if delay_s == int(delay_s) else delay_s
            fact["ports"] = ports.setdefault(link["ifname"], [])
        if link.get("master"):
            ports.setdefault(link["master"], []).append({"name": link["ifname"], "up": up})
        facts[link["ifname"]] = fact
    for members in ports.values():
        members.sort(key=lambda port: str(port["name"]))
    return facts


def self_vids_from_json(links: list[dict[str, Json]], vlans: list[dict[str, Json]]) -> dict[str, list[int]]:
    """The VLANs that each VLAN-aware bridge takes part in itself, from `ip -d -j link show` and `bridge -j vlan show`.
    Of other VLANs no packet reaches the host through the bridge. Pure."""
    details = {link["ifname"]: link.get("linkinfo", {}) for link in named(links)}
    aware = {n for n, d in details.items() if d.get("info_data", {}).get("vlan_filtering")}
    found: dict[str, list[int]] = {name: [] for name in aware}
    for entry in vlans:
        for vlan in entry.get("vlans", []) if entry.get("ifname") in aware else []:
            found[entry["ifname"]] += range(vlan["vlan"], vlan.get("vlanEnd", vlan["vlan"]) + 1)
    return found


def port_vids_from_json(links: list[dict[str, Json]], vlans: list[dict[str, Json]]) -> dict[str, Json]:
    """The VLANs of each port of a VLAN-aware bridge: {port: [its bridge, [[first, last, is pvid, is untagged], …]]}.
    The kernel forgets them when the port leaves the bridge. Pure."""
    aware = self_vids_from_json(links, [])
    masters = {link["ifname"]: link["master"] for link in named(links) if link.get("master") in aware}
    found: dict[str, Json] = {name: [bridge, []] for name, bridge in masters.items()}
    for entry in vlans:
        for vlan in entry.get("vlans", []) if entry.get("ifname") in found else []:
            flags = vlan.get("flags", [])
            words = [vlan["vlan"], vlan.get("vlanEnd", vlan["vlan"]), "PVID" in flags, "Egress Untagged" in flags]
            found[entry["ifname"]][1].append(words)
    return found


BOND_WORDS = {"miimon": "miimon", "hash_policy": "xmit_hash_policy", "lacp_rate": "lacp_rate", "primary": "primary"}
"""Settings of a bond: our name, and the word of ip-link(8)."""


def _bond(kernel: dict[str, Json]) -> dict[str, Json]:
    """The settings that count in a bond's mode (bonding.rst)."""
    mode = kernel.get("mode", "")
    fact: dict[str, Json] = {"mode": mode, "miimon": kernel.get("miimon", 0)}
    if mode in ("balance-xor", "802.3ad", "balance-tlb"):
        fact["hash_policy"] = kernel.get("xmit_hash_policy", "layer2")
    if mode == "802.3ad":
        fact["lacp_rate"] = kernel.get("ad_lacp_rate", "slow")
    if mode in ("active-backup", "balance-tlb", "balance-alb"):
        fact["primary"] = kernel.get("primary") or ""
    return fact


def static_addresses(link: dict[str, Json]) -> list[dict[str, Json]]:
    found = [a for a in link.get("addr_info", []) if a.get("scope") == "global" and not a.get("dynamic")]
    return [a for a in found if a.get("family") in ("inet", "inet6") and "local" in a]


def addresses_from_json(links: list[dict[str, Json]]) -> dict[str, list[str]]:
    """Address facts by link name from `ip -j addr show`. Pure. An address counts once, whatever its peers: ifreload of
    ifupdown2 3.0.0 leaves it there with the old peer and adds the new one. One that another machine has does not count:
    the kernel lists it and never uses it."""
    return {
        link["ifname"]: sorted(
            {f"{a['local']}/{a['prefixlen']}" for a in static_addresses(link) if not is_duplicate(a)}
        )
        for link in links
        if "ifname" in link
    }


def is_duplicate(address: dict[str, Json]) -> bool:
    """Whether duplicate address detection failed: another machine of the network has the address (RFC 4862, 5.4)."""
    return bool(address.get("dadfailed"))


def duplicates_from_json(links: list[dict[str, Json]]) -> dict[str, list[str]]:
    """The addresses by link name that another machine of the network has. Pure."""
    lost = {link["ifname"]: [a for a in static_addresses(link) if is_duplicate(a)] for link in named(links)}
    return {
        n: sorted({f"{a['local']}/{a['prefixlen']}" for a in addresses}) for n, addresses in lost.items() if addresses
    }


def dynamic_from_json(links: list[dict[str, Json]]) -> dict[str, list[str]]:
    """The addresses by link name that have an end: a DHCP server or a router gave them. Pure."""
    found = {
        link["ifname"]: sorted(
            {
                f"{a['local']}/{a['prefixlen']}"
                for a in link.get("addr_info", [])
                if a.get("scope") == "global" and a.get("dynamic") and "local" in a and not is_duplicate(a)
            }
        )
        for link in named(links)
    }
    return {name: addresses for name, addresses in found.items() if addresses}


def named(links: list[dict[str, Json]]) -> list[dict[str, Json]]:
    return [link for link in links if "ifname" in link]


def sorted_routes(routes: list[dict[str, Json]]) -> list[dict[str, Json]]:
    named = [{"family": r["family"], "via": r.get("via"), "dev": r["dev"]} for r in routes]
    return sorted(named, key=lambda r: (r["family"], r["via"] or "", r["dev"]))


def default_routes_from_json(routes4: list[dict[str, Json]], routes6: list[dict[str, Json]]) -> list[dict[str, Json]]:
    """The fact routes:default from `ip -4 -j route show table main` and the same with -6. Pure."""
    found = []
    for family, routes in ((4, routes4), (6, routes6)):
        for route in routes:
            if route.get("dst") != "default" or route.get("protocol") == "ra" or "type" in route:
                continue
            for hop in route.get("nexthops") or [route]:
                via = hop.get("gateway") or (hop.get("via") or {}).get("host")
                if "dev" in hop:
                    found.append({"family": family, "via": via, "dev": hop["dev"]})
    return sorted_routes(found)


NFT_CODES = {
    "icmp": {
        "net-unreachable": 0, "host-unreachable": 1, "prot-unreachable": 2, "port-unreachable": 3, "frag-needed": 4,
        "net-prohibited": 9, "host-prohibited": 10, "admin-prohibited": 13,
    },
    "icmpv6": {
        "no-route": 0, "admin-prohibited": 1, "addr-unreachable": 3, "port-unreachable": 4, "policy-fail": 5,
        "reject-route": 6,
    },
}  # fmt: skip
"""Names that nft before 1.1 lists for codes of ICMP, whatever the type; since then it lists numbers."""


def nft_normal(objects: list[dict[str, Json]]) -> list[dict[str, Json]]:
    """The normal form of a table: the list below "nftables" of `nft -j list table` without what changes on its own.

    Left out: metainfo, handles, counters' and quotas' values, elements of sets whose elements time out. What versions
    of nft spell in several ways is spelled in one. Pure.
    """
    normal = []
    for item in objects:
        for kind, listed in item.items():
            if kind == "metainfo" or not isinstance(listed, dict):
                continue
            uncounted = ("handle", "packets", "bytes", "used") if kind in ("counter", "quota") else ("handle",)
            body = {key: _nft_value(value) for key, value in listed.items() if key not in uncounted}
            if kind in ("set", "map") and "elem" in body:
                flags = body.get("flags") or []
                if "timeout" in flags or "dynamic" in flags:
                    del body["elem"]
                elif isinstance(body["elem"], list):
                    body["elem"] = sorted(body["elem"], key=as_bytes)
            normal.append({kind: body})
    return normal


def _nft_value(value: Json) -> Json:
    if isinstance(value, list):
        return [_nft_value(item) for item in value]
    if not isinstance(value, dict):
        return value
    cleaned: dict[str, Json] = {}
    for key, inner in value.items():
        if key == "counter" and isinstance(inner, dict):
            cleaned[key] = None
        elif key == "quota" and isinstance(inner, dict):
            cleaned[key] = {name: v for name, v in inner.items() if not name.startswith("used")}
        elif key == "set" and isinstance(inner, list):
            cleaned[key] = sorted((_nft_value(item) for item in inner), key=as_bytes)
        elif key == "match" and isinstance(inner, dict):
            cleaned[key] = _nft_value({**inner, "right": _nft_numbers(inner.get("left"), inner.get("right"))})
        elif key == "vmap" and isinstance(inner, dict):
            cleaned[key] = _nft_value({**inner, "data": _nft_numbers(inner.get("key"), inner.get("data"))})
        elif key == "flags" and isinstance(inner, str):  # one flag alone is a list since nft 1.1.7
            cleaned[key] = [inner]
        elif key == "&" and isinstance(inner, list):  # flags to look at: a list until nft 1.0.6
            cleaned[key] = [_nft_value({"|": one} if isinstance(one, list) else one) for one in inner]
        else:
            cleaned[key] = _nft_value(inner)
    return cleaned


def _nft_numbers(left: Json, right: Json) -> Json:
    """`right` as it is compared with `left`, with numbers for the names of ICMP's codes."""
    if not isinstance(left, dict) or not isinstance(right, (dict, list, str)):
        return right
    if isinstance(right, dict):
        places = left.get("concat")
        if isinstance(places, list) and isinstance(right.get("concat"), list):
            pairs = zip(places, right["concat"])
            return {**right, "concat": [_nft_numbers(one, value) for one, value in pairs]}
        return {key: _nft_numbers(left, value) for key, value in right.items()}
    if isinstance(right, list):
        return [_nft_numbers(left, item) for item in right]
    payload = left.get("payload")
    if not isinstance(payload, dict) or payload.get("field") != "code":
        return right
    return NFT_CODES.get(str(payload.get("protocol")), {}).get(right, right)


def masquerade_rules(save: str) -> list[tuple[str, list[str]]]:
    """("SRC>OUT", the rule's words) of each plain masquerade rule in the text of iptables-save -t nat."""
    found = []
    for line in save.splitlines():
        if "MASQUERADE" not in line:  # splitting a line costs more than all else here
            continue
        try:
            words = shlex.split(line.replace("\\'", "'"))  # it also escapes what a shell would not
        except ValueError:
            continue
        if words[:2] != ["-A", "POSTROUTING"]:
            continue
        options: dict[str, str] = {}
        rest = words[2:]
        while len(rest) >= 2 and rest[0].startswith("-"):
            if rest[:2] != ["-m", "comment"]:
                options[rest[0]] = rest[1]
            rest = rest[2:]
        options.pop("--comment", None)
        if not rest and set(options) == {"-s", "-o", "-j"} and options["-j"] == "MASQUERADE":
            with contextlib.suppress(ValueError):
                source = ipaddress.ip_network(options["-s"], strict=False)
                found.append((f"{source}>{options['-o']}", words[2:]))
    return found


def masquerade_counts(save: str) -> dict[str, int]:
    """{"SRC>OUT": number of rules} from the text of `iptables-save -t nat`, by meaning. Pure."""
    counts: dict[str, int] = {}
    for name, _ in masquerade_rules(save):
        counts[name] = counts.get(name, 0) + 1
    return counts


def unit_from_show(properties: dict[str, str]) -> Optional[dict[str, Json]]:
    """A unit fact from `systemctl show -p LoadState,UnitFileState,ActiveState`; None when there is no such unit."""
    if properties.get("LoadState", "not-found") == "not-found":
        return None
    enabled = properties.get("UnitFileState") or ("masked" if properties["LoadState"] == "masked" else "")
    return {"enabled": enabled, "active": properties.get("ActiveState") in ("active", "reloading")}


def show_properties(text: str) -> list[dict[str, str]]:
    """The blocks of `systemctl show -p … UNIT UNIT…`, in the order of the units. Pure."""
    blocks = [block for block in text.split("\n\n") if block.strip()]
    return [dict(line.partition("=")[::2] for line in block.splitlines()) for block in blocks]


def lease_lines(content: bytes) -> list[list[str]]:
    """The words of each line of dnsmasq's lease file: EXPIRY MAC ADDRESS NAME CLIENT-ID. Pure."""
    return [line.split(" ") for line in content.decode("utf-8", "surrogateescape").split("\n")]


def masquerade_name(source: str, out: str) -> str:
    try:
        return f"{ipaddress.ip_network(source, strict=False)}>{out}"
    except ValueError:
        raise BadInput(f"{source!r} is not a network") from None
