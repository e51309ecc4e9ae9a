"""The key `dnsmasq`: dnsmasq(8)'s directives under their own names, `_` for `-`, each value with its grammar.

`dnsmasq --test` takes reversed ranges, unknown interfaces and a smuggled `dhcp-script=`; nothing is left to it.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.kinds.dnsmasq.options import Options, number_of
from service.kinds.dnsmasq.range6 import Dhcp6Range
from service.kinds.dnsmasq.values import (
    Addresses,
    Domain,
    Interfaces,
    LeaseFile,
    LeaseTime,
    LocalDomains,
    LogFacility,
    Netmask,
    Servers,
)
from service.spec.grammar import Address4, InterfaceName


class DhcpRange(BaseModel):
    """Addresses given to guests on one bridge: `dhcp-range`, and the options sent with them."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    interface: InterfaceName = Field(description="The bridge that the guests are on.")
    start: Address4 = Field(description="First address of the range.")
    end: Address4 = Field(description="Last address of the range.")
    netmask: Netmask | None = Field(None, description="The subnet's mask. Default: that of the bridge's address.")
    lease_time: LeaseTime = Field("1h", description="The length of a lease, such as 12h, 45m or infinite.")
    authoritative: bool | None = Field(
        None, description="Whether this is the only DHCP server on the network: lost leases are taken over at once."
    )
    lease_file: LeaseFile | None = Field(
        None, description="The file of the leases. Default: /var/lib/misc/dnsmasq.leases."
    )
    options: Options = Field(
        default_factory=dict, description="DHCP options by number or name, each with a value or a list of them."
    )

    def options_by_number(self) -> dict[int, tuple[str, ...]]:
        """The options under their numbers, ascending; values as text."""
        return dict(sorted((number_of(key), values) for key, values in self.options.items()))


def _flag(description: str) -> Any:
    return Field(default=False, description=description)


class DnsmasqSection(BaseModel):
    """DNS and DHCP for the guests."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    domain: Domain | None = Field(None, description="The guests' domain: a lease named dev is dev.DOMAIN too.")
    names: Literal["declared", "anyone"] = Field(
        "anyone",
        description="declared: only names from `guests`. anyone: also names that guests send. In both cases only its "
        "guest gets a declared name.",
    )
    guest_configs: bool = Field(
        default=True,
        description="With `guests` in the spec: guests that it does not name get the name in their own settings on the "
        "host (/etc/pve/lxc, /etc/pve/qemu-server, /var/lib/lxc).",
    )
    local: LocalDomains = Field(
        default=(),
        description="Domains that only this host answers, never an upstream server, such as the domain of the guests.",
    )
    server: Servers = Field(
        default=(),
        description="Upstream DNS servers, such as 1.1.1.1, 2001:db8::53#5353, 1.1.1.1@vmbr0, /example.org/192.0.2.53.",
    )
    interface: Interfaces = Field(
        default=(), description="Interfaces with DNS and DHCP; those of `dhcp` and `dhcp6` by default."
    )
    except_interface: Interfaces = Field(default=(), description="Interfaces without DNS and DHCP.")
    no_dhcp_interface: Interfaces = Field(default=(), description="Interfaces with DNS and without DHCP.")
    listen_address: Addresses = Field(default=(), description="Own addresses that answer DNS queries.")
    bind_interfaces: bool = _flag("Bind only the served interfaces; they must exist when dnsmasq starts.")
    bind_dynamic: bool = _flag("Bind only the served interfaces, and those that come later.")
    domain_needed: bool = _flag("Never send queries for names without a dot to upstream servers.")
    bogus_priv: bool = _flag("Never send queries for private addresses to upstream servers.")
    no_poll: bool = _flag("Do not watch /etc/resolv.conf for changes.")
    no_hosts: bool = _flag("Do not answer from /etc/hosts.")
    no_resolv: bool = _flag("Do not read /etc/resolv.conf; upstream servers are those of `server`.")
    expand_hosts: bool = _flag("Add the domain to names without a dot.")
    strict_order: bool = _flag("Use the upstream servers in their order.")
    all_servers: bool = _flag("Send each query to all upstream servers.")
    localise_queries: bool = _flag("Answer with the address of the interface that received the query.")
    stop_dns_rebind: bool = _flag("Refuse private addresses in upstream answers.")
    rebind_localhost_ok: bool = _flag("Accept 127.0.0.0/8 in upstream answers nevertheless.")
    no_negcache: bool = _flag("Do not remember that a name does not exist.")
    no_ping: bool = _flag("Do not ping an address before it is offered; leases come 3 s sooner.")
    dhcp_ignore_clid: bool = _flag(
        "Tell guests apart by their MAC alone, for clones that share a DHCP client-id and would share one lease."
    )
    enable_ra: bool = _flag("Send IPv6 router advertisements wherever there is an IPv6 range.")
    log_queries: bool = _flag("Log every DNS query.")
    log_dhcp: bool = _flag("Log DHCP in detail.")
    log_facility: LogFacility | None = Field(
        None, description="A syslog facility, or a file such as /var/log/dnsmasq.log, which dnsmasq does not rotate."
    )
    cache_size: int | None = Field(None, ge=0, le=100_000, description="Names kept in the DNS cache.")
    dns_forward_max: int | None = Field(None, ge=1, le=100_000, description="DNS queries that may wait at once.")
    dhcp_lease_max: int | None = Field(None, ge=1, le=100_000, description="Leases that may exist at once.")
    local_ttl: int | None = Field(None, ge=0, le=604_800, description="Seconds that local names may be cached.")
    neg_ttl: int | None = Field(None, ge=0, le=604_800, description="Seconds that a missing name is remembered.")
    max_ttl: int | None = Field(None, ge=0, le=604_800, description="Highest TTL in answers to clients, in seconds.")
    max_cache_ttl: int | None = Field(None, ge=0, le=604_800, description="Longest time in the cache, in seconds.")
    min_cache_ttl: int | None = Field(None, ge=0, le=3600, description="Shortest time in the cache, in seconds.")
    dhcp: tuple[DhcpRange, ...] = Field(default=(), max_length=64, description="The ranges that DHCP gives out.")
    dhcp6: tuple[Dhcp6Range, ...] = Field(
        default=(), max_length=64, description="IPv6 for the guests: router advertisements, SLAAC and DHCPv6."
    )

    def served_interfaces(self) -> tuple[str, ...]:
        """The interfaces that DNS and DHCP are served on, without repeats."""
        ranges = (*(entry.interface for entry in self.dhcp), *(entry.interface for entry in self.dhcp6))
        named = self.interface or ranges
        return tuple(dict.fromkeys(name for name in named if name not in self.except_interface))

    @property
    def authoritative(self) -> bool:
        """dnsmasq knows one such switch for all ranges."""
        return any(entry.authoritative for entry in self.dhcp)

    @property
    def lease_file(self) -> str | None:
        """dnsmasq knows one lease file for all ranges."""
        return next((entry.lease_file for entry in self.dhcp if entry.lease_file), None)


def flags_of(section: DnsmasqSection) -> tuple[str, ...]:
    """The switches that are on, as keys of the section."""
    return tuple(
        name
        for name, declared in DnsmasqSection.model_fields.items()
        if declared.annotation is bool and name != "guest_configs" and getattr(section, name)
    )
