"""Kernel settings: their values now, and their values at the next boot, wherever a file gives one."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Self

from service.formats import sysctl_files
from service.model.changes import Difference, Where
from service.model.facts import Step
from service.model.observed import HostObserved, Watch
from service.model.plans import Left, Refusal
from service.model.states import Absent, Json, Observed, Seen, Unknown
from service.resources.desired import Desired, LastApplied
from service.resources.files import file_step, mode_differences, sha256
from service.resources.kernel_at_boot import (
    FORWARDING,
    OWN_FILE,
    WATCH,
    BootSetting,
    Own,
    boot_setting,
    link_key,
    link_of,
)
from service.resources.resource import Compared, Contribution, Phase, Resource, Wishes, field_difference

FORWARDING6 = "net.ipv6.conf.all.forwarding"
ACCEPT_RA = re.compile(r"net\.ipv6\.conf\.([A-Za-z0-9_/-]{1,15})\.accept_ra")
KERNEL_DEFAULTS = {
    FORWARDING: "0",
    FORWARDING6: "0",
    "net.bridge.bridge-nf-call-iptables": "0",
    "net.bridge.bridge-nf-call-ip6tables": "0",
}
"""What the kernel has where nothing sets it (ip-sysctl.rst). The bridge's count as off: they exist only while
br_netfilter is loaded, and nothing of ours loads it where no setting needs it."""
LINK_DEFAULTS = {"forwarding": "0", "rp_filter": "0", "accept_ra": "1"}
"""What the kernel has of one interface where no file says anything."""
STOPS = {
    FORWARDING: "; what this host forwards for others stops",
    FORWARDING6: "; the IPv6 that this host forwards for others stops",
}
NOT_KNOWN = "nat"
"""The section that is named for a file of which no setting is left where no apply is known that wrote it: `nat` is the
one that most specs had."""


DEFAULT_FORWARDING = link_key("default", "forwarding")
"""What an interface gets that appears later."""


@dataclass(frozen=True, slots=True)
class Sysctl:
    """A kernel setting that something else needs. `cause` names the need.

    `also` are further values that do as well. Where `raised_by` names a key, the kernel takes the larger of both values
    (ip-sysctl.rst, rp_filter), so the larger one is compared. `kept` are the interfaces whose IPv6 default route stays
    when forwarding of IPv6 begins: it was set, or its interface still learns it.
    """

    kind: str = field(compare=False)
    key: str
    value: str
    cause: str = field(default="", compare=False)
    also: tuple[str, ...] = ()
    raised_by: str = ""
    kept: tuple[str, ...] = field(default=(), compare=False)

    @property
    def id(self) -> str:
        return f"sysctl:{self.key}"

    def wishes(self) -> Wishes:
        return {(self.key, "value", "live"): self.value, (self.key, "value", "boot"): self.value}

    def watch(self) -> Watch:
        keys = {self.key, *filter(None, [self.raised_by])}
        keys |= {FORWARDING, DEFAULT_FORWARDING} if link_of(self.key, "forwarding") else set()
        return WATCH | Watch(sysctls=frozenset(keys))

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        both: dict[Where, Observed[Json]] = {"live": self.now(observed), "boot": self.at_boot(observed)}
        for where, seen in both.items():
            if not self.is_met(seen):
                yield from field_difference(self, self.key, "value", where, self.value, seen, cause=self.cause)

    def is_met(self, seen: Observed[Json]) -> bool:
        """Whether a value does."""
        return isinstance(seen, Seen) and seen.value in (self.value, *self.also)

    def now(self, observed: HostObserved) -> Observed[Json]:
        """The value that counts in the kernel."""
        seen = observed.fact(self.id)
        if link_of(self.key, "forwarding"):
            host = observed.fact(f"sysctl:{FORWARDING}")
            if isinstance(host, Unknown) or (isinstance(host, Seen) and host.value != "1"):
                # the host's own switch differs, too, and sets every interface when it changes
                return host if isinstance(host, Unknown) else Seen(self.value)
            return observed.fact(f"sysctl:{DEFAULT_FORWARDING}") if isinstance(seen, Absent) else seen
        return larger(seen, observed.fact(f"sysctl:{self.raised_by}")) if self.raised_by else seen

    def at_boot(self, observed: HostObserved, own: Own = MappingProxyType({})) -> Observed[Json]:
        """The value after the next boot. Absent where no file gives one, and the kernel's default is not known."""
        if link_of(self.key, "forwarding"):
            host = at_boot(observed, FORWARDING, own)
            if not isinstance(host, Seen) or host.value != "1":
                return host if isinstance(host, Unknown) else Seen(self.value)
        seen = at_boot(observed, self.key, own)
        return larger(seen, at_boot(observed, self.raised_by, own)) if self.raised_by else seen

    @classmethod
    def steps(cls, compared: Sequence[Compared[Self]], observed: HostObserved) -> Contribution:
        """The kernel's values. Those of the boot are a step of our file; what overrules that file is a refusal."""
        steps = []
        for sysctl, different in compared:
            before = observed.fact(sysctl.id)
            for d in different:
                if d.where == "live" and not d.unknown and not isinstance(before, Unknown):
                    have = before.value if isinstance(before, Seen) else None
                    why = f"{sysctl.kind}: {sysctl.key} is {d.have} ({sysctl.cause})"
                    steps.append((sysctl.phase, Step(sysctl.id, have, d.want, why)))
        found = [(s, by) for s, _ in compared if (by := s.overruled(observed)) is not None]
        notes = tuple(by_the_bridge(s, observed, by) for s, by in found if by.by_bridge)
        refusals = tuple(refusal(s, observed, by) for s, by in found if not by.by_bridge)
        begins = {step.fact for _, step in steps}
        lost = (r for s, _ in compared if s.id in begins for r in routes_lost(s, observed))
        refusals = (*refusals, *lost)
        return Contribution(steps=tuple(steps), refusals=refusals, notes=notes)

    @property
    def phase(self) -> int:
        """An interface is set to keep its route before forwarding would end it."""
        if ACCEPT_RA.fullmatch(self.key):
            return Phase.FORWARDING - 1
        return Phase.LINK_SETTING if link_of(self.key, "forwarding") else Phase.FORWARDING

    def overruled(self, observed: HostObserved) -> BootSetting | None:
        """The place that gives another value although our own file gives ours; None where our file is enough."""
        seen = self.at_boot(observed)
        if self.is_met(seen) or isinstance(seen, Unknown):
            return None
        healed = {self.key: self.value}
        if self.is_met(self.at_boot(observed, healed)):
            return None
        found = boot_setting(observed, self.key, healed)
        return found if isinstance(found, BootSetting) else None

    def needs_a_line(self, observed: HostObserved) -> bool:
        """Whether the setting belongs in our own file: without a line there it would be wrong at boot."""
        return not self.is_met(self.at_boot(observed, {self.key: None}))

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
    askers: tuple[tuple[str, str], ...] = ()
    """(key, the section that needed it) at the last apply: a line that goes is a change of that section."""

    @property
    def id(self) -> str:
        return f"settings:{OWN_FILE}"

    def wishes(self) -> Wishes:
        if not self.settings:
            return {}
        return {(OWN_FILE, "mode", "file"): self.mode, (OWN_FILE, "owner", "file"): "0:0"}

    def remembering(self, desired: Desired, base: LastApplied) -> Self:
        """The sections that need the settings. If none is left, the end of that section is the reason why the file
        goes.
        """
        asked = (key[0] for key in base.wishes if key[1] == OWN_FILE)
        askers = sorted((key[1], key[0]) for key in base.wishes if key[2:] == ("value", "boot"))
        return replace(self, kind=self.kind if self.settings else next(asked, self.kind), askers=tuple(askers))

    def watch(self) -> Watch:
        return WATCH | Watch(sysctls=frozenset(KERNEL_DEFAULTS))

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        seen, text = observed.fact(f"file:{OWN_FILE}"), observed.text(OWN_FILE)
        if isinstance(text, Unknown) or not isinstance(seen, Seen) or not isinstance(text, Seen):
            unread: Observed[Json] = text if isinstance(text, Unknown) else seen
            if isinstance(unread, Unknown):
                yield from field_difference(self, OWN_FILE, "file", "file", None, unread)
            return
        askers = dict(self.askers)
        for key, value in self.unwanted(text.value).items():
            of = replace(self, kind=askers.get(key, self.kind))
            yield Difference(of.kind, OWN_FILE, key, "file", "extra", None, value)
            if key in KERNEL_DEFAULTS:
                then = self.at_boot_without(key, observed)
                if isinstance(then, Unknown):
                    yield from field_difference(of, key, "value", "live", None, then)
                elif isinstance(then, Seen):
                    yield from field_difference(of, key, "value", "live", then.value, observed.fact(f"sysctl:{key}"))
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
        return at_boot(observed, key, {key: None})

    @classmethod
    def steps(cls, compared: Sequence[Compared[Self]], observed: HostObserved) -> Contribution:
        total: list[tuple[int, Step]] = []
        blobs: dict[str, bytes] = {}
        for file, different in compared:
            booted = [(sysctl, sysctl.at_boot(observed)) for sysctl in file.settings]
            if any(d.unknown for d in different) or any(isinstance(seen, Unknown) for _, seen in booted):
                continue
            wrong = [s for s, seen in booted if not s.is_met(seen) and s.overruled(observed) is None]
            if different or wrong:
                lines = [(s.key, s.value) for s in file.settings if s.needs_a_line(observed)]
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
                if key not in KERNEL_DEFAULTS and not link_of(key, "forwarding"):  # that one follows the host's switch
                    yield Left(
                        f"sysctl:{key}",
                        f"the kernel keeps {key} = {value} until the next boot",
                        f"restart {observed.host}, or set the value that it should have with `sysctl -w {key}=VALUE`",
                    )


