"""What one observation of a host saw: kernel, files and daemons, at one moment, in one round trip."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from service.model.facts import FactId
from service.model.secret import Secret
from service.model.states import Absent, Json, Observed, Seen, Unknown
from service.model.weighed import Weighed


@dataclass(frozen=True, slots=True)
class Watch:
    """What to look at on a host beyond what is always looked at.

    `files` are absolute paths. A trailing `/*` takes a folder's files, not deeper; `/*/config` takes the files of that
    name one folder deeper. `secrets` are those of them whose content nobody may see. `units` are unit names, `packages`
    Debian package names, `sysctls` dotted keys, `jails` those of fail2ban. `weighed` are changes that the host has to
    simulate if it differs: (`package:bind9`, `absent`), (`unit:named.service`, `disabled`). `guests` are those to look
    into: (name, MAC address in small letters, number on Proxmox or 0). `inside` are packages in them: (name, package).
    """

    files: frozenset[str] = frozenset()
    secrets: frozenset[str] = frozenset()
    units: frozenset[str] = frozenset()
    packages: frozenset[str] = frozenset()
    sysctls: frozenset[str] = frozenset()
    jails: frozenset[str] = frozenset()
    weighed: frozenset[tuple[str, str]] = frozenset()
    guests: frozenset[tuple[str, str, int]] = frozenset()
    inside: frozenset[tuple[str, str]] = frozenset()

    def __or__(self, other: "Watch") -> "Watch":
        return Watch(
            self.files | other.files,
            self.secrets | other.secrets,
            self.units | other.units,
            self.packages | other.packages,
            self.sysctls | other.sysctls,
            self.jails | other.jails,
            self.weighed | other.weighed,
            self.guests | other.guests,
            self.inside | other.inside,
        )


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that waits: `protocol` tcp or udp, address as `ss` prints it (`*`, `0.0.0.0`, `[::]`).

    `instance` counts the processes of one program that wait on one port, 0 for the first: those that share no socket.
    """

    protocol: str
    address: str
    port: int
    program: str = ""
    instance: int = 0


@dataclass(frozen=True, slots=True)
class ManagementPath:
    """How the service reached the host: the connection as the host itself sees it (SSH_CONNECTION)."""

    controller: str
    server: str
    port: int


@dataclass(frozen=True, slots=True)
class Keeper:
    """A program other than ifupdown that configures an interface, and its file or connection. netplan's files have no
    interface: it writes those of another program."""

    program: str
    interface: str
    file: str

    def label(self) -> str:
        """For people."""
        return f"{self.program} ({self.file})" if self.file else self.program


@dataclass(frozen=True, slots=True)
class Lease:
    """One line of dnsmasq's lease file. `expires` is epoch seconds, 0 = never; `name` empty: none was sent."""

    mac: str
    address: str
    name: str
    expires: int
    client_id: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """What the kernel says of a link beyond its facts: it changes on its own, and nobody sets it.

    `mac` is the address in use, `own_mac` the one that the device was made with: the port of a bond has the bond's in
    use. Both are "" where the device has none. `carrier` says whether something is at the other end; None while
    the link is down, because then nobody knows. `below` is the link that a VLAN is on, else "".
    """

    mac: str = ""
    own_mac: str = ""
    carrier: bool | None = None
    below: str = ""


class Derived(dict[Any, Any]):
    """What was made of one observation (service/observe/derived.py). It goes to no other process."""

    def __reduce__(self) -> tuple[type["Derived"], tuple[()]]:
        return Derived, ()


