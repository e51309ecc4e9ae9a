"""Probes: what has to answer before a change, and again before it is confirmed."""

from dataclasses import dataclass
from typing import Literal

ProbeKind = Literal["tcp", "http", "icmp", "dns"]
"""The probes that a spec may have."""
AnyProbe = Literal["tcp", "http", "icmp", "dns", "server", "tls"]
"""And what follows from it: whether a name server is the program `asked`; whether TLS comes up for the name `asked`,
with any certificate."""
Origin = Literal["host", "controller"]

PORTS: dict[AnyProbe, int] = {"http": 80, "dns": 53, "server": 53, "tls": 443}
"""The port where none is named."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One question to an address, from the host or from where the service runs.

    `asked` is the name in the query to a resolver, the Host header of an HTTP request, or the server's name in TLS. Of
    a name server it is the program that it should be. `status` 0: any from 200 to 399 will do. `port` 0 is the usual
    one. `is_due`: it has to answer after the change, even where it did not before.
    """

    kind: AnyProbe
    address: str
    origin: Origin = "host"
    port: int = 0
    path: str = ""
    status: int = 0
    asked: str = ""
    timeout_s: float = 3.0
    is_due: bool = False

    @property
    def name(self) -> str:
        """What it is called in records and messages: `tcp 198.18.0.80:443 from the controller`."""
        address = f"[{self.address}]" if ":" in self.address and self.port else self.address
        where = f"{address}:{self.port}" if self.port else address
        asked = f" {self.asked}" if self.asked else ""
        origin = " from the controller" if self.origin == "controller" else ""
        return f"{self.kind} {where}{self.path}{asked}{origin}"


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """What came of one probe: `told` says in words why it is not ok."""

    name: str
    ok: bool
    told: str = ""
