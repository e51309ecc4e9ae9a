"""dnsmasq's configuration: compared directive by directive over all its files, written in a file of our own."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, ip_address
from typing import Self

from service.formats import dnsmasq
from service.formats.dnsmasq_tags import without_tag_names
from service.model.changes import Difference
from service.model.facts import Step
from service.model.observed import HostObserved, Lease, Watch
from service.model.plans import Refusal
from service.model.states import Json, Seen, Unknown
from service.observe.at_boot import texts_of
from service.resources import dnsmasq_elsewhere as elsewhere
from service.resources.desired import Desired, LastApplied
from service.resources.dnsmasq_elsewhere import Directive, StandingElsewhere
from service.resources.files import file_step, mode_differences, sha256
from service.resources.guest_configs import GuestRow
from service.resources.guest_names import PROTECTION, all_guests, lines_to_move, missing_elsewhere
from service.resources.guests_known import HOSTS_FOLDER, SOURCES
from service.resources.resource import Compared, Contribution, Phase, Wishes, field_difference, op_of

OWN_FILE = "/etc/dnsmasq.d/passerelle.conf"
FILES = ("/etc/dnsmasq.conf", "/etc/dnsmasq.d/*")
MAIN = ("/etc/dnsmasq.conf",)
DEFAULT_LEASE_FILE = "/var/lib/misc/dnsmasq.leases"
"""Where Debian's dnsmasq keeps leases without a `dhcp-leasefile`."""

SHOWN = 6
Range = tuple[int, int]
"""First and last address of a range, as numbers."""


