"""Kernel settings: what they are now, and what the next boot makes of them wherever that is said."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from service.formats import sysctl_files
from service.formats.interfaces import FILES as INTERFACES_FILES
from service.formats.interfaces import Forwarding
from service.model.changes import Difference
from service.model.facts import Step
from service.model.observed import HostObserved, Watch
from service.model.plans import Left, Refusal
from service.model.states import Absent, Json, Observed, Seen, Unknown
from service.observe.at_boot import effects_at_boot, texts_of
from service.observe.derived import derived
from service.resources.desired import Desired, LastApplied
from service.resources.files import file_step, mode_differences, sha256
from service.resources.resource import Compared, Contribution, Phase, Resource, Wishes, field_difference

OWN_FILE = "/etc/sysctl.d/60-passerelle.conf"
FILES = ("/etc/sysctl.conf", "/etc/sysctl.d/*", "/run/sysctl.d/*", "/usr/lib/sysctl.d/*")
FORWARDING = "net.ipv4.ip_forward"
KERNEL_DEFAULTS = {
    FORWARDING: "0",
    "net.ipv6.conf.all.forwarding": "0",
    "net.bridge.bridge-nf-call-iptables": "0",
    "net.bridge.bridge-nf-call-ip6tables": "0",
}
"""What the kernel has where nothing sets it (ip-sysctl.rst). The bridge's count as off: they exist only while
br_netfilter is loaded, and nothing of ours loads it where no setting needs it."""
STOPS = {
    FORWARDING: "; what this host forwards for others stops",
    "net.ipv6.conf.all.forwarding": "; the IPv6 that this host forwards for others stops",
}
NOT_KNOWN = "nat"
"""The section that is named for a file of which no setting is left where no apply is known that wrote it: `nat` is the
one that most specs had."""


@dataclass(frozen=True, slots=True)
class Sysctl:
    """A kernel setting that something else needs; `cause` says what."""

    kind: str = field(compare=False)
    key: str
    value: str
    cause: str = field(default="", compare=False)

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
        """What the next boot makes of it: an `up` line of the interfaces file runs after sysctl.d and wins.
        Absent where no file says anything, and the kernel's default is not known."""
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
        if found:
            return Seen(found.value, f"{found.path}:{found.line}")
        return Seen(KERNEL_DEFAULTS[self.key]) if self.key in KERNEL_DEFAULTS else Absent()

    @classmethod
    def steps(cls, compared: Sequence[Compared[Self]], observed: HostObserved) -> Contribution:
        """The kernel's values; the boot's are a step of our file, and a file that overrules it is a refusal."""
        steps = [
            (
                Phase.FORWARDING,
                Step(sysctl.id, d.have, d.want, f"{sysctl.kind}: {sysctl.key} is {d.have} ({sysctl.cause})"),
            )
            for sysctl, different in compared
            for d in different
            if d.where == "live" and not d.unknown
        ]
        refusals = [
            Refusal(
                "not-ours",
                f"{seen.where} sets {s.key} to {seen.value} after {OWN_FILE} would set it to {s.value}",
                hint=f"remove that line on {observed.host}; passerelle does not own the file",
            )
            for s, _ in compared
            if isinstance(seen := s.at_boot(observed), Seen) and seen.value != s.value and overrules_ours(seen.where)
        ]
        return Contribution(steps=tuple(steps), refusals=tuple(refusals))

    @classmethod
    def shared(cls, wanted: Sequence[Self]) -> Iterator[Resource]:
        """The one file of all settings, also where none is wanted any more."""
        yield SettingsFile(wanted[0].kind if wanted else NOT_KNOWN, tuple(wanted))


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """Our own sysctl.d file. It is ours as a whole: a line that no setting of the spec needs goes.

    With the line goes the value that it gave the kernel. The kernel then has what the next boot makes of the key: what
    another file says, else the kernel's default. Where the default is not known, the value stays until the next boot,
    and the plan names it as left behind. What another file says is never ours, so the value that it gives stays.
    """

    kind: str = field(compare=False)
    settings: tuple[Sysctl, ...]
    mode: str = "0644"

    @property
    def id(self) -> str:
        return f"settings:{OWN_FILE}"

    def wishes(self) -> Wishes:
        if not self.settings:
            return {}
        return {(OWN_FILE, "mode", "file"): self.mode, (OWN_FILE, "owner", "file"): "0:0"}

    def remembering(self, desired: Desired, base: LastApplied) -> Self:
        """Where no setting is left, the section that asked for the last ones: its end is why the file goes."""
        asked = (key[0] for key in base.wishes if key[1] == OWN_FILE)
        return self if self.settings else replace(self, kind=next(asked, self.kind))

    def watch(self) -> Watch:
        return Watch(files=frozenset({OWN_FILE, *FILES, *INTERFACES_FILES}), sysctls=frozenset(KERNEL_DEFAULTS))

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        seen, text = observed.fact(f"file:{OWN_FILE}"), observed.text(OWN_FILE)
        if isinstance(text, Unknown) or not isinstance(seen, Seen) or not isinstance(text, Seen):
            unread: Observed[Json] = text if isinstance(text, Unknown) else seen
            if isinstance(unread, Unknown):
                yield from field_difference(self, OWN_FILE, "file", "file", None, unread)
            return
        for key, value in self.unwanted(text.value).items():
            yield Difference(self.kind, OWN_FILE, key, "file", "extra", None, value)
            if key in KERNEL_DEFAULTS:
                then = self.at_boot_without(key, observed)
                if isinstance(then, Unknown):
                    yield from field_difference(self, key, "value", "live", None, then)
                elif isinstance(then, Seen):
                    yield from field_difference(self, key, "value", "live", then.value, observed.fact(f"sysctl:{key}"))
        if self.settings:
            yield from mode_differences(self, OWN_FILE, self.mode, seen)
        else:
            yield from field_difference(self, OWN_FILE, "file", "file", None, Seen("present"))

    def unwanted(self, content: bytes) -> dict[str, str]:
        """{key: value} of the lines that no setting needs."""
        needed = {sysctl_files.canonical(setting.key) for setting in self.settings}
        return {
            sysctl_files.dotted(line.key): line.value or ""
            for line in sysctl_files.parse(content)
            if sysctl_files.canonical(line.key) not in needed
        }

    def at_boot_without(self, key: str, observed: HostObserved) -> Observed[Json]:
        """What the next boot makes of a key once our file does not name it."""
        return Sysctl(self.kind, key, "", "").at_boot(without_ours(observed))

    @classmethod
    def steps(cls, compared: Sequence[Compared[Self]], observed: HostObserved) -> Contribution:
        total: list[tuple[int, Step]] = []
        blobs: dict[str, bytes] = {}
        for file, different in compared:
            at_boot = [(sysctl, sysctl.at_boot(observed)) for sysctl in file.settings]
            if any(d.unknown for d in different) or any(isinstance(seen, Unknown) for _, seen in at_boot):
                continue
            wrong = [s for s, seen in at_boot if is_wrong(s, seen) and not overruled(seen)]
            if different or wrong:
                lines = [(s.key, s.value) for s, seen in at_boot if needs_a_line(s, seen)]
                content = sysctl_files.render(lines) if file.settings else None
                why = "; ".join(
                    [
                        *([f"boot: {', '.join(s.key for s in wrong)} ({wrong[0].cause})"] if wrong else []),
                        *([f"no spec needs {words}"] if (words := in_words(different, "extra")) else []),
                        *([f"{OWN_FILE}: {words}"] if (words := in_words(different, "changed")) else []),
                    ]
                )
                total.append((Phase.FILE, file_step(OWN_FILE, content, file.mode, observed, why or "no spec needs it")))
                blobs |= {sha256(content): content} if content is not None else {}
            total += [
                (
                    Phase.FORWARDING,
                    Step(
                        f"sysctl:{d.resource}",
                        d.have,
                        d.want,
                        f"{file.kind}: {d.resource} is {d.have}, and no line of the spec needs it any more"
                        + STOPS.get(d.resource, ""),
                    ),
                )
                for d in different
                if d.where == "live"
            ]
        return Contribution(steps=tuple(total), blobs=blobs)

    @classmethod
    def left_behind(cls, desired: Desired, base: LastApplied, observed: HostObserved) -> Iterator[Left]:
        """Values whose line goes, and of which nobody here knows what they were before."""
        text = observed.text(OWN_FILE)
        content = text.value if isinstance(text, Seen) else b""
        for file in desired.of_type(cls):
            for key, value in file.unwanted(content).items():
                if key not in KERNEL_DEFAULTS:
                    yield Left(
                        f"sysctl:{key}",
                        f"the kernel keeps {key} = {value} until the next boot",
                        f"restart {observed.host}, or set the value that it should have with `sysctl -w {key}=VALUE`",
                    )


