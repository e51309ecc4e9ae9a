"""What a revision that nobody follows would do: read, checked and planned as one in force is, and then forgotten.

    await proposals.propose(Proposal("branch", "new-bridge"), sees, hosts) -> Proposed

Nothing is recorded, queued or applied, and no host is contacted: each is compared with what was seen of it last. A host
of which the revision wants what is wanted now is not planned.

Anybody may have written the revision. So its `allow_management_change` does not count, nothing is looked at on a host
because of it. It gets `TIME_S` in all, `READ_CPU_S` of CPU time for reading its files, and `PLAN_S` for each plan, one
after another.
"""

import asyncio
import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from service.clock import Clock
from service.errors import HostError, InputError, NoHost, NotKnown, SourceError
from service.kinds.kind import Kind
from service.model.observed import Watch
from service.model.plans import Plan
from service.model.proposals import HostProposal, Proposal, ProposalOutcome, Proposed
from service.model.seen_files import host_of_file, is_of_seen
from service.model.trees import Commit, Tree
from service.plan.make import Permission
from service.reconcile.commits import is_read_once, of_its_own
from service.reconcile.planning import Planning, wanted_of
from service.reconcile.round import Rounds
from service.reconcile.watching import Wanted, Watcher, as_json
from service.resources.desired import Desired
from service.spec.findings import Finding
from service.spec.fleet import Fleet, read_fleet
from service.spec.host import HostSpec

TIME_S = 25.0
PLAN_S = 3.0
READ_CPU_S = 10.0
MAX_NEW_BYTES = 4 << 20
MAX_WAITING = 4
MAX_PLANS = 200
MAX_BODIES_BYTES = 8 << 20
MAX_FINDINGS = 500
MAX_NAMED = 8
HOSTILE_KEY = (
    "allow_management_change does not count in a plan of a branch. It counts in the commit that adds it, once that is "
    "in force"
)
_SETTINGS = ("platform", "sync", "connection", "cluster", "renamed_from", "take_over", "labels", "checks")


class Branches(Protocol):
    """Revisions of the source besides the one that is followed: `service.git.aside.Aside`. Blocks."""

    def read(self, proposal: Proposal, known: Mapping[str, bytes]) -> Tree: ...

    def contains(self, commit: str, older: str) -> bool: ...


