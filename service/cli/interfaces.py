"""`passerelle interfaces`: a file of /etc/network/interfaces as Proxmox reads and writes it. No service, no host."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from service.cli.output import Format
from service.model.states import Json

if TYPE_CHECKING:
    from service.formats.pve_interfaces import PveInterface

app = App(
    name="interfaces",
    help="Format and check an /etc/network/interfaces file as Proxmox does. Needs no service and no host.",
)

Output = Annotated[Format, Parameter(name=["--output", "-o"])]
FileOrInput = Annotated[Path, Parameter(allow_leading_hyphen=True)]


@app.command
def fmt(file: FileOrInput, /) -> int:
    """Print a file as Proxmox would write it, without the comments at its top.

    So two files are the same to Proxmox if this prints the same. If a file is printed as it is, a change in Proxmox's
    web interface changes nothing else in it. What Proxmox would lose is lost: comments before a stanza, all but the
    last address of a stanza. Nothing looks at this machine: a name like eth0, eno1 or enp1s0 counts as a card. If the
    file names a card and has no stanza for it, one is printed, as Proxmox writes one for each card.

    Exit codes: 0 printed, 1 Proxmox would not write it (the reason is on stderr), 64 wrong usage.

    Parameters
    ----------
    file
        The file to read, or - for standard input.
    """
    from service.cli.exit_codes import USAGE
    from service.cli.output import complain, tell
    from service.errors import InputError
    from service.formats.pve_interfaces import canonical, parse, with_cards

    try:
        data = _content(file)
    except InputError as error:
        complain(error.what)
        return USAGE
    try:
        written = canonical(with_cards(parse(data)))
    except InputError as error:
        complain(f"{_where(file, error)}: Proxmox would not write this file: {error.what}", error.hint)
        return 1
    for warning in written.warnings:
        tell(f"{file}: {warning}")
    _print(written.text)
    return 0


@app.command
def show(file: FileOrInput, /, *, output: Output = "table") -> int:
    """Show what Proxmox reads in a file: kinds, addresses, options, and lines that belong to no interface.

    Exit codes: 0 shown, 1 no interfaces file by its size, 64 wrong usage.

    Parameters
    ----------
    file
        The file to read, or - for standard input.
    output
        table or json: `ifaces` by name with the keys of Proxmox's own reader, `other_lines` as [place, text].
    """
    from service.cli.exit_codes import USAGE
    from service.cli.output import complain, show_json, show_table
    from service.errors import InputError
    from service.formats.pve_interfaces import canonical, parse, with_cards

    try:
        data = _content(file)
    except InputError as error:
        complain(error.what)
        return USAGE
    try:
        read = parse(data)
    except InputError as error:
        complain(f"{file}: {error.what}")
        return 1
    if output == "json":
        show_json(read.as_json())
        return 0
    rows = [_row(name, interface) for name, interface in read.interfaces.items()]
    rows += [{"line of no interface": _as_utf8(line.text)} for line in read.other_lines]
    columns = ["interface", "kind", "at boot", "method", "address", "gateway", "options", "line of no interface"]
    show_table([c for c in columns if any(row.get(c) is not None for row in rows)], rows, empty="no interfaces")
    try:
        canonical(with_cards(read))
    except InputError as error:
        complain(f"{_where(file, error)}: Proxmox would not write this file: {error.what}", error.hint)
    return 0


def _content(file: Path) -> bytes:
    """At most one byte more than an interfaces file may have."""
    from service.errors import InputError
    from service.formats.pve_interfaces import MAX_BYTES

    try:
        with sys.stdin.buffer if str(file) == "-" else file.open("rb") as opened:
            return opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from error


def _where(file: Path, error: Exception) -> str:
    """FILE:LINE where the line is known."""
    from service.formats.pve_interfaces import WriterRefuses

    return f"{file}:{error.line}" if isinstance(error, WriterRefuses) else str(file)


def _print(text: bytes) -> None:
    """Byte for byte into a file or a pipe; a terminal is shown nothing that it would obey."""
    from service.cli.output import printable

    if not sys.stdout.isatty():
        sys.stdout.buffer.write(text)
        sys.stdout.flush()
        return
    for line in text.decode("utf-8", "replace").split("\n")[:-1]:
        print("\t".join(printable(part) for part in line.split("\t")))


def _row(name: str, interface: "PveInterface") -> Mapping[str, Json]:
    """One interface for people: both families together, options as they would be written."""
    seen = interface.as_json()

    def both(keys: tuple[str, str]) -> Iterator[Json]:
        return (seen[key] for key in keys if seen.get(key) is not None)

    known = [f"{key} {value}" for key, value in interface.settings.items() if value not in ("", 0)]
    options = [_as_utf8(text) for text in (*known, *interface.inet.options, *interface.inet6.options)]
    return {
        "interface": _as_utf8(name),
        "kind": interface.kind or "missing",
        "at boot": interface.at_boot,
        "method": [f"{family} {interface.part(family).method}" for family in interface.families if family] or None,
        "address": list(both(("cidr", "cidr6"))) or None,
        "gateway": list(both(("gateway", "gateway6"))) or None,
        "options": [*options] or None,
    }


def _as_utf8(text: str) -> str:
    """For people: Proxmox takes the bytes of a file for Latin-1."""
    return text.encode("latin-1", "replace").decode("utf-8", "replace")