def in_words(different: Sequence[Difference], op: str) -> str:
    """The fields of the file that differ in one way."""
    return ", ".join(d.field for d in different if d.where == "file" and d.op == op and d.field != "file")


def is_wrong(sysctl: Sysctl, seen: Observed[Json]) -> bool:
    """Whether the boot makes something else of it; no file says anything where it is absent."""
    return not isinstance(seen, Seen) or seen.value != sysctl.value


def needs_a_line(sysctl: Sysctl, seen: Observed[Json]) -> bool:
    """Whether the setting belongs in our own file: it is wrong at boot, or right because of our file."""
    return is_wrong(sysctl, seen) or (isinstance(seen, Seen) and seen.where.startswith(OWN_FILE))


def overruled(seen: Observed[Json]) -> bool:
    """Whether another place sets the value after our own file would."""
    return isinstance(seen, Seen) and overrules_ours(seen.where)


def overrules_ours(where: str) -> bool:
    """Whether the place that sets a value comes after our own file: a later name, or an interfaces file's `up` line."""
    if not where:
        return False
    path = where.rsplit(":", 1)[0]
    name = path.rsplit("/", 1)[-1]
    own = OWN_FILE.rsplit("/", 1)[-1]
    return path.startswith("/etc/network/") or path == "/etc/sysctl.conf" or name > own


@derived
def without_ours(observed: HostObserved) -> HostObserved:
    """The host as it would be seen without our file."""
    return replace(observed, texts={**observed.texts, OWN_FILE: Absent()})
