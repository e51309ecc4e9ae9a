"""Which hosts a new commit is about. Only they are queued; the others are recorded as it wants them.

    await commits.follow(known, before, wanted, queue)

A host is left alone if its last round left nothing to do (service/reconcile/quiet.py), and the revision wants the same
of it. Its desired state has the same digest then. Its mode, the way to it and what is permitted are the same. What
held of it by the commit before holds by the new one. All such hosts get the new commit by one row.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field

from service.errors import StoreError
from service.kinds.kind import Kind
from service.reconcile.planning import wanted_of
from service.reconcile.ports import HostQueue, Record
from service.reconcile.quiet import Quiet
from service.reconcile.standing import Standing
from service.reconcile.watching import Wanted
from service.resources.desired import Desired
from service.spec.host import HostSpec


@dataclass
class News:
    """What a revision is to each host. `changed` want something else, `due` need a look whatever it wants. `alike` may
    want the same although their file, or one that they share, was read again. `same` want the same."""

    changed: list[str] = field(default_factory=list)
    due: list[str] = field(default_factory=list)
    alike: dict[str, HostSpec] = field(default_factory=dict)
    same: list[str] = field(default_factory=list)


class NewCommits:
    """One instance for the fleet. `standings` is what is remembered of the hosts. `begun()` are those whose round is
    under way, and those of which none has ended since the start."""

    def __init__(
        self, record: Record, quiet: Quiet, kinds: Sequence[Kind], standings: Mapping[str, Standing],
        begun: Callable[[], Set[str]],
    ) -> None:  # fmt: skip
        self._record = record
        self._quiet = quiet
        self._kinds = kinds
        self._standings = standings
        self._begun = begun

    async def follow(self, known: Set[str], before: str, wanted: Wanted, queue: HostQueue) -> None:
        """Queue the hosts that the revision is about, those that it changes first. `known` are the hosts until now,
        `before` is the commit until now. StoreError where the rest cannot be recorded; then it is queued, too."""
        news = self._news(before, wanted)  # without waiting: a round that begins from now on is one of this revision
        for name in news.changed:
            queue.add_first(name)
        for name in [*news.due, *(known - wanted.hosts.keys())]:
            queue.add(name)
        if news.alike:
            made = await asyncio.to_thread(self._made, news.alike)
            for name, spec in news.alike.items():
                if self._agrees(name, made[name]):
                    self._standings[name].agree(spec, made[name], wanted.commit)
                    news.same.append(name)
                else:
                    queue.add_first(name)
        if news.same:
            await self._agree(news.same, before, wanted, queue)

    async def _agree(self, same: Collection[str], before: str, wanted: Wanted, queue: HostQueue) -> None:
        self._quiet.agree(same, wanted.commit)
        try:
            await asyncio.to_thread(self._record.agree_hosts, same, before, wanted.commit)
        except StoreError:
            for name in same:
                self._standings[name].stamp = None  # the next round is an ordinary one, and records it
                queue.add(name)
            raise

    def _news(self, before: str, wanted: Wanted) -> News:
        news, begun = News(), self._begun()
        for name, spec in wanted.hosts.items():
            standing = self._standings.get(name)
            if standing is None or _is_changed(spec, standing, name in wanted.introduced):
                news.changed.append(name)
            elif standing.stamp is None or standing.commit != before or name in begun:
                news.due.append(name)
            elif spec is standing.spec or is_read_once(spec, standing.spec):
                standing.spec, standing.commit = spec, wanted.commit
                news.same.append(name)
            else:
                news.alike[name] = spec
        return news

    def _made(self, specs: Mapping[str, HostSpec]) -> dict[str, Desired]:
        return {name: wanted_of(spec, self._kinds) for name, spec in specs.items()}

    def _agrees(self, name: str, desired: Desired) -> bool:
        """Whether the desired state is the same, and no round of the host was begun meanwhile."""
        standing = self._standings.get(name)
        if standing is None or standing.looked is None or standing.stamp is None or name in self._begun():
            return False
        return standing.looked.desired.digest == desired.digest


def _is_changed(spec: HostSpec, standing: Standing, may_change_management: bool) -> bool:
    """Whether the host was never compared, or Git has something else of it now."""
    if standing.spec is None or standing.looked is None:
        return True
    if may_change_management is not standing.looked.permission.management_change:
        return True
    return spec is not standing.spec and of_its_own(spec) != of_its_own(standing.spec)


def of_its_own(spec: HostSpec) -> tuple[object, ...]:
    """What the host's own file says, with the values that it has from others merged in."""
    return (
        spec.sections, spec.connection, spec.sync, spec.platform, spec.take_over, spec.cluster, spec.writes_cluster,
        spec.renamed_from, spec.checks,
    )  # fmt: skip


def is_read_once(spec: HostSpec, other: HostSpec | None) -> bool:
    """Whether both are made of one reading of the same files."""
    return other is not None and spec.places is other.places and spec.shared is other.shared
