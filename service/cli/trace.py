"""`passerelle trace`: may X reach Y on port Z, and which rule says so."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from service.firewall.pve.node import NodeFirewall

Answer = Mapping[str, object]
"""verdict, rule, why; for a host of a repository or of the service also id and nat, for a folder backend."""
Tracer = Callable[[Mapping[str, object]], Answer]

QUERY = ("from", "to", "proto", "dport", "sport", "source", "dest", "dsttype", "mac", "flags")
"""What the service takes of a packet's fields."""
NEEDED = ("from", "to", "proto")
EXAMPLE = "passerelle trace --host pve1 --from outside --to dev --proto tcp --dport 22"


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class AskedPacket:
    """One packet, flag by flag."""

    from_: Annotated[str | None, Parameter(name="--from")] = None
    """Zone: host, outside, an interface, a guest's name, an address; with --pve: host, outside (behind
    vmbr0), nfvm (an unfiltered guest there), ct100, vm200i1, vmbr1/tapX, enp1s0/wan."""

    to: str | None = None
    """Zone."""

    proto: str | None = None
    """Protocol by name or number."""

    dport: str | None = None
    """Port, or the type of an ICMP message."""

    sport: str | None = None
    """Source port. Default: any ephemeral one."""

    source: str | None = None
    """Source address. Default: the host's (--host-ip) or the container's."""

    dest: str | None = None
    """Destination address, likewise."""

    dsttype: str | None = None
    """BROADCAST or MULTICAST where the address alone does not say so."""

    mac: str | None = None
    """MAC of the sender, if it is not the guest's own."""

    flags: str | None = None
    """TCP flags out of FSRPAU. Default: a SYN."""

    def given(self) -> dict[str, str]:
        """What was given, by the names of packet fields."""
        found = {field.name.rstrip("_"): getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in found.items() if value is not None}


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What the files do not say about the node."""

    localnet: str | None = None
    """Network of the node, as `pve-firewall localnet` shows it."""

    host_ip: str | None = None
    """Address of the node."""

    altname: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = ()
    """NIC=NAME, once for each alternative name of a network card."""

    backend: Annotated[Literal["iptables", "nftables"] | None, Parameter(show_default=False)] = None
    """iptables (pve-firewall) or nftables (proxmox-firewall). Default: as `nftables` in host.fw says."""


def trace(
    *,
    repo: Annotated[Path | None, Parameter(show_default=False)] = None,
    host: Annotated[str | None, Parameter(show_default=False)] = None,
    pve: Annotated[Path | None, Parameter(show_default=False)] = None,
    packets: Annotated[Path | None, Parameter(show_default=False, allow_leading_hyphen=True)] = None,
    packet: AskedPacket = AskedPacket(),
    node: NodeFacts = NodeFacts(),
    output: Annotated[Literal["text", "json"], Parameter(name=["--output", "-o"])] = "text",
) -> int:
    """Show whether a packet passes: the verdict, the line that decides, and the reason.

    The answer comes from the service (--host), from a folder of specs (--repo, --host), or from the firewall files of a
    Proxmox node (--pve).

    The packet is the first of its flow, with the addresses under which it is sent; with --pve with those that the
    filter sees: after DNAT, before SNAT.

    Parameters
    ----------
    repo
        Folder with fleet.yaml and hosts/.
    host
        Name of the host.
    pve
        Folder with cluster.fw, host.fw, VMID.fw, guests.json and, in a cluster, corosync.conf. With an SDN also
        sdn/ as in /etc/pve: zones.cfg, vnets.cfg, subnets.cfg, firewall/VNET.fw.
    packets
        Many questions at once: JSON lines with from, to, proto, source, dest and dport, sport, dsttype, mac, flags
        as far as they are known; - for standard input. One JSON object a line comes out, in the same order.
    output
        text for people, json for programs.
    """
    from service.cli.exit_codes import USAGE
    from service.cli.output import complain, printable

    asked = packet.given()
    if wrong := _wrong_usage(repo, host, pve, packets, asked) or _wrong_node(pve, node):
        complain(*wrong)
        return USAGE
    trace_packet: Tracer
    if pve is not None:
        trace_packet, asked = _of_proxmox(pve, node, asked)
    elif repo is not None and host is not None:
        from service.cli.trace_repo import tracer_of

        tracer = tracer_of(repo, host)
        trace_packet = lambda packet: tracer.trace(packet).as_json()  # noqa: E731
    else:
        trace_packet = _of_service(host or "")
    if packets is not None:
        _answer_all(trace_packet, packets)
        return 0
    said = trace_packet(asked)
    text = f"{said['verdict']} {said['rule'] or '-'} {said['why']}"
    print(json.dumps(said) if output == "json" else printable(text))
    return 0


def _wrong_usage(
    repo: Path | None, host: str | None, pve: Path | None, packets: Path | None, asked: Mapping[str, str]
) -> tuple[str, str] | None:
    """What is missing or too much, and what to write; None if the arguments are complete."""
    if (packets is None) == (not asked):
        return "give either --packets, or --from, --to and --proto", EXAMPLE
    if (host is None) == (pve is None) or (repo is not None and host is None):
        return "give --host, with or without --repo, or --pve", EXAMPLE
    missing = [f"--{name}" for name in NEEDED if name not in asked]
    if packets is None and missing:
        return f"the packet is incomplete: {' and '.join(missing)} missing", EXAMPLE
    return None


def _wrong_node(pve: Path | None, node: NodeFacts) -> tuple[str, str] | None:
    """What is wrong with what was reported of a node, before its files are read."""
    from service.cli.pve_folder import node_of
    from service.errors import InputError

    try:
        if pve is not None:
            node_of(node.localnet, node.host_ip, node.altname)
    except InputError as error:
        return error.what, error.hint
    return None


def _of_service(host: str) -> Tracer:
    """The service answers, by the revision in force."""
    from service.cli.client import Client

    client = Client()

    def trace_packet(packet: Mapping[str, object]) -> Answer:
        given = {name: str(value) for name, value in packet.items() if name in QUERY and value not in (None, "")}
        found: dict[str, object] = client.get(f"hosts/{host}/trace", **given)
        return {name: found[name] for name in ("verdict", "rule", "id", "why", "nat")}

    return trace_packet


def _of_proxmox(pve: Path, node: NodeFacts, asked: dict[str, str]) -> tuple[Tracer, dict[str, str]]:
    """Who answers for a folder of Proxmox's files, and the packet with the addresses that the files know."""
    from service.cli.output import tell
    from service.cli.pve_folder import node_of, read_pve_folder
    from service.errors import InputError
    from service.firewall.pve.node import NFTABLES, PROXMOX_FIREWALL, PVE_FIREWALL, read_firewall
    from service.firewall.trace.nft_verdict import NftNode, analyser_of
    from service.firewall.trace.verdict import Analyser

    folder = read_firewall(read_pve_folder(pve), node_of(node.localnet, node.host_ip, node.altname))
    if folder.fatal:
        raise InputError(f"Proxmox would not load this rule set: {folder.fatal}")
    said: dict[str, type[Analyser]] = {"iptables": Analyser, "nftables": NftNode}
    analyser = said[node.backend](folder.firewall) if node.backend else analyser_of(folder.firewall)
    analyser.check()
    program = PROXMOX_FIREWALL if isinstance(analyser, NftNode) else PVE_FIREWALL
    where = folder.firewall.host.option_where(NFTABLES)
    if asked and (node.backend or program == PROXMOX_FIREWALL):
        tell(f"answered as {program} decides ({'--backend' if node.backend else where or 'no `nftables` in host.fw'})")

    def trace_packet(packet: Mapping[str, object]) -> Answer:
        return {**analyser.trace_packet(packet).as_json(), "backend": program}

    return trace_packet, _with_addresses(asked, folder.firewall)


