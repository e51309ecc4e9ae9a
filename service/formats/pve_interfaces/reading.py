"""Reading: from the bytes of an interfaces file to what Proxmox keeps of them.

The lines are read as Proxmox's reader does, according to measurements. An empty line, a line of one word or the next
section word ends a stanza. After that, a line that is neither a stanza nor a list of names to start at boot is a line
outside stanzas. Texts are kept byte for byte as Latin-1, only comments are read as UTF-8: so does Proxmox, and so it
writes other than ASCII text outside comments encoded once more.
"""

import re

from service.errors import InputError
from service.formats.pve_interfaces.interface import Family, OtherLine, PveInterface, PveInterfaces
from service.formats.pve_interfaces.kinds import describe
from service.formats.pve_interfaces.vocabulary import (
    ADDRESS_KEYS,
    BOND_MODES,
    BOOT_WORDS,
    KEPT_AS_WRITTEN,
    OTHER_SPELLINGS,
    STANZA_ENDS,
    holds,
)

MAX_BYTES = 1_048_576
MAX_LINES = 100_000
MAX_INTERFACES = 5_000

_FAMILIES: dict[bytes, Family] = {b"inet": "inet", b"inet6": "inet6"}
_WORD_CHARACTER = re.compile(rb"\w")


def parse(data: bytes) -> PveInterfaces:
    """What Proxmox's reader makes of a file, whatever it holds.

    Raises InputError only for a file that is too large: over 1 MiB, 100,000 lines or 5,000 interfaces.
    """
    if len(data) > MAX_BYTES:
        raise InputError(f"longer than {MAX_BYTES} bytes: that is not an interfaces file")
    lines = data.split(b"\n")
    if len(lines) > MAX_LINES:
        raise InputError(f"more than {MAX_LINES} lines: that is not an interfaces file")
    reader = _Reader(lines)
    reader.read()
    describe(reader.interfaces)
    return PveInterfaces(reader.interfaces, _without_bridge_lines(reader.other_lines, reader.interfaces))


class _Reader:
    """Goes once over the lines; `place` counts stanzas and other lines in the order of the file."""

    def __init__(self, lines: list[bytes]) -> None:
        self.lines = lines
        self.next_line = 0
        self.place = 2  # 1 is kept for a loopback interface that the file does not have
        self.interfaces: dict[str, PveInterface] = {}
        self.other_lines: list[OtherLine] = []

    def read(self) -> None:
        while self.next_line < len(self.lines):
            line = self.lines[self.next_line]
            self.next_line += 1
            words = line.split()
            if not words or words[0].startswith(b"#"):
                continue
            if words[0] in BOOT_WORDS and (len(words) > 1 or line[-1:].isspace()):
                for word in words[1:]:
                    self.interface(word).at_boot = True
            elif words[0] == b"iface" and (len(words) == 2 or (len(words) == 4 and words[2] in _FAMILIES)):
                self.stanza(words)
            elif _WORD_CHARACTER.search(line):
                self.other_lines.append(OtherLine(self.take_place(), _text(line)))

    def take_place(self) -> int:
        self.place += 1
        return self.place - 1

    def interface(self, word: bytes) -> PveInterface:
        name = _text(word)
        found = self.interfaces.get(name)
        if found is None:
            if len(self.interfaces) >= MAX_INTERFACES:
                raise InputError(
                    f"line {self.next_line}: more than {MAX_INTERFACES} interfaces: that is not an interfaces file"
                )
            found = self.interfaces[name] = PveInterface(self.next_line)
        return found

    def stanza(self, words: list[bytes]) -> None:
        """The lines of one stanza; the line that ends it is left for the next section, without its trailing blanks."""
        interface = self.interface(words[1])
        if interface.place is None:
            interface.place = self.take_place()
        family = _FAMILIES[words[2]] if len(words) == 4 else None
        interface.families.append(family)
        part = interface.part(family)
        if family is not None:
            part.method = _text(words[3])
        options: list[str] = []
        comments = ""
        while self.next_line < len(self.lines):
            line = self.lines[self.next_line].strip()
            if line.startswith(b"#"):
                comments += line[1:].decode("utf-8", "replace") + "\n"
            else:
                option = line.split(None, 1)
                if len(option) < 2 or option[0] in STANZA_ENDS or option[0].startswith(b"allow-"):
                    self.lines[self.next_line] = self.lines[self.next_line].rstrip()
                    break
                key, value = _text(option[0]), _text(option[1])
                if not _set_known(interface, family, OTHER_SPELLINGS.get(key, key), value):
                    options.append(_text(line))
            self.next_line += 1
        _keep(interface, family, options, comments)


def _keep(interface: PveInterface, family: Family | None, options: list[str], comments: str) -> None:
    """Unknown options and comments: those of a later stanza of the same family replace the earlier ones."""
    part = interface.part(family)
    if family is None:
        part.options += options
        part.comments += comments
        return
    if options:
        part.options = options
    if comments:
        part.comments = comments


def _set_known(interface: PveInterface, family: Family | None, key: str, value: str) -> bool:
    """Keep an option that Proxmox knows; False for any other."""
    settings = interface.settings
    if key in ADDRESS_KEYS:
        # without a family each address shows its own, but a netmask always counts for IPv4
        by_value: Family | None = "inet6" if ":" in value and key != "netmask" else "inet"
        setattr(interface.part(family or by_value), key, value)
    elif key in KEPT_AS_WRITTEN:
        settings[key] = value
    elif key in ("slaves", "bridge_ports"):
        named = " ".join(sorted({port for port in value_words(value) if port != "none"}))
        before = settings.get(key)
        if not holds(before):
            settings[key] = named if holds(named) else ""
        elif holds(named):
            settings[key] = f"{before} {named}"
    elif key == "bridge_stp":
        settings[key] = "on" if value.lower() in ("on", "yes") else "off"
    elif key == "bridge_vlan_aware":
        settings[key] = 1
    elif key == "bond_mode":
        settings[key] = BOND_MODES[int(value)] if value in "0123456" and len(value) == 1 else value
    elif key == "vxlan-remoteip":
        interface.remote_ends.append(value)
    else:
        return False
    return True


def _without_bridge_lines(lines: list[OtherLine], interfaces: dict[str, PveInterface]) -> tuple[OtherLine, ...]:
    """`allow-BRIDGE PORT` lines lose the ports that the Open vSwitch bridge has anyhow, and vanish without any left."""
    kept: list[OtherLine] = []
    ports_of: dict[str, set[str]] = {}
    for place, text in lines:
        if not text.startswith("allow-"):
            kept.append(OtherLine(place, text))
            continue
        first, *ports = value_words(text)
        if first in ("allow-", text):
            kept.append(OtherLine(place, text))
            continue
        if first not in ports_of:
            bridge = interfaces.get(first.removeprefix("allow-"))
            ports_of[first] = set(value_words(str(bridge.settings.get("ovs_ports", "")))) if bridge else set()
        if left := [port for port in ports if port not in ports_of[first]]:
            kept.append(OtherLine(place, " ".join((first, *left))))
    return tuple(kept)


def value_words(value: str) -> list[str]:
    """The words of a value, parted by ASCII white space only."""
    return [_text(word) for word in value.encode("latin-1").split()]


def _text(data: bytes) -> str:
    return data.decode("latin-1")
