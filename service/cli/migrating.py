"""A migration as it is carried out: each step looks whether it is done, does what it is there for, and waits for it.

Migration(clone, world, …).order() -> Order      what is left, and what the commits change; nothing is changed
Migration(clone, world, …).run(order)            carries it out

Nothing is remembered between two runs: Git, the hosts and the internet say which steps are done.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from service.cli.directory import blob_id_of
from service.cli.output import tell
from service.errors import InputError, PasserelleError, SourceError
from service.git.clone import Clone
from service.kinds.kind import Kind
from service.kinds.sites_seen import sites_of
from service.migrate.arriving import Edit, arriving
from service.migrate.judging import (
    NameSeen,
    RecordChange,
    Silent,
    SitePair,
    not_running,
    records_to_change,
    unanswered,
    uncertified,
    unnamed,
    unready,
)
from service.migrate.leaving import leaving
from service.migrate.order import Stage, Step, steps_from
from service.migrate.reading import Pair, good_fleet, read_pair
from service.migrate.trailers import MIGRATION, STEP, CommitStep, Past, message_of, past_of, record_of
from service.model.sites.seen import Answer
from service.model.sites.wanted import SiteWanted
from service.model.trees import BlobEntry, Tree
from service.spec.host import HostSpec

PUSHES = 3
POLL_S, LONGEST_POLL_S = 0.5, 5.0
_TURNED: Mapping[Stage, Stage] = {"one": "other", "both": "both", "other": "one"}


class World(Protocol):
    """What a migration sees and does outside of Git: by the service, the internet and the hosts."""

    def status(self, host: str) -> Mapping[str, Any]:
        """The host's status (`hosts/HOST` of the API)."""
        ...

    def facts(self, host: str) -> Mapping[str, Any]:
        """What was last seen on the host, by the fact's name."""
        ...

    def leases(self, host: str) -> Mapping[str, str]:
        """The address that each guest of the host has by its lease, by MAC address."""
        ...

    def answers(self, sites: Sequence[SiteWanted]) -> Sequence[Answer]:
        """How each site answers through the first of its addresses, in the same order."""
        ...

    def names(self, names: Sequence[str]) -> Sequence[NameSeen]:
        """What the name servers of the internet say."""
        ...

    def hand_over(self, giver: HostSpec, taker: HostSpec, sites: tuple[SiteWanted, SiteWanted]) -> None:
        """Carry the certificates of a proxy to that of another host. `sites` is one of each proxy."""
        ...

    def change(self, record: RecordChange) -> bool:
        """Change a DNS record by the user's program; False where there is none."""
        ...

    def now(self) -> int:
        """Seconds since the epoch."""
        ...

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        ...