@dataclass(frozen=True, slots=True)
class DnsmasqConfig:
    """All directives wanted. One that another file of dnsmasq's already gives is met where it is.

    `networks` are the host's own (CIDR): they give a range its mask where it names none. `guests` are to be named,
    and those on `bridges` by their own settings; a folder of ours is read for those that no other file names.
    `take_over`: everything is in our own file, and the lines elsewhere go; `take_guests`: so do the
    lines that name guests. `former` is what the last apply wanted, canonical, and nobody wants now.
    """

    kind: str = field(compare=False)
    directives: tuple[Directive, ...]
    networks: tuple[str, ...] = ()
    guests: tuple[GuestRow, ...] = ()
    take_over: bool = False
    take_guests: bool = False
    bridges: tuple[str, ...] = ()
    former: tuple[Directive, ...] = ()

    @property
    def id(self) -> str:
        return "dnsmasq:config"

    def all_directives(self, observed: HostObserved | None = None) -> tuple[Directive, ...]:
        """The directives, with the folder of guests where our own file there has to name some."""
        rows: tuple[GuestRow, ...] | Unknown = self.guests
        if observed is not None:
            rows = all_guests(self.guests, observed, self.bridges)
            if not isinstance(rows, Unknown):
                rows = missing_elsewhere(rows, observed, take_over=self.take_guests)
        needed = bool(self.guests) if isinstance(rows, Unknown) else bool(rows)
        return (*self.directives, *((("dhcp-hostsdir", HOSTS_FOLDER), PROTECTION) if needed else ()))

    def wanted(self, observed: HostObserved | None = None) -> dict[str, list[Json]]:
        """{key: [canonical value, …]}."""
        return self.grouped(self.all_directives(observed))

    def wishes(self) -> Wishes:
        fields: dict[str, Json] = {key: [*values] for key, values in self.wanted().items()}
        fields |= {"mode": "0644", "owner": "0:0"}
        return {(OWN_FILE, key, "file"): want for key, want in fields.items()}

    def watch(self) -> Watch:
        lease_files = {value for key, value in self.directives if key == "dhcp-leasefile"}
        return Watch(files=frozenset({*FILES, *lease_files, *(SOURCES if self.guests or self.bridges else ())}))

    def remembering(self, desired: Desired, base: LastApplied) -> Self:
        """Directives of the last apply that nobody wants now: their lines elsewhere are ours to take out."""
        want = self.wanted()
        former = tuple(
            (key[2], str(value))
            for key, values in sorted(base.wishes.items(), key=lambda item: item[0])
            if key[1] == OWN_FILE and isinstance(values, list)
            for value in values
            if value not in want.get(key[2], [])
        )
        return replace(self, former=former) if former else self

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        texts = self.texts(observed)
        if isinstance(texts, Unknown):
            yield from field_difference(self, OWN_FILE, "file", "file", "present", texts)
            return
        want = self.wanted(observed)
        counting = self.counting_elsewhere(texts, want)
        own = self.grouped(directives_of(texts[OWN_FILE], OWN_FILE)) if OWN_FILE in texts else {}
        for key in [*want, *(key for key in own if key not in want)]:
            have = merged(own.get(key, []), counting.get(key, []))
            wanted = want.get(key, [])
            if wanted != have:
                value: Json = [*wanted] if wanted else None
                yield Difference(
                    self.kind, OWN_FILE, key, "file", op_of(value, [*have]), value, [*have] if have else None
                )
        moving = [*self.to_move(texts)]
        for standing in [*moving, *(s for s in self.left(texts) if s not in moving)]:
            cause = "take_over: it moves into passerelle's own file" if standing in moving else ""
            yield Difference(
                self.kind, standing.where, standing.key, "file", "extra", None, standing.value, cause=cause
            )
        if OWN_FILE in texts:
            yield from mode_differences(self, OWN_FILE, "0644", observed.fact(f"file:{OWN_FILE}"))

    def met(self, observed: HostObserved) -> Iterator[tuple[str, str]]:
        """(directive, where) of those that another file gives."""
        texts = self.texts(observed)
        if isinstance(texts, Unknown):
            return
        want = self.wanted(observed)
        for standing in self.standings(texts):
            if standing.value in want.get(standing.key, []):
                yield f"dnsmasq {standing.key} {standing.value}".rstrip(), standing.where

    def texts(self, observed: HostObserved) -> dict[str, bytes] | Unknown:
        """dnsmasq's files as it reads them."""
        texts = texts_of(observed, FILES)
        if isinstance(texts, Unknown):
            return texts
        return {path: texts[path] for path in dnsmasq.taken(texts)} | {
            path: texts[path] for path in MAIN if path in texts
        }

    @classmethod
    def impact(cls, wanted: Sequence[Self], observed: HostObserved, leases: Sequence[Lease]) -> Iterator[str]:
        """Leases whose address is in a range now and will be in none."""
        texts = texts_of(observed, FILES)
        if isinstance(texts, Unknown):
            return
        taken = {path: texts[path] for path in texts if path in (FILES[0], *dnsmasq.taken(texts))}
        now = [span for path, data in taken.items() for span in ranges(directives_of(data, path))]
        then = [span for path, data in taken.items() if path != OWN_FILE for span in ranges(directives_of(data, path))]
        then += [span for config in wanted for span in ranges(config.directives)]
        kept = {(mac.lower(), address) for config in wanted for _, mac, address in config.guests}
        lost = [
            lease
            for lease in leases
            if inside(lease.address, now) and not inside(lease.address, then) and (lease.mac, lease.address) not in kept
        ]
        if lost:
            lost.sort(key=lambda lease: int(ip_address(lease.address)))
            shown = ", ".join(f"{lease.address} ({lease.name or lease.mac})" for lease in lost[:SHOWN])
            more = f" and {len(lost) - SHOWN} more" if len(lost) > SHOWN else ""
            count = f"{len(lost)} active lease{'s' * (len(lost) > 1)}"
            yield f"strands {count}: {shown}{more}; these guests get another address when they renew"

    @classmethod
    def steps(cls, compared: Sequence[Compared[Self]], observed: HostObserved) -> Contribution:
        total = Contribution()
        for config, different in compared:
            texts = config.texts(observed)
            if not different or isinstance(texts, Unknown) or any(d.unknown for d in different):
                continue
            changed = config.moved(texts) if config.take_over or config.take_guests else {}
            refusals: list[Refusal] = []
            if not config.take_over:
                inplace, refusals = config.changed_in_place(texts, observed)
                changed |= inplace
            contents = config.own_content(texts, changed, observed) | changed
            why = f"{config.kind}: {', '.join(dict.fromkeys(d.field for d in different[:8]))}"
            total = Contribution(
                steps=(
                    *(
                        (Phase.DAEMON_FILE, file_step(path, content, "0644", observed, f"{why}: {path}"))
                        for path, content in sorted(contents.items())
                    ),
                    *config.carried_leases(texts, contents, observed),
                ),
                blobs={sha256(content): content for content in contents.values()},
                checks=tuple(("dnsmasq", path) for path in sorted(contents)),
                refusals=tuple(refusals),
            )
        return total

    def carried_leases(
        self, texts: Mapping[str, bytes], contents: Mapping[str, bytes], observed: HostObserved
    ) -> Iterator[tuple[int, Step]]:
        """Where the lease file moves, its leases move along: dnsmasq would begin with none."""
        before, after = lease_file_of(texts), lease_file_of({**texts, **contents})
        known = before != DEFAULT_LEASE_FILE or isinstance(observed.text(before), Seen)
        if before != after and known:
            why = f"{self.kind}: the leases move along from {before}"
            yield Phase.LEASES, Step(f"leases:{after}", {}, {"from": before}, why)

    def own_content(
        self, texts: Mapping[str, bytes], changed: Mapping[str, bytes], observed: HostObserved
    ) -> dict[str, bytes]:
        """Our own file: what no other file says, once the others are changed. None where it needs not be written."""
        foreign = self.foreign({**texts, **changed})
        directives = self.all_directives(observed)
        named = dict(zip(directives, self.canonical_pairs(directives), strict=True))
        here = [pair for pair, (key, value) in named.items() if value not in foreign.get(key, [])]
        content = dnsmasq.render(here)
        return {} if not here and OWN_FILE not in texts else {OWN_FILE: content}

    def grouped(self, directives: Sequence[Directive]) -> dict[str, list[Json]]:
        """{key: sorted canonical values}."""
        fields: dict[str, list[Json]] = {}
        for key, value in self.canonical_pairs(directives):
            fields.setdefault(key, []).append(value)
        return {key: [*sorted(values, key=str)] for key, values in fields.items()}

    def canonical_pairs(self, directives: Sequence[Directive]) -> list[Directive]:
        """Each directive in the form that equal meanings share, one for one."""
        return [(k, dnsmasq.canonical_value(k, v, self.networks)) for k, v in without_tag_names(directives)]

    def standings(self, texts: Mapping[str, bytes]) -> list[StandingElsewhere]:
        """Every directive of all files but ours, canonical, with its place."""
        return elsewhere.standings({p: t for p, t in texts.items() if p != OWN_FILE}, self.canonical_pairs)

    def foreign(self, texts: Mapping[str, bytes]) -> dict[str, list[Json]]:
        """What all files but ours say."""
        fields: dict[str, list[Json]] = {}
        for standing in self.standings(texts):
            fields.setdefault(standing.key, []).append(standing.value)
        return {key: [*sorted(values, key=str)] for key, values in fields.items()}

    def counting_elsewhere(
        self, texts: Mapping[str, bytes], want: Mapping[str, Sequence[Json]]
    ) -> Mapping[str, list[Json]]:
        """What other files say that is wanted, or is in its way. Their other settings belong to them and are not
        drift.
        """
        fields: dict[str, list[Json]] = {}
        everything = elsewhere.standings(texts, self.canonical_pairs)
        for standing in elsewhere.in_force(everything, want):
            is_wanted = standing.value in want.get(standing.key, [])
            if standing.path != OWN_FILE and (is_wanted or elsewhere.is_rival(standing, want)):
                fields.setdefault(standing.key, []).append(standing.value)
        return fields

    def to_move(self, texts: Mapping[str, bytes]) -> Iterator[StandingElsewhere]:
        """What is elsewhere and is taken over."""
        want = self.wanted()
        guests = {line.where for line in lines_to_move(texts, self.guests)} if self.take_guests else set()
        for standing in self.standings(texts):
            is_guest = standing.key == "dhcp-host" and standing.where in guests
            is_ours = standing.value in want.get(standing.key, []) or elsewhere.is_rival(standing, want)
            is_ours = is_ours or (standing.key, standing.value) in self.former
            if is_guest or (self.take_over and is_ours):
                yield standing

    def left(self, texts: Mapping[str, bytes]) -> list[StandingElsewhere]:
        """What another file still says and the spec does not any more, but for what has another value now."""
        want = self.wanted()
        found = [s for s in self.standings(texts) if (s.key, s.value) in self.former]
        return [s for s in found if not elsewhere.is_rival(s, want)]

    def moved(self, texts: Mapping[str, bytes]) -> dict[str, bytes]:
        """The other files without what is taken over."""
        return elsewhere.without(texts, self.to_move(texts))

    def changed_in_place(
        self, texts: Mapping[str, bytes], observed: HostObserved
    ) -> tuple[dict[str, bytes], list[Refusal]]:
        """Values that another file gives otherwise: changed there if it is the home of it all, or refused."""
        want, found = self.wanted(observed), self.standings(texts)
        counting = [s for s in elsewhere.in_force(elsewhere.standings(texts, self.canonical_pairs), want) if s in found]
        rivals = list(elsewhere.rivals(counting, want, self.pairs_by_value()))
        left = self.left(texts)
        homes = {s.path for s in found if s.key in want}
        is_home = 2 * len({(s.key, s.value) for s in found if s.value in want.get(s.key, [])}) > len(self.directives)
        shared = {(s.path, s.line) for s in found if s not in left} & {(s.path, s.line) for s in left}
        homes |= {s.path for s in left}
        if (rivals or left) and len(homes) == 1 and is_home and not shared and OWN_FILE not in texts:
            (home,) = homes
            changed = elsewhere.with_values(texts[home], rivals)
            return {home: elsewhere.without({home: changed}, left).get(home, changed)}, []
        refusals = [elsewhere.refusal(standing, new, observed.host) for standing, new in rivals]
        return {}, [*refusals, *(elsewhere.not_gone(standing, observed.host) for standing in left)]

    def pairs_by_value(self) -> dict[Directive, Directive]:
        """{(key, canonical value): (key, value as written)}."""
        return dict(zip(self.canonical_pairs(self.directives), self.directives, strict=True))


