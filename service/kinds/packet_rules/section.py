"""The section `firewall` of a host file, and that of fleet.yaml: Proxmox's terms, one key for each."""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from service.kinds.packet_rules import grammar
from service.spec.grammar import InterfaceName

MAX_RULES = 5000
LogLevel = Literal["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug", "nolog"]
Policy = Literal["accept", "drop", "reject"]


class FirewallRule(BaseModel):
    """One rule."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    type: Literal["in", "out", "forward", "group"] = Field(
        description="in: to the host. out: from the host. forward: through it. group: the rules of a security group."
    )
    action: grammar.Action = Field(description="accept, drop or reject; for type group the name of the group.")
    macro: grammar.Macro | None = Field(None, description="One of Proxmox's macros, as in SSH, DNS, Ping, HTTPS.")
    source: grammar.Source | None = Field(None, description="Address, network, range a-b, list a,b, alias or +SET.")
    dest: grammar.Source | None = Field(None, description="Address, network, range a-b, list a,b, alias or +SET.")
    proto: grammar.Protocol | None = Field(None, description="tcp, udp, icmp, icmpv6 … (/etc/protocols).")
    dport: grammar.Ports | None = Field(None, description="Destination ports, as in 22, 8000:8010 or 80,443.")
    sport: grammar.Ports | None = Field(None, description="Source ports.")
    icmp_type: grammar.IcmpType | None = Field(None, description="Type of ICMP or ICMPv6, as in echo-request.")
    iface: InterfaceName | None = Field(None, description="Interface by which packets come in or, for out, leave.")
    log: LogLevel | None = Field(None, description="Write a line to the kernel's log, one a second at most.")
    enable: bool = Field(default=True, description="false: the rule is kept and has no effect.")
    comment: Annotated[str, Field(max_length=256)] | None = Field(None, description="For people.")


Rules: TypeAlias = Annotated[tuple[FirewallRule, ...], Field(max_length=MAX_RULES)]


class DeriveSection(BaseModel):
    """Rules derived from other sections."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    dnsmasq: bool = Field(default=True, description="Accept DHCP and DNS where dnsmasq serves them.")
    forwards: bool = Field(default=True, description="Accept published ports on their way to the guest.")
    web: bool = Field(default=True, description="Accept what a proxy receives, and what it sends to its upstreams.")
    nat: bool | Literal["open"] = Field(
        default=True,
        description="Neighbours of the uplink cannot route into the networks behind it. open: they can, and lint only "
        "warns.",
    )


def _for_all(value: object) -> object:
    """true or false says so of every section."""
    return dict.fromkeys(DeriveSection.model_fields, value) if isinstance(value, bool) else value


_DERIVE_SCHEMA = {"anyOf": [{"type": "boolean"}, DeriveSection.model_json_schema()]}
Derive: TypeAlias = Annotated[DeriveSection, BeforeValidator(_for_all), WithJsonSchema(_DERIVE_SCHEMA)]


class FirewallSection(BaseModel):
    """The firewall of one host. A policy that is not given here is fleet.yaml's."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    policy_in: Policy | None = Field(None, description="For packets to the host that no rule decides about: drop.")
    policy_out: Policy | None = Field(None, description="For packets from the host: accept.")
    policy_forward: Literal["accept", "drop"] | None = Field(None, description="For packets through it: accept.")
    rules: Rules = Field((), description="Rules in order: the first that matches decides.")
    derive: Derive | None = Field(
        None,
        description="Rules derived from other sections: DHCP, DNS, sites, published ports, closed networks. "
        "false: none, and lint reports what is missing. {dnsmasq: false}: none for one section.",
    )


class GuestFirewall(BaseModel):
    """A guest's own firewall, as the guest sees it: `in` is to the guest, `out` from it."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    enable: bool = Field(default=True, description="false: the rules are kept and have no effect.")
    policy_in: Policy = Field("drop", description="For packets to the guest that no rule decides about.")
    policy_out: Policy = Field("accept", description="For packets from the guest that no rule decides about.")
    rules: Rules = Field((), description="Rules in order, of type in, out or group: the first that matches decides.")
    macfilter: bool = Field(default=True, description="It sends under its own MAC address only.")
    ipfilter: bool = Field(
        default=True,
        description="It sends under its own addresses only, and is sent packets for no others. The rules know it by "
        "them; false is for guests that route for others.",
    )


class SharedFirewallSection(FirewallSection):
    """The firewall of the datacenter, for every host of the fleet. Its rules come after the host's own."""

    aliases: Annotated[Mapping[grammar.AliasName, grammar.Cidr], Field(max_length=MAX_RULES)] = Field(
        {}, description="Names for an address or a network."
    )
    ipsets: Annotated[
        Mapping[grammar.SetName, Annotated[tuple[grammar.Entry, ...], Field(max_length=MAX_RULES)]],
        Field(max_length=MAX_RULES),
    ] = Field({}, description='Sets of addresses, networks and aliases; an entry "!…" is an exception.')
    groups: Annotated[Mapping[grammar.GroupName, Rules], Field(max_length=MAX_RULES)] = Field(
        {}, description="Security groups: rules under a name."
    )


class GroupFile(BaseModel):
    """A file of groups/: a security group, and names for addresses, for every host of the fleet."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    group: grammar.GroupName = Field(description="The group's name, which is the file's name, too.")
    comment: Annotated[str, Field(max_length=256)] | None = Field(None, description="For people.")
    rules: Rules | None = Field(None, description="The group's rules. Without them the file only defines names.")
    aliases: Annotated[Mapping[grammar.AliasName, grammar.Cidr], Field(max_length=MAX_RULES)] = Field(
        {}, description="Names for an address or a network."
    )
    ipsets: Annotated[
        Mapping[grammar.SetName, Annotated[tuple[grammar.Entry, ...], Field(max_length=MAX_RULES)]],
        Field(max_length=MAX_RULES),
    ] = Field({}, description='Sets of addresses, networks and aliases; an entry "!…" is an exception.')
