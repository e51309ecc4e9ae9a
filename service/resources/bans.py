"""fail2ban: its jails, who is never banned, and that the jails are really up.

Our file is the last that fail2ban reads, so what it says of a jail holds (jail.conf(5)). It names the service's own
address as the host sees it, which no spec knows; that is why its text comes from the observation.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from service.formats import fail2ban
from service.model.changes import Difference, Where
from service.model.facts import Step
from service.model.observed import HostObserved, Watch
from service.model.states import Absent, Json, Observed, Seen, Unknown
from service.resources.files import OwnFile, file_step, mode_differences, sha256
from service.resources.resource import Compared, Contribution, Phase, Wishes, compare, field_difference, op_of

FOLDER = "/etc/fail2ban"
JAILS_FILE = f"{FOLDER}/jail.d/zz-passerelle.local"
FILTER_FILE = f"{FOLDER}/filter.d/passerelle-proxmox.conf"
UNIT = "fail2ban.service"
OTHERS = (f"{FOLDER}/jail.local", f"{FOLDER}/jail.d/*")
DISTRIBUTION = f"{FOLDER}/jail.d/defaults-debian.conf"
ALWAYS = ("127.0.0.1/8", "::1")
SERVICE = "the service"
"""Stands for the service's own address, which is known only from an observation: what is wanted says it without."""
HEARING = ("sshd",)
"""Jails that are checked for whether they can hear their daemon at all."""

FILTER = rb"""# written by passerelle
[Definition]
# From the start of the line: a user's name that looks like a message must not ban another address.
failregex = ^\s*\S+ pvedaemon\[\d+\]: (?:openid )?authentication failure; rhost=<ADDR> (?:user|msg)=
journalmatch = _SYSTEMD_UNIT=pvedaemon.service
"""


DEAF = {"journalmatch": "choice of journal entries (journalmatch)", "filter": "filter"}


