"""Kernel settings: what they are now, and what the next boot makes of them wherever that is said."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from service.formats import sysctl_files
from service.formats.interfaces import FILES as INTERFACES_FILES
from service.formats.interfaces import Forwarding
from service.model.changes import Difference
from service.model.facts import Step
from service.model.observed import HostObserved, Watch
from service.model.plans import Refusal
from service.model.states import Json, Observed, Seen, Unknown
from service.observe.at_boot import effects_at_boot, texts_of
from service.resources.files import file_step, sha256
from service.resources.resource import Phase, Steps, Wishes, field_difference

OWN_FILE = "/etc/sysctl.d/60-passerelle.conf"
FILES = ("/etc/sysctl.conf", "/etc/sysctl.d/*", "/run/sysctl.d/*", "/usr/lib/sysctl.d/*")
FORWARDING = "net.ipv4.ip_forward"


@dataclass(frozen=True, slots=True)
class Sysctl:
    """A kernel setting that something else needs; `cause` says what."""

    kind: str
    key: str
    value: str
    cause: str

    @property
    def id(self) -> str:
        return f"sysctl:{self.key}"

    def wishes(self) -> Wishes:
        return {(self.key, "value", "live"): self.value, (self.key, "value", "boot"): self.value}

    def watch(self) -> Watch:
        return Watch(files=frozenset({OWN_FILE, *FILES, *INTERFACES_FILES}), sysctls=frozenset({self.key}))

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        yield from field_difference(
            self, self.key, "value", "live", self.value, observed.fact(self.id), cause=self.cause
        )
        yield from field_difference(
            self, self.key, "value", "boot", self.value, self.at_boot(observed), cause=self.cause
        )

    def at_boot(self, observed: HostObserved) -> Observed[Json]:
        """What the next boot makes of it: an `up` line of the interfaces file runs after sysctl.d and wins."""
        lines = effects_at_boot(observed)
        if isinstance(lines, Unknown):
            return lines
        if self.key == FORWARDING:
            for line in reversed(lines):
                if isinstance(line.effect, Forwarding):
                    return Seen("1" if line.effect.on else "0", f"{line.path}:{line.line}")
        texts = texts_of(observed, FILES, passed_over=(sysctl_files.MAIN_LINK,))
        if isinstance(texts, Unknown):
            return texts
        found = sysctl_files.effective(texts, self.key)
        # the kernel's own default for every key we set: off
        return Seen(found.value, f"{found.path}:{found.line}") if found else Seen("0")

    @classmethod
    def steps(cls, wanted: Sequence[Self], observed: HostObserved) -> Steps:
        steps: list[tuple[int, Step]] = []
        for sysctl in wanted:
            live = [d for d in sysctl.differences(observed) if d.where == "live" and not d.unknown]
            steps.extend(
                (
                    Phase.FORWARDING,
                    Step(sysctl.id, d.have, d.want, f"{sysctl.kind}: {sysctl.key} is {d.have} ({sysctl.cause})"),
                )
                for d in live
            )
        boot = cls.boot_steps(wanted, observed)
        return Steps(steps=(*boot.steps, *steps), blobs=boot.blobs, refusals=boot.refusals)

    @classmethod
    def boot_steps(cls, wanted: Sequence[Self], observed: HostObserved) -> Steps:
        """Our own sysctl.d file, where no other file says it already; a file that overrules ours is a refusal."""
        at_boot = [(sysctl, sysctl.at_boot(observed)) for sysctl in wanted]
        if any(isinstance(seen, Unknown) for _, seen in at_boot):
            return Steps()
        wrong = [(s, seen) for s, seen in at_boot if isinstance(seen, Seen) and seen.value != s.value]
        refusals = [
            Refusal(
                "not-ours",
                f"{seen.where} sets {s.key} to {seen.value} after {OWN_FILE} would set it to {s.value}",
                hint=f"remove that line on {observed.host}; passerelle does not own the file",
            )
            for s, seen in wrong
            if seen.where and overrules_ours(seen.where)
        ]
        if not wrong or refusals:
            return Steps(refusals=tuple(refusals))
        content = sysctl_files.render([(s.key, s.value) for s, seen in at_boot if says_nothing_else(s, seen)])
        why = f"boot: {', '.join(s.key for s, _ in wrong)} ({wrong[0][0].cause})"
        return Steps(
            steps=((Phase.FILE, file_step(OWN_FILE, content, "0644", observed, why)),), blobs={sha256(content): content}
        )


def says_nothing_else(sysctl: Sysctl, seen: Observed[Json]) -> bool:
    """Whether the setting belongs in our own file: it is wrong at boot, or right because of our file."""
    return isinstance(seen, Seen) and (seen.value != sysctl.value or seen.where.startswith(OWN_FILE))


def overrules_ours(where: str) -> bool:
    """Whether the place that sets a value comes after our own file: a later name, or an interfaces file's `up` line."""
    path = where.rsplit(":", 1)[0]
    name = path.rsplit("/", 1)[-1]
    own = OWN_FILE.rsplit("/", 1)[-1]
    return path.startswith("/etc/network/") or path == "/etc/sysctl.conf" or name > own
