"""Names as the internet sees them: by name servers that are set, never by this machine's own or a host's split DNS."""

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from service.model.sites.caa import CaaRecord

LIFETIME_S = 4.0
"""For one question, over all servers."""
PER_SERVER_S = 1.5
MOST_RECORDS = 64
_SERVER = re.compile(r"\[(?P<six>[0-9A-Fa-f:.]+)\](?::(?P<six_port>\d{1,5}))?|(?P<four>[0-9.]+)(?::(?P<port>\d{1,5}))?")


@dataclass(frozen=True, slots=True)
class NameServer:
    """One server that answers for the whole internet."""

    address: str
    port: int = 53

    def __str__(self) -> str:
        shown = f"[{self.address}]" if ":" in self.address else self.address
        return shown if self.port == 53 else f"{shown}:{self.port}"


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to one question. `why` says why there is none: `is_known` if the servers say so, as in a name that
    does not exist; not if none of them answered. Not `exists`: there is no such name (NXDOMAIN)."""

    records: tuple[Any, ...] = ()
    why: str = ""
    is_known: bool = True
    exists: bool = True


def parse_servers(text: str) -> tuple[NameServer, ...]:
    """`1.1.1.1,[2620:fe::fe]:53`: addresses, each with a port or not. ValueError in words."""
    found = []
    for part in (piece.strip() for piece in text.split(",")):
        match = _SERVER.fullmatch(part)
        address = (match["six"] or match["four"]) if match else ""
        try:
            port = int((match and (match["six_port"] or match["port"])) or 53)
            found.append(NameServer(str(ipaddress.ip_address(address)), port))
        except ValueError:
            raise ValueError(f"{part!r} is not the address of a name server, as in 1.1.1.1 or [2620:fe::fe]") from None
        if not 0 < port < 65536:
            raise ValueError(f"{part!r}: ports are from 1 to 65535")
    return tuple(found)


class Resolver:
    """Asks the servers in turn. One that fails, or says SERVFAIL, passes the question on to the next."""

    def __init__(self, servers: Sequence[NameServer]) -> None:
        self._servers = servers

    async def addresses(self, name: str, family: int) -> Found:
        """The addresses of a name, after its aliases: IPv4 for 4, IPv6 for 6."""
        return await self._ask(name, "A" if family == 4 else "AAAA", lambda row: str(row.address))

    async def caa(self, name: str) -> tuple[str, Found]:
        """The CAA records that count for a name, and the name at which they are: its own or one above (RFC 8659, 3)."""
        labels = name.removeprefix("*.").split(".")
        for depth in range(len(labels)):
            above = ".".join(labels[depth:])
            found = await self._ask(above, "CAA", _caa_record)
            if found.records or found.why:
                return above, found
        return name, Found()

    async def _ask(self, name: str, kind: str, read: Callable[[Any], Any]) -> Found:
        """No record of this kind is an empty answer without a reason, also where the name does not exist for CAA."""
        # Loaded at the first question: commands and hosts without sites do not need it.
        from dns.asyncresolver import Resolver as Asks  # noqa: PLC0415
        from dns.exception import DNSException  # noqa: PLC0415
        from dns.nameserver import Do53Nameserver  # noqa: PLC0415
        from dns.resolver import NXDOMAIN, LifetimeTimeout, NoNameservers  # noqa: PLC0415

        asks = Asks(configure=False)
        asks.nameservers = [Do53Nameserver(one.address, one.port) for one in self._servers]
        asks.timeout, asks.lifetime = PER_SERVER_S, LIFETIME_S
        servers = ", ".join(str(one) for one in self._servers)
        try:
            answer = await asks.resolve(f"{name}.", kind, raise_on_no_answer=False, search=False)
        except NXDOMAIN:
            return Found() if kind == "CAA" else Found(why=f"{name} does not exist in the DNS", exists=False)
        except LifetimeTimeout:
            return Found(why=f"no name server of {servers} answered about {name}", is_known=False)
        except NoNameservers as error:
            said = _rcodes(error)
            return Found(
                why=f"the name servers {servers} could not answer for {name} ({kind}){said}", is_known=bool(said)
            )
        except (DNSException, OSError) as error:
            why = f"{name} ({kind}) could not be looked up at {servers}: {type(error).__name__}"
            return Found(why=why, is_known=False)
        rows = sorted(answer.rrset, key=str) if answer.rrset is not None else []
        return Found(tuple(read(row) for row in rows[:MOST_RECORDS]))


def _caa_record(row: Any) -> CaaRecord:
    return CaaRecord(int(row.flags), row.tag.decode("ascii", "replace"), row.value.decode("ascii", "replace"))


def _rcodes(error: Any) -> str:
    """What the servers said, where they said something: `: SERVFAIL`."""
    from dns import rcode  # noqa: PLC0415

    responses = [entry[4] for entry in error.kwargs.get("errors", ()) if entry[4] is not None]
    words = sorted({rcode.to_text(one.rcode()) for one in responses})
    return f": {', '.join(words)}" if words else ""
