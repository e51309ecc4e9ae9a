"""Packages and services that matter to the network, and fail2ban's jails."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

from pydantic import ValidationError

from service.adopt.material import FAIL2BAN_FILES, Material
from service.adopt.sketch import Sketch
from service.formats import fail2ban
from service.kinds.fail2ban import Fail2banSection, JailName
from service.model.states import Json
from service.resources.bans import ALWAYS, JAILS_FILE
from service.spec.yaml_text import flow

STATUS_FILE = "/var/lib/dpkg/status"
_SECTIONS = {
    "/etc/dnsmasq": "dnsmasq", "/etc/nftables": "nat", "/etc/iptables": "nat", "/etc/ethers": "guests",
    "/etc/pve/lxc": "guests", "/etc/pve/qemu-server": "guests", "/etc/pve/firewall": "firewall",
}  # fmt: skip
"""Whom a file concerns that could not be read."""
_SECTION = re.compile(r"\[([A-Za-z0-9_.-]{1,60})\]")


def read_system(material: Material, sketch: Sketch) -> None:
    """Write `packages` and `services` into the sketch."""
    uses = {
        "dnsmasq": "dnsmasq" in sketch.values,
        "nftables": "nat" in sketch.values or material.is_on("nftables.service"),
        "fail2ban": material.is_on("fail2ban.service"),
    }
    for name, is_used in uses.items():
        if is_used and material.packages.get(name) is True:
            sketch.mapping("packages")[name] = "present"
            sketch.notes.add("understood", "packages", STATUS_FILE, f"{name} is installed")
    if material.packages.get("bind9") is True and "named.service" in material.units:
        state = material.units["named.service"]
        if material.is_off("named.service"):
            sketch.mapping("services")["named"] = "masked" if state.startswith("masked") else "disabled"
            sketch.notes.add("understood", "services", "", f"named.service is {state}")
        elif "dnsmasq" in sketch.values:
            what = "BIND starts at boot, too: whoever comes first has port 53"
            sketch.notes.add("danger", "services", "", what)
    if material.is_on("systemd-resolved.service") and "dnsmasq" in sketch.values:
        sketch.notes.add("danger", "services", "", "systemd-resolved starts at boot and may hold port 53")
    if material.packages.get("ifupdown") is True and material.packages.get("ifupdown2") is not True:
        what = "the classic ifupdown is installed: what it reads otherwise than ifupdown2 is told with the line"
        sketch.notes.add("danger", "interfaces", "", what)
    _jails(material, sketch)
    for path, why in material.unread.items():
        section = next((name for prefix, name in _SECTIONS.items() if path.startswith(prefix)), "")
        if section:
            sketch.notes.add("unmanaged", section, path, f"could not be read: {why}")


def _jails(material: Material, sketch: Sketch) -> None:
    """The jails that are switched on, by name. They are never met where they stand: a section's jails spare the
    service, by an address that no file knows, and ban by nftables."""
    enabled: dict[str, tuple[bool, str]] = {}
    said: dict[str, dict[str, str]] = {}
    jails: list[Json] = []
    for path, data in sorted(_jail_files(material).items(), key=lambda item: _read_when(item[0])):
        for name, keys in fail2ban.parse(data).items():
            said.setdefault(name, {}).update(keys)
            if "enabled" in keys:
                is_on = keys["enabled"].lower() in ("true", "yes", "1", "on")
                enabled[name] = (is_on, f"{path}:{_line(data, name)}")
    for name, (is_on, where) in enabled.items():
        if is_on and name != "DEFAULT":
            what = f"jail {name}: left as it is; a section's jail would spare the service, too, and ban by nftables"
            known = name in get_args(JailName)
            sketch.notes.add("unmanaged", "fail2ban", where, what if known else f"jail {name}")
            if known:
                jails.append(name)
    if jails:
        lines = ["  # made by hand now: without the signs in front passerelle writes the jails"]
        lines.append(f"  jails: {flow([*jails])}")
        each = [{**said.get("DEFAULT", {}), **said.get(str(name), {})} for name in jails]
        sketch.suggestions["fail2ban"] = [*lines, *(f"  {key}: {flow(value)}" for key, value in _settings(each))]


def _jail_files(material: Material) -> dict[str, bytes]:
    """What somebody wrote: jail.conf is the distribution's, and one file is ours."""
    files = material.below(*(p for p in FAIL2BAN_FILES if not p.endswith("jail.conf")))
    return {path: data for path, data in files.items() if path.endswith((".conf", ".local")) and path != JAILS_FILE}


def _read_when(path: str) -> tuple[bool, bool, str]:
    """In which order fail2ban reads them: jail.d/*.conf, jail.local, jail.d/*.local (jail.conf(5))."""
    return path.endswith(".local"), "/jail.d/" in path, path


def _line(data: bytes, section: str) -> int:
    """Where a section switches its jail on or off."""
    within = ""
    for number, raw in enumerate(data.decode("utf-8", "replace").split("\n"), 1):
        line = raw.strip()
        if head := _SECTION.fullmatch(line):
            within = head[1]
        elif within == section and re.match(r"enabled\s*[=:]", line):
            return number
    return 1


def _settings(jails: Sequence[Mapping[str, str]]) -> Iterator[tuple[str, Json]]:
    """What a section can say of its jails, where all of them say the same."""
    for key in ("ignoreip", "maxretry", "findtime", "bantime"):
        found = {jail.get(key, "") for jail in jails}
        text = found.pop() if len(found) == 1 else ""
        value: Json = text
        if key == "maxretry":
            value = int(text) if re.fullmatch(r"[0-9]{1,3}", text) else ""
        elif key == "ignoreip":
            value = [address for address in text.replace(",", " ").split() if address not in ALWAYS]
        elif re.fullmatch(r"[0-9]{1,8}", text):
            value = f"{text}s"
        if value and not _is_wrong(key, value):
            yield key, value


def _is_wrong(key: str, value: Json) -> bool:
    try:
        Fail2banSection.model_validate({"jails": ("sshd",), key: tuple(value) if isinstance(value, list) else value})
    except ValidationError:
        return True
    return False
