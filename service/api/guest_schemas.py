"""What the API answers about the guests behind a host."""

from datetime import datetime

from pydantic import Field

from service.api.schemas import Told
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
