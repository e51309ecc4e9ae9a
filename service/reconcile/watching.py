"""Watching the repository: fetch, judge, accept or keep the last good revision, and say so."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from service.clock import Clock
from service.errors import InputError, SourceChanged, SourceError, StoreError
from service.kinds.kind import Kind
from service.logs import fields
from service.model.events import SourceTrouble, SourceWell
from service.model.rollouts import Opening, Policy
from service.model.sources import (
    Advanced,
    Empty,
    Failed,
    Fetched,
    Missing,
    Rewound,
    SourceStanding,
    SourceState,
    Unchanged,
    Unverified,
    head_of,
    state_of,
)
from service.model.states import Json
from service.model.trees import Commit, shown
from service.model.windows import Window
from service.reconcile.ports import Memory, Record, Revisions
from service.spec.findings import Finding
from service.spec.fleet import Fleet, read_fleet
from service.spec.host import HostSpec
from service.spec.kept import Kept
from service.spec.layers import Layer, Members
from service.spec.reading import ParsedFile
from service.spec.report import finding_as_json
from service.spec.rollout import goes_last

logger = logging.getLogger(__name__)
MAX_LOGGED = 500


@dataclass(frozen=True)
class Wanted:
    """What Git wants now: the accepted commit and its hosts. `introduced` are hosts whose management change this very
    commit allows."""

    commit: str = ""
    hosts: Mapping[str, HostSpec] = field(default_factory=dict)
    introduced: frozenset[str] = frozenset()
    author: str = ""
    subject: str = ""
    members: Members = field(default_factory=lambda: Members(()), repr=False, compare=False)
    rollout: Policy | None = None

    @cached_property
    def is_plain(self) -> bool:
        """Whether all hosts get a revision at once."""
        return self.rollout is None and not any(spec.depends_on for spec in self.hosts.values())

    @cached_property
    def lasts(self) -> frozenset[str]:
        """The hosts that come after all others, each alone."""
        return frozenset() if self.is_plain else goes_last(self.rollout or Policy(), self.hosts)

    @cached_property
    def renamed(self) -> Mapping[str, str]:
        """The new name of each host that says which one it had."""
        return {spec.renamed_from: name for name, spec in self.hosts.items() if spec.renamed_from}


class Watcher:
    """Follows one branch. `wanted` is the last good revision; it changes only by `look`. `head` is the commit at which
    the last fetch found the branch."""

    def __init__(
        self, revisions: Revisions, record: Record, memory: Memory, kinds: Sequence[Kind], clock: Clock,
        kept: Kept | None = None, opens: Callable[[str, Fleet], Opening] | None = None,
    ) -> None:  # fmt: skip
        self._revisions = revisions
        self._record = record
        self._memory = memory
        self.kinds = kinds
        self._clock = clock
        self._parsed: Mapping[str, ParsedFile] = {}
        self._kept = kept
        self._opens = opens
        self._blobs: Mapping[str, bytes] = {}
        self._said = ""
        self._looking = asyncio.Lock()
        self._then: tuple[str, Fleet] | None = None
        self._reading_then = threading.Lock()
        self.wanted = Wanted()
        self.findings: tuple[Finding, ...] = ()
        self.last_fetch_s: float | None = None
        self.head = ""
        self._is_resumed = False
        self._standing = SourceStanding()
        self._rewound: Rewound | None = None

    @property
    def standing(self) -> SourceStanding:
        """Whether the source is followed, and the revision in force."""
        return replace(self._standing, commit=self.wanted.commit)

    @property
    def trouble(self) -> str:
        """Why the newest that the source has is not in force; empty when it is."""
        return self._standing.message

    @property
    def already_read(self) -> tuple[Mapping[str, bytes], Mapping[str, ParsedFile]]:
        """The newest tree that was read: contents by blob id, and what they say. Files of it are not read again."""
        return self._blobs, self._parsed

    def _stand(self, state: SourceState, message: str = "") -> None:
        if (state, message) != (self._standing.state, self._standing.message):
            now = self._clock.now()
            self._standing = replace(self._standing, state=state, message=message, since=now)
            named = fields(source=state, commit=self.wanted.commit)
            if message:
                logger.warning("the source is %s: %s", state, shown(message, MAX_LOGGED), extra=named)
            else:
                logger.info("the source is %s", state, extra=named)

    async def resume(self) -> None:
        """After a start: put the last good revision in force as the mirror has it, so that there is something to
        answer by. The source is not contacted and nothing is recorded: the first look does both, and reports errors."""
        async with self._looking:
            commit = await asyncio.to_thread(self._last_accepted)
            if self.wanted.commit or commit is None:
                return
            try:
                tree = await asyncio.to_thread(self._revisions.read_tree, commit, self._blobs)
            except SourceError:
                return
            fleet = await asyncio.to_thread(read_fleet, tree, self.kinds, self._parsed, self._kept)
            if fleet.has_errors or tree.commit is None:
                return
            self._parsed, self._blobs, self._is_resumed = fleet.parsed, tree.blobs(), True
            self.wanted = await self._in_force(tree.commit, fleet)

    async def look(self) -> bool:
        """Fetch once; True when a new revision was accepted. Never raises for what the source does."""
        async with self._looking:
            self._then = None
            is_in_force = bool(self.wanted.commit) and not self._is_resumed
            accepted: str | None = self.wanted.commit if is_in_force else None
            if accepted is None:
                accepted = await asyncio.to_thread(self._last_accepted)
            last = await asyncio.to_thread(self._followed_from, accepted)
            fetched = await asyncio.to_thread(self._revisions.fetch, last, in_force=accepted)
            self._rewound = fetched if isinstance(fetched, Rewound) else None
            self.head = head_of(fetched) or self.head
            match fetched:
                case Unchanged(commit=commit) if is_in_force and commit == accepted:
                    await self._quiet()
                    self._stand("followed")
                    return False
                case Unchanged(commit=commit) | Advanced(commit=commit):
                    if await self._read(commit):
                        return True
                case _:
                    commit = ""
                    await self._trouble(state_of(fetched), words(fetched, accepted))
            if accepted in (None, commit) or is_in_force:
                return False
            # After a start the last good revision is not in force yet: it is, whatever became of the source.
            return await self._read(accepted, is_newest=False)

    async def _read(self, commit: str, *, is_newest: bool = True) -> bool:
        """Read a commit and put it in force, or refuse it as a whole. `is_newest`: the source is there."""
        try:
            tree = await asyncio.to_thread(self._revisions.read_tree, commit, self._blobs)
        except SourceError as error:
            await self._trouble("unreadable", str(error))
            return False
        if is_newest:
            await self._quiet()
        fleet = await asyncio.to_thread(read_fleet, tree, self.kinds, self._parsed, self._kept)
        self._parsed, self._blobs = fleet.parsed, tree.blobs()
        meta = tree.commit
        if meta is None:
            raise AssertionError("a tree read from a commit has no commit")
        if is_newest:
            self.findings = fleet.findings
        if fleet.has_errors:
            await self._refuse(meta, fleet)
            return False
        if is_newest:
            self._stand("followed")
        if is_newest:
            await asyncio.to_thread(self._accept, meta, fleet)
        self.wanted, self._is_resumed = await self._in_force(meta, fleet), False
        return True

    def _accept(self, meta: Commit, fleet: Fleet) -> None:
        """The revision, and what it changes. A rollout is there before anybody follows the revision; where it changes
        nothing, the one before ends after it."""
        now = self._clock.now()
        opening = self._opens(meta.hash, fleet) if self._opens is not None else None
        if opening is not None and opening.members:
            self._record.open_rollout(opening, at=now)
        self._record.record_revision(meta, at=now, findings=as_json(fleet.findings))
        if opening is not None and not opening.members:
            self._record.open_rollout(opening, at=now)

    async def _in_force(self, meta: Commit, fleet: Fleet) -> Wanted:
        introduced = await asyncio.to_thread(self._introduced, meta.hash, fleet)
        author = f"{meta.author_name} <{meta.author_email}>"
        return Wanted(meta.hash, fleet.hosts, introduced, author, meta.subject, fleet.members, fleet.rollout)

    async def _refuse(self, meta: Commit, fleet: Fleet) -> None:
        errors = [f for f in fleet.findings if f.severity == "error"]
        reason = f"{len(errors)} error{'s' if len(errors) != 1 else ''}, the first: {errors[0]}"
        await asyncio.to_thread(
            self._record.refuse_revision, meta, reason=reason, at=self._clock.now(), findings=as_json(fleet.findings)
        )
        self._stand("refused", f"{meta.hash[:10]} is refused: {reason}")

    async def _trouble(self, state: SourceState, text: str) -> None:
        """Say once that the source cannot be followed; the last good revision stays."""
        self._stand(state, text)
        if text != self._said:
            self._said = text
            await asyncio.to_thread(self._record.add_event, SourceTrouble(why=text), at=self._clock.now())

    async def _quiet(self) -> None:
        self.last_fetch_s = self._clock.monotonic_s()
        self._standing = replace(self._standing, fetched_at=self._clock.now())
        if self._said:
            await asyncio.to_thread(self._record.add_event, SourceWell(), at=self._clock.now())
        self._said = ""

    async def failed(self, why: str) -> None:
        """A look ended in an error that nobody expected: the last good revision stays, and the source's state says that
        it may not be the newest.
        """
        with contextlib.suppress(StoreError):  # the source's state reports it anyway
            await self._trouble("failed", f"the service could not look at it: {why}")

    async def accept_rewrite(self, commit: str, *, by: str, reason: str) -> str:
        """A person accepts that the history was rewritten: the next look follows this commit and what comes after it.
        `commit` is the beginning of its name; returns all of it. InputError where nothing was rewritten, SourceChanged
        where the branch is elsewhere by now."""
        found = self._rewound
        if found is None:
            raise InputError(
                f"the history was not rewritten: the source is {self._standing.state}", hint="see `passerelle status`"
            )
        if not found.new.startswith(commit):
            raise SourceChanged(
                f"the branch is at {found.new} now, not at {commit}", hint="look at the new history, then accept it"
            )
        accepted = await asyncio.to_thread(self._last_accepted)
        before = self.wanted.commit or accepted or found.old
        now = self._clock.now()
        await asyncio.to_thread(self._record.accept_rewrite, found.new, before, by=by, reason=reason, at=now)
        return found.new

    def again(self) -> None:
        """The next look follows the last revision on record, reads it again, and records what it finds."""
        self._is_resumed = True

    def follow_up(self, said: str) -> None:
        """This process leads from now on. `said` is what is recorded as wrong with the source; empty: nothing is."""
        self._said = said

    def _followed_from(self, accepted: str | None) -> str | None:
        """The commit that the branch has to descend from: the last accepted one, or one that a person let follow it."""
        newest = self._memory.newest_revision("accepted")
        if accepted is None or newest is None:
            return accepted
        rewrite = self._memory.rewrite(before=accepted)
        return rewrite.commit if rewrite is not None and rewrite.at >= newest.fetched_at else accepted

    def _last_accepted(self) -> str | None:
        newest = self._memory.newest_revision("accepted")
        return newest.commit if newest else None

    def _introduced(self, commit: str, fleet: Fleet) -> frozenset[str]:
        """Hosts that allow a management change now and did not in the commit before: the key counts only once."""
        allowing = [spec for spec in fleet.hosts.values() if spec.connection.allow_management_change]
        if not allowing:
            return frozenset()
        rewrite = self._memory.rewrite(commit=commit)
        before = self._fleet_at(rewrite.before if rewrite else self._revisions.first_parent(commit))
        return frozenset(spec.name for spec in allowing if not had_the_key(before, spec.name))

    def layers_of(self, host: str) -> Sequence[Layer]:
        """The values that a host shares with others in the revision in force, the weakest first."""
        return self.wanted.members.of(host)

    def labels_of(self, host: str) -> Mapping[str, str]:
        """The labels of a host in the revision in force."""
        return self.wanted.hosts[host].labels if host in self.wanted.hosts else {}

    def windows(self) -> tuple[Window, ...]:
        """The windows of the revision in force."""
        first = next(iter(self.wanted.hosts.values()), None)
        return first.shared.windows if first is not None else ()

    def file_of(self, host: str) -> str | None:
        """The text of a host's spec file in the revision in force; None where the source cannot be read."""
        try:
            tree = self._revisions.read_tree(self.wanted.commit, self._blobs)
        except SourceError:
            return None
        entry = tree.files.get(self.wanted.hosts[host].file) if host in self.wanted.hosts else None
        return entry.data.decode() if entry else None

    def file_at(self, commit: str, host: str) -> str | None:
        """The text of a host's spec file in an older commit, whatever its name was; None where it cannot be read."""
        spec = self.spec_at(commit, host)
        try:
            entry = self._revisions.read_tree(commit, self._blobs).files.get(spec.file) if spec is not None else None
        except SourceError:
            return None
        return entry.data.decode() if entry else None

    def is_readable(self, commit: str) -> bool:
        """Whether an older commit can be read."""
        return self._fleet_at(commit) is not None

    def spec_at(self, commit: str, host: str) -> HostSpec | None:
        """What an older commit said of a host; None where it cannot be read."""
        fleet = self._fleet_at(commit)
        return fleet.hosts.get(host) if fleet else None

    def _fleet_at(self, commit: str | None) -> Fleet | None:
        """What an older commit said, whatever the names of its files; None if it cannot be read. Many hosts have the
        same one in common, so the last that was read is remembered until the source is looked at again."""
        if commit is None:
            return Fleet({}, ())
        with self._reading_then:
            if (then := self._then) is not None and then[0] == commit:
                return then[1]
            try:
                tree = self._revisions.read_tree(commit, self._blobs)
            except SourceError:
                return None
            fleet = read_fleet(tree, self.kinds, self._parsed, self._kept)
            self._then = (commit, fleet)
            return fleet


