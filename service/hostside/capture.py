"""What the host has now, as facts, and what a restore needs beyond them."""

from __future__ import annotations

import contextlib
import os
from typing import Callable, Optional

from service.hostside.canonical import (
    ALL_FORWARDING,
    BRIDGED,
    addresses_from_json,
    default_routes_from_json,
    lease_lines,
    links_from_json,
    masquerade_counts,
    masquerade_name,
    nft_normal,
    port_vids_from_json,
    self_vids_from_json,
    show_properties,
    static_addresses,
    sysctl_path,
    unit_from_show,
)
from service.hostside.commands import json_output, must, run_command, safe_line
from service.hostside.durable import read_file
from service.hostside.errors import Json, Trouble
from service.hostside.facts import FACTS, split_fact
from service.hostside.host import Host
from service.hostside.proxies import proxy_fact


class HostLook:
    """One look at the host. Each source is read once, when the first fact of it is needed."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.sources: dict[str, Json] = {}

    def source(self, name: str, read: Callable[[], Json]) -> Json:
        if name not in self.sources:
            self.sources[name] = read()
        return self.sources[name]

    def ip(self, *words: str) -> list[dict[str, Json]]:
        found = self.source(" ".join(words), lambda: json_output(self.host, ["ip", "-j", *words]))
        return list(found)

    def links(self) -> dict[str, dict[str, Json]]:
        return links_from_json(self.ip("-d", "link", "show"))

    def self_vids(self) -> dict[str, list[int]]:
        links = self.ip("-d", "link", "show")
        return self_vids_from_json(links, self._vlans()) if self_vids_from_json(links, []) else {}

    def port_vids(self) -> dict[str, Json]:
        links = self.ip("-d", "link", "show")
        return port_vids_from_json(links, self._vlans()) if self_vids_from_json(links, []) else {}

    def _vlans(self) -> list[dict[str, Json]]:
        return list(self.source("bridge", lambda: json_output(self.host, ["bridge", "-j", "vlan", "show"])))

    def addresses(self) -> dict[str, list[str]]:
        return addresses_from_json(self.ip("addr", "show"))

    def routes(self, family: int) -> list[dict[str, Json]]:
        return self.ip(f"-{family}", "route", "show", "table", "main")

    def default_routes(self) -> list[dict[str, Json]]:
        return default_routes_from_json(self.routes(4), self.routes(6))

    def masquerades(self, source: str) -> str:
        program = "ip6tables-save" if ":" in source else "iptables-save"
        return str(self.source(program, lambda: must(self.host, [program, "-t", "nat"])))

    def masquerade(self, name: str) -> int:
        source, _, out = name.partition(">")
        return masquerade_counts(self.masquerades(source)).get(masquerade_name(source, out), 0)

    def units(self, names: list[str]) -> dict[str, Optional[dict[str, Json]]]:
        if not names:
            return {}
        wanted = ["systemctl", "show", "-p", "LoadState,UnitFileState,ActiveState", "--", *names]
        blocks = show_properties(must(self.host, wanted))
        if len(blocks) != len(names):
            raise Trouble("systemctl show answered for another number of units than requested")
        return {name: unit_from_show(block) for name, block in zip(names, blocks)}

    def unit(self, name: str) -> Json:
        return self.sources["units"][name]

    def file(self, name: str) -> Json:
        return read_file(self.host.path(name))[0]

    def sysctl(self, name: str) -> Json:
        try:
            with open(self.host.path(sysctl_path(name)), encoding="utf-8") as file:
                return " ".join(file.read(4096).split())
        except FileNotFoundError:
            return "0" if name.startswith(BRIDGED) else None

    def table(self, name: str) -> Json:
        family, table = name.split(" ")
        tables = self.source("tables", lambda: json_output(self.host, ["nft", "-j", "list", "tables"])["nftables"])
        if not any(t.get("table", {}).get("family") == family and t["table"].get("name") == table for t in tables):
            return None
        listed = json_output(self.host, ["nft", "-j", "list", "table", family, table])
        load = must(self.host, ["nft", "-s", "list", "table", family, table])
        return {"normal": nft_normal(listed["nftables"]), "load": load}

    def package(self, name: str) -> Json:
        """dpkg-query(1): second letter of the state n or c is "not there"; a half one has no version."""
        shown = run_command(self.host, ["dpkg-query", "-W", "-f", "${db:Status-Abbrev}|${Version}\\n", name])
        if shown.code not in (0, 1):
            raise Trouble(f"dpkg-query did not report {name}: {safe_line(shown.err)}")
        state, _, version = (shown.out.splitlines() or ["un"])[0].partition("|")
        if state[1:2] in ("n", "c"):
            return None
        return {"version": version if state[1:].strip() == "i" else f"{version} half installed ({state.strip()})"}

    def proxy(self, name: str) -> Json:
        return self.source(f"proxy {name}", lambda: proxy_fact(self.host, name))

    def leases(self, name: str) -> Json:
        fact, content = read_file(self.host.path(name))
        if fact is None or "type" in fact:
            return None
        lines = [words for words in lease_lines(content) if len(words) == 5]
        named = {f"{words[1]} {words[3]}" for words in lines if words[3] != "*"}
        nameless = {words[1] for words in lines if words[3] == "*" and ":" not in words[2]}
        return {"named": sorted(named), "nameless": sorted(nameless)}


def capture(host: Host, facts: list[str]) -> dict[str, Json]:
    """What the host has now, for each fact. Trouble when something cannot be read: unknown is not absent."""
    seen = HostLook(host)
    asked = {fact: split_fact(fact) for fact in facts}
    seen.sources["units"] = seen.units([name for kind, name in asked.values() if kind == "unit"])
    return {fact: FACTS[kind].capture(seen, name) for fact, (kind, name) in asked.items()}


def capture_detail(host: Host, facts: dict[str, Json]) -> dict[str, Json]:
    """What a restore needs beyond the facts to bring back exactly what was there.

    "routes": [[family, [words of ip route]], …], every static route of table main.
    "addresses": {name: {address: [words]}}. "mac": {bridge or VLAN: address}.
    "self_vids": {VLAN-aware bridge: [the VLANs that it takes part in itself]}.
    "port_vids": the VLANs of the ports of these bridges (`port_vids_from_json`).
    "forwarding": {key of the whole host: [its value, {path of an interface's own setting: value}]}.
    A snapshot adds "changed": {path: [sha256, mtime in ns]} of its files.
    """
    detail: dict[str, Json] = {"routes": [], "addresses": {}, "mac": {}, "self_vids": {}, "port_vids": {}}
    detail["forwarding"] = {
        key: [facts[f"sysctl:{key}"], link_forwarding(host, folder)]
        for key, folder in ALL_FORWARDING.items()
        if f"sysctl:{key}" in facts
    }
    if not any(fact.partition(":")[0] in ("link", "addresses", "routes") for fact in facts):
        return detail
    seen = HostLook(host)
    for family in (4, 6):
        for route in seen.routes(family):
            own = route.get("protocol") == "kernel" and route.get("dst") != "default"  # follows from an address
            if not own and route.get("protocol") != "ra" and "type" not in route:
                detail["routes"].append([family, route_words(route)])
    for link in seen.ip("addr", "show"):
        words = {f"{a['local']}/{a['prefixlen']}": _address_words(a) for a in static_addresses(link)}
        detail["addresses"][link.get("ifname", "")] = words
    detail["self_vids"], detail["port_vids"] = seen.self_vids(), seen.port_vids()
    for link in seen.ip("-d", "link", "show"):
        if link.get("linkinfo", {}).get("info_kind") in ("bridge", "bond", "vlan"):
            detail["mac"][link["ifname"]] = link.get("address")
    return detail


def link_forwarding(host: Host, folder: str) -> dict[str, str]:
    """The forwarding of each interface by the path of its file. The kernel sets all of them when the host's changes."""
    names: list[str] = []
    with contextlib.suppress(FileNotFoundError):
        names = sorted(name for name in os.listdir(host.path(folder)) if name != "all")
    found: dict[str, str] = {}
    for path in [f"{folder}/{name}/forwarding" for name in names]:
        with contextlib.suppress(FileNotFoundError), open(host.path(path), "rb") as file:
            found[path] = file.read(16).decode("ascii", "replace").strip()
    return found


def route_words(route: dict[str, Json]) -> list[str]:
    words = [str(route["dst"])]
    hops = route.get("nexthops")
    for hop in hops or [route]:
        if hops:
            words.append("nexthop")
        if "gateway" in hop:
            words += ["via", hop["gateway"]]
        elif "via" in hop:
            words += ["via", hop["via"]["family"], hop["via"]["host"]]
        if "dev" in hop:
            words += ["dev", hop["dev"]]
        words += ["weight", str(hop["weight"])] if hops and "weight" in hop else []
        words += ["onlink"] if "onlink" in hop.get("flags", []) else []
    for key, option in (("protocol", "proto"), ("scope", "scope"), ("prefsrc", "src"), ("metric", "metric")):
        if key in route:
            words += [option, str(route[key])]
    return words


def peer_words(address: dict[str, Json]) -> list[str]:
    """The other end of a point-to-point address (`pointopoint`): without it ip(8) does not find the address."""
    return ["peer", f"{address['address']}/{address['prefixlen']}"] if "address" in address else []


def _address_words(address: dict[str, Json]) -> list[str]:
    words = peer_words(address)
    words += ["broadcast", address["broadcast"]] if "broadcast" in address else []
    words += ["label", address["label"]] if "label" in address else []
    words += ["metric", str(address["metric"])] if "metric" in address else []
    return words + [flag for flag in ("nodad", "noprefixroute") if address.get(flag)]
