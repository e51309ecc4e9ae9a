"""`ip` and `bridge`: links, addresses and routes of the model in kernel.json."""

import json
from typing import Any

from tests.hostside.fakes.fake_commands import Call, UnknownCall, fail


def show_links(kernel: Any) -> list[Any]:
    shown = []
    for name, link in kernel["links"].items():
        item = {"ifname": name, "flags": ["UP"] if link["up"] else [], "mtu": link["mtu"], "address": link["mac"]}
        if link["master"]:
            item["master"] = link["master"]
        if link["type"] == "bridge":
            options = {"forward_delay": link["delay"], "stp_state": link["stp"], "vlan_filtering": int("vids" in link)}
            item["linkinfo"] = {"info_kind": "bridge", "info_data": options}
        if link["type"] == "bond":
            item["linkinfo"] = {"info_kind": "bond", "info_data": {"mode": "active-backup"}}
        if link["type"] == "vlan":
            item |= {"link": link["parent"], "linkinfo": {"info_kind": "vlan", "info_data": {"id": link["id"]}}}
        shown.append(item)
    return shown


def show_addresses(kernel: Any) -> list[Any]:
    shown = []
    for name in kernel["links"]:
        found: list[Any] = []
        for address in kernel["addresses"].get(name, []):
            local, _, length = address.partition("/")
            family = "inet6" if ":" in local else "inet"
            found.append({"family": family, "local": local, "prefixlen": int(length), "scope": "global"})
        shown.append({"ifname": name, "addr_info": found})
    return shown


def show_routes(kernel: Any, family: int) -> list[Any]:
    return [
        {"dst": "default", "gateway": via, "dev": dev, "flags": ["onlink"]}
        for number, via, dev in kernel["routes"]
        if number == family
    ]


def change_link(kernel: Any, words: list[str]) -> None:
    links = kernel["links"]
    if words[0] == "add" and words[1] == "name" and words[-2:] == ["type", "bridge"]:
        if words[2] in links:
            fail("RTNETLINK answers: File exists", 2)
        mac = words[4] if words[3] == "address" else "02:00:00:00:00:01"
        links[words[2]] = {
            "type": "bridge", "up": False, "mtu": 1500, "master": None, "delay": 1500, "stp": 0, "mac": mac
        }  # fmt: skip
    elif words[:2] == ["add", "link"] and words[3] == "name" and words[-4:-1] == ["type", "vlan", "id"]:
        if words[2] not in links:
            fail(f'Cannot find device "{words[2]}"', 1)
        below = {"parent": words[2], "id": int(words[-1])}
        if words[4] in links or any(below.items() <= link.items() for link in links.values()):
            fail("RTNETLINK answers: File exists", 2)
        mac = words[6] if words[5] == "address" else links[words[2]]["mac"]
        links[words[4]] = {"type": "vlan", "up": False, "mtu": 1500, "master": None, "mac": mac, **below}
    elif words[:2] == ["del", "dev"] and words[3:] in (["type", "bridge"], ["type", "vlan"]):
        if links[words[2]]["type"] != words[4]:
            fail("RTNETLINK answers: Operation not supported", 2)
        del links[words[2]]
        kernel["addresses"].pop(words[2], None)
        kernel["routes"] = [route for route in kernel["routes"] if route[2] != words[2]]
        for link in links.values():
            if link["master"] == words[2]:
                link.update(master=None, up=False)
    elif words[0] == "set" and words[1] == "dev" and words[2] in links:
        set_link(links, links[words[2]], words[3:])
    else:
        raise UnknownCall


def set_link(links: Any, link: Any, words: list[str]) -> None:
    if words in (["up"], ["down"]):
        link["up"] = words == ["up"]
    elif words == ["nomaster"]:
        link["master"] = None
        link.pop("port_vids", None)
    elif words[0] == "master" and words[1] in links:
        link["master"] = words[1]
        link.pop("port_vids", None)
    elif words[0] == "mtu":
        link["mtu"] = int(words[1])
    elif words[:3] == ["type", "bridge", "stp_state"]:
        link["stp"] = int(words[3])
    elif words[:3] == ["type", "bridge", "forward_delay"]:
        link["delay"] = int(words[3])
    else:
        raise UnknownCall


