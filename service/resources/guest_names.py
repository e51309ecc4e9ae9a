"""The guests' names and addresses: what dnsmasq knows of them from any file, and our own file in a folder of ours.

render_guests(rows) -> bytes                 our own file
known_elsewhere(observed) -> {mac: GuestLine}    what dnsmasq knows from files that are not ours
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from service.formats import dnsmasq, ethers
from service.model.changes import Difference
from service.model.facts import Step
from service.model.observed import HostObserved, Lease, Watch
from service.model.plans import Refusal
from service.model.states import Json, Seen, Unknown
from service.observe.at_boot import texts_of
from service.observe.derived import derived
from service.resources.files import OwnFile, file_step, sha256
from service.resources.guest_configs import CONFIGS, GuestRow, configured_guests, without_twins
from service.resources.guest_leases import Published, active_leases, moving, to_name
from service.resources.guests_known import (
    GUESTS_FILE,
    HOSTS_FOLDER,
    SOURCES,
    GuestLine,
    guest_lines,
    known_guests,
)
from service.resources.resource import Compared, Contribution, Phase, Wishes, compare

HEADER = "# written by passerelle from `guests`: MAC, address where it is fixed, name\n"
OWN_CONFIGURATION = "/etc/dnsmasq.d/passerelle.conf"

DECLARED_TAG = "passerelle-declared"
"""Set for a stranger that sends a declared name; the name is then not taken (`PROTECTION`)."""

PROTECTION = ("dhcp-ignore-names", f"tag:{DECLARED_TAG}")


def render_guests(guests: Iterable[GuestRow]) -> bytes:
    """(name, mac, address or empty) of every guest, one line each, sorted by name; then each name for itself.

    dnsmasq looks for an entry by MAC first. A guest without an entry is looked for by the name that it sends, among
    entries without MAC, the last of equal ones first (dnsmasq 2.90, rfc2131.c). The second half marks guests that claim
    another guest's name. Both halves are taken up without a restart.
    """
    rows = sorted(guests)
    lines = [",".join(part for part in (mac.lower(), address, name) if part) for name, mac, address in rows]
    lines += [f"set:{DECLARED_TAG},{name}" for name in dict.fromkeys(name for name, _, _ in rows)]
    return (HEADER + "".join(f"{line}\n" for line in lines)).encode("ascii")


@derived
def known_elsewhere(observed: HostObserved) -> Mapping[str, GuestLine] | Unknown:
    """The guests that an observed host's dnsmasq knows from other files than ours."""
    texts = texts_of(observed, SOURCES)
    return texts if isinstance(texts, Unknown) else known_guests(texts, own=False)


def lines_to_move(texts: Mapping[str, bytes], guests: Iterable[GuestRow]) -> list[GuestLine]:
    """The lines of other files that our own takes over: those of guests of which our own file can say all that counts.

    Of several lines for one MAC only the last counts; the others go with it.
    """
    known = known_guests(texts, own=False)
    macs = {mac.lower() for _, mac, _ in guests}
    taken = {mac for mac in macs if mac in known and known[mac].may_move}
    return [line for line in guest_lines(texts, own=False) if line.mac in taken and line.may_move]


def is_met(guest: GuestRow, known: Mapping[str, GuestLine]) -> bool:
    """Whether a guest is known under its name, with its address where one is fixed."""
    name, mac, address = guest
    found = known.get(mac.lower())
    return found is not None and (found.name, found.address) == (name, address)