def in_words(different: Sequence[Difference], op: str) -> str:
    """The fields of the file that differ in one way."""
    return ", ".join(d.field for d in different if d.where == "file" and d.op == op and d.field != "file")


def at_boot(observed: HostObserved, key: str, own: Own = MappingProxyType({})) -> Observed[Json]:
    """The value of a key after the next boot."""
    found = boot_setting(observed, key, own)
    if isinstance(found, BootSetting):
        return Seen(found.value, found.where)
    if isinstance(found, Unknown):
        return found
    default = KERNEL_DEFAULTS.get(key) or LINK_DEFAULTS.get(key.rpartition(".")[2])
    return Seen(default) if default else Absent()


def larger(one: Observed[Json], other: Observed[Json]) -> Observed[Json]:
    """The larger of two numbers. An interface that is not there yet has none."""
    if isinstance(one, Unknown) or isinstance(other, Unknown):
        return one if isinstance(one, Unknown) else other
    numbers = [seen for seen in (one, other) if isinstance(seen, Seen) and str(seen.value).isdecimal()]
    return max(numbers, key=lambda seen: int(str(seen.value)), default=Absent())


def by_the_bridge(sysctl: Sysctl, observed: HostObserved, found: BootSetting) -> str:
    """Why no file of ours can give a key its value at boot, and what to do. Nothing else has to wait for it."""
    bridge = link_of(sysctl.key, "forwarding")
    return (
        f"at boot ifupdown2 sets {sysctl.key} to {found.value}: {bridge} is a bridge without "
        f"an `address` line ({found.where}). Fix: add `post-up sysctl -w {sysctl.key}={sysctl.value}` to its stanza on "
        f"{observed.host}"
    )