def change_address(kernel: Any, words: list[str]) -> None:
    verb, address, _, name = words[:4]
    there = kernel["addresses"].setdefault(name, [])
    if verb == "add":
        if address in there:
            fail("RTNETLINK answers: File exists", 2)
        there.append(address)
    elif verb == "del":
        if address not in there:
            fail("RTNETLINK answers: Cannot assign requested address", 2)
        there.remove(address)
        if not there:  # the kernel takes the routes of a link's last address along
            kernel["routes"] = [route for route in kernel["routes"] if route[2] != name]
    else:
        raise UnknownCall


def change_route(kernel: Any, family: int, words: list[str]) -> None:
    if words[1:3] != ["default", "via"] or words[4] != "dev":
        raise UnknownCall
    route = [family, words[3], words[5]]
    if words[0] == "replace":
        kernel["routes"] = [r for r in kernel["routes"] if r[0] != family] + [route]
    elif words[0] == "append":
        kernel["routes"].append(route)
    elif words[0] == "del" and route in kernel["routes"]:
        kernel["routes"].remove(route)
    else:
        fail("RTNETLINK answers: No such process", 2)


def ip(call: Call, words: list[str]) -> None:
    kernel = call.load("kernel.json")
    if words == ["-j", "-d", "link", "show"]:
        call.say(json.dumps(show_links(kernel)))
    elif words == ["-j", "addr", "show"]:
        call.say(json.dumps(show_addresses(kernel)))
    elif words[:4] == ["-j", "neigh", "show", "to"]:
        state = "FAILED" if words[4] in kernel.get("mute", []) else "REACHABLE"
        call.say(json.dumps([{"dst": words[4], "dev": words[6], "lladdr": "02:00:00:00:00:01", "state": [state]}]))
    elif words[:3] == ["neigh", "flush", "dev"] or (
        words[:2] == ["neigh", "change"] and words[-2:] == ["nud", "probe"]
    ):
        pass
    elif words[0] == "-j" and words[2:] == ["route", "show", "table", "main"]:
        call.say(json.dumps(show_routes(kernel, int(words[1][1:]))))
    else:
        if words[0] == "link":
            change_link(kernel, words[1:])
        elif words[0] == "addr":
            change_address(kernel, words[1:])
        elif words[0] in ("-4", "-6") and words[1] == "route":
            change_route(kernel, int(words[0][1:]), words[2:])
        else:
            raise UnknownCall
        call.save("kernel.json", kernel)


def port_vlans(link: Any) -> list[Any]:
    """Those of a port of a VLAN-aware bridge: the VLAN 1 alone when it comes."""
    found: list[Any] = link.get("port_vids", [{"vlan": 1, "flags": ["PVID", "Egress Untagged"]}])
    return found


def bridge(call: Call, words: list[str]) -> None:
    kernel = call.load("kernel.json")
    aware = {name: link for name, link in kernel["links"].items() if "vids" in link}
    ports = {n: link for n, link in kernel["links"].items() if link["master"] in aware}
    if words == ["-j", "vlan", "show"]:
        shown = [{"ifname": n, "vlans": [{"vlan": v} for v in link["vids"]]} for n, link in aware.items()]
        call.say(json.dumps([*shown, *({"ifname": n, "vlans": port_vlans(link)} for n, link in ports.items())]))
    elif words[0] == "vlan" and words[2] == "dev" and words[3] in ports and words[4] == "vid":
        have = port_vlans(ports[words[3]])
        first, _, last = words[5].partition("-")
        flags = {"pvid": "PVID", "untagged": "Egress Untagged"}
        vlan = {"vlan": int(first), **({"vlanEnd": int(last)} if last else {}), "flags": [flags[w] for w in words[6:]]}
        have = [one for one in have if one["vlan"] != vlan["vlan"]]
        ports[words[3]]["port_vids"] = [*have, vlan] if words[1] == "add" else have
        call.save("kernel.json", kernel)
    elif words[0] == "vlan" and words[2] == "dev" and words[4] == "vid" and words[6:] == ["self"]:
        vids = aware[words[3]]["vids"]
        {"add": vids.append, "del": vids.remove}[words[1]](int(words[5]))
        call.save("kernel.json", kernel)
    else:
        raise UnknownCall


COMMANDS = {"bridge": bridge, "ip": ip}