class Proposals:
    """One at a time; `MAX_WAITING` wait."""

    def __init__(
        self, branches: Branches, watcher: Watcher, rounds: Rounds, kinds: Sequence[Kind], clock: Clock,
        planning: Planning, cpu_s: Callable[[], float] = time.thread_time,
    ) -> None:  # fmt: skip
        """`cpu_s()` is the CPU time that the calling thread has taken."""
        self._branches = branches
        self._watcher = watcher
        self._rounds = rounds
        self._kinds = kinds
        self._clock = clock
        self._planning = planning
        self._cpu_s = cpu_s
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def propose(self, proposal: Proposal, sees: Callable[[str], bool], hosts: Collection[str] = ()) -> Proposed:
        """What it would do to these hosts, or to all that `sees` lets through. NoHost for a name that neither this
        revision nor the one in force has, NotKnown before one is in force. InputError, NotFound or SourceError where
        the revision cannot be read."""
        if self._waiting >= MAX_WAITING:
            raise SourceError(f"{MAX_WAITING} plans of branches wait already", hint="try again in a moment")
        self._waiting += 1
        try:
            async with self._turn:
                return await self._propose(proposal, sees, hosts)
        finally:
            self._waiting -= 1

    async def _propose(self, proposal: Proposal, sees: Callable[[str], bool], hosts: Collection[str]) -> Proposed:
        wanted = self._watcher.wanted
        if not wanted.commit:
            why = self._watcher.trouble or "the service has just started"
            raise NotKnown(f"no revision is in force, so there is nothing to compare a branch with: {why}")
        until_s = self._clock.monotonic_s() + TIME_S
        meta, fleet = await asyncio.to_thread(self._read, proposal)
        contains_it = await asyncio.to_thread(self._branches.contains, meta.hash, wanted.commit)
        for name in hosts:
            if not sees(name) or (name not in fleet.hosts and name not in wanted.hosts and not fleet.has_errors):
                raise NoHost(name)
        number = len(fleet.findings)
        errors = sum(found.severity == "error" for found in fleet.findings)
        seen = await asyncio.to_thread(_findings_of, fleet, wanted, sees)
        findings = as_json(seen[:MAX_FINDINGS])  # a branch may have a million
        made = Proposed(
            proposal, meta, wanted.commit, contains_it, errors, number - errors, tuple(findings),
            len(seen) - len(findings),
        )  # fmt: skip
        if fleet.has_errors:
            return made
        names = sorted(name for name in hosts or {*fleet.hosts, *wanted.hosts} if sees(name))
        found = await self._hosts(names, fleet, wanted, meta.hash, until_s, proposal)
        return replace(made, hosts=tuple(nameless(one, sees) for one in found))

    def _read(self, proposal: Proposal) -> tuple[Commit, Fleet]:
        blobs, parsed = self._watcher.already_read
        tree = self._branches.read(proposal, blobs)
        new = sum(len(entry.data) for entry in tree.files.values() if entry.blob_id not in blobs)
        if new > MAX_NEW_BYTES:
            raise InputError(f"the {proposal.label} changes files of {new} bytes; {MAX_NEW_BYTES} are looked at")
        if tree.commit is None:
            raise AssertionError("a tree read from a commit has no commit")
        return tree.commit, read_fleet(tree, self._kinds, parsed, between=self._budget(proposal))

    def _budget(self, proposal: Proposal) -> Callable[[], None]:
        """Called now and then by a thread that works on it: InputError once this took too much of its CPU time."""
        until_s = self._cpu_s() + READ_CPU_S

        def spend() -> None:
            if self._cpu_s() > until_s:
                raise InputError(
                    f"reading the {proposal.label} takes more than {READ_CPU_S:g} s of CPU time",
                    hint="propose fewer or shorter files at once",
                )

        return spend

    async def _hosts(
        self, names: Sequence[str], fleet: Fleet, wanted: Wanted, commit: str, until_s: float, proposal: Proposal
    ) -> list[HostProposal]:
        desired = await asyncio.to_thread(self._changed, names, fleet, wanted, proposal)
        found: list[HostProposal] = []
        plans, size = 0, 0
        for name in names:
            one = desired[name]
            if isinstance(one, HostProposal):
                found.append(one)
            elif plans == MAX_PLANS or size > MAX_BODIES_BYTES or self._clock.monotonic_s() > until_s:
                found.append(HostProposal(name, "left-out", "one answer has no room or time for more plans"))
            else:
                plans += 1
                made = await self._planned(fleet.hosts[name], wanted.hosts[name], one, commit)
                size += await asyncio.to_thread(size_of, made.body)
                found.append(made)
        return found

    def _changed(
        self, names: Sequence[str], fleet: Fleet, wanted: Wanted, proposal: Proposal
    ) -> dict[str, HostProposal | Desired]:
        """For each host what is known without a plan, or the new desired state."""
        spend, found = self._budget(proposal), {}
        renamed = {spec.renamed_from: name for name, spec in fleet.hosts.items() if spec.renamed_from in wanted.hosts}
        for name in names:
            spend()
            found[name] = self._one(name, fleet.hosts.get(name), wanted.hosts.get(name), renamed)
        return found

    def _one(
        self, name: str, spec: HostSpec | None, now: HostSpec | None, renamed: Mapping[str, str]
    ) -> HostProposal | Desired:
        if spec is None and name in renamed:
            return HostProposal(name, "renamed", f"it is called {renamed[name]} then", other=renamed[name])
        if spec is None:
            return HostProposal(name, "gone", "it leaves Git: nothing more is done to it")
        if now is None and renamed.get(spec.renamed_from) == name:
            return HostProposal(
                name,
                "renamed",
                f"it was called {spec.renamed_from}; there is a plan once it is merged",
                other=spec.renamed_from,
            )
        if now is None:
            return HostProposal(name, "new", "no host has this name now, so it was never seen")
        if is_read_once(spec, now) and of_its_own(spec) == of_its_own(now):
            return HostProposal(name, "unchanged")
        standing = self._rounds.known(name)
        desired_now = (standing.desired_of(now) if standing is not None else None) or wanted_of(now, self._kinds)
        desired = wanted_of(spec, self._kinds)
        if desired.digest == desired_now.digest:
            return HostProposal(name, "unchanged", settings=settings_changed(spec, now))
        return desired

    async def _planned(self, spec: HostSpec, now: HostSpec, desired: Desired, commit: str) -> HostProposal:
        name, settings = spec.name, settings_changed(spec, now)
        standing = self._rounds.known(name)
        looked = standing.looked if standing is not None else None
        if looked is None:
            why = (standing.trouble if standing is not None else "") or "it was not looked at yet"
            return HostProposal(name, "not-known", f"there is nothing to compare with: {why}", settings)
        ceilings, seen_at = self._rounds.ceilings, looked.observed.observed_at
        permission = Permission(may_open=ceilings.may_open, raises_wait=ceilings.raises_wait(name))
        asked = looked._replace(desired=desired, commit=commit, permission=permission)
        try:
            plan = await self._planning.anew(asked, cpu_s=PLAN_S)
        except HostError as error:
            return HostProposal(name, "not-known", f"no plan can be made: {error.what}", settings, seen_at)
        unseen = not_looked_at(desired.watch, looked.desired.watch)
        said = [f"the last look did not include {', '.join(unseen)}"] if unseen else []
        said += [HOSTILE_KEY] if spec.connection.allow_management_change else []
        outcome = outcome_of(plan, has_unseen=bool(unseen))
        body = await asyncio.to_thread(plan.as_json)
        return HostProposal(name, outcome, "; ".join(said), settings, seen_at, plan.digest, body)