@dataclass(frozen=True, slots=True)
class Jails:
    """The jails by name with their options, () = none of ours are wanted. `spared` are never banned, next to the host
    itself and the service."""

    kind: str = field(compare=False)
    jails: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    spared: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return "fail2ban:jails"

    @property
    def names(self) -> tuple[str, ...]:
        """The jails that have to be up."""
        return tuple(name for name, options in self.jails if dict(options)["enabled"] == "true")

    def wishes(self) -> Wishes:
        wishes: dict[tuple[str, str, Where], Json] = {}
        for name, options in self.jails:
            for key, value in options:
                wishes[(JAILS_FILE, f"{name}.{key}", "file")] = value
            wishes[(JAILS_FILE, f"{name}.ignoreip", "file")] = self.spared_words()
        if self.jails:
            wishes |= {(JAILS_FILE, "mode", "file"): "0644", (JAILS_FILE, "owner", "file"): "0:0"}
        wishes |= {(name, "jail", "live"): "up" for name in self.names}
        wishes |= {(name, "hears", "live"): "yes" for name in self.names if name in HEARING}
        return {**wishes, **self.filter().wishes()}

    def watch(self) -> Watch:
        return Watch(
            files=frozenset({JAILS_FILE, FILTER_FILE, *OTHERS}),
            units=frozenset({UNIT}),
            jails=frozenset(self.names),
        )

    def filter(self) -> OwnFile:
        """The filter for Proxmox's own logins, where it is used."""
        is_used = "proxmox" in self.names
        return OwnFile(self.kind, FILTER_FILE, FILTER if is_used else None, "jails", phase=Phase.DAEMON_FILE)

    def sections(self, observed: HostObserved) -> dict[str, dict[str, str]]:
        """The file's content."""
        controller = [observed.path.controller] if observed.path else []
        spared = " ".join(dict.fromkeys([*ALWAYS, *controller, *self.spared]))
        return {name: {**dict(options), "ignoreip": spared} for name, options in self.jails}

    def spared_words(self) -> list[Json]:
        """Who is never banned, as it is compared."""
        return [*sorted({*ALWAYS, SERVICE, *self.spared})]

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        seen, text = observed.fact(f"file:{JAILS_FILE}"), observed.text(JAILS_FILE)
        yield from self.filter().differences(observed)
        if not self.jails:
            if not isinstance(seen, Absent):
                present: Observed[Json] = Seen("present") if isinstance(seen, Seen) else seen
                yield from field_difference(self, JAILS_FILE, "file", "file", None, present)
                yield from self.unit_in_doubt(observed)
            return
        if observed.path is None:
            why = Unknown("the host did not say from where the service reached it, so its address cannot be spared")
            yield from field_difference(self, JAILS_FILE, "ignoreip", "file", "present", why)
            return
        if not isinstance(seen, Seen) or not isinstance(text, Seen):
            missing: Observed[Json] = seen if not isinstance(seen, Seen) else Unknown("its text was not read")
            yield from field_difference(self, JAILS_FILE, "file", "file", "present", missing)
        else:
            yield from self.file_differences(text.value, observed)
            yield from mode_differences(self, JAILS_FILE, "0644", seen)
        yield from self.jail_differences(observed)

    def unit_in_doubt(self, observed: HostObserved) -> Iterator[Difference]:
        """Our file goes only together with the unit: without it nothing of ours would tell that fail2ban still runs."""
        unit = observed.fact(f"unit:{UNIT}")
        if isinstance(unit, Unknown):
            yield from field_difference(self, UNIT, "active", "live", None, unit)

    def file_differences(self, content: bytes, observed: HostObserved) -> Iterator[Difference]:
        """Where our file does not say what it should."""
        want: dict[str, Json] = {f"{name}.{key}": value for name, options in self.jails for key, value in options}
        want |= {f"{name}.ignoreip": self.spared_words() for name, _ in self.jails}
        have = self.found(fail2ban.parse(content), observed)
        for key in [*want, *(key for key in have if key not in want)]:
            if want.get(key) != have.get(key):
                op = op_of(want.get(key), have.get(key))
                yield Difference(self.kind, JAILS_FILE, key, "file", op, want.get(key), have.get(key))

    def found(self, sections: Mapping[str, Mapping[str, str]], observed: HostObserved) -> dict[str, Json]:
        """{section.key: value}; the order in `ignoreip` means nothing, and the service's address has its name there."""
        controller = observed.path.controller if observed.path else ""
        flat: dict[str, Json] = {}
        for name, keys in sections.items():
            for key, value in keys.items():
                spared = set(value.replace(",", " ").split())
                if controller in spared:
                    spared = (spared if controller in self.spared else spared - {controller}) | {SERVICE}
                flat[f"{name}.{key}"] = [*sorted(spared)] if key == "ignoreip" else value
        return flat

    def jail_differences(self, observed: HostObserved) -> Iterator[Difference]:
        """Jails that are not up. While the unit does not run, that is the unit's difference."""
        unit = observed.fact(f"unit:{UNIT}")
        if not isinstance(unit, Seen) or not isinstance(unit.value, dict) or not unit.value.get("active"):
            return
        for name in self.names:
            up: Observed[Json] = Absent()
            if isinstance(observed.bans, Unknown):
                up = Unknown(observed.bans.why)
            elif isinstance(observed.bans, Seen) and name in observed.bans.value:
                up = Seen("up")
            yield from field_difference(self, name, "jail", "live", "up", up)
            if name in observed.deaf and name in HEARING:
                yield from field_difference(
                    self, name, "hears", "live", "yes", Seen(f"no: its {observed.deaf[name][0]}")
                )

    def notes(self, observed: HostObserved) -> tuple[str, ...]:
        """What to do where a jail is up and bans nobody. No step fixes that: our file says what it should."""
        return tuple(
            f"fail2ban's jail {name} is up and bans nobody: its {DEAF[what]} leaves out what `{daemon}` writes to the "
            f"journal. Fix: remove the lines below {FOLDER} that change it, or update fail2ban. Restart fail2ban "
            "afterwards: `systemctl restart fail2ban`"
            for name in self.names
            if name in HEARING and name in observed.deaf
            for what, daemon in (observed.deaf[name],)
        )

    @classmethod
    def steps(cls, compared: Sequence[Compared[Self]], observed: HostObserved) -> Contribution:
        total = Contribution()
        for own, different in compared:
            if not different or any(d.unknown for d in different):
                continue
            notes = own.notes(observed) if all(d.field == "hears" for d in different) else ()
            made = OwnFile.steps(compare([own.filter()], observed), observed)
            steps, blobs = list(made.steps), dict(made.blobs)
            if any(d.resource == JAILS_FILE for d in different):
                content = fail2ban.render(own.sections(observed)) if own.jails else None
                why = f"{own.kind}: {JAILS_FILE}: {', '.join(d.field for d in different[:6])}"
                steps.append((Phase.DAEMON_FILE, file_step(JAILS_FILE, content, "0644", observed, why)))
                blobs |= {sha256(content): content} if content is not None else {}
            steps += own.unit_steps(observed)
            total = Contribution(steps=tuple(steps), blobs=blobs, notes=notes)
        return total

    def unit_steps(self, observed: HostObserved) -> Iterator[tuple[int, Step]]:
        """A jail that is down comes up with fail2ban; without jails of ours fail2ban ends, unless others have some."""
        seen = observed.fact(f"unit:{UNIT}")
        if not isinstance(seen, Seen) or not isinstance(seen.value, dict):
            return
        before: dict[str, Json] = {name: seen.value.get(name) for name in ("enabled", "active")}
        down = [d.resource for d in self.jail_differences(observed) if d.field == "jail"]
        if self.jails and down:
            why = f"{self.kind}: {', '.join(down)} is not up"
            yield Phase.UNIT_UP, Step(f"unit:{UNIT}", before, {**before, "active": True}, why, restart=True)
        elif not self.jails and seen.value.get("active"):
            others = sorted(
                path for path, text in observed.texts.items() if _is_foreign(path) and not isinstance(text, Absent)
            )
            if others:
                why = f"{self.kind}: the spec has no jails any more. fail2ban stays on for {others[0]}"
                yield Phase.UNIT_UP, Step(f"unit:{UNIT}", before, before, why, restart=True)
            else:
                after: Json = {"enabled": "disabled", "active": False}
                yield Phase.UNIT_UP, Step(f"unit:{UNIT}", before, after, f"{self.kind}: no jails are left")


def _is_foreign(path: str) -> bool:
    inside = path.startswith(f"{FOLDER}/jail.d/") or path == f"{FOLDER}/jail.local"
    return inside and path not in (JAILS_FILE, DISTRIBUTION) and path.endswith((".conf", ".local"))
