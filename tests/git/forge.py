"""A source repository that tests write to with the real git, without a work tree."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.lab.waiting import grown_s

_CLEAN = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_AUTHOR_DATE": "1700000000 +0100",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
    "GIT_COMMITTER_DATE": "1700000000 +0100",
}


# Path -> content, or -> (mode, object id); paths and contents as text or bytes.
Entries = Mapping[Any, Any]


_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")


def _plain(entries: Entries) -> dict[str, bytes]:
    """Path and content of each file; nothing where one is odd, and so has to be written object by object."""
    files = {}
    for path, value in entries.items():
        if not (isinstance(path, str) and isinstance(value, str | bytes) and _PLAIN_NAME.fullmatch(path)):
            return {}
        files[path] = value if isinstance(value, bytes) else value.encode()
    return files


class Forge:
    """A bare repository at `path`, written to without a work tree."""

    def __init__(self, path: Path, *options: str) -> None:
        self.path = path
        self._blobs: dict[bytes, str] = {}
        path.mkdir(parents=True)
        self.git("init", "--quiet", "--bare", "--initial-branch=main", "--template=", *options)

    def git(self, *arguments: str, stdin: bytes = b"", **environment: str) -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.path,
            env=_CLEAN | environment,
            input=stdin,
            capture_output=True,
            check=False,
            timeout=grown_s(60),
        )
        assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
        return done.stdout.decode("utf-8", "surrogateescape").strip()

    def blob(self, data: bytes | str) -> str:
        content = data if isinstance(data, bytes) else data.encode()
        if content not in self._blobs:
            self._blobs[content] = self.git("hash-object", "-w", "--stdin", stdin=content)
        return self._blobs[content]

    def tree(self, entries: Entries) -> str:
        """A tree from paths; a value that is a pair is (mode, object id)."""
        inner: dict[bytes, dict[Any, Any]] = {}
        lines = []
        for path, value in entries.items():
            raw = path if isinstance(path, bytes) else path.encode()
            first, slash, rest = raw.partition(b"/")
            if slash:
                inner.setdefault(first, {})[rest] = value
                continue
            mode, identity = value if isinstance(value, tuple) else ("100644", self.blob(value))
            kind = {"160000": "commit", "040000": "tree", "40000": "tree"}.get(mode, "blob")
            lines.append(f"{mode} {kind} {identity}\t".encode() + raw)
        lines += [f"040000 tree {self.tree(below)}\t".encode() + name for name, below in inner.items()]
        return self.git("mktree", "-z", "--missing", stdin=b"".join(line + b"\0" for line in lines))

    def raw_tree(self, entries: list[tuple[bytes, bytes, str]]) -> str:
        """A tree object byte by byte, also one that git would not make."""
        data = b"".join(mode + b" " + name + b"\0" + bytes.fromhex(identity) for mode, name, identity in entries)
        return self.git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", stdin=data)

    def commit_tree(self, tree: str, *parents: str, message: str = "a change", **environment: str) -> str:
        above = [word for parent in parents for word in ("-p", parent)]
        return self.git("commit-tree", tree, *above, "-F", "-", stdin=message.encode(), **environment)

    def push(
        self,
        entries: Entries,
        *,
        branch: str = "main",
        message: str = "a change",
        orphan: bool = False,
    ) -> str:
        """A commit with exactly these files on top of the branch."""
        if files := _plain(entries):
            return self._imported(files, branch, message, is_first=orphan or not self._has(branch))
        heads = self.git("for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}").split()
        commit = self.commit_tree(self.tree(entries), *([] if orphan else heads), message=message)
        self.git("update-ref", f"refs/heads/{branch}", commit)
        return commit

    def _has(self, branch: str) -> bool:
        packed = self.path / "packed-refs"
        return (self.path / "refs" / "heads" / branch).is_file() or (
            packed.is_file() and f" refs/heads/{branch}\n" in packed.read_text()
        )

    def _imported(self, files: Mapping[str, bytes], branch: str, message: str, *, is_first: bool) -> str:
        """The same commit as object by object, by one process: git-fast-import(1). The branch's commit before it is
        its parent, but for the first one."""
        ref, who = f"refs/heads/{branch}", f"{_CLEAN['GIT_AUTHOR_NAME']} <{_CLEAN['GIT_AUTHOR_EMAIL']}>"
        head = f"committer {who} {_CLEAN['GIT_COMMITTER_DATE']}\n".encode() + _data(message.encode())
        lines = [b"reset refs/heads/%s\n" % branch.encode()] if is_first else []
        lines += [f"commit {ref}\nmark :1\n".encode(), head, *([] if is_first else [f"from {ref}^0\n".encode()])]
        lines.append(b"deleteall\n")
        for path, content in files.items():
            lines += [f"M 100644 inline {path}\n".encode(), _data(content)]
        return self.git("fast-import", "--quiet", "--force", "--done", stdin=b"".join([*lines, b"get-mark :1\ndone\n"]))


def _data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)
