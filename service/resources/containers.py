"""Guests that passerelle makes: containers, unprivileged, made before the switch is armed and never destroyed.

A container that is there already, by its MAC address or its number, is adopted. passerelle then sets two things: the
folders that the host mounts into it, and its start at boot. None of this is part of a transaction or of its rollback.
Somebody may have stopped a guest: passerelle starts only those that never ran.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from service.model.changes import Difference
from service.model.guests import FILES_INSIDE, KEPT_INSIDE
from service.model.observed import HostObserved, Watch
from service.model.plans import GuestChange, Left
from service.model.states import Absent, Json, Observed, Seen, Unknown
from service.resources.desired import Desired, LastApplied
from service.resources.resource import Compared, Contribution, Wishes, field_difference, field_of

ORDER_FILE = "/etc/systemd/system/lxc.service.d/passerelle.conf"
FIELD = "container"
INSIDE = (FILES_INSIDE, KEPT_INSIDE)
MOUNTS: list[Json] = [*INSIDE]
_SUBJECT = re.compile(r"guest ([a-z0-9-]{1,63})")


@dataclass(frozen=True)
class Container:
    """A guest that has to be there. `vmid`, `storage` and `disk_gib` are of Proxmox; 0 and "" elsewhere. `port` is its
    link in the host, "" for one that LXC names. `packages` are in the system that it is made of."""

    kind: str = field(compare=False)
    name: str
    mac: str
    bridge: str
    autostart: bool = True
    port: str = ""
    vmid: int = 0
    storage: str = ""
    disk_gib: int = 0
    packages: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return f"guest:{self.name}"

    @property
    def subject(self) -> str:
        """Its name for people."""
        return f"guest {self.name}"

    def wishes(self) -> Wishes:
        return {
            (self.subject, FIELD, "live"): "present",
            (self.subject, "start at boot", "boot"): self.autostart,
            (self.subject, "mounts", "file"): MOUNTS,
            (self.subject, "first start", "live"): "done",
        }

    def watch(self) -> Watch:
        return Watch(guests=frozenset({(self.name, self.mac, self.vmid)}))

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        seen = observed.fact(self.id)
        if not isinstance(seen, Seen):
            have: Observed[Json] = Absent() if isinstance(seen, Absent) else seen
            yield from field_difference(self, self.subject, FIELD, "live", "present", have)
            return
        yield from field_difference(self, self.subject, "mounts", "file", MOUNTS, field_of(seen, "mounts"))
        if is_new(seen.value):  # it starts at boot from its first start on
            yield from field_difference(self, self.subject, "first start", "live", "done", Absent())
            return
        autostart = field_of(seen, "autostart")
        yield from field_difference(self, self.subject, "start at boot", "boot", self.autostart, autostart)

    def ailments(self, observed: HostObserved) -> Iterator[str]:
        """What a person has to do: passerelle starts no guest that somebody may have stopped, and restarts none."""
        seen = observed.fact(self.id)
        if not isinstance(seen, Seen) or not isinstance(seen.value, dict):
            yield from [seen.why] if isinstance(seen, Unknown) else []
            return
        found, own = seen.value, seen.value.get("own")
        tool = "pct {0} {1}" if found.get("kind") == "pct" else "lxc-{0} -n {1}"
        start, stop = tool.format("start", own), tool.format("stop", own)
        if found.get("bridge") != self.bridge:
            where = found.get("bridge") or "no bridge"
            right = "Fix: change its settings on the host, or the spec"
            yield f"{self.subject} is in {where}, and the spec has {self.bridge}. {right}"
        if found.get("running") is not True:
            if self.autostart and not is_new(found):
                yield f"{self.subject} is not running. Fix: run `{start}` on the host"
        elif found.get("answers") is not True:
            yield f"{self.subject} is running and does not answer. Fix: look at it on the host"
        elif missing := [at for at in INSIDE if at in listed(found, "mounts") and at not in listed(found, "mounted")]:
            right = f"Fix: run `{stop}` and `{start}` on the host"
            yield f"{self.subject} has no {' and no '.join(missing)} until it is started again. {right}"

    def only_watched(self) -> Iterator[str]:
        """A guest that the host does not report keeps no other change from being made, and nothing is done to it."""
        yield self.subject

    @classmethod
    def left_behind(cls, desired: Desired, base: LastApplied, observed: HostObserved) -> Iterator[Left]:
        """A guest that passerelle made, or adopted, stays as it is, and so does what starts it at boot."""
        if ORDER_FILE in desired.no_longer(base, "file", "file"):
            yield Left(
                f"file:{ORDER_FILE}",
                f"{ORDER_FILE} stays: the guests on the host that start at boot start after their bridges",
                "delete it if no guest on the host starts at boot",
            )
        for subject in desired.no_longer(base, FIELD, "live"):
            found = _SUBJECT.fullmatch(subject)
            if found:
                yield Left(
                    f"guest:{found[1]}",
                    f"guest {found[1]} stays on the host as it is, with all that it keeps",
                    f"to remove it, destroy its container on the host and delete /var/lib/passerelle-guests/{found[1]}",
                )

    @classmethod
    def steps(cls, compared: Sequence[Compared[Self]], observed: HostObserved) -> Contribution:
        different = [(one, found) for one, found in compared if found and not any(d.unknown for d in found)]
        return Contribution(guests=tuple(one.change(found) for one, found in different))

    def change(self, different: Sequence[Difference]) -> GuestChange:
        """What is done about it, in words and as the host gets it."""
        fields = {difference.field for difference in different}
        if FIELD in fields:
            what = f"create {self.subject} in {self.bridge} and start it"
            return GuestChange(self.name, "create", what, self.order())
        if fields == {"first start"}:
            return GuestChange(self.name, "start", f"start {self.subject} for the first time", self.order())
        said = ", ".join(sorted(fields - {"first start"}))
        starts = "first start" in fields
        what = f"set {said} of {self.subject}{' and start it for the first time' if starts else ''}"
        return GuestChange(self.name, "set", what, self.order(), starts)

    def order(self) -> dict[str, Json]:
        """The guest as the host-side file takes it (service/hostside/guest_order.py)."""
        return {
            "name": self.name, "mac": self.mac, "bridge": self.bridge, "port": self.port, "autostart": self.autostart,
            "vmid": self.vmid, "storage": self.storage, "disk_gib": self.disk_gib, "packages": [*self.packages],
        }  # fmt: skip


def is_new(value: Json) -> bool:
    """Whether passerelle made a guest that never ran."""
    return isinstance(value, dict) and value.get("new") is True and value.get("running") is not True


def listed(value: Mapping[str, Json], name: str) -> list[Json]:
    """A list in a fact, empty where there is none."""
    found = value.get(name)
    return found if isinstance(found, list) else []
