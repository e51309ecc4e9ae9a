"""Who is behind a host: its guests as they are declared and as they hold leases, and how full its pools are."""

from dataclasses import dataclass
from typing import Literal

GuestSource = Literal["spec", "settings", "lease"]
GuestState = Literal["named", "waiting", "unnamed", "renamed", "foreign", "silent", "shared"]
NameRule = Literal["name-taken", "name-conflict", "name-twice", "lease-shared"]


@dataclass(frozen=True, slots=True)
class GuestSeen:
    """One guest. `source` says who knows it: the spec, its own settings on the host, or only the lease file.

    `name` is the declared one, of a stranger the one it sent. `state`: named = its lease has its name, waiting = no
    lease now, unnamed = its lease has no name yet, renamed = its lease has another name. Of undeclared guests:
    `foreign` = with a name, silent = without one. shared = another guest with the same client-id has its lease, and
    `address` is the one that it had. `expires` is epoch seconds, 0 = never or no lease.
    """

    name: str
    mac: str
    source: GuestSource
    state: GuestState
    address: str = ""
    reserved: str = ""
    lease_name: str = ""
    expires: int = 0


@dataclass(frozen=True, slots=True)
class NameFinding:
    """Something wrong with a name or a lease: a fixed word, the name, whose, and a sentence."""

    rule: NameRule
    name: str
    mac: str
    text: str


@dataclass(frozen=True, slots=True)
class PoolFill:
    """A range of addresses on a bridge. `leased` are in use now, `reserved` are kept for guests that do not use them
    now, `free` is the rest of `size`."""

    host: str
    interface: str
    start: str
    end: str
    size: int
    leased: int
    reserved: int

    @property
    def free(self) -> int:
        """Addresses that may be given out."""
        return self.size - self.leased - self.reserved


GUEST_FILES, GUEST_KEPT = "/etc/passerelle/guests", "/var/lib/passerelle-guests"
"""Where a host has its guests' files, and what they keep: a folder for each guest, by its name."""
FILES_INSIDE, KEPT_INSIDE = "/etc/passerelle", "/var/lib/passerelle-guest"
"""Where a guest has them: files to read only, and a folder that is its own."""


def proxy_id(guest: str, mac: str, number: int = 0) -> str:
    """The fact about its nginx: the number on Proxmox finds it, or its MAC address in small letters."""
    return f"proxy:{guest}@{number or mac}"


def folders_of(guest: str) -> dict[str, str]:
    """The folders that a guest has of its host: where it has each one, and where that lies on the host."""
    return {FILES_INSIDE: f"{GUEST_FILES}/{guest}", KEPT_INSIDE: f"{GUEST_KEPT}/{guest}"}
