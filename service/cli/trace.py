"""`passerelle trace`: may X reach Y on port Z, and which rule says so."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from service.firewall.firewall import Firewall


def trace(
    *,
    pve: Annotated[Path, Parameter(show_default=False)],
    packets: Annotated[Path | None, Parameter(show_default=False)] = None,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    to: str | None = None,
    proto: str | None = None,
    dport: str | None = None,
    sport: str | None = None,
    source: str | None = None,
    dest: str | None = None,
    dsttype: str | None = None,
    mac: str | None = None,
    flags: str | None = None,
    localnet: str | None = None,
    host_ip: str | None = None,
    altname: list[str] | None = None,
    output: Annotated[Literal["text", "json"], Parameter(name=["--output", "-o"])] = "text",
) -> int:
    """Say what becomes of a packet by the firewall files of a Proxmox node: the verdict, the deciding line, and why.

    The packet is the first of its flow, with the addresses that the filter sees: after DNAT, before SNAT.

    Parameters
    ----------
    pve
        Folder with cluster.fw, host.fw, VMID.fw, guests.json and, in a cluster, corosync.conf.
    packets
        Many questions at once: JSON lines with from, to, proto, source, dest and dport, sport, dsttype, mac, flags
        as far as they are known; - for standard input. One JSON object a line comes out, in the same order.
    from_
        Zone: host, outside (behind vmbr0), nfvm (a guest on vmbr0 without firewall), ct100, vm200i1, vmbr1/tapX,
        enp1s0/wan.
    to
        Zone.
    proto
        Name or number.
    dport
        Port, or the type of an ICMP message.
    sport
        Source port; any ephemeral one if not given.
    source
        Source address; that of the host (--host-ip) or of the container if not given.
    dest
        Destination address, likewise.
    dsttype
        BROADCAST or MULTICAST where the address alone does not say so.
    mac
        MAC of the sender, if it is not the guest's own.
    flags
        TCP flags out of FSRPAU; a SYN if not given.
    localnet
        Network of the node, as `pve-firewall localnet` shows it.
    host_ip
        Address of the node.
    altname
        NIC=NAME, once for each alternative name of a network card.
    output
        text for people, json for programs.
    """
    from service.cli import USAGE
    from service.cli.output import complain, printable
    from service.cli.pve_folder import node_of, read_pve_folder
    from service.errors import InputError
    from service.firewall.firewall import read_firewall
    from service.firewall.verdict import Analyser

    asked = {"from": from_, "to": to, "proto": proto, "dport": dport, "sport": sport, "source": source, "dest": dest}
    asked |= {"dsttype": dsttype, "mac": mac, "flags": flags}
    if (packets is None) == all(value is None for value in asked.values()):
        complain("give either --packets, or --from, --to and --proto")
        return USAGE
    folder = read_firewall(read_pve_folder(pve), node_of(localnet, host_ip, altname or []))
    if folder.fatal:
        raise InputError(f"Proxmox would not load this rule set: {folder.fatal}")
    analyser = Analyser(folder.firewall)
    analyser.check()
    if packets is None:
        verdict = analyser.trace_packet(_with_addresses(asked, folder.firewall))
        said = verdict.as_json()
        print(
            json.dumps(said)
            if output == "json"
            else printable(f"{said['verdict']} {said['rule'] or '-'} {said['why']}")
        )
        return 0
    for number, fields in _questions(packets):
        try:
            print(json.dumps(analyser.trace_packet(fields).as_json()))
        except InputError as error:
            raise InputError(f"{packets}:{number}: {error.what}", hint=error.hint) from error
    return 0


def _with_addresses(asked: dict[str, str | None], firewall: "Firewall") -> dict[str, str]:
    """The fields that were given; addresses of host and containers are known."""
    for zone, address in (("from", "source"), ("to", "dest")):
        name = asked[zone] or ""
        if asked[address] is None and name == "host":
            asked[address] = firewall.node.host_ip or None
        guest = firewall.cards.get(name.removeprefix("ct"))
        if asked[address] is None and name.startswith("ct") and guest and "net0" in guest.cards:
            asked[address] = next(iter(guest.cards["net0"].addresses), None)
    return {key: value for key, value in asked.items() if value is not None}


def _questions(packets: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """Line numbers and packets of a file of JSON lines; blank lines are passed over."""
    import sys

    from service.errors import InputError

    try:
        with sys.stdin if str(packets) == "-" else packets.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    fields = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise InputError(f"{packets}:{number}: no JSON: {error}") from error
                if not isinstance(fields, dict):
                    raise InputError(f"{packets}:{number}: no JSON object")
                yield number, fields
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{packets} cannot be read: {error}") from error