def accept_ra_key(interface: str) -> str:
    """The key by which an interface learns its default route from routers; a dot of its name is a slash in it."""
    return f"net.ipv6.conf.{interface.replace('.', '/')}.accept_ra"


def routes_lost(sysctl: Sysctl, observed: HostObserved) -> Iterator[Refusal]:
    """IPv6 default routes that may be learned, on interfaces that nothing keeps learning once the host forwards."""
    seen = observed.fact("routes:default")
    routes = seen.value if isinstance(seen, Seen) and isinstance(seen.value, list) else []
    devices = {str(one.get("dev")) for one in routes if isinstance(one, dict) and one.get("family") == 6}
    for device in sorted(devices.difference(sysctl.kept)) if sysctl.key == FORWARDING6 else ():
        yield Refusal(
            "management-path",
            f"the IPv6 default route goes through {device}, and forwarding of IPv6 would end it if it is learned",
            hint="write it into the spec as `gateway6` of that interface",
        )


def refusal(sysctl: Sysctl, observed: HostObserved, found: BootSetting) -> Refusal:
    """What overrules our own file, and what to do."""
    return Refusal(
        "not-ours",
        f"{found.where} sets {sysctl.key} to {found.value} after {OWN_FILE} would set it to {sysctl.value}",
        hint=f"Fix: remove that line on {observed.host}; passerelle does not own the file",
    )