@dataclass(frozen=True, slots=True)
class GuestNames:
    """All guests that dnsmasq should know. One that another file names is met there; the others are in our own.

    `take_over`: all of them are in our own file, and their lines elsewhere go. `bridges` are those whose guests are
    known by their own settings, too. `lease_file` is where dnsmasq keeps its leases. `gone`: nobody is to be named.
    `published` is what leads to guests from outside.
    """

    kind: str = field(compare=False)
    guests: tuple[GuestRow, ...]
    take_over: bool = False
    bridges: tuple[str, ...] = ()
    lease_file: str = ""
    gone: bool = False
    published: tuple[Published, ...] = field(default=(), compare=False)

    @property
    def id(self) -> str:
        return f"file:{GUESTS_FILE}"

    def wishes(self) -> Wishes:
        if self.gone:
            return {}
        return OwnFile(self.kind, GUESTS_FILE, render_guests(self.guests), "dhcp-hosts").wishes()

    def watch(self) -> Watch:
        return Watch(files=frozenset({*SOURCES, GUESTS_FILE, *(CONFIGS if self.bridges else ())}))

    def own_file(self, observed: HostObserved) -> OwnFile | Unknown:
        """Our own file as it should be: the guests that nobody else names."""
        rows = all_guests(self.guests, observed, self.bridges)
        here = rows if isinstance(rows, Unknown) else missing_elsewhere(rows, observed, take_over=self.take_over)
        if isinstance(here, Unknown):
            return here
        content = render_guests(here) if here or (len(self.guests) == 0 and not self.gone) else None
        return OwnFile(self.kind, GUESTS_FILE, content, "dhcp-hosts", phase=Phase.DAEMON_FILE)

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        file = self.own_file(observed)
        if isinstance(file, Unknown):
            yield Difference(self.kind, GUESTS_FILE, "file", "file", "changed", "present", None, unknown=file.why)
            return
        yield from file.differences(observed)
        for guest, known in self.elsewhere(observed):
            moves = self.take_over and known.may_move
            if moves or not is_met(guest, {known.mac: known}):
                want: Json = None if moves else f"{guest[1]},{guest[0]},{guest[2]}".rstrip(",")
                have = ",".join(part for part in (known.mac, known.name, known.address) if part)
                yield Difference(self.kind, guest[0], "dhcp-host", "file", "extra", want, f"{have} at {known.where}")

    def elsewhere(self, observed: HostObserved) -> Iterator[tuple[GuestRow, GuestLine]]:
        """The guests that other files name, as these do."""
        known = known_elsewhere(observed)
        if isinstance(known, Unknown):
            return
        yield from ((guest, known[guest[1].lower()]) for guest in self.guests if guest[1].lower() in known)

    def met(self, observed: HostObserved) -> Iterator[tuple[str, str]]:
        """(guest, where) of those that another file names."""
        yield from ((f"guest {g[0]}", k.where) for g, k in self.elsewhere(observed) if is_met(g, {k.mac: k}))

    @classmethod
    def impact(cls, wanted: Sequence[Self], observed: HostObserved, leases: Sequence[Lease]) -> Iterator[str]:
        """Names that go away or to another MAC, addresses that change, of guests that have a lease now."""
        by_mac = {lease.mac: lease for lease in leases}
        for names in wanted:
            yield from names.renamed(observed, by_mac)
            file = names.own_file(observed)
            if not isinstance(file, Unknown):
                for guest in moving(changed_rows(file, observed), leases):
                    yield guest.sentence(names.published)

    def renamed(self, observed: HostObserved, leases: Mapping[str, Lease]) -> Iterator[str]:
        """What becomes of the names of guests that have a lease, by MAC."""
        file, text = self.own_file(observed), observed.text(GUESTS_FILE)
        if isinstance(file, Unknown) or not isinstance(text, Seen):
            return
        before = {entry.name: entry for entry in dnsmasq.parse_hosts(text.value).entries}
        after = {entry.name: entry for entry in dnsmasq.parse_hosts(file.content or b"").entries}
        for name, old in before.items():
            lease, new = leases.get(old.mac), after.get(name)
            if lease is None:
                continue
            if new is None:
                now = next((entry.name for entry in after.values() if entry.mac == old.mac), "")
                yield f"the name {name} is removed: {lease.address} then has {f'the name {now}' if now else 'no name'}"
            elif new.mac != old.mac:
                yield f"the name {name} goes from {old.mac}, which has {lease.address} now, to {new.mac}"

    @classmethod
    def steps(cls, compared: Sequence[Compared[Self]], observed: HostObserved) -> Contribution:
        total = Contribution()
        for names, _ in compared:
            file = names.own_file(observed)
            if isinstance(file, Unknown):
                continue
            total = names.with_leases(OwnFile.steps(compare([file], observed), observed), file, observed)
            total = names.with_refusals(names.with_ethers(total, observed), observed)
        return total

    def with_leases(self, total: Contribution, file: OwnFile, observed: HostObserved) -> Contribution:
        """dnsmasq reads new lines on its own, but forgets none, and a name stays with its lease. So a removed name is
        removed from the lease while dnsmasq restarts. So it does where the folder may be a new one, and where a lease
        gets a name that dnsmasq would not give it (service/resources/guest_leases.py).
        """
        text = observed.text(GUESTS_FILE)
        if not total.steps or not self.lease_file or isinstance(text, Unknown):
            return total
        leases = active_leases(observed)
        named, lost = to_name(moving(changed_rows(file, observed), leases), leases)
        unnamed: list[str] = []
        if isinstance(text, Seen):
            old, new = names_of(text.value), names_of(file.content or b"")
            unnamed = sorted(f"{mac} {name}" for mac, name in old.items() if mac not in new)
            is_read_anew = bool(set(old.values()) - set(new.values()))
        else:
            main = observed.text(OWN_CONFIGURATION)
            is_read_anew = isinstance(main, Seen) and HOSTS_FOLDER.encode() in main.value
        if not (is_read_anew or unnamed or named):
            return total
        after: dict[str, Json] = {"unnamed": [*sorted({*unnamed, *lost})], **({"named": [*named]} if named else {})}
        why = f"{self.kind}: {words_of(unnamed, named)}"
        step = Step(f"leases:{self.lease_file}", {}, after, why)
        return replace(total, steps=(*total.steps, (Phase.LEASES, step)))

    def with_refusals(self, total: Contribution, observed: HostObserved) -> Contribution:
        """A guest that another file knows otherwise would be known twice."""
        refusals = tuple(
            Refusal(
                "not-ours",
                f"{known.where} says {known.name or 'no name'} {known.address} for {known.mac}, "
                f"the spec wants {guest[0]} {guest[2]}".rstrip(),
                hint=self.way_out(known, observed),
            )
            for guest, known in self.elsewhere(observed)
            if not is_met(guest, {known.mac: known}) and not (self.take_over and known.may_move)
        )
        return Contribution(total.steps, total.keep, total.packages, total.blobs, total.checks, refusals)

    def way_out(self, known: GuestLine, observed: HostObserved) -> str:
        """What a person can do about a line that differs."""
        if known.may_move:
            return take_over_hint("guests", observed.host, known.path)
        more = "it is not ours"
        if known.extra:
            more = f"the line also has {', '.join(known.extra)}, which `guests` has no key for"
        elif known.hides:
            more = f"without it {known.hides} would count, which has more about this MAC than `guests` can express"
        return f"change {known.where} on the host; {more}, so it is not taken over"

    def with_ethers(self, total: Contribution, observed: HostObserved) -> Contribution:
        """The lines of /etc/ethers that our own file takes over go; dnsmasq's own files are its section's to change."""
        texts = texts_of(observed, SOURCES)
        if not self.take_over or isinstance(texts, Unknown):
            return total
        lines = {line.line for line in lines_to_move(texts, self.guests) if line.path == ethers.PATH}
        text = observed.text(ethers.PATH)
        if not lines or not isinstance(text, Seen):
            return total
        content = without_lines(text.value, lines)
        step = file_step(ethers.PATH, content, "0644", observed, f"{self.kind}: taken over into {GUESTS_FILE}")
        return Contribution(
            (*total.steps, (Phase.DAEMON_FILE, step)), total.keep, total.packages,
            {**total.blobs, sha256(content): content}, total.checks, total.refusals,
        )  # fmt: skip