def had_the_key(before: Fleet | None, host: str) -> bool:
    """Whether a host had the key already; what cannot be read may have had it, so the key does not count now."""
    if before is None:
        return True
    known = before.hosts.get(host)
    return before.has_errors if known is None else known.connection.allow_management_change


def words(fetched: Fetched, accepted: str | None) -> str:
    """Why the source is not followed, for people. `accepted` is the last good revision, if there was one."""
    kept = "the last good revision stays in force" if accepted else "nothing is in force yet"
    match fetched:
        case Rewound(old=old, new=new):
            return (
                f"history was rewritten: {new[:10]} does not descend from the accepted {old[:10]}; nothing is changed. "
                f"Fix: if the new history is right, accept it (`passerelle source accept {new[:12]} --reason TEXT`); "
                f"if it is wrong, push {old[:10]} to the branch again"
            )
        case Unverified(commit=commit, why=why, wrong=wrong, count=count):
            several = f"; {wrong} of {count} new commits are not verified" if wrong > 1 else ""
            return (
                f"the commit {commit[:12]} {why}{several}; {kept}. Fix: sign it and push again, or add the "
                "signer's key to the file in PASSERELLE_SIGNERS"
            )
        case Missing(branch=branch, others=others):
            what = f"the branch {branch} is gone" if accepted else f"the repository has no branch {branch}"
            named = f"; there is {', '.join(others)}" if others else ""
            return f"{what}{named}; {kept}. Fix: push the branch, or name another one in PASSERELLE_BRANCH"
        case Empty():
            return f"the repository has no branch; {kept}. Fix: push one"
        case Failed(cause=cause, reason=reason):
            return f"the source cannot be fetched ({cause}): {reason}"
        case _:
            return ""


def as_json(findings: Sequence[Finding]) -> list[Json]:
    """Findings as they are recorded and shown."""
    return [finding_as_json(found) for found in findings]
