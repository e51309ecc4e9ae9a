"""What the next boot makes of a kernel setting: sysctl.d first, then what brings the interfaces up.

boot_setting(observed, key) -> BootSetting | Unknown | None
with_lines(observed, {key: value}) -> HostObserved      as if our own file said more
link_key("vmbr0", "forwarding") -> "net.ipv4.conf.vmbr0.forwarding"
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from service.formats import sysctl_files
from service.formats.interfaces import FILES as INTERFACES_FILES
from service.formats.interfaces import Forwarding, LinkForwarding, UpLine, forwarding_set, meanings
from service.model.observed import HostObserved, Watch
from service.model.states import Absent, Unknown
from service.observe.at_boot import interfaces_config, texts_of
from service.observe.derived import derived

OWN_FILE = "/etc/sysctl.d/60-passerelle.conf"
FILES = ("/etc/sysctl.conf", "/etc/sysctl.d/*", "/run/sysctl.d/*", "/usr/local/lib/sysctl.d/*", "/usr/lib/sysctl.d/*")
WATCH = Watch(files=frozenset({OWN_FILE, *FILES, *INTERFACES_FILES}))
FORWARDING = "net.ipv4.ip_forward"
_LINK_KEY = re.compile(r"net\.ipv4\.conf\.([A-Za-z0-9_/-]{1,15})\.([a-z_]{1,40})")


@dataclass(frozen=True, slots=True, order=True)
class BootSetting:
    """A value and where it comes from, `path:line`. `by_bridge`: ifupdown2 gives it to every such bridge,
    whatever sysctl.d says."""

    value: str
    where: str
    by_bridge: bool = False


def link_key(interface: str, name: str) -> str:
    """The key of an interface's own setting; a dot of its name is a slash in the key (sysctl.d(5))."""
    return f"net.ipv4.conf.{interface.replace('.', '/')}.{name}"


def link_of(key: str, name: str) -> str:
    """The interface whose own setting `name` a key is, else empty."""
    match = _LINK_KEY.fullmatch(key)
    own = match is not None and match[2] == name and match[1] not in ("all", "default")
    return match[1].replace("/", ".") if match and own else ""


Own = Mapping[str, str | None]
"""What our own file should give keys in place of what it does; None: nothing."""


def boot_setting(observed: HostObserved, key: str, own: Own = MappingProxyType({})) -> BootSetting | Unknown | None:
    """None where no file says anything."""
    settings = _settings(observed, own)
    if isinstance(settings, Unknown):
        return settings
    found = settings.effective(key)
    setting = BootSetting(found.value, f"{found.path}:{found.line}") if found else None
    interface = link_of(key, "forwarding")
    if key != FORWARDING and not interface:
        return setting
    moves = _moves(observed)
    if isinstance(moves, Unknown):
        return moves
    host = settings.effective(FORWARDING)
    is_on = host is not None and host.value == "1"
    refused = bool(interface) and (line := settings.said(key)) is not None and line.value != "1"
    of_link = moves.get(interface, ()) if interface else ()
    for _, name, move in sorted([*moves.get("", ()), *of_link]):
        if name:
            # udev writes the file's line when the bridge appears, at about the time when ifupdown2 writes its own
            setting = setting if refused and move.by_bridge else move
        elif key == FORWARDING or (move.value == "1") != is_on:  # the kernel sets every interface when it changes
            is_on, setting = move.value == "1", move
    return setting


def _settings(observed: HostObserved, own: Own) -> sysctl_files.Settings | Unknown:
    if not own:
        return _settings_there(observed)
    texts = _texts(observed)
    if isinstance(texts, Unknown):
        return texts
    there = {sysctl_files.dotted(line.key): line.value for line in sysctl_files.parse(texts.get(OWN_FILE, b""))}
    content = "".join(f"{key} = {value}\n" for key, value in sorted({**there, **own}.items()) if value is not None)
    return sysctl_files.Settings({**texts, OWN_FILE: content.encode()})


@derived
def _settings_there(observed: HostObserved) -> sysctl_files.Settings | Unknown:
    texts = _texts(observed)
    return texts if isinstance(texts, Unknown) else sysctl_files.Settings(texts)


def _texts(observed: HostObserved) -> Mapping[str, bytes] | Unknown:
    texts = texts_of(observed, FILES, passed_over=(sysctl_files.MAIN_LINK,))
    if isinstance(texts, Unknown) or not isinstance(observed.text(sysctl_files.MAIN_LINK), Absent):
        return texts
    # since Debian 13 there is no link, and without it nothing reads the main file
    return {path: text for path, text in texts.items() if path != sysctl_files.MAIN_FILE}


Move = tuple[int, str, BootSetting]
"""Its place in the order, the interface (empty: the whole host), and what is set."""


@derived
def _moves(observed: HostObserved) -> Mapping[str, Sequence[Move]] | Unknown:
    """What sets forwarding while the interfaces come up, by interface, numbered in the order in which they do."""
    config = interfaces_config(observed)
    if isinstance(config, Unknown):
        return config
    found: dict[str, list[Move]] = {}
    number = 0
    for name, have in meanings(config.value).items():
        if not have.at_boot:
            continue
        moves = [*_by_lines(have.up_lines, ("pre-up",))]
        if own := forwarding_set(config.value, name):
            moves.append((name, BootSetting("1" if own.on else "0", own.where, by_bridge=own.by_bridge)))
        moves += _by_lines(have.up_lines, ("up", "post-up"))
        for interface, setting in moves:
            number += 1
            found.setdefault(interface, []).append((number, interface, setting))
    return found


def _by_lines(lines: Sequence[UpLine], phases: tuple[str, ...]) -> Iterator[tuple[str, BootSetting]]:
    for line in lines:
        for effect in line.effects if line.phase in phases else ():
            if isinstance(effect, Forwarding | LinkForwarding):
                interface = effect.dev if isinstance(effect, LinkForwarding) else ""
                yield interface, BootSetting("1" if effect.on else "0", f"{line.path}:{line.line}")
