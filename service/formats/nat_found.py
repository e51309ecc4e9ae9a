"""Rules that files of somebody else make at boot, as `service.formats.nat_files` reads them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MasqueradeRule:
    """Packets from `source` (CIDR) leave through `out` under its address; `out` empty: through any interface."""

    source: str
    out: str
    path: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class ForwardRule:
    """Packets of `proto` to `ports` that come in through `iface` or to `address` go to `to`, to port `to_port`."""

    proto: str
    ports: tuple[str, ...]
    to: str
    to_port: str = ""
    iface: str = ""
    address: str = ""
    path: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class OtherRule:
    """A rule that is not understood."""

    text: str
    path: str = ""
    line: int = 0


NatFound = MasqueradeRule | ForwardRule | OtherRule


@dataclass(frozen=True, slots=True)
class FilterRule:
    """A rule of any table: `chain` names table and chain, as in `inet filter input`."""

    chain: str
    text: str
    path: str = ""
    line: int = 0
