"""Guests that are looked into: the section `guests` → facts and the status that each one keeps. Pure.

    guest:NAME      {"kind": "lxc"|"pct", "own": the container's name or number on the host, "running", "autostart",
                    "mac", "bridge": of the card with its MAC address, "memory_mib": 0 = no limit, "mounts": [folders in
                    the guest that its settings mount from ours], "mounted": [those that it has now], "answers": whether
                    it reported from inside, "new": made by passerelle and never started, "trouble": why not}
    proxy:NAME@MAC  {"active": whether its nginx runs, "loaded": digest of the files that this nginx has loaded, or ""};
                    the guest's number on Proxmox, where it is known, in place of its MAC address

`guest:` and `proxy:` are Absent where no container has the MAC address or number. What is inside a guest that is down,
or does not answer, is Unknown. All that a guest prints is hostile text: bounded, and only fixed forms are taken.
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.formats import lxc_guests, pve_guests
from service.hostside.guest_nginx import NotKnown, is_not_running, nginx_of
from service.model.guests import FILES_INSIDE, KEPT_INSIDE, folders_of, proxy_id
from service.model.observed import Watch
from service.model.states import Absent, Json, Observed, Seen, Unknown
from service.model.trees import shown
from service.observe.frames import Section
from service.observe.guest_script import MAX_STATUS_BYTES
from service.observe.part import Part, Reader, succeeded
from service.observe.read_system import PACKAGE_LINE, package_state

_LINE = re.compile(r"(guest|config|new|inside)\|([a-z0-9-]{1,63})\|(.*)")
_WHERE = re.compile(r"(lxc|pct)\|([A-Za-z0-9_.][A-Za-z0-9_.-]{0,99})\|([A-Za-z]{0,20})")
MOST_LINES = 100


def read_guests(found: Mapping[str, Section], watch: Watch) -> Part:
    """What the host reports of each guest that is looked into."""
    if not watch.guests:
        return Part()
    lines: dict[str, dict[str, str]] = {}
    for line in succeeded(found["guests"], "sh").text().splitlines():
        if parts := _LINE.fullmatch(line):
            lines.setdefault(parts[2], {})[parts[1]] = parts[3]
    facts: dict[str, Observed[Json]] = {}
    status: dict[str, Observed[bytes]] = {}
    packages: dict[str, Observed[str]] = {}
    for name, mac, number in watch.guests:
        fact, inside = _guest(name, mac, lines.get(name, {}))
        wanted = [package for guest, package in watch.inside if guest == name]
        facts[f"guest:{name}"], facts[proxy_id(name, mac, number)], status[name] = fact, inside.proxy, inside.status
        packages |= {f"{name}/{package}": inside.package(name, package) for package in wanted}
    return Part(facts=facts, guest_status=status, packages=packages)


@dataclass(frozen=True, slots=True)
class Inside:
    """What is known of the inside of a guest. `packages` are those that it has."""

    proxy: Observed[Json]
    status: Observed[bytes]
    packages: Observed[Mapping[str, Observed[str]]]

    @classmethod
    def unknown(cls, why: str) -> "Inside":
        """Nothing, for one reason."""
        return cls(Unknown(why), Unknown(why), Unknown(why))

    def package(self, guest: str, name: str) -> Observed[str]:
        """The version of a package that was looked for; one of which the guest says nothing is not there."""
        if isinstance(self.packages, Seen):
            return self.packages.value.get(name, Absent())
        return self.packages if isinstance(self.packages, Unknown) else Absent()


def _guest(name: str, mac: str, lines: Mapping[str, str]) -> tuple[Observed[Json], Inside]:
    where = lines.get("guest", "")
    parts = _WHERE.fullmatch(where)
    if where == "none||":
        return Absent(), Inside(Absent(), Unknown(f"guest {name} does not exist on the host"), Absent())
    if not parts or "config" not in lines:
        several = where == "many||"
        why = f"two containers on the host have the MAC address {mac}" if several else "the host did not report it"
        return Unknown(f"guest {name}: {why}"), Inside.unknown(f"guest {name}: {why}")
    kind, own, word = parts[1], parts[2], parts[3].lower()
    settings = _bytes(lines["config"])
    fact: dict[str, Json] = {
        "kind": kind, "own": own, "running": word == "running", "mac": mac, "new": "new" in lines,
        "trouble": shown(_bytes(lines.get("new", "")).decode("utf-8", "replace").strip(), 300),
        **(_lxc if kind == "lxc" else _pct)(settings, own, mac, name),
    }  # fmt: skip
    if word not in ("running", "stopped"):
        unknown = Inside.unknown(f"guest {name} is {word or 'in a state that the host did not report'}")
        return Seen({**fact, "answers": False, "mounted": []}), unknown
    if word == "stopped":
        return Seen({**fact, "answers": False, "mounted": []}), Inside.unknown(is_not_running(name))
    return _from_inside(name, fact, _bytes(lines.get("inside", "")))


def _from_inside(name: str, fact: dict[str, Json], said: bytes) -> tuple[Observed[Json], Inside]:
    """What a running guest reported."""
    head, mark, text = said.partition(b"status\n")
    lines = head.decode("ascii", "replace").splitlines()
    if not mark or len(lines) > MOST_LINES:
        silent = Inside.unknown(f"guest {name} is running and does not answer")
        return Seen({**fact, "answers": False, "mounted": []}), silent
    mounted: list[Json] = [at for at in (FILES_INSIDE, KEPT_INSIDE) if f"mounted {at}" in lines]
    try:
        proxy: Observed[Json] = Seen(nginx_of(name, head.decode("ascii", "replace")))
    except NotKnown as error:
        proxy = Unknown(str(error))
    status: Observed[bytes] = Seen(text) if text else Absent()
    if len(text) > MAX_STATUS_BYTES:
        status = Unknown(f"guest {name} keeps a status of more than {MAX_STATUS_BYTES >> 10} KiB")
    return Seen({**fact, "answers": True, "mounted": mounted}), Inside(proxy, status, _packages(name, lines))


def _packages(name: str, lines: Sequence[str]) -> Observed[Mapping[str, Observed[str]]]:
    """What dpkg-query(1) in the guest reports of the packages that were looked for."""
    if not {"packages 0", "packages 1"} & set(lines):
        return Unknown(f"guest {name} does not say which packages it has")
    found = (PACKAGE_LINE.fullmatch(line.removeprefix("package|")) for line in lines)
    return Seen({parts[1]: package_state(parts) for parts in found if parts})


def _lxc(settings: bytes, own: str, mac: str, name: str) -> dict[str, Json]:
    """The settings of a container of plain LXC (lxc.container.conf(5))."""
    pairs = lxc_guests.pairs(settings)
    cards = lxc_guests.parse(settings, f"/var/lib/lxc/{own}/config").cards
    memory = re.fullmatch(r"([0-9]{1,12})([KMG]?)", next((v for k, v in pairs if k == "lxc.cgroup2.memory.max"), ""))
    entries = [value.split() for key, value in pairs if key == "lxc.mount.entry"]
    return {
        "autostart": ("lxc.start.auto", "1") in pairs,
        "bridge": next((card.bridge for card in cards if card.mac == mac), ""),
        "memory_mib": _mib(int(memory[1]), memory[2]) if memory else 0,
        "mounts": [at for at, path in folders_of(name).items() if any(_binds(e, path, at[1:]) for e in entries)],
    }


def _binds(entry: list[str], path: str, at: str) -> bool:
    return entry[:2] == [path, at] and len(entry) > 3 and "bind" in entry[3].split(",")


def _pct(settings: bytes, own: str, mac: str, name: str) -> dict[str, Json]:
    """The settings of a container on Proxmox (pct.conf(5)), those that count now."""
    pairs = pve_guests.settings(settings)
    cards = pve_guests.parse(settings, f"/etc/pve/lxc/{own}.conf").cards
    mounts = [value.split(",") for key, value in pairs.items() if re.fullmatch("mp[0-9]{1,3}", key)]
    memory = pairs.get("memory", "512")
    return {
        "autostart": pairs.get("onboot", "0") == "1",
        "bridge": next((card.bridge for card in cards if card.mac == mac), ""),
        "memory_mib": int(memory) if re.fullmatch("[0-9]{1,9}", memory) else 0,
        "mounts": [
            at for at, path in folders_of(name).items() if any(m[0] == path and f"mp={at}" in m[1:] for m in mounts)
        ],
    }


def _mib(number: int, unit: str) -> int:
    return (number * {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[unit]) >> 20


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _unread(why: str, watch: Watch) -> Part:
    facts = {f"guest:{name}": Unknown(why) for name, _, _ in watch.guests}
    facts |= {proxy_id(*guest): Unknown(why) for guest in watch.guests}
    return Part(
        facts=facts,
        guest_status={name: Unknown(why) for name, _, _ in watch.guests},
        packages={f"{guest}/{package}": Unknown(why) for guest, package in watch.inside},
    )


READERS = (Reader("guests", ("guests",), read_guests, _unread),)
