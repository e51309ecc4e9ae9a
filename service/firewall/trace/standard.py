"""Proxmox's standard chains (they go back to shorewall's actions of the same names), for one family.

    standard_chains(family) -> {name: steps}

PVEFW-reject    answers, but never to ICMP, broadcast or multicast
PVEFW-Drop      before policy DROP: silent about noise; for IPv6 it answers TCP 43
PVEFW-Reject    before policy REJECT: silent about broadcasts, UPnP, late DNS answers and TCP that is not a SYN
PVEFW-smurfs    broadcast sources
PVEFW-tcpflags  impossible combinations of TCP flags
"""

from collections.abc import Callable

from service.firewall.terms.model import Family
from service.firewall.terms.names import ICMP, ICMPV6, TCP, UDP
from service.firewall.trace.chains import ACCEPT, DROP, REJECT, RETURN, ChainStep, Flow

REJECT_CHAIN = "PVEFW-reject"
DROP_POLICY = "PVEFW-Drop"
REJECT_POLICY = "PVEFW-Reject"
SMURFS = "PVEFW-smurfs"
TCP_FLAGS = "PVEFW-tcpflags"

_SMB_UDP = frozenset((135, 137, 138, 139, 445))
_SMB_TCP = frozenset((135, 139, 445))

_BAD_FLAGS: tuple[tuple[str, str], ...] = (
    ("FSRPAU", "FPU"),
    ("FSRPAU", ""),
    ("SR", "SR"),
    ("FS", "FS"),
)


def standard_chains(family: Family) -> dict[str, list[ChainStep]]:
    """All standard chains of one family."""
    return {
        REJECT_CHAIN: _reject(family),
        DROP_POLICY: _policy(family, answer=False),
        REJECT_POLICY: _policy(family, answer=True),
        SMURFS: _smurfs(),
        TCP_FLAGS: _tcp_flags(),
    }


def proto(number: int) -> Callable[[Flow], bool]:
    """A test on the protocol."""
    return lambda flow: flow.proto == number


def state(*states: str) -> Callable[[Flow], bool]:
    """A test on what conntrack says."""
    return lambda flow: flow.state in states


def is_multicast(flow: Flow) -> bool:
    """Whether the destination is a multicast address."""
    return flow.dsttype == "MULTICAST" or (flow.dest >> 28 == 0xE if flow.family == 4 else flow.dest >> 120 == 0xFF)


def _multicast_source(flow: Flow) -> bool:
    return flow.source >> 28 == 0xE if flow.family == 4 else flow.source >> 120 == 0xFF


def _reject(family: Family) -> list[ChainStep]:
    icmp = ICMP if family == 4 else ICMPV6
    return [
        ChainStep(DROP, (lambda flow: flow.dsttype == "BROADCAST",), note="a reject never answers broadcasts"),
        ChainStep(DROP, (_multicast_source,), note="a reject never answers to a multicast address"),
        ChainStep(DROP, (proto(icmp),), note="a reject never answers ICMP"),
        # the kernel's own restraint: nf_reject_ipv4.c, nf_reject_ipv6.c, icmp_send()
        ChainStep(DROP, (is_multicast,), note="a reject never answers multicasts"),
        ChainStep(DROP, (lambda flow: flow.source == 0,), note="a reject has no address to answer to"),
        ChainStep(DROP, (proto(TCP), lambda flow: "R" in flow.flags), note="a reset is never answered by a reset"),
        ChainStep(REJECT),
    ]


def _policy(family: Family, *, answer: bool) -> list[ChainStep]:
    def refuse(test: Callable[[Flow], bool], note: str) -> ChainStep:
        return ChainStep(REJECT_CHAIN if answer else DROP, (test,), note=note)

    steps: list[ChainStep] = []
    if family == 6:
        steps.append(
            ChainStep(REJECT_CHAIN, (lambda flow: flow.proto == TCP and flow.dport == 43,), note="TCP 43 of IPv6")
        )
    steps += [
        ChainStep(DROP, (_is_broadcast,), note="broadcast or multicast"),
        ChainStep(ACCEPT, (_critical_icmp,), note="an ICMP error that flows need"),
        ChainStep(DROP, (state("INVALID"),), note="belongs to no connection"),
        refuse(lambda flow: flow.proto == UDP and flow.dport in _SMB_UDP, "SMB noise"),
        refuse(lambda flow: flow.proto == UDP and flow.sport == 137 and flow.dport >= 1024, "SMB noise"),
        refuse(lambda flow: flow.proto == TCP and flow.dport in _SMB_TCP, "SMB noise"),
        ChainStep(DROP, (lambda flow: flow.proto == UDP and flow.dport == 1900,), note="UPnP noise"),
        ChainStep(DROP, (_no_syn,), note="TCP that is not a SYN"),
        ChainStep(DROP, (lambda flow: flow.proto == UDP and flow.sport == 53,), note="late DNS answers"),
    ]
    return steps


def _is_broadcast(flow: Flow) -> bool:
    return is_multicast(flow) or (flow.family == 4 and flow.dsttype in ("BROADCAST", "ANYCAST"))


def _critical_icmp(flow: Flow) -> bool:
    if flow.icmp is None:
        return False
    if flow.family == 4:
        return flow.icmp == (3, 4) or flow.icmp[0] == 11
    return flow.icmp[0] in (1, 2, 3)


def _no_syn(flow: Flow) -> bool:
    return flow.proto == TCP and set(flow.flags) & set("FSRA") != {"S"}


def _smurfs() -> list[ChainStep]:
    return [
        ChainStep(RETURN, (lambda flow: flow.source == 0,), note="DHCP"),
        ChainStep(DROP, (lambda flow: flow.source == 0xFFFFFFFF,), note="a broadcast address as source (smurf)"),
        ChainStep(DROP, (_multicast_source,), note="a multicast address as source (smurf)"),
    ]


def _tcp_flags() -> list[ChainStep]:
    def looks(mask: str, flags: str) -> Callable[[Flow], bool]:
        return lambda flow: set(flow.flags) & set(mask) == set(flags)

    steps = [
        ChainStep(DROP, (looks(mask, flags),), note="an impossible combination of TCP flags")
        for mask, flags in _BAD_FLAGS
    ]
    syn = looks("FSRA", "S")
    steps.append(ChainStep(DROP, (syn, lambda flow: flow.sport == 0), note="TCP from port 0"))
    return steps
