"""The interfaces files into the account: every line of them is part of one thing that was read.

register(config, files, account)        stanzas with their `auto` lines, shell lines and options on their own
unset_lines(have) -> (line, why)        lines of addresses that the boot does not set, and a spec does not say
significant(data) -> lines              those that are neither blank nor a comment
"""

from collections.abc import Iterator, Mapping

from service.adopt.account import Account
from service.formats.interfaces import (
    AutoLine,
    IfaceMeaning,
    InterfacesConfig,
    InterfacesFile,
    PlacedOption,
    SourceLine,
    Stanza,
    meanings,
)
from service.formats.interfaces.meant import PHASES, read_address

_OF_ADDRESSES = ("address", "netmask", "broadcast", "gateway", "pointopoint", "scope", "preferred-lifetime")
NOT_SOURCED = "no `source` line names this file: the next boot does not read it"


def significant(data: bytes, comments: str = "#") -> tuple[int, ...]:
    """The numbers of the lines that say something; `comments` are the signs that a comment begins with."""
    lines = data.decode("utf-8", "replace").split("\n")
    return tuple(n for n, line in enumerate(lines, 1) if line.strip() and line.strip()[0] not in comments)


def register(config: InterfacesConfig, files: Mapping[str, bytes], account: Account) -> None:
    """Every line of the files that were given, whether the boot reads them or not."""
    for have in meanings(config).values():
        section = section_of(have)
        for option in have.other:
            account.read(section, option.path, [option.line], f"{have.name}: {option.key} {option.value}")
    for path, file in config.files.items():
        for section, lines, at, text in _things(file, config):
            account.read(section, path, lines, text, at=at)
        for number in _lines_of(file):
            text = file.lines[number - 1].decode("utf-8", "replace").strip()
            account.read("interfaces", path, [number], f"{text}: ifupdown takes nothing from this line")
    for path, data in files.items():
        if path not in config.files and (unread := significant(data)):
            account.read("interfaces", path, unread, NOT_SOURCED, whole=path)


def section_of(have: IfaceMeaning) -> str:
    """The section that an interface belongs to."""
    if have.bridge is not None:
        return "bridges"
    if have.bond is not None:
        return "bonds"
    return "vlans" if have.vlan is not None else "interfaces"


def unset_lines(have: IfaceMeaning) -> Iterator[tuple[PlacedOption, str]]:
    """Lines about addresses of which the next boot makes nothing, so that no spec has them, and why."""
    if have.port_of:
        why = (
            f"ifupdown2 does not set it, because {have.name} is a port of {have.port_of}. "
            f"Fix: move it to {have.port_of}, or remove the line"
        )
        yield from ((option, why) for option in have.options if option.key in _OF_ADDRESSES)
        return
    known = {(option.path, option.line) for option in have.other}
    there = {address.partition("/")[0] for address in have.addresses} | {*have.gateways}
    for option in have.options:
        text = read_address(option.value.partition("/")[0])
        is_known = (option.path, option.line) in known
        if option.key in ("address", "gateway") and text not in there and not is_known:
            yield option, "the next boot does not set it" if text is not None else "it is not an address"


def _things(file: InterfacesFile, config: InterfacesConfig) -> Iterator[tuple[str, list[int], int, str]]:
    """(section, lines, the line it is named after, text) of everything in one file."""
    auto = [item for item in file.items if isinstance(item, AutoLine)]
    stanzas: dict[str, Stanza] = {}
    for item in file.items:
        if isinstance(item, Stanza):
            stanzas.setdefault(item.name, item)
    for stanza in (item for item in file.items if isinstance(item, Stanza)):
        section = _section(stanza.name, config)
        lines = [*range(stanza.first_line, stanza.head_last_line + 1)]
        for option in stanza.options:
            if option.name in PHASES or option.name == "ip-forward":
                words = f"{stanza.name}: {option.key} {option.value}"
                yield section, [*range(option.line, option.last_line + 1)], option.line, words
            else:
                lines += range(option.line, option.last_line + 1)
        if stanzas[stanza.name] is stanza:
            mine = [line for line in auto if _first(line, stanzas) is stanza]
            lines += [number for line in mine for number in range(line.line, line.last_line + 1)]
        yield section, lines, stanza.first_line, f"the stanza of {stanza.written}"
    for line in auto:
        words = f"{line.keyword} {' '.join(line.names)}: no stanza in this file is about it"
        yield "interfaces", [*range(line.line, line.last_line + 1)], line.line, words
    for item in file.items:
        if isinstance(item, SourceLine):
            yield "interfaces", [item.line], item.line, f"source {item.pattern}: the line stays, its files are read"


def _first(line: AutoLine, stanzas: Mapping[str, Stanza]) -> Stanza | None:
    """The stanza that a line belongs to: that of the first of its names which has one."""
    names = (name.split(":")[0] for name in line.names)
    return next((stanzas[name] for name in names if name in stanzas), None)


def _section(name: str, config: InterfacesConfig) -> str:
    have = meanings(config).get(name)
    return section_of(have) if have is not None else "interfaces"


def _lines_of(file: InterfacesFile) -> Iterator[int]:
    for number, raw in enumerate(file.lines, 1):
        text = raw.strip()
        if text and not text.startswith(b"#"):
            yield number
