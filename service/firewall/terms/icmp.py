"""ICMP types by name, as iptables and ip6tables print them (`iptables -p icmp -h`, `ip6tables -p icmpv6 -h`)."""

from dataclasses import dataclass

from service.firewall.terms.numbers import c_number


@dataclass(frozen=True, slots=True)
class IcmpType:
    """A type and, if it is narrower, one code; type None means any message at all."""

    type: int | None
    code: int | None = None

    def matches(self, kind: int, code: int) -> bool:
        """Whether a message is of this type."""
        return (self.type is None or self.type == kind) and (self.code is None or self.code == code)


def _table(**kinds: tuple[int, str]) -> dict[str, IcmpType]:
    """type name = (number, "code names, in order of code, - for none")."""
    table: dict[str, IcmpType] = {}
    for name, (number, codes) in kinds.items():
        table[name.replace("_", "-")] = IcmpType(number)
        for code, code_name in enumerate(codes.split()):
            if code_name != "-":
                table[code_name] = IcmpType(number, code)
    return table


ICMP_TYPES = {
    "any": IcmpType(None),
    **_table(
        echo_reply=(0, ""),
        destination_unreachable=(
            3,
            "network-unreachable host-unreachable protocol-unreachable port-unreachable fragmentation-needed "
            "source-route-failed network-unknown host-unknown - network-prohibited host-prohibited "
            "TOS-network-unreachable TOS-host-unreachable communication-prohibited host-precedence-violation "
            "precedence-cutoff",
        ),
        source_quench=(4, ""),
        redirect=(5, "network-redirect host-redirect TOS-network-redirect TOS-host-redirect"),
        echo_request=(8, ""),
        router_advertisement=(9, ""),
        router_solicitation=(10, ""),
        time_exceeded=(11, "ttl-zero-during-transit ttl-zero-during-reassembly"),
        parameter_problem=(12, "ip-header-bad required-option-missing"),
        timestamp_request=(13, ""),
        timestamp_reply=(14, ""),
        address_mask_request=(17, ""),
        address_mask_reply=(18, ""),
    ),
}

ICMPV6_TYPES = _table(
    destination_unreachable=(
        1,
        "no-route communication-prohibited beyond-scope address-unreachable port-unreachable failed-policy "
        "reject-route",
    ),
    packet_too_big=(2, ""),
    time_exceeded=(3, "ttl-zero-during-transit ttl-zero-during-reassembly"),
    parameter_problem=(4, "bad-header unknown-header-type unknown-option"),
    echo_request=(128, ""),
    echo_reply=(129, ""),
    router_solicitation=(133, ""),
    router_advertisement=(134, ""),
    neighbor_solicitation=(135, ""),
    neighbour_solicitation=(135, ""),
    neighbor_advertisement=(136, ""),
    neighbour_advertisement=(136, ""),
    redirect=(137, ""),
)


def icmp_names(family: int) -> dict[str, IcmpType]:
    """The types of one family."""
    return ICMPV6_TYPES if family == 6 else ICMP_TYPES


def icmp_type(spelled: str, family: int) -> IcmpType | None:
    """A type by name or number as iptables reads it (255 of ICMP means any), None if there is no such type."""
    named = icmp_names(family).get(spelled)
    if named is not None:
        return named
    kind, _, code = spelled.partition("/")
    number = c_number(kind, 255)
    narrowed = c_number(code, 255) if code else None
    if number is None or (code and narrowed is None):
        return None
    if number == 255 and family == 4 and not code:
        return IcmpType(None)
    return IcmpType(number, narrowed)
