"""A bond of the kernel: made, set, and given its ports (the kernel's bonding.rst).

New ports come before old ones go, and the old ones go only when a new one has a link: a bond that has one never loses
its last one. The mode changes only while a bond has no ports, mode and LACP rate only while it is down.
"""

from __future__ import annotations

import time
from typing import Callable

from service.hostside.canonical import BOND_WORDS
from service.hostside.capture import HostLook
from service.hostside.errors import Json, Trouble
from service.hostside.host import Host

LINK_S = 5.0  # a card that was down negotiates its link for 2 to 4 s, and LACP takes one more
PAUSE_S = 0.1


class BondSetter:
    """Sets bonds with `ip` (given as a function of its words). `is_back`: a rollback, which brings back what was there,
    without a link and without the ports that went away meanwhile."""

    def __init__(self, host: Host, ip: Callable[..., None], is_back: bool = False) -> None:
        self.host = host
        self.ip = ip
        self.is_back = is_back

    def add(self, name: str, wanted: Json, mac: str) -> Json:
        """Make a bond without ports; what the kernel then has."""
        words = [
            *(["address", mac] if mac else []),
            "type",
            "bond",
            "mode",
            wanted["mode"],
            *self._settings(wanted, {}),
        ]
        self.ip("link", "add", "name", name, *words)
        return HostLook(self.host).links()[name]

    def set(self, name: str, wanted: Json, now: Json) -> None:
        """Settings and ports of a bond that is there."""
        changed = {key for key in ("mode", *BOND_WORDS) if key in wanted and wanted[key] != now.get(key)}
        is_up = now["up"]
        if is_up and changed & {"mode", "lacp_rate"}:
            self.ip("link", "set", "dev", name, "down")
        if "mode" in changed:
            for port in now.get("ports", []):
                self.ip("link", "set", "dev", port["name"], "nomaster")
            self.ip("link", "set", "dev", name, "type", "bond", "mode", wanted["mode"])
            now = {**HostLook(self.host).links()[name], "up": False}
        words = self._settings({k: v for k, v in wanted.items() if k != "primary"}, now)
        if words:
            self.ip("link", "set", "dev", name, "type", "bond", *words)
        if changed & {"mode", "lacp_rate"} and (is_up or wanted.get("up")):
            self.ip("link", "set", "dev", name, "up")
        if "ports" in wanted:
            self._set_ports(name, wanted)
        if "primary" in wanted and wanted["primary"] != HostLook(self.host).links()[name].get("primary", ""):
            self._set_primary(name, wanted["primary"])

    def _set_primary(self, name: str, port: str) -> None:
        if port:
            self.ip("link", "set", "dev", name, "type", "bond", "primary", port)
            return
        with open(self.host.path(f"/sys/class/net/{name}/bonding/primary"), "w", encoding="ascii") as file:
            file.write("\n")  # ip-link(8) has no word for none

    def _settings(self, wanted: Json, now: Json) -> list[str]:
        """Words of ip-link(8) for what differs; the primary comes when the ports are there."""
        pairs = [(BOND_WORDS[key], wanted[key]) for key in BOND_WORDS if key != "primary" and key in wanted
                 and wanted[key] != now.get(key)]  # fmt: skip
        return [str(word) for pair in pairs for word in pair]

    def _set_ports(self, name: str, wanted: Json) -> None:
        links = HostLook(self.host).links()
        there = [port["name"] for port in links[name].get("ports", [])]
        goal = [port["name"] for port in wanted["ports"]]
        missing = [port for port in goal if port not in links]
        if self.is_back:
            goal = [port for port in goal if port in links]
        elif missing:
            raise Trouble(f"there is no link {', '.join(missing)} to put into {name}")
        new, old = [p for p in goal if p not in there], [p for p in there if p not in goal]
        for port in new:
            if links[port]["up"]:  # the kernel takes only a link that is down
                self.ip("link", "set", "dev", port, "down")
            self.ip("link", "set", "dev", port, "master", name)
        for port in goal:
            self.ip("link", "set", "dev", port, "up")
        if old and goal and not self.is_back:
            self._wait_for_a_link(name, goal)
        for port in old:  # the kernel sets down what leaves a bond
            self.ip("link", "set", "dev", port, "nomaster")
            self.ip("link", "set", "dev", port, "up" if links[port]["up"] else "down")

    def _wait_for_a_link(self, name: str, ports: list[str]) -> None:
        """Wait until one of the ports that stay has a link. Trouble if none has and one of those that go has."""
        ends_s = time.monotonic() + LINK_S
        while True:
            seen = {link.get("ifname"): link.get("flags", []) for link in HostLook(self.host).ip("-d", "link", "show")}
            if any("LOWER_UP" in seen.get(port, []) for port in ports) or "LOWER_UP" not in seen.get(name, []):
                return
            if time.monotonic() > ends_s:
                raise Trouble(f"none of {', '.join(ports)} has a link, so {name} keeps the ports that it has")
            time.sleep(PAUSE_S)
