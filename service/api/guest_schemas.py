"""What the API answers about the guests behind a host, and behind all of them."""

from datetime import datetime

from pydantic import Field

from service.api.schemas import Answer, Told
from service.model.guest_lines import Conflict, LineKind
from service.model.guests import GuestSource, GuestState, NameRule


class Guest(Told):
    """One guest: declared in the spec, known by its own settings on the host, or only by its lease."""

    name: str = Field(description="the declared name, or for an unknown guest the name that it sent")
    mac: str
    source: GuestSource = Field(
        description="where it is known from: the spec, its own settings, or only the lease file"
    )
    state: GuestState = Field(
        description="named; waiting: no lease now; unnamed: its lease has no name; renamed: it has another name. "
        "Of unknown guests, `foreign` has a name, and `silent` has none. `shared`: another guest with the same DHCP "
        "client-id has its lease, and `address` is the one that it had"
    )
    address: str
    reserved: str = Field(description="the address that is kept for it")
    lease_name: str
    expires: int = Field(description="seconds since 1970; 0 = never, or no lease")


class NameFinding(Told):
    """A name that two want, or a lease that two share."""

    rule: NameRule
    name: str
    mac: str
    text: str


class Guests(Told):
    """Who is behind a host, by address."""

    host: str
    at: datetime
    before_restart: bool = Field(description="nobody has seen the host since the service started")
    items: list[Guest]
    findings: list[NameFinding]


class FleetGuest(Told):
    """A lease, or a guest without one. At a past time: a lease that was held then, and who its holder is today."""

    host: str
    ip: str = Field(description="its address, or the one that is kept for it; empty where it has none")
    name: str = Field(description="the declared name, or for an unknown guest the name that it sent")
    mac: str
    bridge: str = Field(description="the interface of the host in whose network the address lies; empty: in none")
    kind: LineKind = Field(
        description="fixed: it has the address that the spec or its settings give it. dynamic: a known guest with "
        "another address. `foreign`: nobody knows its MAC address. waiting: a known guest without a lease now. "
        "expired: a lease of the past. unknown: the host was not compared with Git, or the lease has no MAC address"
    )
    source: GuestSource | None = Field(description="who knows the guest; null: that is not known")
    reserved: str = Field(description="the address that is kept for it")
    in_pool: bool = Field(description="a fixed address inside a range: dnsmasq gives it to nobody else")
    file: str = Field(description="where it is declared, in the repository; with line 0 a file of the host")
    line: int
    first_seen: datetime | None
    last_seen: datetime | None
    expires_at: datetime | None = Field(description="when the lease ends; null: never, or no lease")
    conflict: Conflict | None = Field(
        description="address-twice: two hold it. reserved-for-another: somebody else holds an address that is kept for "
        "a guest. The others as in the findings of the host's guests"
    )
    text: str = Field(description="the conflict in words")


class GuestsOffered(Answer):
    """The values that the table has before any filter; of hosts that may be seen."""

    hosts: list[str]
    bridges: list[str]
    kinds: dict[LineKind, int] = Field(description="how many lines are of each kind")
    conflicts: int = Field(description="how many lines have a conflict")


class FleetGuests(Answer):
    """Everybody behind the hosts. `total` counts the lines that `limit` leaves out, too."""

    items: list[FleetGuest]
    total: int
    at: datetime | None = Field(description="the past time of the request")
    is_cut: bool = Field(description="the service has more leases than it reads for this table")
    offered: GuestsOffered
    not_known: list[str] = Field(description="hosts in Git that were not compared with it: their guests may be missing")