@dataclass(frozen=True, slots=True)
class HostObserved:
    """Everything known of one host at `observed_at`.

    `facts` holds captured facts in the host-side file's canonical form (service/model/facts.py): all links, all
    addresses, default routes, watched sysctls, units and files (mode, owner, digest), own nft tables. `unlisted` says
    what holds for facts that are not listed: where all links were read, `link:` is Absent; a watched folder has its own
    entry (`file:/etc/dnsmasq.d/`). `texts` holds the bytes of watched files. `secrets` holds those that nobody may see:
    they are not among `texts`, and their facts tell nothing of them, not even a digest. `bans` are fail2ban's jails
    that are up with the addresses banned now, Absent while it does not run. `deaf` are the jails that would not
    recognise a failed login in the words of the host's own daemon: (what leaves it out, the daemon's name in the
    journal). A jail for which this is unknown is not among them. `duplicates` are the addresses of an interface that
    another machine of its network has: the kernel lists them and never uses them, so they are not among the facts.
    `dynamic` are the addresses of an interface that a DHCP server or a router gave for a time, in CIDR form: nobody
    compares them, and they carry connections.
    `cards` are all links by name, with what no fact says.
    `masquerades` are (source, out) pairs that any nft table or iptables makes now, with a count. `keepers` are what
    systemd-networkd, NetworkManager and netplan say of interfaces. `packages` are those of the host by name, and those
    in guests as `GUEST/NAME`. `size` is how many bytes the host said: what it takes to work on them. `weighed` is what
    a change of packages or units would take along. `guest_status` is the text of the status that a looked-into guest
    keeps, as it says it: Absent where it keeps none, Unknown while it is down. `derived` is not part of what was seen:
    each copy begins with none.
    """

    host: str
    observed_at: datetime
    boot_id: str = ""
    os: str = ""
    path: ManagementPath | None = None
    facts: Mapping[FactId, Observed[Json]] = field(default_factory=dict)
    texts: Mapping[str, Observed[bytes]] = field(default_factory=dict)
    secrets: Mapping[str, Observed[Secret]] = field(default_factory=dict)
    masquerades: "Observed[tuple[MasqueradeInForce, ...]]" = field(default_factory=lambda: Unknown("not read"))
    listeners: Observed[tuple[Listener, ...]] = field(default_factory=lambda: Unknown("not read"))
    packages: Mapping[str, Observed[str]] = field(default_factory=dict)
    leases: Observed[tuple[Lease, ...]] = field(default_factory=lambda: Unknown("not read"))
    bans: Observed[Mapping[str, tuple[str, ...]]] = field(default_factory=lambda: Unknown("not read"))
    deaf: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    duplicates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dynamic: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    altnames: Mapping[str, str] = field(default_factory=dict)
    cards: Mapping[str, Card] = field(default_factory=dict)
    guest_status: Mapping[str, Observed[bytes]] = field(default_factory=dict)
    left_overs: tuple[str, ...] = ()
    keepers: Observed[tuple[Keeper, ...]] = field(default_factory=lambda: Unknown("not read"))
    started_at_s: Mapping[str, float] = field(default_factory=dict)
    changed_at_s: Mapping[str, float] = field(default_factory=dict)
    armed: str = ""
    digests: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    weighed: "Observed[Weighed]" = field(default_factory=lambda: Unknown("the host has not been queried"))
    unlisted: Mapping[str, Observed[Json]] = field(default_factory=dict)
    size: int = field(default=0, compare=False)
    derived: Derived = field(default_factory=Derived, init=False, compare=False, repr=False)

    def fact(self, fact_id: FactId) -> Observed[Json]:
        """The captured fact; one that was never looked at is Unknown, never Absent."""
        return self.facts.get(fact_id) or self._unlisted(fact_id)

    def text(self, path: str) -> Observed[bytes]:
        """The bytes of a watched file. Those of a secret are Unknown to whoever does not ask for a secret."""
        held = self.secrets.get(path)
        if isinstance(held, Seen):
            return Unknown(f"what {path} holds is a secret")
        return held or self.texts.get(path) or self._unlisted(f"file:{path}")

    def secret(self, path: str) -> Observed[Secret]:
        """The bytes of a watched file that nobody may see."""
        return self.secrets.get(path) or self._unlisted(f"file:{path}")

    def _unlisted(self, fact_id: FactId) -> Observed[Any]:
        """What `unlisted` says about everything else of this type, or about a watched folder's other files."""
        prefix = fact_id[: fact_id.rfind("/") + 1] if fact_id.startswith("file:") else fact_id.partition(":")[0] + ":"
        if fact_id.startswith(f"{prefix}."):
            return Unknown(f"{fact_id} was not looked at: a hidden file")
        return self.unlisted.get(prefix, Unknown(f"{fact_id} was not looked at"))


@dataclass(frozen=True, slots=True)
class MasqueradeInForce:
    """A source NAT to the outgoing interface's address as some table makes it now. `table` says whose:
    `nft inet passerelle_nat` or `iptables nat`. `count` > 1 means that it was added more than once."""

    source: str
    out: str
    table: str
    count: int = 1


__all__ = [
    "Absent",
    "Card",
    "HostObserved",
    "Keeper",
    "Lease",
    "Listener",
    "ManagementPath",
    "MasqueradeInForce",
    "Seen",
    "Unknown",
    "Watch",
]
