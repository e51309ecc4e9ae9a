"""The folder of a guest on the host: what is in it and nobody wants is removed.

nginx in the guest loads every file of `sites/`, and systemd there takes every unit. So a file that was left over, by
whomever, is one that has an effect.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from service.model.changes import Difference
from service.model.facts import Step
from service.model.observed import HostObserved, Watch
from service.model.states import Absent, Unknown
from service.resources.desired import LastApplied
from service.resources.files import OwnFile, file_step
from service.resources.proxy_files import FOLDER, folder_of, proxy_file
from service.resources.resource import Compared, Contribution, Phase, Wishes

WHOLLY_OURS = ("sites", "units")


@dataclass(frozen=True)
class GuestFolder:
    """What `guest` reads of the host is `names`, names in its folder, and no more.

    The guest itself is observed, too: `mac` finds it, or its `number` on Proxmox (0: none).
    """

    kind: str = field(compare=False)
    guest: str
    names: frozenset[str]
    mac: str
    number: int = 0

    @property
    def id(self) -> str:
        return f"folder:{folder_of(self.guest)}"

    def wishes(self) -> Wishes:
        return {}

    def watch(self) -> Watch:
        files = frozenset(f"{folder_of(self.guest)}/{below}/*" for below in WHOLLY_OURS)
        return Watch(files=files, guests=frozenset({(self.guest, self.mac, self.number)}))

    def left_over(self, observed: HostObserved) -> Iterator[str]:
        """The paths of files that nobody wants."""
        folders = tuple(f"file:{folder_of(self.guest)}/{below}/" for below in WHOLLY_OURS)
        start = len(f"file:{folder_of(self.guest)}/")
        for fact, seen in observed.facts.items():
            if fact.startswith(folders) and fact[start:] not in self.names and not isinstance(seen, Absent | Unknown):
                yield fact.removeprefix("file:")

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        for path in sorted(self.left_over(observed)):
            cause = f"guest {self.guest} would load it"
            yield Difference(self.kind, path, "file", "file", "extra", None, "present", cause=cause)

    @classmethod
    def retired(cls, wanted: Sequence[Self], base: LastApplied) -> Iterator[OwnFile]:
        """Files of guests that the spec wanted before."""
        kept = {f"{folder_of(one.guest)}/{name}" for one in wanted for name in one.names}
        watched = tuple(f"{folder_of(one.guest)}/{below}/" for one in wanted for below in WHOLLY_OURS)
        for path in base.of_field("file", "file"):
            if path.startswith(f"{FOLDER}/") and path not in kept and not path.startswith(watched or ("\0",)):
                guest, _, name = path.removeprefix(f"{FOLDER}/").partition("/")
                yield proxy_file("web", guest, name, None, f"guest {guest} needs it no more")

    @classmethod
    def steps(cls, compared: Sequence[Compared[Self]], observed: HostObserved) -> Contribution:
        steps: list[tuple[int, Step]] = []
        for folder, different in compared:
            paths = [d.resource for d in different]
            steps += (
                (Phase.DAEMON_FILE, file_step(path, None, "", observed, f"{folder.kind}: {path} is not in the spec"))
                for path in paths
            )
        return Contribution(steps=tuple(steps))
