"""The user's own clone of the config repository: what its branch has at the remote, and commits that go there.

Clone(folder)
  .fetch() -> commit               what the branch is at the remote now
  .tree(commit)  .text(commit, path)  .changed(commit)  .messages(…)  .is_ancestor(old, new)
  .make(parent, texts, message)    a commit with other texts of files; nobody sees it yet
  .push(commit)                    the remote takes it, or nothing has happened
  .follow(commit)                  the user's branch and files, where they can follow

Unlike the mirror's git this one is the user's: their configuration, identity, rights and pre-push hook. The work tree
and the index are not needed, and not touched before the remote has the commit. So there is no state between the two
that a killed process could leave.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from service.errors import InputError, SourceError
from service.git.child import GitAnswer, GitLimits, run
from service.git.commands import is_commit_id
from service.git.tree import read_file_at, read_tree
from service.model.trees import Tree, shown

_LONGEST_S = 180.0
"""For a push, with hooks."""
_MOST_COMMITS = 1000
_REDIRECTING = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_NAMESPACE",
    "GIT_PREFIX", "GIT_ALTERNATE_OBJECT_DIRECTORIES",
)  # fmt: skip
"""What makes git take another repository than that of the folder (git(1))."""


@dataclass(frozen=True, slots=True)
class Clone:
    """A branch of a clone. `remote` and `ref` are where it goes, `tracking` is what the clone last knew of it."""

    folder: Path
    branch: str = ""
    remote: str = ""
    ref: str = ""
    tracking: str = ""
    objects: Path = field(default=Path(), repr=False)

    @classmethod
    def of(cls, folder: Path) -> "Clone":
        """The branch that is checked out in a folder. InputError where it follows no branch of a remote."""
        at = cls(folder)
        if not folder.is_dir() or not (inside := at._git("rev-parse", "--path-format=absolute", "--git-common-dir")).ok:
            raise InputError(f"{folder} is not in a clone of a Git repository", hint="name yours with --repo")
        objects = Path(os.fsdecode(inside.stdout).removesuffix("\n")) / "objects"
        branch = at._line("symbolic-ref", "--quiet", "--short", "HEAD")
        if not branch:
            raise InputError(f"no branch is checked out in {folder}", hint="git switch main")
        remote, ref = at._line("config", f"branch.{branch}.remote"), at._line("config", f"branch.{branch}.merge")
        tracking = at._line("rev-parse", "--quiet", "--verify", "--symbolic-full-name", "@{upstream}")
        if not remote or remote == "." or not ref.startswith("refs/heads/") or not tracking:
            raise InputError(
                f"the branch {shown(branch, 80)} of {folder} follows no branch of a remote",
                hint="git push --set-upstream origin BRANCH",
            )
        return cls(folder, branch, remote, ref, tracking, objects)

    def fetch(self) -> str:
        """What the branch is at the remote now. SourceError where the remote does not answer."""
        answer = self._git("fetch", "--quiet", "--no-tags", "--", self.remote, f"+{self.ref}:{self.tracking}")
        if not answer.ok:
            raise SourceError(f"{self.remote} cannot be fetched: {_said(answer)}", hint="git fetch")
        return self._commit("rev-parse", "--verify", f"{self.tracking}^{{commit}}")

    def tree(self, commit: str) -> Tree:
        """The spec files at a commit."""
        with self._bare() as bare:
            return read_tree(bare, commit, {})

    def text(self, commit: str, path: str) -> bytes | None:
        """One file at a commit; None where it is not there."""
        with self._bare() as bare:
            return read_file_at(bare, commit, path)

    def parent(self, commit: str) -> str:
        """The first parent of a commit."""
        return self._commit("rev-parse", "--verify", f"{commit}^1")

    def changed(self, commit: str) -> tuple[str, ...]:
        """The files that a commit changed, against its first parent."""
        answer = self._must("diff-tree", "-r", "-z", "--no-renames", "--name-only", f"{commit}^1", commit)
        return tuple(os.fsdecode(name) for name in answer.stdout.split(b"\0") if name)

    def trailers(self, commit: str, keys: Sequence[str]) -> Iterator[tuple[str, ...]]:
        """(commit, value, …) of every commit up to this one that has all these trailers, the newest first."""
        wanted = "%x00".join(f"%(trailers:key={key},valueonly,unfold)" for key in keys)
        answer = self._must(
            "log", "-z", "--topo-order", f"--max-count={_MOST_COMMITS}", f"--grep=^{keys[0]}: ",
            f"--format=%H%x00{wanted}%x00", commit,
        )  # fmt: skip
        parts = answer.stdout.decode("utf-8", "replace").split("\0")
        for row in zip(*(parts[n :: len(keys) + 2] for n in range(len(keys) + 1)), strict=False):
            found = tuple(shown(part.strip(), 200) for part in row)
            if all(found) and is_commit_id(found[0]):
                yield found

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether `new` is `old` or came after it; what the clone does not have came after nothing."""
        both = is_commit_id(old) and is_commit_id(new)
        return both and self._git("merge-base", "--is-ancestor", old, new).ok

    def make(self, parent: str, texts: Mapping[str, bytes], message: str) -> str:
        """A commit on `parent` in which these files have these texts. It is in no branch yet."""
        with tempfile.TemporaryDirectory() as name:
            scratch = Path(name)
            index = {"GIT_INDEX_FILE": str(scratch / "index")}
            self._must("read-tree", parent, **index)
            for path, text in texts.items():
                (scratch / "text").write_bytes(text)
                blob = self._commit("hash-object", "-w", "--no-filters", "--", str(scratch / "text"))
                self._must("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", **index)
            tree = self._commit("write-tree", **index)
            (scratch / "message").write_text(message, encoding="utf-8")
            signs = self._line("config", "--type=bool", "commit.gpgSign") == "true"
            flags = ["-S"] if signs else []
            return self._commit("commit-tree", tree, "-p", parent, "-F", str(scratch / "message"), *flags)

    def push(self, commit: str) -> None:
        """Give the remote's branch this commit. SourceError where it does not take it: then nothing has changed."""
        answer = self._git("push", "--quiet", "--", self.remote, f"{commit}:{self.ref}")
        if not answer.ok:
            raise SourceError(
                f"{self.remote} does not take a commit on {self.ref.removeprefix('refs/heads/')}: {_said(answer)}",
                hint="make sure that `git push` works here without a question, and start the command again",
            )
        self._git("update-ref", self.tracking, commit)

    def follow(self, commit: str) -> bool:
        """Bring the checked-out branch to this commit. False where changes of the user's own are in the way."""
        return self._git("merge", "--quiet", "--ff-only", commit).ok

    def merged(self, base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
        """A text with the changes of both sides (git-merge-file(1)); None where they touch the same lines."""
        with tempfile.TemporaryDirectory() as name:
            files = [Path(name) / side for side in ("ours", "base", "theirs")]
            for file, text in zip(files, (ours, base, theirs), strict=True):
                file.write_bytes(text)
            answer = self._git("merge-file", "-p", "--", *map(str, files))
            return answer.stdout if answer.ok else None

    @contextlib.contextmanager
    def _bare(self) -> Iterator[Path]:
        """A bare repository with the objects of the clone, for the readers of the mirror (gitrepository-layout(5))."""
        with tempfile.TemporaryDirectory() as name:
            bare = Path(name)
            for folder in ("objects/info", "refs"):
                (bare / folder).mkdir(parents=True)
            (bare / "HEAD").write_text("ref: refs/heads/main\n")
            (bare / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = true\n")
            (bare / "objects" / "info" / "alternates").write_bytes(os.fsencode(self.objects) + b"\n")
            yield bare

    def _git(self, *arguments: str, **more: str) -> GitAnswer:
        inherited = {key: value for key, value in os.environ.items() if key not in _REDIRECTING}
        environment = {**inherited, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8", **more}
        asks_nobody = "GIT_SSH_COMMAND" in environment or "GIT_SSH" in environment
        if arguments[0] in ("fetch", "push") and not asks_nobody and not self._line("config", "core.sshCommand"):
            environment["GIT_SSH_COMMAND"] = "ssh -oBatchMode=yes"
        return run(["git", *arguments], environment, self.folder, GitLimits(timeout_s=_LONGEST_S))

    def _must(self, *arguments: str, **more: str) -> GitAnswer:
        answer = self._git(*arguments, **more)
        if not answer.ok:
            raise SourceError(f"git {arguments[0]} failed in {self.folder}: {_said(answer)}")
        return answer

    def _commit(self, *arguments: str, **more: str) -> str:
        """The object id that a command prints."""
        found = self._must(*arguments, **more).stdout.decode("ascii", "replace").strip()
        if not is_commit_id(found):
            raise SourceError(f"git {arguments[0]} printed no object id in {self.folder}")
        return found

    def _line(self, *arguments: str) -> str:
        """What a command prints, "" where it fails."""
        answer = self._git(*arguments)
        return os.fsdecode(answer.stdout).strip() if answer.ok else ""


def _said(answer: GitAnswer) -> str:
    """Why a command failed, in a line."""
    if answer.timed_out:
        return "it did not end in time"
    lines = [line for line in answer.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    told = [line for line in lines if "rejected" in line or line.startswith(("fatal:", "error:", "remote:"))] or lines
    return shown("; ".join(line.strip() for line in told[:4]), 300) or f"git ended with status {answer.code}"
