"""Who answers on a port of an address that is served: told by who holds the socket, not by the state of a unit.

A name server that the spec does not name (BIND listens on every address, as Debian sets it up) may take the guests'
queries while dnsmasq runs: the kernel gives a datagram to the socket that is bound closest (udp(7), ip(7)). Nothing is
done about it, for the program is not ours to stop; it is drift until it is gone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from service.model.changes import Difference
from service.model.observed import HostObserved, Listener, Watch
from service.model.probes import Probe
from service.model.states import Seen
from service.resources.resource import Compared, Contribution, Wishes

DNS, DHCP = 53, 67
_ANY = {4: ("0.0.0.0", "*"), 6: ("::", "*")}  # noqa: S104 (compared with what `ss` prints)
PROGRAMS = {"bind9": "named"}
"""Programs by the name of their service, where it is another one."""
WORDS = {DNS: "queries for names", DHCP: "requests for addresses"}


@dataclass(frozen=True, slots=True)
class AnsweredBy:
    """`program` answers on a UDP port of an interface's addresses. Where no sockets could be read, nothing is known.

    `stopped` are programs that the spec ends by itself.
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
        return Watch()

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        for address, holders in self.held(observed):
            have = ", ".join(holders)
            yield Difference(self.kind, self.subject(address), "answered by", "live", "changed", self.program, have)

    def held(self, observed: HostObserved) -> Iterator[tuple[str, tuple[str, ...]]]:
        """(address, programs) of the addresses on which others answer, or others beside `program`."""
        if not isinstance(observed.listeners, Seen):
            return
        waiting = [one for one in observed.listeners.value if one.protocol == "udp" and one.port == self.port]
        for address in self.addresses:
            holders = sorted({one.program for one in self.closest(waiting, address)} - {""})
            if [name for name in holders if name != self.program]:
                yield address, tuple(holders)

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
        return Contribution(notes=tuple(note for one, _ in compared for note in one.notes(observed)))

    def notes(self, observed: HostObserved) -> Iterator[str]:
        """What a person has to know and to do."""
        for address, holders in self.held(observed):
            others = " and ".join(name for name in holders if name not in (self.program, *self.stopped))
            if not others:
                continue
            beside = f" beside {self.program}" if self.program in holders else ""
            yield (
                f"{others} holds udp/{self.port} on {address} ({self.interface}){beside}: the guests' "
                f"{WORDS[self.port]} do not reach {self.program} alone. Fix: stop {others} on {observed.host}, "
                f"or have passerelle do it with `services: {{NAME: disabled}}`"
            )
