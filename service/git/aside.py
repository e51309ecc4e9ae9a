"""Branches, pull requests and commits of the source that are looked at and never followed.

    aside = Aside(room, source, credentials=…)
    aside.read(Proposal("pull", "7"), known) -> Tree      NotFound, InputError, SourceError
    aside.contains(commit, older) -> bool

Anybody may open a pull request, so its objects are kept in a mirror of their own: they can neither damage nor fill the
one that is followed. It is made again when it is damaged or too big. All methods block.
"""

import contextlib
import fcntl
import os
import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from service.errors import InputError, NotFound, SourceError
from service.git import tree
from service.git.addresses import Resolve, check_host, resolve
from service.git.child import GitAnswer, GitLimits
from service.git.commands import Credentials, Git, is_commit_id, port_of
from service.git.leftovers import sweep
from service.git.source import branch_is_valid
from service.model.proposals import Proposal
from service.model.sources import Source
from service.model.trees import Tree, shown

LIMITS = GitLimits(timeout_s=20.0, file_bytes=128 << 20)
MAX_BYTES = 256 << 20
MAX_PACKS = 200
"""A mirror that has more of either is made again. Each fetch is a pack, and git reads the index of every one."""
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_PULLS = ("refs/pull/{}/head", "refs/merge-requests/{}/head", "refs/pull-requests/{}/from")
"""Where GitHub, Gitea, Forgejo and Gogs keep the commit of a pull request; GitLab; Bitbucket Data Center."""


class Aside:
    """One source. Safe to use from several threads, one after another."""

    def __init__(
        self, room: Path, source: Source, *, credentials: Credentials | None = None, allow_loopback: bool = False,
        resolver: Resolve = resolve, max_bytes: int = MAX_BYTES,
    ) -> None:  # fmt: skip
        self._room = room.absolute()
        self._directory, self._home = self._room / "mirror.git", self._room / "home"
        self._git = Git(self._room, self._directory, source, credentials or Credentials(), LIMITS)
        self._source = source
        self._allow_loopback = allow_loopback
        self._resolver = resolver
        self._max_bytes = max_bytes
        self._one = threading.Lock()

    def read(self, proposal: Proposal, known: Mapping[str, bytes]) -> Tree:
        """Fetch the revision and read its spec files; blobs of `known` are not read again. InputError for a name that
        is not valid, NotFound if the source does not have it, SourceError if it cannot be fetched."""
        refs = refs_of(proposal)
        with self._alone():
            commit = self._fetched(proposal, refs)
            return tree.read_tree(self._directory, commit, known)

    def contains(self, commit: str, older: str) -> bool:
        """Whether `older` is in the history of `commit`, which was read."""
        with self._alone():
            return self._git.descends(older, commit)

    def _fetched(self, proposal: Proposal, refs: tuple[str, ...]) -> str:
        if proposal.kind == "commit" and self._directory.is_dir() and self._git.has(proposal.name):
            return proposal.name
        host = urlsplit(self._source.url).hostname
        addresses = (
            ()
            if self._source.kind == "local" or not host
            else check_host(host, port_of(self._source), allow_loopback=self._allow_loopback, resolver=self._resolver)
        )
        ref = refs[0] if proposal.kind == "commit" else self._there(proposal, refs, addresses)
        sweep(self._directory)  # a fetch that was killed leaves up to `LIMITS.file_bytes`, and locks
        if not self._git.opens() or self._is_full():
            self._make()
        answer = self._git.fetch_aside(ref, addresses)
        is_ours = not answer.ok and not answer.timed_out and not self._git.is_refused(answer)
        if is_ours and not self._git.is_sound():  # looks at every object: only where that may be the reason
            self._make()
            answer = self._git.fetch_aside(ref, addresses)
        if not answer.ok and proposal.kind == "commit" and not answer.timed_out:
            raise NotFound(
                f"the source does not give the {proposal.label}: {self._git.complaint(answer)}",
                hint="push it, or name its branch or its pull request",
            )
        commit = self._git.incoming() if answer.ok else None
        if commit is None:
            raise SourceError(f"the {proposal.label} cannot be fetched: {self._git.complaint(answer)}")
        return commit

    def _there(self, proposal: Proposal, refs: tuple[str, ...], addresses: tuple[str, ...]) -> str:
        """The one of these refs that the source has. NotFound where it has none of them."""
        outside = self._git.at(self._home)
        answer: GitAnswer = outside.refs(refs, addresses)
        if not answer.ok:
            raise SourceError(f"{self._source.url} does not answer: {outside.complaint(answer)}")
        lines = answer.stdout.decode("utf-8", "replace").splitlines()
        there = {line.partition("\t")[2] for line in lines}
        found = next((ref for ref in refs if ref in there), None)
        if found is None:
            raise NotFound(f"the repository has no {proposal.label}")
        return found

    def _make(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)
        made = self._git.create()
        if not made.ok:
            raise SourceError(f"no mirror can be made in {self._room}: {self._git.complaint(made)}")

    def _is_full(self) -> bool:
        sizes = [file.stat().st_size for file in (self._directory / "objects" / "pack").glob("*.pack")]
        return len(sizes) > MAX_PACKS or sum(sizes) > self._max_bytes

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the folder against other threads and processes. SourceError where one has it for too long."""
        if not self._one.acquire(timeout=2 * LIMITS.timeout_s):
            raise SourceError("another branch is being fetched", hint="try again in a moment")
        try:
            self._room.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._home.mkdir(mode=0o700, exist_ok=True)
            lock = os.open(self._room / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield
            finally:
                os.close(lock)
        except BlockingIOError:
            raise SourceError("another process is fetching a branch", hint="try again in a moment") from None
        except OSError as error:
            raise SourceError(f"the mirror in {self._room} cannot be used: {error.strerror}") from error
        finally:
            self._one.release()


def refs_of(proposal: Proposal) -> tuple[str, ...]:
    """The full names under which a source may have it. InputError for what no option parser may ever see."""
    name = proposal.name
    match proposal.kind:
        case "branch" if branch_is_valid(name):
            return (f"refs/heads/{name}",)
        case "pull" if _NUMBER.fullmatch(name):
            return tuple(form.format(name) for form in _PULLS)
        case "commit" if is_commit_id(name):
            return (name,)
    right = {
        "branch": "give the short name, as in main or release/24.04",
        "pull": "give the number of the pull request",
        "commit": "give all 40 characters of the commit id",
    }[proposal.kind]
    raise InputError(f"{shown(name, 80)!r} cannot be looked at as a {proposal.kind}", hint=right)
