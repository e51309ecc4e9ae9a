"""The bare mirror of the source: a cache that may be thrown away at any time.

    mirror = Mirror(room, source, credentials=…, limits=…, allow_loopback=False, trust=…)
    mirror.fetch(last_accepted, in_force=None) -> Fetched       never raises for what a source does
    mirror.read_tree(commit, known={blob_id: bytes}) -> Tree
    mirror.read_file_at(commit, path) -> bytes | None
    mirror.commit(commit) -> Commit      mirror.first_parent(commit) -> str | None
    mirror.log(old | None, new, count=100) -> list[Commit]
    The readers raise SourceError for a commit that is not there or not readable.

All methods block; callers on an event loop use threads. Which commit is the last accepted one is the caller's
record, not the mirror's: `refs/psr/accepted` only keeps its objects from being dropped. A commit that was
fetched and not accepted comes back as Advanced at every fetch, or as Unverified where signatures are required.

    <room>/mirror.git   the mirror             <room>/home          an empty HOME for git
    <room>/lock         held while fetching    <room>/damaged.git   the last mirror that was found damaged
"""

import contextlib
import fcntl
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from service.errors import SourceError
from service.git import tree
from service.git.addresses import AddressRefused, NameUnknown, Resolve, check_host, resolve
from service.git.child import GitAnswer, GitLimits
from service.git.commands import ACCEPTED, INCOMING, Credentials, Git, is_cut_off, is_sha256, port_of
from service.git.leftovers import sweep
from service.git.trust import MAX_NEW, Trust
from service.model.sources import (
    Advanced,
    Empty,
    FailCause,
    Failed,
    Fetched,
    Missing,
    Rewound,
    Source,
    Unchanged,
    Unverified,
)
from service.model.trees import Commit, Tree

MAX_MIRROR_BYTES = 1 << 30
PACKS_BEFORE_REPACK = 50

SHA256 = (
    "object format sha256 is not supported. Fix: follow a repository of the format sha1; "
    "`git fast-export --all | git -C NEW fast-import` copies the history into one"
)
SHALLOW = (
    "the repository is shallow: its history is cut off, so nothing shows whether a commit descends from the accepted "
    "one. Fix: complete it with `git fetch --unshallow`, or clone it again without --depth"
)

_CAUSES: dict[type[SourceError], FailCause] = {AddressRefused: "address", NameUnknown: "unreachable"}


_File = tuple[bytes, int, int, int]
"""Its path, inode, size, and the time of its last change in ns: no write leaves all of them alone."""


