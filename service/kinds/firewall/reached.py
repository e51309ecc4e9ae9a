"""Connections between guests, and from guests to the host, that other sections need: what lets them pass.

    to_and_from(guest, policy_out, claims, host) -> Rule, …   for a guest's own firewall, after its own rules
    from_guests(claims, host) -> Rule, …                      for the host's: to itself, and to other networks

What stays on one bridge never meets the host's forward rules (service/firewall/nft/guests.py).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from service.firewall.nft.published import shown_ports
from service.firewall.pve.render import rule_line
from service.firewall.terms.model import Rule, Where
from service.kinds.claims import HOST, AddressClaim, Claim, Reaches
from service.kinds.published import addresses_of, network_of, target_of
from service.spec.host import HostSpec


def to_and_from(guest: str, policy_out: str, claims: Sequence[Claim], host: HostSpec) -> Iterator[Rule]:
    """What a guest has to receive, and, where its `policy_out` (ACCEPT, DROP or REJECT) needs it, to send."""
    own = target_of(guest, claims)
    found: dict[str, Rule] = {}
    for claim in claims:
        if not isinstance(claim, Reaches):
            continue
        if claim.to and claim.to in (guest, own):
            source = _address(claim.source, own, claims)
            if source or not claim.source:  # never everybody in place of one whose address is not known
                _add(found, Rule("in", "ACCEPT", source=source), claim, host)
        if claim.source and claim.source in (guest, own) and policy_out != "ACCEPT":
            near = network_of(own, claims) if own else None
            dest = _address(claim.to, own, claims) or (near[1] if claim.to and near else "")
            if dest or not claim.to:
                _add(found, Rule("out", "ACCEPT", dest=dest), claim, host)
    yield from found.values()


def from_guests(claims: Sequence[Claim], host: HostSpec) -> Iterator[Rule]:
    """Connections of a guest to the host itself, to a guest in another of its networks, or to the world."""
    found: dict[str, Rule] = {}
    own = {claim.address.partition("/")[0] for claim in claims if isinstance(claim, AddressClaim)}
    for claim in claims:
        if not isinstance(claim, Reaches) or HOST in (claim.source, claim.to) or not claim.source:
            continue
        source, dest = target_of(claim.source, claims), target_of(claim.to, claims) if claim.to else ""
        if not source or (claim.to and not dest):
            continue
        one, other = (network_of(address, claims) if address else None for address in (source, dest))
        if dest in own:
            _add(found, Rule("in", "ACCEPT", source=source, dest=dest), claim, host)
        elif not claim.to or (one is not None and other is not None and one != other):
            _add(found, Rule("forward", "ACCEPT", source=source, dest=dest), claim, host)
    yield from found.values()


def _add(found: dict[str, Rule], bare: Rule, claim: Reaches, host: HostSpec) -> None:
    """One rule for all that need it, with all their causes, and the place of the first."""
    family = 4 if bare.source or bare.dest else 0
    rule = replace(bare, proto=claim.proto, dport=shown_ports(claim.ports), family=family)
    text = rule_line(rule)
    first = found.get(text)
    where = first.where if first else Where(*host.where(claim.path))
    causes = [*(first.comment.split("; ") if first else ()), claim.cause]
    found[text] = replace(rule, text=text, comment="; ".join(dict.fromkeys(causes)), where=where)


def _address(who: str, near: str, claims: Sequence[Claim]) -> str:
    """The address of one side, "" for anybody and for a guest without a fixed one. `near` is that of the other."""
    if who != HOST:
        return target_of(who, claims) if who else ""
    network = network_of(near, claims) if near else None
    own = addresses_of(network[0], claims) if network else ()
    return own[0] if own else ""
