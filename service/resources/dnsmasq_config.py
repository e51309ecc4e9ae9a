"""dnsmasq's configuration: compared directive by directive over all its files, written in a file of our own."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from service.formats import dnsmasq
from service.model.changes import Difference
from service.model.observed import HostObserved, Watch
from service.model.plans import Refusal
from service.model.states import Json, Unknown
from service.resources.boot import texts_of
from service.resources.files import file_step, mode_differences, sha256
from service.resources.resource import Phase, Steps, Wishes, field_difference, op_of

OWN_FILE = "/etc/dnsmasq.d/passerelle.conf"
FILES = ("/etc/dnsmasq.conf", "/etc/dnsmasq.d/*")
MAIN = ("/etc/dnsmasq.conf",)

Directive = tuple[str, str]
"""(key as in dnsmasq(8), value; empty for a switch)"""


@dataclass(frozen=True, slots=True)
class DnsmasqConfig:
    """All directives wanted. One that another file of dnsmasq's already gives is met where it stands.

    `networks` are the host's own (CIDR): they give a range its mask where it names none.
    """

    kind: str
    directives: tuple[Directive, ...]
    networks: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return "dnsmasq:config"

    def wanted(self) -> dict[str, list[Json]]:
        """{key: [canonical value, …]}."""
        return self.grouped(self.directives)

    def wishes(self) -> Wishes:
        fields: dict[str, Json] = {key: [*values] for key, values in self.wanted().items()}
        fields |= {"mode": "0644", "owner": "0:0"}
        return {(OWN_FILE, key, "file"): want for key, want in fields.items()}

    def watch(self) -> Watch:
        lease_files = {value for key, value in self.directives if key == "dhcp-leasefile"}
        return Watch(files=frozenset({*FILES, *lease_files}))

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        texts = self.texts(observed)
        if isinstance(texts, Unknown):
            yield from field_difference(self, OWN_FILE, "file", "file", "present", texts)
            return
        want, foreign = self.wanted(), self.foreign(texts)
        own = self.grouped(directives_of(texts[OWN_FILE])) if OWN_FILE in texts else {}
        for key in [*want, *(key for key in own if key not in want)]:
            have = merged(own.get(key, []), foreign.get(key, []))
            wanted = want.get(key, [])
            if wanted != have and not (wanted and all(v in have for v in wanted) and not own.get(key)):
                value: Json = [*wanted] if wanted else None
                yield Difference(
                    self.kind, OWN_FILE, key, "file", op_of(value, [*have]), value, [*have] if have else None
                )
        if OWN_FILE in texts:
            yield from mode_differences(self, OWN_FILE, "0644", observed.fact(f"file:{OWN_FILE}"))

    def texts(self, observed: HostObserved) -> dict[str, bytes] | Unknown:
        """dnsmasq's files as it reads them."""
        texts = texts_of(observed, FILES)
        if isinstance(texts, Unknown):
            return texts
        return {path: texts[path] for path in dnsmasq.taken(texts)} | {
            path: texts[path] for path in MAIN if path in texts
        }

    @classmethod
    def steps(cls, wanted: Sequence[Self], observed: HostObserved) -> Steps:
        total = Steps()
        for config in wanted:
            different = list(config.differences(observed))
            texts = config.texts(observed)
            if not different or isinstance(texts, Unknown) or any(d.unknown for d in different):
                continue
            foreign = config.foreign(texts)
            clashes = list(config.clashes(texts))
            here = [(k, v) for k, v in config.directives if config.canonical(k, v) not in foreign.get(k, [])]
            content = dnsmasq.render(here)
            why = f"{config.kind}: {OWN_FILE}: {', '.join(d.field for d in different[:8])}"
            total = Steps(
                steps=((Phase.DAEMON_FILE, file_step(OWN_FILE, content, "0644", observed, why)),),
                blobs={sha256(content): content},
                checks=(("dnsmasq", OWN_FILE),),
                refusals=tuple(clashes),
            )
        return total

    def grouped(self, directives: Sequence[Directive]) -> dict[str, list[Json]]:
        """{key: sorted canonical values}."""
        fields: dict[str, list[Json]] = {}
        for key, value in directives:
            fields.setdefault(key, []).append(self.canonical(key, value))
        return {key: [*sorted(values, key=str)] for key, values in fields.items()}

    def canonical(self, key: str, value: str) -> str:
        """One value in the form that equal meanings share."""
        return dnsmasq.canonical_value(key, value, self.networks)

    def foreign(self, texts: Mapping[str, bytes]) -> dict[str, list[Json]]:
        """What all files but ours say."""
        return self.grouped([d for path in sorted(texts) if path != OWN_FILE for d in directives_of(texts[path])])

    def clashes(self, texts: Mapping[str, bytes]) -> Iterator[Refusal]:
        """Directives of which dnsmasq takes one, and another file gives another value."""
        wanted = self.wanted()
        for path in sorted(texts):
            if path == OWN_FILE:
                continue
            for directive in dnsmasq.parse(texts[path], path).directives:
                want = wanted.get(directive.key)
                value = self.canonical(directive.key, directive.value)
                if want and directive.key in dnsmasq.SINGLE and value not in want:
                    place = f"{path}:{directive.line}"
                    yield Refusal(
                        "not-ours",
                        f"{place} sets {directive.key} to {value or 'on'}, the spec wants {want[0] or 'on'}",
                        hint=f"remove that line on the host, or say the same in the spec; {path} is not passerelle's",
                    )


def directives_of(content: bytes) -> list[Directive]:
    """The directives of one file."""
    return [(d.key, d.value) for d in dnsmasq.parse(content, "").directives]


def merged(own: Sequence[Json], foreign: Sequence[Json]) -> list[Json]:
    """Both together, each value once."""
    return [*sorted({*map(str, own), *map(str, foreign)})]
