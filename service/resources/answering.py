"""Which program answers on a port of a served address: the one that holds the socket, whatever the state of a unit.

A name server that the spec does not name may get the guests' queries while dnsmasq runs, such as BIND, which listens on
every address on Debian. The kernel gives a datagram to the socket with the most specific binding (udp(7), ip(7)).
Nothing is done about it, for the program is not ours to stop; it is drift until it is gone. Where the sockets could not
be read, who answers is Unknown; that stops no other change, for nothing is written here. Where nobody answers at all,
that is drift too: service/resources/unanswered.py.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from service.model.changes import Difference
from service.model.observed import HostObserved, Listener, Watch
from service.model.probes import Probe
from service.model.states import Seen, Unknown
from service.resources.dnsmasq_config import FILES
from service.resources.resource import Compared, Contribution, Wishes
from service.resources.unanswered import UNIT, Unanswered, unanswered

DNS, DHCP = 53, 67
_ANY = {4: ("0.0.0.0", "*"), 6: ("::", "*")}  # noqa: S104 (compared with what `ss` prints)
PROGRAMS = {
    "bind9": "named",
    "connman": "connmand",
    "isc-dhcp-relay": "dhcrelay",
    "isc-dhcp-server": "dhcpd",
    "kea-dhcp4-server": "kea-dhcp4",
    "knot": "knotd",
    "knot-resolver": "kresd",
    "pdns": "pdns_server",
    "pdns-recursor": "pdns_recursor",
}
"""Programs by the name of their service, where it is another one."""
MAX_COMM = 15
"""The kernel keeps this much of a program's name, and `ss` prints that: `systemd-resolve` for systemd-resolved."""
_NAMED_ALIKE = (
    "AdGuardHome",
    "coredns",
    "dnscrypt-proxy",
    "dnsdist",
    "named",
    "nsd",
    "pihole-FTL",
    "udhcpd",
    "unbound",
)
_SERVICES = {program[:MAX_COMM]: service for service, program in PROGRAMS.items()} | {
    **{program: program for program in _NAMED_ALIKE},
    "systemd-network": "systemd-networkd",
}
_STUB = "systemd-resolve"
WORDS = {DNS: "queries for names", DHCP: "requests for addresses"}


def program_of(service: str) -> str:
    """How `ss` names the program of a service."""
    stem = service.removesuffix(".service")
    return PROGRAMS.get(stem, stem)[:MAX_COMM]


