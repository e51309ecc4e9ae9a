"""Facts of the kernel, set with `ip`, `nft` and `iptables` directly.

ifreload and ifup would detach the ports of guests and repeat post-up lines.
"""

from __future__ import annotations

import contextlib
import os
import time

from service.hostside.canonical import (
    BRIDGED,
    addresses_from_json,
    default_routes_from_json,
    duplicates_from_json,
    is_duplicate,
    masquerade_name,
    masquerade_rules,
    sorted_routes,
    static_addresses,
    sysctl_path,
)
from service.hostside.capture import HostLook, peer_words, route_words
from service.hostside.commands import must, run_command, safe_line
from service.hostside.errors import Json, Trouble
from service.hostside.host import Host
from service.hostside.set_bonds import BondSetter

DETECTION_S = 3.0  # the kernel waits up to 1 s before it asks (RFC 4862, 5.4.2), and 1 s for an answer
DETECTION_PAUSE_S = 0.2


class NetworkSetter:
    """Brings links, addresses, routes, settings and tables of the kernel to values; `detail` is that of
    `capture_detail`. What is so already is left alone."""

    def __init__(self, host: Host, detail: dict[str, Json]) -> None:
        self.host = host
        self.detail = detail
        self.is_back = False
        """Whether this is a rollback."""

    def ip(self, *words: str) -> None:
        must(self.host, ["ip", *words])

    def set_link(self, name: str, wanted: Json) -> None:
        links = HostLook(self.host).links()
        now = links.get(name)
        if wanted is None:
            if now is None:
                return
            self._remove_link(name, now)
            return
        if now is not None and is_another_vlan(wanted, now):  # the kernel changes neither the link below nor the number
            self._delete(name, now)
            now = None
        if now is None:
            now = self._add_link(name, wanted)
        if wanted.get("type", now["type"]) != now["type"]:
            raise Trouble(f"{name} is of type {now['type']}, not {wanted['type']}")
        if now["type"] == "bond":
            BondSetter(self.host, self.ip, self.is_back).set(name, wanted, now)
        else:
            self._set_bridge_options(name, wanted, now)
        if "master" in wanted and wanted["master"] != now["master"]:
            self.ip("link", "set", "dev", name, *(["master", wanted["master"]] if wanted["master"] else ["nomaster"]))
            now = HostLook(self.host).links()[name]  # out of a bond it comes down
        if now["type"] != "bond":
            self._set_ports(name, wanted, now, links)
        if "mtu" in wanted:  # last but one: the kernel moves a bridge's MTU when ports come
            self.ip("link", "set", "dev", name, "mtu", str(wanted["mtu"]))
        if "up" in wanted and wanted["up"] != now["up"]:
            self.ip("link", "set", "dev", name, "up" if wanted["up"] else "down")

    def _remove_link(self, name: str, now: Json) -> None:
        if now["type"] not in ("bridge", "bond", "vlan"):
            raise Trouble(f"{name} is neither a bridge nor a bond nor a VLAN: not ours to delete")
        self._delete(name, now)
        if now["type"] == "bond":  # the kernel sets its ports down
            for port in now["ports"]:
                self.ip("link", "set", "dev", port["name"], "up" if port["up"] else "down")

    def _add_link(self, name: str, wanted: Json) -> Json:
        """Add a bridge, a bond or a VLAN; what the kernel then has."""
        mac = self.detail["mac"].get(name)
        if wanted.get("type") == "bond":
            return BondSetter(self.host, self.ip).add(name, wanted, mac or "")
        if wanted.get("type") == "vlan":
            return self._add_vlan(name, wanted)
        if wanted.get("type") != "bridge":
            raise Trouble(f"there is no link {name}")
        self.ip("link", "add", "name", name, *(["address", mac] if mac else []), "type", "bridge")
        return {"type": "bridge", "up": False, "mtu": 1500, "master": None, "ports": []}

    def _add_vlan(self, name: str, wanted: Json) -> Json:
        """Add a VLAN; what the kernel then has."""
        if wanted.get("parent") is None or wanted.get("id") is None:
            raise Trouble(f"the VLAN {name} cannot be made: its number, or the link below it, is not known")
        mac = self.detail["mac"].get(name)
        words = ["link", "add", "link", wanted["parent"], "name", name, *(["address", mac] if mac else [])]
        self.ip(*words, "type", "vlan", "id", str(wanted["id"]))
        seen = HostLook(self.host)
        if wanted["id"] not in seen.self_vids().get(wanted["parent"], [wanted["id"]]):  # as ifupdown2's addon vlan does
            self._self_vid("add", wanted["parent"], wanted["id"])
        return seen.links()[name]

    def _delete(self, name: str, now: Json) -> None:
        """Delete a bridge or a VLAN. What the VLAN needed of a VLAN-aware bridge goes, unless it was there before."""
        self.ip("link", "del", "dev", name, "type", now["type"])
        if now["type"] != "vlan":
            return
        before = self.detail.get("self_vids", {}).get(now["parent"], [now["id"]])
        if now["id"] in HostLook(self.host).self_vids().get(now["parent"], []) and now["id"] not in before:
            self._self_vid("del", now["parent"], now["id"])

    def _self_vid(self, verb: str, bridge: str, number: int) -> None:
        must(self.host, ["bridge", "vlan", verb, "dev", bridge, "vid", str(number), "self"])

    def set_port_vids(self, names: list[str]) -> None:
        """The VLANs of ports that are in the VLAN-aware bridge in which they were: the kernel forgets them when a port
        leaves, and no packet of them would pass it."""
        before = {name: self.detail.get("port_vids", {}).get(name) for name in names}
        if not any(before.values()):
            return
        now = HostLook(self.host).port_vids()
        for name, wanted in [(n, b[1]) for n, b in before.items() if b and n in now and now[n][0] == b[0]]:
            self._set_vids(name, now[name][1], wanted)

    def _take_over_vids(self, bridge: str, bond: Json, name: str) -> None:
        """A bond that comes into a VLAN-aware bridge in place of its ports takes their VLANs over."""
        inside = [self.detail.get("port_vids", {}).get(port["name"]) for port in bond.get("ports", [])]
        wanted = next((vids for before, vids in filter(None, inside) if before == bridge), None)
        now = HostLook(self.host).port_vids().get(name) if bond["type"] == "bond" and wanted is not None else None
        if now is not None:
            self._set_vids(name, now[1], wanted)

    def _set_vids(self, name: str, now: Json, wanted: Json) -> None:
        for verb, some in (("del", [v for v in now if v not in wanted]), ("add", [v for v in wanted if v not in now])):
            for vlan in some:
                must(self.host, ["bridge", "vlan", verb, "dev", name, *vid_words(vlan, verb)])

    def _set_ports(self, name: str, wanted: Json, now: Json, links: dict[str, dict[str, Json]]) -> None:
        there = {port["name"] for port in now.get("ports", [])}
        for port in wanted.get("ports", []):
            if port["name"] not in links:  # a guest that stopped meanwhile
                continue
            if port["name"] not in there:
                self.ip("link", "set", "dev", port["name"], "master", name)
                links = HostLook(self.host).links()
                self._take_over_vids(name, links[port["name"]], port["name"])
            if port.get("up") and not links[port["name"]]["up"]:
                self.ip("link", "set", "dev", port["name"], "up")

    def _set_bridge_options(self, name: str, wanted: Json, now: Json) -> None:
        options = []
        if "forward_delay_s" in wanted and wanted["forward_delay_s"] != now.get("forward_delay_s"):
            options.append(["forward_delay", str(round(wanted["forward_delay_s"] * 100))])
        if "stp" in wanted and wanted["stp"] != now.get("stp"):
            options.append(["stp_state", "1" if wanted["stp"] else "0"])
        if not wanted.get("stp"):  # a delay below 2 s is only taken while STP is off
            options.reverse()
        for option in options:
            self.ip("link", "set", "dev", name, "type", "bridge", *option)

    def set_addresses(self, name: str, wanted: list[str]) -> None:
        seen = HostLook(self.host).ip("addr", "show")
        now = addresses_from_json(seen).get(name)
        if now is None:
            if wanted:
                raise Trouble(f"there is no link {name} to give an address to")
            return
        static = [a for link in seen if link.get("ifname") == name for a in static_addresses(link)]
        for entry in static:  # the kernel tries a duplicate again only when it is added again
            address = f"{entry['local']}/{entry['prefixlen']}"
            if address in wanted and address not in now:
                self.ip("addr", "del", address, "dev", name)
        for address in wanted:
            if address not in now:
                self._add_address(name, address)
        for entry in static:
            address = f"{entry['local']}/{entry['prefixlen']}"
            if address not in wanted:
                ran = run_command(self.host, ["ip", "addr", "del", address, "dev", name, *peer_words(entry)])
                if ran.code != 0 and "Cannot assign" not in ran.err:  # gone with its primary
                    raise Trouble(f"ip addr del {address} dev {name} failed: {safe_line(ran.err)}")
        seen = HostLook(self.host).ip("addr", "show")
        # one that another machine has is there, too: the kernel may know that by now, and refuses a second one
        left = addresses_from_json(seen).get(name, []) + duplicates_from_json(seen).get(name, [])
        lost = [address for address in wanted if address not in left]
        for address in lost:  # the kernel deletes the secondaries of a primary with it
            self._add_address(name, address)
        tried = {address for address in wanted if ":" in address and address not in now} | set(lost)
        if any(":" in address for address in tried):
            self._refuse_duplicates(name, tried)

    def _refuse_duplicates(self, name: str, tried: set[str]) -> None:
        """Wait until the kernel knows whether another machine has one of the IPv6 addresses that were added; such a one
        goes again, as it is never used. Without a carrier the kernel never knows."""
        for _ in range(int(DETECTION_S / DETECTION_PAUSE_S)):
            links = [link for link in HostLook(self.host).ip("addr", "show") if link.get("ifname") == name]
            added = [a for link in links for a in static_addresses(link) if f"{a['local']}/{a['prefixlen']}" in tried]
            has_carrier = any("LOWER_UP" in link.get("flags", []) for link in links)
            if not has_carrier or not any(a.get("tentative") and not is_duplicate(a) for a in added):
                break
            time.sleep(DETECTION_PAUSE_S)
        found = duplicates_from_json(HostLook(self.host).ip("addr", "show")).get(name, [])
        taken = [address for address in found if address in tried]
        for address in taken:
            self.ip("addr", "del", address, "dev", name)
        if taken:
            raise Trouble(
                f"another machine on the network of {name} has {', '.join(taken)} (duplicate address detection failed)"
            )

    def _add_address(self, name: str, address: str) -> None:
        words = self.detail["addresses"].get(name, {}).get(address, [])
        self.ip("addr", "add", address, "dev", name, *words)

    def set_routes(self, wanted: list[dict[str, Json]]) -> None:
        for family in (4, 6):
            goal = [r for r in sorted_routes(wanted) if r["family"] == family]
            kept = [words for number, words in self.detail["routes"] if number == family and words[0] == "default"]
            verb = "replace"
            for route in goal:
                if route not in HostLook(self.host).default_routes():
                    self.ip(f"-{family}", "route", verb, *self._default_words(route, kept))
                verb = "append"
            seen = HostLook(self.host)
            for route in seen.routes(family):
                found = default_routes_from_json([route], []) if family == 4 else default_routes_from_json([], [route])
                if found and any(hop not in goal for hop in found):
                    self.ip(f"-{family}", "route", "del", *route_words(route))
                    if len(found) > 1:  # one route with several hops: remove all, add the wanted ones again
                        for hop in found:
                            if hop in goal:
                                self.ip(f"-{family}", "route", "append", *self._default_words(hop, kept))

    def _default_words(self, route: dict[str, Json], kept: list[list[str]]) -> list[str]:
        via = ["via", route["via"]] if route["via"] else []
        plain = ["default", *via, "dev", route["dev"]]
        for words in kept:
            if words[: len(plain)] == plain:
                return words
        return [*plain, "onlink"] if via else plain  # as ifupdown2 does: a gateway may be outside the prefix

    def set_other_routes(self) -> None:
        """Set again the static routes that went with an address or a link. Best effort: no fact names them."""
        there = {(f, tuple(route_words(r))) for f in (4, 6) for r in HostLook(self.host).routes(f)}
        for family, words in self.detail["routes"]:
            if words[0] != "default" and (family, tuple(words)) not in there:
                run_command(self.host, ["ip", f"-{family}", "route", "replace", *words])

    def set_sysctl(self, name: str, value: Json) -> None:
        path = self.host.path(sysctl_path(name))
        if name.startswith(BRIDGED) and not os.path.exists(path):
            if value == "0":
                return
            must(self.host, ["modprobe", "br_netfilter"])
        if value is None:
            if os.path.exists(path):
                raise Trouble(f"{name} is the kernel's and cannot be deleted")
            return
        _write(path, str(value))
        was, links = self.detail.get("forwarding", {}).get(name, (None, {}))
        if value == was:  # a rollback: each interface as it was, too
            for link_path, link_value in links.items():
                with contextlib.suppress(FileNotFoundError):
                    _write(self.host.path(link_path), link_value)

    def set_nft(self, name: str, value: Json) -> None:
        load = (value or {}).get("load", "")
        if value is not None and not load:
            raise Trouble(f"table {name} has nothing to load")
        must(self.host, ["nft", "-f", "-"], text=f"table {name}\ndelete table {name}\n{load}\n")

    def set_masquerade(self, name: str, wanted: int) -> None:
        source, _, out = name.partition(">")
        program = "ip6tables" if ":" in source else "iptables"
        canonical = masquerade_name(source, out)
        rules = [w for n, w in masquerade_rules(HostLook(self.host).masquerades(source)) if n == canonical]
        for words in rules[wanted:]:
            must(self.host, [program, "-w", "5", "-t", "nat", "-D", "POSTROUTING", *words])
        for _ in range(wanted - len(rules)):
            plain = ["-s", source, "-o", out, "-j", "MASQUERADE"]
            must(self.host, [program, "-w", "5", "-t", "nat", "-A", "POSTROUTING", *plain])


def vid_words(vlan: list[Json], verb: str) -> list[str]:
    """A VLAN of a port, or a range of them, in the words of bridge(8)."""
    first, last, is_pvid, is_untagged = vlan
    flags = ["pvid"] * is_pvid + ["untagged"] * is_untagged if verb == "add" else []
    return ["vid", str(first) if first == last else f"{first}-{last}", *flags]


def is_another_vlan(wanted: Json, now: Json) -> bool:
    """Whether a VLAN is there under the name, and is not the wanted one."""
    same = all(now.get(key) == wanted.get(key, now.get(key)) for key in ("parent", "id"))
    return wanted.get("type") == now["type"] == "vlan" and not same


def _write(path: str, value: str) -> None:
    """A kernel setting takes its value in one write."""
    with open(path, "r+b", buffering=0) as file:
        file.write(value.encode() + b"\n")