def lease_file_of(texts: Mapping[str, bytes]) -> str:
    """Where dnsmasq keeps its leases with these files."""
    said = [
        value for path in sorted(texts) for key, value in directives_of(texts[path], path) if key == "dhcp-leasefile"
    ]
    return said[-1] if said else DEFAULT_LEASE_FILE


def directives_of(content: bytes, path: str) -> list[Directive]:
    """The directives of one file."""
    return [(d.key, d.value) for d in dnsmasq.parse(content, path).directives]


def merged(own: Sequence[Json], foreign: Iterable[Json]) -> list[Json]:
    """Both together, each value once."""
    return [*sorted({*map(str, own), *map(str, foreign)})]


def ranges(directives: Sequence[tuple[str, str]]) -> list[Range]:
    """The ranges of addresses that some directives give out."""
    found = []
    for key, value in directives:
        if key != "dhcp-range":
            continue
        parts = [part.strip() for part in value.split(",") if ":" not in part]
        try:
            found.append((int(IPv4Address(parts[0])), int(IPv4Address(parts[1]))))
        except (ValueError, IndexError):
            continue
    return found


def inside(address: str, spans: Sequence[Range]) -> bool:
    """Whether an address is in one of the ranges."""
    number = int(ip_address(address))
    return any(first <= number <= last for first, last in spans)