def _findings_of(fleet: Fleet, wanted: Wanted, sees: Callable[[str], bool]) -> Sequence[Finding]:
    """Those that concern hosts that are seen; all of them for who sees every host."""
    if sees(""):
        return fleet.findings
    named = {host_of_file(found.file) for found in fleet.findings} | fleet.hosts.keys() | wanted.hosts.keys()
    others = {name for name in named if name and not sees(name)}
    return [one for one in fleet.findings if is_of_seen(one.file, f"{one.what} {one.right}", sees, others)]


def outcome_of(plan: Plan, *, has_unseen: bool) -> ProposalOutcome:
    """The plan in a word. What is refused only because nobody looked at it is not refused for good."""
    if not plan.refusals:
        return "incomplete" if has_unseen else "changes"
    is_only_unknown = all(refusal.rule == "unknown" for refusal in plan.refusals)
    return "incomplete" if has_unseen and is_only_unknown else "refused"


def nameless(one: HostProposal, sees: Callable[[str], bool]) -> HostProposal:
    """The same without the other name of a renamed host where that one is not seen."""
    return replace(one, why="", other="") if one.other and not sees(one.other) else one


def settings_changed(spec: HostSpec, now: HostSpec) -> tuple[str, ...]:
    """The keys of the head of a host's file that have another value."""
    return tuple(key for key in _SETTINGS if getattr(spec, key) != getattr(now, key))


def not_looked_at(needed: Watch, seen: Watch) -> list[str]:
    """What a revision needs to see of a host and was not among what was looked at, in words, the first few."""
    words = {
        "file": needed.files - seen.files, "unit": needed.units - seen.units,
        "package": needed.packages - seen.packages, "setting": needed.sysctls - seen.sysctls,
        "jail": needed.jails - seen.jails,
    }  # fmt: skip
    named = [f"the {kind} {name}" for kind, names in words.items() for name in sorted(names)]
    inside = {guest for guest, *_ in needed.guests - seen.guests} | {guest for guest, _ in needed.inside - seen.inside}
    named += [f"the inside of the guest {guest}" for guest in sorted(inside)]
    more = len(named) - MAX_NAMED
    return [*named[:MAX_NAMED], *([f"{more} more"] if more > 0 else [])]


def size_of(body: Mapping[str, Any] | None) -> int:
    """About so many bytes of an answer."""
    return len(json.dumps(body, default=str))
