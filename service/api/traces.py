"""May X reach Y on port Z, and which rule says so."""

from typing import Annotated

from fastapi import FastAPI, Query
from pydantic import StringConstraints

from service.api import schemas
from service.api.known import in_git
from service.api.parts import Parts
from service.api.values import HostPath, Reader

PREFIX = "/api/v1"

Zone = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,63}$")]
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,40}$")]
Address = Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f.:]{2,45}$")]
Flags = Annotated[str, StringConstraints(pattern=r"^[FSRPAU]{0,6}$")]
Mac = Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$")]


def add_routes(app: FastAPI, parts: Parts) -> None:
    """The route below /hosts/{host}/trace."""

    @app.get(
        f"{PREFIX}/hosts/{{host}}/trace",
        operation_id="trace_packet",
        summary="Whether a packet passes by the spec of the host, and the rule that decides",
        tags=["hosts"],
    )
    async def trace_packet(
        *,
        who: Reader,
        host: HostPath,
        source_zone: Annotated[
            Zone, Query(alias="from", description="host, outside, an interface, a guest, an address")
        ],
        dest_zone: Annotated[Zone, Query(alias="to", description="the same")],
        proto: Annotated[Word, Query(description="Protocol by name or number")],
        dport: Annotated[Word | None, Query(description="Port, or the type of an ICMP message")] = None,
        sport: Annotated[Word | None, Query(description="Source port; any ephemeral one if not given")] = None,
        source: Annotated[Address | None, Query(description="Source address, if not the zone's")] = None,
        dest: Annotated[Address | None, Query(description="Destination address, if not the zone's")] = None,
        dsttype: Annotated[Word | None, Query(description="BROADCAST or MULTICAST")] = None,
        mac: Annotated[Mac | None, Query(description="MAC address of the sender")] = None,
        flags: Annotated[Flags | None, Query(description="TCP flags out of FSRPAU; S if not given")] = None,
    ) -> schemas.Trace:
        asked = {
            "from": source_zone, "to": dest_zone, "proto": proto, "dport": dport, "sport": sport, "source": source,
            "dest": dest, "dsttype": dsttype, "mac": mac, "flags": flags,
        }  # fmt: skip
        await in_git(parts, who, host)
        given = {name: value for name, value in asked.items() if value is not None}
        return schemas.Trace.model_validate(await parts.answers.trace(host, given))