def all_guests(
    guests: tuple[GuestRow, ...], observed: HostObserved, bridges: Sequence[str]
) -> tuple[GuestRow, ...] | Unknown:
    """The declared guests, and those that are on these bridges by their own settings."""
    found = configured_guests(observed, bridges) if bridges else ()
    return found if isinstance(found, Unknown) else (*guests, *without_twins(guests, found))


def changed_rows(file: OwnFile, observed: HostObserved) -> list[GuestRow]:
    """The guests whose line in our own file changes or is new."""
    text = observed.text(GUESTS_FILE)
    before = dnsmasq.parse_hosts(text.value).entries if isinstance(text, Seen) else ()
    after = dnsmasq.parse_hosts(file.content or b"").entries
    return [(one.name, one.mac, one.address) for one in after if one not in before]


def words_of(unnamed: Sequence[str], named: Sequence[str]) -> str:
    """What becomes of names, from `MAC NAME` pairs."""
    gone, come = (", ".join(pair.rpartition(" ")[2] for pair in pairs[:6]) for pairs in (unnamed, named))
    words = [f"{gone} taken off the leases" if gone else "", f"{come} given to the leases" if come else ""]
    return "; ".join(filter(None, words)) or "dnsmasq reads all of them again"


def names_of(content: bytes) -> dict[str, str]:
    """{MAC: name} of our own file."""
    return {entry.mac: entry.name for entry in dnsmasq.parse_hosts(content).entries if entry.name}


def missing_elsewhere(
    guests: Sequence[GuestRow], observed: HostObserved, *, take_over: bool
) -> tuple[GuestRow, ...] | Unknown:
    """The guests that our own file has to name."""
    known = known_elsewhere(observed)
    if isinstance(known, Unknown):
        return known
    staying = {mac: line for mac, line in known.items() if not (take_over and line.may_move)}
    return tuple(guest for guest in guests if not is_met(guest, staying))


def without_lines(data: bytes, numbers: Iterable[int]) -> bytes:
    """A file without some of its lines."""
    gone = set(numbers)
    return b"".join(line for number, line in enumerate(data.splitlines(keepends=True), 1) if number not in gone)


def take_over_hint(section: str, host: str, path: str) -> str:
    """The sentence that converts."""
    command = f"passerelle adopt --take-over {section} {host}"
    return f"change {path} on the host, or move the section into passerelle's own files: `{command}`"