class Late(PasserelleError):  # noqa: N818 (what happened, as the other errors of the tree)
    """What was waited for did not come in time."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user wants. `address` is the taker's address as the internet sees it, "" for the one in Git."""

    source: str
    target: str
    is_back: bool = False
    address: str = ""
    grace_s: float = 300.0
    timeout_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class Order:
    """What is left to do, and the commits among it, in their order."""

    steps: tuple[Step, ...]
    edits: tuple[tuple[CommitStep, tuple[Edit, ...]], ...]
    past: Past
    tip: str

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for people."""
        return tuple(note for _, edits in self.edits for edit in edits for note in edit.notes)


@dataclass(slots=True)
class Migration:
    """One migration, in one direction."""

    clone: Clone
    world: World
    kinds: Sequence[Kind]
    wishes: Wishes

    @property
    def giver(self) -> str:
        """The host that has the guests when nothing is done yet."""
        return self.wishes.target if self.wishes.is_back else self.wishes.source

    @property
    def taker(self) -> str:
        """The host that has them at the end."""
        return self.wishes.source if self.wishes.is_back else self.wishes.target

    def order(self) -> Order:
        """What is left. InputError where the hosts cannot be migrated as Git and the service describe them."""
        tip = self.clone.fetch()
        past = self._past(tip)
        if self.wishes.is_back:
            return self._way_back(tip, past)
        tree = self.clone.tree(tip)
        pair = read_pair(tree, self.kinds, self.giver, self.taker)
        if past.stage == "other" and not pair.source.mapping("guests"):
            return Order(steps_from("other", self.giver, self.taker), (), past, tip)
        if past.stage == "other":  # it got guests since: another migration of the same hosts
            past = Past()
        edits: list[tuple[CommitStep, tuple[Edit, ...]]] = []
        if past.stage == "one":
            give = arriving(pair, self.world.leases(self.giver))
            tree = changed(tree, {give.path: give.after.encode()})
            pair = read_pair(tree, self.kinds, self.giver, self.taker)
            edits.append(("give", (give,)))
        take = leaving(pair)
        good_fleet(changed(tree, {take.path: take.after.encode()}), self.kinds)
        edits.append(("take", (take,)))
        return Order(steps_from(past.stage, self.giver, self.taker), tuple(edits), past, tip)

    def _past(self, tip: str) -> Past:
        found = (record_of(*row) for row in self.clone.trailers(tip, (MIGRATION, STEP)))
        records = [record for record in found if record is not None]
        return past_of(records, self.wishes.source, self.wishes.target)

    def _way_back(self, tip: str, past: Past) -> Order:
        if past.was_taken_back:
            return Order(steps_from("other", self.giver, self.taker, is_back=True), (), past, tip)
        if past.stage == "one":
            raise InputError(
                f"there is no migration of {self.wishes.source} to {self.wishes.target} to take back",
                hint="see `git log --grep Passerelle-Migration`",
            )
        tree, edits = self.clone.tree(tip), list[tuple[CommitStep, tuple[Edit, ...]]]()
        wanted: tuple[tuple[CommitStep, str], ...] = (("give-back", past.taken), ("take-back", past.given))
        for step, commit in wanted:
            if not commit:
                continue
            made = tuple(self._reverted(tree, commit))
            tree = changed(tree, {edit.path: edit.after.encode() for edit in made})
            good_fleet(tree, self.kinds)
            edits.append((step, made))
        return Order(
            steps_from(_TURNED[past.stage], self.giver, self.taker, is_back=True), tuple(edits), past, tip
        )  # fmt: skip

    def _reverted(self, tree: Tree, commit: str) -> Iterator[Edit]:
        """The files as they were before a commit, with everything that came after it."""
        before = self.clone.parent(commit)
        for path in self.clone.changed(commit):
            made, old = self.clone.text(commit, path), self.clone.text(before, path)
            now = tree.files[path].data if path in tree.files else None
            if made is None or old is None or now is None:
                raise InputError(
                    f"{path} was added or removed by {commit[:10]} or since, so the commit is not reverted",
                    hint=f"revert {commit[:10]} yourself with the trailers of its message, and push",
                )
            merged = old if now == made else self.clone.merged(made, now, old)
            if merged is None:
                raise InputError(
                    f"{path} was changed since {commit[:10]} at the same lines, so the commit is not reverted",
                    hint="bring those lines to what the commit made of them, and push",
                )
            yield Edit(path, now.decode(), merged.decode())

    def run(self, order: Order) -> None:
        """Carry it out. Stopped, Late and the errors of Git and the hosts leave everything where it is."""
        count = len(order.steps)
        edits = dict(order.edits)
        for number, step in enumerate(order.steps, 1):
            tell(f"[{number}/{count}] {step.does}")
            if step.name == "check":
                self._check(order)
            elif step.name in ("give", "take"):
                name: CommitStep = f"{step.name}-back" if self.wishes.is_back else step.name  # type: ignore[assignment]
                self._commit(name, edits.get(name, ()))
            else:
                {
                    "applied": self._applied, "certificates": self._certificates, "answers": self._answers,
                    "names": self._names, "last": self._last,
                }[step.name]()  # fmt: skip

    def in_the_way(self, order: Order) -> list[str]:
        """What has to change at the hosts before the first commit. Stopped for what a person has to do."""
        if order.steps[0].name != "check":
            return []
        return [*self._unready(self.giver, order.tip), *self._unready(self.taker, order.tip)]

    def _check(self, order: Order) -> None:
        """Both hosts as they are before the first commit."""
        self._until(lambda: self.in_the_way(order))
        ((_, edits), *_) = order.edits
        tree = changed(self.clone.tree(order.tip), {edit.path: edit.after.encode() for edit in edits})
        sites = self._sites(read_pair(tree, self.kinds, self.giver, self.taker))
        if sites and not sites[0][1].addresses:
            raise InputError(
                f"{self.taker} has no public IPv4 address in Git, and sites are to be published there",
                hint="name the address at which the internet reaches it: --address ADDRESS",
            )

    def _commit(self, step: CommitStep, edits: Sequence[Edit]) -> None:
        """Commit on what the branch is now. Another commit that came between does not stop it."""
        for left in range(PUSHES, 0, -1):
            tip = self.clone.fetch()
            edits = self._again(step, edits, tip)
            if all(one.is_empty for one in edits):
                tell("      nothing is to be changed")
                return
            good_fleet(changed(self.clone.tree(tip), {one.path: one.after.encode() for one in edits}), self.kinds)
            message = message_of(
                edits[0], self.wishes.source, self.wishes.target, step, self._reverts(step, tip)
            )  # fmt: skip
            commit = self.clone.make(tip, {one.path: one.after.encode() for one in edits}, message)
            try:
                self.clone.push(commit)
            except SourceError:
                if left == 1 or self.clone.fetch() == tip:
                    raise
                continue
            tell(f"      {commit[:10]} is on {self.clone.branch}")
            if not self.clone.follow(commit):
                tell("      your work tree has changes of its own in the way: `git pull` when they are committed")
            return

    def _again(self, step: CommitStep, edits: Sequence[Edit], tip: str) -> Sequence[Edit]:
        """The same edits on what the branch is now."""
        tree = self.clone.tree(tip)
        if all(one.path in tree.files and tree.files[one.path].data == one.before.encode() for one in edits):
            return edits
        if self.wishes.is_back:
            return tuple(self._reverted(tree, self._reverts(step, tip)))
        pair = read_pair(tree, self.kinds, self.giver, self.taker)
        return (arriving(pair, self.world.leases(self.giver)),) if step == "give" else (leaving(pair),)

    def _reverts(self, step: CommitStep, tip: str) -> str:
        past = self._past(tip)
        return {"give-back": past.taken, "take-back": past.given}.get(step, "")

    def _now(self) -> tuple[str, Pair]:
        """The branch as it is, and both hosts in it."""
        tip = self.clone.fetch()
        return tip, read_pair(self.clone.tree(tip), self.kinds, self.giver, self.taker)

    def _made(self) -> str:
        """The newest commit of this migration: the hosts have to be in sync with it."""
        tip = self.clone.fetch()
        return next((row[0] for row in self.clone.trailers(tip, (MIGRATION, STEP))), tip)

    def _applied(self) -> None:
        _, pair = self._now()
        commit, guests = self._made(), list(pair.target.mapping("guests"))
        self._until(
            lambda: [
                *self._unready(self.taker, commit),
                *not_running(self.taker, self.world.facts(self.taker), guests),
            ]
        )

    def _certificates(self) -> None:
        _, pair = self._now()
        sites = self._sites(pair)
        if not sites:
            return
        if not list(uncertified(self._asked(sites), self.taker)):
            tell("      nothing is to be carried")
            return
        giver = next((giver for giver, _ in sites if giver is not None), None)
        assert giver is not None, "a certificate is missing only next to one of the giver"
        self.world.hand_over(pair.source.spec, pair.target.spec, (giver, sites[0][1]))
        self._until(lambda: list(uncertified(self._asked(sites), self.taker)))

    def _answers(self) -> None:
        _, pair = self._now()
        sites = self._sites(pair)
        self._until(lambda: list(unanswered(self._asked(sites), self.giver, self.taker, now=self.world.now())))

    def _names(self) -> None:
        _, pair = self._now()
        sites = [taker for _, taker in self._sites(pair)]
        names = [name for site in sites for name in site.names if not name.startswith("*.")]
        if not names:
            return
        addresses = sites[0].addresses
        seen = self.world.names(names)
        for record in records_to_change(seen, addresses):
            done = self.world.change(record)
            tell(f"      {'changed' if done else 'change this record'}: {record}")
        self._until(lambda: list(unnamed(self.world.names(names), addresses)))
        if any(one.addresses for one in seen) and self.wishes.grace_s:
            tell(f"      {self.giver} serves for {self.wishes.grace_s:.0f} s more, until caches forget the old address")
            self.world.wait(self.wishes.grace_s)

    def _last(self) -> None:
        _, pair = self._now()
        commit, sites = self._made(), self._sites(pair)
        self._until(
            lambda: [
                *self._unready(self.giver, commit),
                *unanswered(self._asked(sites), self.giver, self.taker, now=self.world.now()),
            ]
        )

    def _unready(self, host: str, commit: str) -> Iterator[str]:
        status = self.world.status(host)
        seen = str(status["observed_commit"])
        if not self.clone.is_ancestor(commit, seen):
            self.clone.fetch()
        yield from unready(status, has_commit=self.clone.is_ancestor(commit, seen))

    def _sites(self, pair: Pair) -> list[tuple[SiteWanted | None, SiteWanted]]:
        """The sites of the taker, each next to the one of the giver if that still has it."""
        here = {site.name: site for site in sites_of(pair.source.spec, pair.source.claims)}
        there = sites_of(pair.target.spec, pair.target.claims)
        if self.wishes.address:
            there = tuple(replace(site, addresses=(self.wishes.address,)) for site in there)
        return [(here.get(site.name), site) for site in there]

    def _asked(self, sites: Sequence[tuple[SiteWanted | None, SiteWanted]]) -> list[SitePair]:
        givers = [giver for giver, _ in sites if giver is not None and giver.addresses]
        through_giver = dict(zip((one.name for one in givers), self.world.answers(givers), strict=True))
        through_taker = self.world.answers([taker for _, taker in sites])
        return [
            SitePair(taker.name, through_giver.get(taker.name), answer, taker.is_https)
            for (_, taker), answer in zip(sites, through_taker, strict=True)
        ]

    def _until(self, missing: Callable[[], Iterable[str]]) -> None:
        """Wait until nothing is missing, and tell what is when that changes. Late after the time of the wishes."""
        ends, told, pause_s = self.world.now() + self.wishes.timeout_s, list[str](), POLL_S
        while left := _or_why_not(missing):
            for sentence in left if left != told else ():
                tell(f"      {sentence}")
            told = left
            if self.world.now() >= ends:
                raise Late(
                    f"{left[0]} This was waited for during {self.wishes.timeout_s:.0f} s",
                    hint="correct the cause, and start the command again, without or with --back",
                )
            self.world.wait(pause_s)
            pause_s = min(pause_s * 1.5, LONGEST_POLL_S)


def _or_why_not(missing: Callable[[], Iterable[str]]) -> list[str]:
    """What is missing. Where the service or the remote cannot say it now, that is missing."""
    try:
        return list(missing())
    except (SourceError, Silent) as error:
        return [f"{error.what}."]


def changed(tree: Tree, texts: Mapping[str, bytes]) -> Tree:
    """The tree with other texts of some files."""
    new = {path: BlobEntry(path, blob_id_of(data), data) for path, data in texts.items()}
    return replace(tree, files=dict(sorted({**tree.files, **new}.items())))