@dataclass(frozen=True, slots=True)
class AnsweredBy:
    """`program` answers on a UDP port of an interface's addresses.

    `stopped` are programs that the spec stops.
    """

    kind: str = field(compare=False)
    program: str
    port: int
    interface: str
    addresses: tuple[str, ...]
    stopped: tuple[str, ...] = field(default=(), compare=False)

    @property
    def id(self) -> str:
        return f"answers:udp/{self.port} {self.interface}"

    def wishes(self) -> Wishes:
        return {(self.subject(address), "answered by", "live"): self.program for address in self.addresses}

    def subject(self, address: str) -> str:
        """The port of one address, as people write it."""
        return f"udp/{self.port} on {address} ({self.interface})"

    def watch(self) -> Watch:
        return Watch(units=frozenset({UNIT}), files=frozenset(FILES))

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        for address, _ in self.silent(observed):
            yield Difference(self.kind, self.subject(address), "answered by", "live", "missing", self.program, None)
        for address, holders in self.held(observed):
            unknown = holders.why if isinstance(holders, Unknown) else ""
            have = None if isinstance(holders, Unknown) else ", ".join(holders)
            yield Difference(
                self.kind, self.subject(address), "answered by", "live", "changed", self.program, have, unknown=unknown
            )

    def only_watched(self) -> Iterator[str]:
        """Nothing is ever written about who answers: it stops no change where it is Unknown."""
        yield from (self.subject(address) for address in self.addresses)

    def held(self, observed: HostObserved) -> Iterator[tuple[str, tuple[str, ...] | Unknown]]:
        """(address, programs) of the addresses on which others answer, or others in addition to `program`; Unknown
        where the host did not say who does.
        """
        if isinstance(observed.listeners, Unknown):
            yield from ((address, observed.listeners) for address in self.addresses)
            return
        waiting = self.waiting(observed)
        for address in self.addresses:
            closest = self.closest(waiting, address)
            holders = sorted({one.program for one in closest} - {""})
            holders += [self.second] * self.is_there_twice(closest)
            if [name for name in holders if name != self.program]:
                yield address, tuple(holders)
            elif any(not one.program for one in closest):
                yield address, Unknown("`ss` names no program for a socket there")

    def waiting(self, observed: HostObserved) -> list[Listener]:
        """The UDP sockets of its port."""
        sockets = observed.listeners.value if isinstance(observed.listeners, Seen) else ()
        return [one for one in sockets if one.protocol == "udp" and one.port == self.port]

    def silent(self, observed: HostObserved) -> Iterator[tuple[str, Unanswered]]:
        """The addresses on which nobody answers; an address that another program holds is not among them."""
        if not isinstance(observed.listeners, Seen):
            return
        held = {address for address, _ in self.held(observed)}
        for address in self.addresses:
            has_socket = bool(self.closest(self.waiting(observed), address))
            why = unanswered(observed, self.port, self.interface, address, has_socket=has_socket)
            if why is not None and address not in held:
                yield address, why

    @property
    def second(self) -> str:
        """How another process of the same program is called."""
        return f"a second {self.program}"

    def is_there_twice(self, closest: Sequence[Listener]) -> bool:
        """Whether two processes of `program` have a socket there. For requests for addresses only those count that are
        bound to the interface: the others may serve another network."""
        own = [one for one in closest if one.program == self.program]
        return len({one.instance for one in own if self.port != DHCP or "%" in one.address}) > 1

    def closest(self, waiting: Sequence[Listener], address: str) -> list[Listener]:
        """The sockets that may get what is sent to an address. Requests for addresses are broadcast: all sockets of the
        interface get those. One that is bound to no interface may be there for another network: it only counts where
        `program` has none at all."""
        family = 6 if ":" in address else 4
        ranked: dict[tuple[bool, bool, bool], list[Listener]] = {}
        for one in waiting:
            host, _, device = one.address.replace("[", "").replace("]", "").partition("%")
            if device in ("", self.interface) and host in (address, *_ANY[family]):
                ranked.setdefault((host == address, device != "", host != "*"), []).append(one)
        if self.port == DHCP:
            every = [one for sockets in ranked.values() for one in sockets]
            is_served = any(one.program == self.program for one in every)
            return [one for one in every if not is_served or "%" in one.address or one.program == self.program]
        return ranked[max(ranked)] if ranked else []

    def probes(self) -> Iterator[Probe]:
        """A real query, for DNS: who answers says so. An address that is not there yet proves nothing, and is lost by
        no change."""
        if self.port == DNS:
            yield from (Probe("server", address, port=DNS, asked=self.program) for address in self.addresses)

    @classmethod
    def steps(cls, compared: Sequence[Compared[Self]], observed: HostObserved) -> Contribution:
        return Contribution(notes=tuple(note for one, found in compared if found for note in one.notes(observed)))

    def notes(self, observed: HostObserved) -> Iterator[str]:
        """What a person has to know and to do."""
        for address, why in self.silent(observed):
            yield self._silence(self.subject(address), why, observed.host)
        for address, holders in self.held(observed):
            if isinstance(holders, Unknown):
                yield (
                    f"passerelle does not know who answers {self.subject(address)}: the sockets of {observed.host} "
                    f"could not be read ({holders.why}). Fix: run `ss -lunp` on {observed.host} as root"
                )
                continue
            others = [name for name in holders if name not in (self.program, *self.stopped)]
            if others:
                who = " and ".join(others)
                beside = f" beside {self.program}" if self.program in holders else ""
                yield (
                    f"{who} holds udp/{self.port} on {address} ({self.interface}){beside}: the guests' "
                    f"{WORDS[self.port]} do not reach {self.program} alone. Fix: {self._fix(others, observed.host)}"
                )

    def _silence(self, subject: str, why: Unanswered, host: str) -> str:
        """Nobody answers, and what ends it."""
        restart = f"run `systemctl restart {self.program}` on {host}"
        if why.where:
            return (
                f"nobody answers on {subject}: {why.where} says {why.text}, so {self.program} does not serve it. "
                f"Fix: remove that line on {host}, then {restart}"
            )
        return (
            f"nothing listens on {subject}, although {self.program} runs. Fix: {restart}. If that does not help, look "
            f"for options in /etc/default/{self.program}"
        )

    def _fix(self, others: Sequence[str], host: str) -> str:
        """What ends it. systemd-resolved is not to be stopped: the host itself may ask it for names."""
        if _STUB in others:
            return f"remove DNSStubListenerExtra from systemd-resolved's configuration on {host}"
        if self.second in others:
            return f"stop it on {host}, where `ss -lunp` shows the process"
        stop = f"stop {' and '.join(others)} on {host}"
        if any(name not in _SERVICES for name in others):
            return f"{stop}. `ss -lunp` shows the process there, and `systemctl status PID` its service"
        services = ", ".join(f"{_SERVICES[name]}: disabled" for name in others)
        return f"{stop}, or have passerelle do it with `services: {{{services}}}`"