def _with_addresses(asked: dict[str, str], firewall: "NodeFirewall") -> dict[str, str]:
    """The fields that were given; addresses of host and containers are known."""
    known: dict[str, str] = {}
    for zone, address in (("from", "source"), ("to", "dest")):
        name = asked.get(zone, "")
        guest = firewall.cards.get(name.removeprefix("ct")) if name.startswith("ct") else None
        addresses = guest.cards["net0"].addresses if guest and "net0" in guest.cards else ()
        if name == "host":
            addresses = (firewall.node.host_ip,)
        if addresses and addresses[0]:
            known[address] = addresses[0]
    return {**known, **asked}


def _answer_all(trace_packet: Tracer, packets: Path) -> None:
    """One line of JSON for each packet of a file, in order; an error names the line."""
    from service.errors import InputError

    for number, packet in _questions(packets):
        try:
            print(json.dumps(trace_packet(packet)))
        except InputError as error:
            raise InputError(f"{packets}:{number}: {error.what}", hint=error.hint) from error


def _questions(packets: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """Line numbers and packets of a file of JSON lines; blank lines are passed over."""
    import sys

    from service.errors import InputError

    try:
        with sys.stdin.buffer if str(packets) == "-" else packets.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, _question(line, f"{packets}:{number}")
    except OSError as error:
        raise InputError(f"{packets} cannot be read: {error.strerror}") from error


def _question(line: bytes, place: str) -> dict[str, object]:
    """The packet of one line. Raises InputError with the place."""
    from service.errors import InputError

    try:
        packet = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"{place}: not UTF-8: {error.reason} at byte {error.start + 1}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: no JSON: {error}") from error
    if not isinstance(packet, dict):
        raise InputError(f"{place}: not a JSON object")
    return packet