class Mirror:
    """One source, mirrored in a private folder. Safe to use from several threads."""

    def __init__(
        self,
        room: Path,
        source: Source,
        *,
        credentials: Credentials | None = None,
        limits: GitLimits | None = None,
        allow_loopback: bool = False,
        resolver: Resolve = resolve,
        trust: Trust | None = None,
    ) -> None:
        """`trust`: whose signatures every new commit needs; without it none does."""
        self.source = source
        self._room = room.absolute()
        self._directory, self._home = self._room / "mirror.git", self._room / "home"
        self._lock = self._room / "lock"
        self._git = Git(self._room, self._directory, source, credentials or Credentials(), limits or GitLimits())
        self._allow_loopback = allow_loopback
        self._resolver = resolver
        self._trust = trust
        self._judged: tuple[object, Fetched] | None = None
        self._fetching = threading.Lock()
        # Readers hold this, and so does whoever puts another mirror in the place of the one they read.
        self._objects = threading.Lock()
        self._suspect = False
        self._read: tuple[frozenset[_File], dict[str, str]] | None = None

    def fetch(self, last_accepted: str | None, *, in_force: str | None = None) -> Fetched:
        """Ask for the commit of the branch, fetch new objects, and compare the commit with `last_accepted`. `in_force`
        is the commit that has to stay readable; the last accepted one if none is given.
        """
        wait_s = 4 * self._git.limits.timeout_s
        if not self._fetching.acquire(timeout=wait_s):
            return Failed("busy", f"another fetch did not end in {wait_s:g} s")
        try:
            with self._only_one():
                in_force = in_force or last_accepted
                return self._checked(self._fetch(last_accepted, in_force, self._addresses()), in_force)
        except BlockingIOError:
            return Failed("busy", f"another process is fetching into {self._room}")
        except OSError as error:
            return Failed("mirror", f"the mirror in {self._room} cannot be used: {error.strerror}")
        except SourceError as error:
            return Failed(_CAUSES.get(type(error), "mirror"), str(error))
        finally:
            self._fetching.release()

    def read_tree(self, commit: str, known: Mapping[str, bytes] | None = None) -> Tree:
        """The spec files of this commit and what cannot be used; blobs of `known` are not read again."""
        with self._reading():
            return tree.read_tree(self._directory, commit, known or {})

    def read_file_at(self, commit: str, path: str) -> bytes | None:
        """One plain file of this commit, None where there is none; at most as large as a spec file may be."""
        with self._reading():
            return tree.read_file_at(self._directory, commit, path)

    def commit(self, commit: str) -> Commit:
        """Who made this commit, and when."""
        with self._reading():
            return tree.read_commits(self._directory, [commit])[0]

    def first_parent(self, commit: str) -> str | None:
        """The commit before this one on its branch, None for the first of all."""
        return next(iter(self.commit(commit).parents), None)

    def log(self, old: str | None, new: str, count: int = 100) -> list[Commit]:
        """The newest `count` commits that `new` has and `old` has not, newest first."""
        with self._reading():
            return tree.read_commits(self._directory, self._git.between(old, new, count))

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """A failed read makes the next fetch look at the mirror's health."""
        with self._objects:
            try:
                yield
            except tree.TooBig:
                raise
            except SourceError:
                self._suspect = True
                raise

    @contextlib.contextmanager
    def _only_one(self) -> Iterator[None]:
        """Hold the folder against other processes; BlockingIOError where one has it."""
        if not self._home.is_dir():
            self._room.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._home.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        finally:
            os.close(lock)

    def _addresses(self) -> tuple[str, ...]:
        host = urlsplit(self.source.url).hostname
        if self.source.kind == "local" or not host:
            return ()
        return check_host(host, port_of(self.source), allow_loopback=self._allow_loopback, resolver=self._resolver)

    def _fetch(self, last_accepted: str | None, in_force: str | None, addresses: tuple[str, ...]) -> Fetched:
        if self._suspect:
            sweep(self._directory)
        named = {} if self._suspect else self._named()
        usable = bool(named) or self._usable()
        if usable and in_force and named.get(ACCEPTED) != in_force and self._git.has(in_force):
            self._git.keep(in_force)
        head = self._ask(addresses)
        if not isinstance(head, str):
            return head
        before = named.get(INCOMING)
        if usable and before == head:
            return self._judge(last_accepted, head)
        failed = self._bring(addresses, before) if usable else self._start_anew(addresses)
        return failed or self._judge(last_accepted, self._git.incoming())

    def _named(self) -> dict[str, str]:
        """What git finds in the mirror. It is only run where a file there is not as it was when it last found all well.
        So a look without news is one command, at the source."""
        files = _files(self._directory)
        if self._read is None or self._read[0] != files:
            sweep(self._directory)
            self._read = (_files(self._directory), named) if (named := self._git.named()) else None
            return named
        return self._read[1]

    def _usable(self) -> bool:
        """Whether the mirror is there and, if a read of it failed, whole."""
        if not self._git.opens() or (self._suspect and not self._git.is_sound()):
            return False
        self._suspect = False
        return True

    def _ask(self, addresses: tuple[str, ...]) -> str | Missing | Empty | Failed:
        """The commit of the source's branch, or why there is none."""
        # git runs outside of the mirror: damage in it must not look like a source that does not answer.
        outside = self._git.at(self._home)
        answer = outside.branch_head(addresses)
        if answer.ok:
            if commit := outside.commit_of(answer):
                return commit
            if not answer.stdout.strip():
                answer = outside.branches(addresses)
            if is_sha256(answer):
                return Failed("unsupported", f"{self.source.url}: {SHA256}")
            if answer.flooded or (answer.ok and answer.stdout.strip()):
                return Missing(self.source.branch, outside.branch_names(answer))
            if answer.ok:
                return Empty()
        return self._failed("unreachable", "does not answer", answer)

    def _bring(self, addresses: tuple[str, ...], before: str | None) -> Failed | None:
        """Fetch what is new; where that fails because our own copy is damaged, copy again. `before` is what was fetched
        last."""
        if (size := self._bytes()) > MAX_MIRROR_BYTES:
            return Failed("too-big", f"the mirror has {size} bytes; it may have {MAX_MIRROR_BYTES}")
        answer = self._git.fetch(addresses)
        if answer.ok:
            self._repack_if_many()
            return self._not_given(answer) if self._git.incoming() == before else None
        sweep(self._directory)
        if not answer.timed_out and not self._git.is_sound():
            return self._start_anew(addresses)
        return self._failed("refused", "could not be fetched", answer)

    def _start_anew(self, addresses: tuple[str, ...]) -> Failed | None:
        """Copy the source next to the mirror, then put the copy in its place; until then the old one stays."""
        fresh, damaged = self._room / "fresh.git", self._room / "damaged.git"
        shutil.rmtree(fresh, ignore_errors=True)
        git = self._git.at(fresh)
        made = git.create()
        if not made.ok:
            return Failed("mirror", f"no mirror can be made in {self._room}: {git.complaint(made)}")
        answer = git.fetch(addresses)
        if not answer.ok or git.incoming() is None:
            shutil.rmtree(fresh, ignore_errors=True)
            return self._failed("refused", "could not be fetched", answer) if not answer.ok else self._not_given(answer)
        with self._objects:
            if self._directory.exists():
                shutil.rmtree(damaged, ignore_errors=True)
                self._directory.rename(damaged)
            fresh.rename(self._directory)
            self._suspect = False
        return None

    def _judge(self, last_accepted: str | None, new: str | None) -> Fetched:
        if new is None:
            return Failed("mirror", "the fetched branch names no readable commit")
        if new == last_accepted:
            return Unchanged(new)
        if last_accepted is None or self._git.descends(last_accepted, new):
            return Advanced(new, last_accepted)
        return Rewound(last_accepted, new)

    def _checked(self, fetched: Fetched, in_force: str | None) -> Fetched:
        """The same, or Unverified where one of the commits that are not in force has no signature that counts. Without
        any in force, the newest one alone is checked: where to begin is the operator's choice."""
        if self._trust is None or not isinstance(fetched, Unchanged | Advanced) or fetched.commit == in_force:
            return fetched
        asked = (in_force, fetched, self._trust.stamp())
        if self._judged is None or self._judged[0] != asked:  # each commit is a program of its own
            self._judged = (asked, self._verified(self._trust, fetched, in_force))
        return self._judged[1]

    def _verified(self, trust: Trust, fetched: Unchanged | Advanced, in_force: str | None) -> Fetched:
        new = self._git.between(in_force, fetched.commit, MAX_NEW + 1) if in_force else [fetched.commit]
        if len(new) > MAX_NEW:
            return Unverified(fetched.commit, new[-1], f"is one of more than {MAX_NEW} new commits", len(new), len(new))
        wrong = [one for one in self._git.checks(trust, new) if not one.is_good]
        if wrong:
            return Unverified(fetched.commit, wrong[-1].commit, wrong[-1].why, len(wrong), len(new))
        return fetched

    def _not_given(self, answer: GitAnswer) -> Failed:
        """Why a fetch went well and the branch is not here."""
        if is_cut_off(answer):
            return Failed("unsupported", f"{self.source.url}: {SHALLOW}")
        return Failed("refused", f"{self.source.url} named the commit of its branch, but did not send it")

    def _failed(self, cause: FailCause, what: str, answer: GitAnswer) -> Failed:
        cause = "timeout" if answer.timed_out else cause
        return Failed(cause, f"{self.source.url} {what}: {self._git.complaint(answer)}")

    def _bytes(self) -> int:
        return sum(file.stat().st_size for file in (self._directory / "objects" / "pack").glob("*.pack"))

    def _repack_if_many(self) -> None:
        """Git's own upkeep is off; ours runs under the lock. A reader that misses a pack looks for the new one."""
        packs = self._directory / "objects" / "pack"
        if sum(1 for _ in packs.glob("*.pack")) > PACKS_BEFORE_REPACK:
            self._git.repack()


def _files(folder: Path) -> frozenset[_File]:
    """All files under a folder; none where it cannot be read."""
    found: list[_File] = []
    folders = [os.fsencode(folder)]
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    state = entry.stat(follow_symlinks=False)
                    found.append((entry.path, state.st_ino, state.st_size, state.st_ctime_ns))
    return frozenset(found)
