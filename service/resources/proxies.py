"""What nginx in a guest has loaded.

Its files lie on the host and are ordinary files. That nginx runs, and with these very files, is a fact of its own. A
file that changed and was not loaded is drift, and a rollback loads the old files again. A guest that is down loads its
files when it starts. What it has loaded is Unknown until then, and no change waits for it.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from service.hostside.guest_nginx import is_not_running
from service.model.changes import Difference
from service.model.facts import Step
from service.model.observed import HostObserved, Watch
from service.model.plans import Refusal
from service.model.probes import Probe
from service.model.states import Absent, Json, Observed, Seen, Unknown
from service.resources.desired import LastApplied
from service.resources.proxy_files import folder_of, is_read_by_nginx, loaded_digest
from service.resources.resource import Compared, Contribution, Phase, Wishes, op_of, value_or_none

HTTPS = 443
MOST_SITES_PROVEN = 8
"""They share one nginx: more of them prove nothing more."""
FIELD = "loaded"
NO_MAC = "00:00:00:00:00:00"
"""Of a guest that its number alone finds."""
_SUBJECT = re.compile(r"nginx in guest (?P<guest>[a-z0-9-]{1,63}) \((?P<where>[0-9a-f:]{3,17})\)")


@dataclass(frozen=True)
class Proxy:
    """nginx in `guest` has loaded `files`, {name in its folder: content}. No file: it has none of ours.

    `where` finds the guest on the host: its MAC address in small letters, or its number on Proxmox. `comes`: the spec
    creates it where it is not there. `address` and `names` are where it answers: the names of its sites.
    """

    kind: str = field(compare=False)
    guest: str
    where: str
    files: Mapping[str, bytes]
    comes: bool = False
    address: str = ""
    names: tuple[str, ...] = ()
    cause: str = field(default="", compare=False)

    @property
    def id(self) -> str:
        return f"proxy:{self.guest}@{self.where}"

    @property
    def digest(self) -> str:
        """Of what is to be loaded, "" for nothing."""
        return loaded_digest(self.files)

    def wishes(self) -> Wishes:
        return (
            {(self.subject, FIELD, "live"): self.digest, (self.subject, "active", "live"): True} if self.files else {}
        )

    @property
    def subject(self) -> str:
        """Its name for people."""
        return f"nginx in guest {self.guest} ({self.where})"

    def watch(self) -> Watch:
        number = 0 if ":" in self.where else int(self.where)
        gone = () if self.files else [(self.guest, NO_MAC if number else self.where, number)]
        return Watch(files=frozenset(map(self.path, self.files)), guests=frozenset(gone))

    def path(self, name: str) -> str:
        """Where the host has a file of the folder."""
        return f"{folder_of(self.guest)}/{name}"

    def seen(self, observed: HostObserved) -> Observed[Json]:
        """What the guest says; a guest that is not there is Unknown where nobody creates it."""
        seen = observed.fact(self.id)
        if isinstance(seen, Absent) and not self.comes:
            return Unknown(f"the host has no guest {self.guest}. Fix: create it, or write `create: {{}}` in the spec")
        return seen

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        seen = self.seen(observed)
        if not self.files:
            have = value_of(seen, FIELD)
            if have:
                yield Difference(self.kind, self.subject, FIELD, "live", "extra", None, have, cause=self.cause)
            return
        if isinstance(seen, Unknown):
            yield Difference(
                self.kind, self.subject, FIELD, "live", "changed", self.digest, None, unknown=seen.why, cause=self.cause
            )
            return
        for name, want in (("active", True), (FIELD, self.digest)):
            have = value_of(seen, name) or None
            if have != want:
                yield Difference(self.kind, self.subject, name, "live", op_of(want, have), want, have, cause=self.cause)

    def only_watched(self) -> Iterator[str]:
        """A guest that does not answer keeps no other change of the host from being made."""
        yield self.subject

    @classmethod
    def retired(cls, wanted: Sequence[Self], base: LastApplied) -> Iterator["Proxy"]:
        """A guest that published sites and publishes none now: nginx there forgets them."""
        subjects = {proxy.subject for proxy in wanted}
        for subject in base.of_field(FIELD, "live"):
            if subject not in subjects and (known := _SUBJECT.fullmatch(subject)):
                yield Proxy("web", known["guest"], known["where"], {})

    @classmethod
    def steps(cls, compared: Sequence[Compared[Self]], observed: HostObserved) -> Contribution:
        steps: list[tuple[int, Step]] = []
        refusals: list[Refusal] = []
        for proxy, different in compared:
            if any(d.unknown for d in different):
                refusals += proxy.objections(observed)
            elif different and not isinstance(observed.fact(proxy.id), Absent):  # one that is created loads its own
                steps.append((Phase.PROXY, proxy.step(observed)))
        return Contribution(steps=tuple(steps), refusals=tuple(refusals))

    def objections(self, observed: HostObserved) -> Iterator[Refusal]:
        """New files for a guest that runs and does not answer would be loaded by nobody, and tested by nobody."""
        seen = self.seen(observed)
        if not isinstance(seen, Unknown) or seen.why == is_not_running(self.guest) or not self.written(observed):
            return
        yield Refusal(
            "unknown",
            f"what {self.subject} has loaded is not known: {seen.why}",
            hint=f"look at the guest: `passerelle look {observed.host}` says when it answers",
        )

    def written(self, observed: HostObserved) -> list[str]:
        """The files that the host does not have yet as they are wanted."""
        texts = {name: observed.text(self.path(name)) for name in self.files}
        return sorted(name for name, text in texts.items() if text != Seen(self.files[name]))

    def step(self, observed: HostObserved) -> Step:
        """The step that loads what is there by then. nginx loads it in any case: files may have changed and changed
        back."""
        seen = self.seen(observed)
        before = value_or_none(seen)
        after: Json = {"active": True, FIELD: self.digest} if self.files else {FIELD: ""}
        written = self.written(observed)
        more = f": {', '.join(written[:6])}" if written else ""
        verb = "loads its files" if self.files else "forgets the sites"
        return Step(self.id, before, after, f"{self.kind}: {self.subject} {verb}{more}", restart=True)

    def restarted(self, changed: Collection[str], planned: Step | None, observed: HostObserved) -> Step | None:
        """The step that loads again where a file changes that nginx may have loaded as somebody else made it."""
        folder = f"{folder_of(self.guest)}/"
        names = sorted(p.removeprefix(folder) for p in changed if p.startswith(folder))
        if planned is not None or not [name for name in names if is_read_by_nginx(name) or name.startswith("units/")]:
            return planned
        if isinstance(self.seen(observed), Unknown | Absent):
            return None
        return replace(self.step(observed), why=f"{self.kind}: {self.subject} loads {', '.join(names[:6])} again")

    def probes(self) -> Iterator[Probe]:
        """Sites that answer before a change have to answer after it, whatever it is."""
        yield from (self.probe(name) for name in self.names[:MOST_SITES_PROVEN] if self.address)

    def probe(self, name: str) -> Probe:
        """One site, as the host reaches it."""
        return Probe("tls", self.address, port=HTTPS, asked=name)

    def proofs(self, observed: HostObserved) -> Iterator[Probe]:
        """What has to answer after it has loaded its files: its sites, over TLS, those first that change."""
        changed = {name.rpartition("/")[2].removesuffix(".conf") for name in self.written(observed)}
        for name in sorted(self.names, key=lambda site: (site not in changed, site))[:MOST_SITES_PROVEN]:
            if self.address and self.files:
                yield replace(self.probe(name), is_due=True)


def value_of(seen: Observed[Json], name: str) -> Json:
    """One field of what was seen, None where nothing was."""
    return seen.value.get(name) if isinstance(seen, Seen) and isinstance(seen.value, dict) else None
