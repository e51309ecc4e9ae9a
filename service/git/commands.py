"""The one module that runs the git program: environment from empty, flags on every call, argument lists only.

    Git(room, source, credentials, limits)
      .create(directory)  .branch_head()  .branches()  .fetch(addresses)  .named()  .incoming()
      .has(commit)  .descends(old, new)  .keep(commit)  .between(old, new, count)  .is_sound()  .repack()

Nothing that a repository says reaches an option parser: a ref is the checked branch, a revision a full hash.
The reasons of the flags and variables are in git-config(1), git(1) "Environment Variables" and in
CVE-2022-24439, CVE-2024-32002, CVE-2024-32004, CVE-2024-50349 and CVE-2025-48384.
"""

import base64
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from service.errors import InputError, SourceError
from service.git.child import GitAnswer, GitLimits, run
from service.git.trust import AT_ONCE, CHECK, Checked, Trust, read_checks
from service.model.secret import Secret
from service.model.sources import Source
from service.model.trees import shown

INCOMING = "refs/psr/incoming"
ACCEPTED = "refs/psr/accepted"

MOST_NAMED = 3

_HASH = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(rb"^[0-9a-f]{64}\t", re.MULTILINE)
_SHALLOW = re.compile(rb"^warning: rejected .* because shallow roots ", re.MULTILINE)
_USERINFO = re.compile(r"(://)[^/@\s]*@")
_TOKEN = re.compile(r"\b(?:gh[a-z]_|github_pat_|glpat-)[A-Za-z0-9_-]+|\b(?:Basic|Bearer)\s+[A-Za-z0-9+/=._-]+")
_FROM_SERVER = re.compile(r"\s*(?:remote:|ERROR:|ERR\b)")
_REMOTE_ERROR = re.compile(r"^((?:fatal|error): remote error)\b.*")
_NOT_THERE = ("not our ref", "unadvertised object", "couldn't find remote ref")
"""How git says that a source does not have, or does not give, a commit or a ref."""
_PROTOCOLS = {"https": "https", "ssh": "ssh", "local": "file"}
_FLAGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.symlinks=false",
    "core.bigFileThreshold=16m",
    "core.packedGitWindowSize=32m",
    "core.packedGitLimit=256m",
    "pack.threads=2",
    "protocol.allow=never",
    "transfer.fsckObjects=true",
    "fetch.fsckObjects=true",
    # Always a pack, so that the limit on file size bounds a whole fetch.
    "fetch.unpackLimit=1",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "credential.helper=",
    "http.followRedirects=false",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=20",
    "transfer.bundleURI=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "safe.bareRepository=explicit",
    "log.showSignature=false",
)
_SSH_OPTIONS = (
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "GlobalKnownHostsFile=/dev/null",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "ForwardAgent=no",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
    "ProxyCommand=none",
    "UpdateHostKeys=no",
    "VerifyHostKeyDNS=no",
    "ConnectTimeout=10",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """How the service shows itself to the source; all from settings.

    `https_token` goes as HTTP Basic with `https_user`, to the source's own URL only. `ssh_key` and
    `known_hosts` are files; an ssh source needs both. `ca_file` replaces the system's authorities.
    """

    https_token: Secret | None = None
    https_user: str = "git"
    ssh_key: Path | None = None
    known_hosts: Path | None = None
    ca_file: Path | None = None


def is_commit_id(text: str) -> bool:
    """A full SHA-1 object id, nothing else."""
    return _HASH.fullmatch(text) is not None


def is_sha256(answer: GitAnswer) -> bool:
    """Whether a source that reported its branches names objects by SHA-256 (git-init(1), --object-format)."""
    return _SHA256.search(answer.stdout) is not None


def is_cut_off(answer: GitAnswer) -> bool:
    """Whether a fetch left a branch as it was because the source is shallow (git-fetch(1), --update-shallow)."""
    return _SHALLOW.search(answer.stderr) is not None


@dataclass(frozen=True)
class Git:
    """git on one bare repository: `room` is a private folder of ours, `directory` the repository in it."""

    room: Path
    directory: Path
    source: Source
    credentials: Credentials = Credentials()
    limits: GitLimits = field(default_factory=GitLimits)

    def __post_init__(self) -> None:
        keys = (self.credentials.ssh_key, self.credentials.known_hosts)
        if self.source.kind == "ssh" and None in keys:
            raise InputError("an ssh source needs a key file and a known_hosts file", hint="name both in the settings")

    def at(self, directory: Path) -> "Git":
        """The same for another bare repository in the room."""
        return replace(self, directory=directory)

    def create(self) -> GitAnswer:
        """Make the empty bare repository: no template, so no hooks and no description."""
        return self._run("init", "--quiet", "--bare", "--template=", "--object-format=sha1")

    def opens(self) -> bool:
        """Whether git takes the directory for a repository."""
        return self._run("rev-parse", "--git-dir").ok

    def branch_head(self, addresses: tuple[str, ...] = ()) -> GitAnswer:
        """Ask the source for the commit of the branch; `commit_of` reads the answer."""
        return self._run("ls-remote", "--quiet", "--heads", "--", self.source.url, self.source.ref, addresses=addresses)

    def branches(self, addresses: tuple[str, ...] = ()) -> GitAnswer:
        """Ask the source for all its branches; more of them than may be said (`flooded`) is some, too."""
        return self._run("ls-remote", "--quiet", "--heads", "--", self.source.url, addresses=addresses)

    def commit_of(self, answer: GitAnswer) -> str | None:
        """The commit that `branch_head` reported, None where the branch is not there."""
        for line in answer.stdout.decode("ascii", "replace").splitlines():
            commit, _, name = line.partition("\t")
            if name == self.source.ref and is_commit_id(commit):
                return commit
        return None

    def branch_names(self, answer: GitAnswer) -> tuple[str, ...]:
        """Some of the branches that `branches` reported, made showable."""
        names = [
            shown(line.partition("\t")[2].removeprefix("refs/heads/"), 80)
            for line in answer.stdout.decode("utf-8", "replace").splitlines()
        ]
        return tuple(name for name in names if name)[:MOST_NAMED]

    def refs(self, names: Sequence[str], addresses: tuple[str, ...] = ()) -> GitAnswer:
        """Ask the source for these refs. They are checked names that begin with refs/."""
        return self._run("ls-remote", "--quiet", "--", self.source.url, *names, addresses=addresses)

    def fetch_aside(self, name: str, addresses: tuple[str, ...] = ()) -> GitAnswer:
        """Fetch one checked ref or commit id to `INCOMING`, which names nothing where that fails."""
        self._run("update-ref", "--no-deref", "-d", INCOMING)
        return self._fetch(name, addresses)

    def fetch(self, addresses: tuple[str, ...] = ()) -> GitAnswer:
        """Fetch the branch, and nothing else, to `INCOMING`."""
        return self._fetch(self.source.ref, addresses)

    def _fetch(self, name: str, addresses: tuple[str, ...]) -> GitAnswer:
        return self._run(
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--",
            self.source.url,
            f"+{name}:{INCOMING}",
            addresses=addresses,
        )

    def named(self) -> dict[str, str]:
        """The commits that `INCOMING` and `ACCEPTED` name, of those that are there. Empty also where git takes the
        directory for no repository, or cannot read one of them: `opens`, `incoming` and `has` tell which.

        It is one command, and all that a look needs of the mirror while nothing is new. `%(tree)` lets git read each
        commit, not only its name.
        """
        answer = self._run(
            "for-each-ref", "--format=%(objecttype) %(objectname) %(refname) %(tree)", INCOMING, ACCEPTED
        )
        rows = [line.split(" ") for line in answer.stdout.decode("ascii", "replace").splitlines()] if answer.ok else []
        return {row[2]: row[1] for row in rows if row[0] == "commit" and is_commit_id(row[1])}

    def incoming(self) -> str | None:
        """The commit that `INCOMING` names, None where there is none or it is not readable."""
        answer = self._run("rev-parse", "--quiet", "--verify", "--end-of-options", f"{INCOMING}^{{commit}}")
        text = answer.stdout.decode("ascii", "replace").strip()
        return text if answer.ok and is_commit_id(text) else None

    def has(self, commit: str) -> bool:
        """Whether this commit is in the mirror."""
        return self._run("cat-file", "-e", f"{_hash(commit)}^{{commit}}").ok

    def descends(self, old: str, new: str) -> bool:
        """Whether `old` is `new` or one of its ancestors; a commit that the complete mirror lacks is none.

        Raises SourceError where git could not tell: history is never called rewritten for want of an answer.
        """
        answer = self._run("merge-base", "--is-ancestor", _hash(old), _hash(new))
        if answer.ok or (answer.code == 1 and not answer.timed_out) or not self.has(old):
            return answer.ok
        raise SourceError(f"cannot decide whether {new} descends from {old}: {self.complaint(answer)}")

    def keep(self, commit: str) -> GitAnswer:
        """Let `ACCEPTED` name this commit, so that it stays readable whatever happens to the branch."""
        return self._run("update-ref", "--no-deref", ACCEPTED, _hash(commit))

    def between(self, old: str | None, new: str, count: int) -> list[str]:
        """The newest `count` commits that `new` has and `old` has not, newest first."""
        past = [f"^{_hash(old)}"] if old else []
        answer = self._run("rev-list", f"--max-count={int(count)}", "--end-of-options", _hash(new), *past)
        if not answer.ok:
            raise SourceError(f"the history of {new} cannot be read: {self.complaint(answer)}")
        return [line for line in answer.stdout.decode("ascii", "replace").split() if is_commit_id(line)]

    def checks(self, trust: Trust, commits: Sequence[str]) -> list[Checked]:
        """What git says of the signatures of these commits. SourceError where it says nothing of one."""
        found: list[Checked] = []
        with trust.keys(self.environment(), self.limits) as told:
            for start in range(0, len(commits), AT_ONCE):
                some = [_hash(commit) for commit in commits[start : start + AT_ONCE]]
                asked = self.argv("log", "--no-walk=unsorted", f"--format={CHECK}", "--end-of-options", *some, "--")
                for flag in trust.flags():
                    asked[2:2] = ("-c", flag)
                answer = run(asked, told, self.room, self.limits)
                checked = read_checks(answer)
                if not answer.ok or [one.commit for one in checked] != some:
                    raise SourceError(f"the signatures of commits cannot be checked: {self.complaint(answer)}")
                found += checked
        return found

    def is_sound(self) -> bool:
        """Whether every object of the mirror is readable and all links lead somewhere."""
        return self._run("fsck", "--full", "--no-dangling", "--no-progress").ok

    def is_refused(self, answer: GitAnswer) -> bool:
        """Whether the source said that it does not have, or does not give, what a fetch wanted. The mirror is well
        then."""
        return any(words in self._scrub(answer.stderr) for words in _NOT_THERE)

    def repack(self) -> GitAnswer:
        """Bring all packs to one and drop what no ref of ours reaches."""
        return self._run("repack", "-a", "-d", "-q")

    def complaint(self, answer: GitAnswer) -> str:
        """Why a command failed, at most four lines made one, without secrets and control characters.

        What a server says is left out: it is anybody's text, and would be in the log and the API as if it were ours.
        """
        if answer.timed_out:
            return f"no end after {self.limits.timeout_s:g} s"
        if answer.flooded:
            return f"said more than {self.limits.stdout_bytes} bytes"
        lines = self._scrub(answer.stderr).splitlines()
        own = [_REMOTE_ERROR.sub(r"\1", line) for line in lines if line.strip() and not _FROM_SERVER.match(line)]
        told = [shown(line) for line in own if line.startswith(("fatal:", "error:"))] or [shown(line) for line in own]
        return "; ".join(told[:4]) or f"git ended with status {answer.code}"

    def _scrub(self, raw: bytes) -> str:
        text = raw.decode("utf-8", "replace")
        if token := self.credentials.https_token:
            for said in (token.reveal().decode(), self._basic(token)):
                text = text.replace(said, "***")
        return _TOKEN.sub("***", _USERINFO.sub(r"\1***@", text))

    def _run(self, *arguments: str, addresses: tuple[str, ...] = ()) -> GitAnswer:
        return run(self.argv(*arguments, addresses=addresses), self.environment(), self.room, self.limits)

    def argv(self, *arguments: str, addresses: tuple[str, ...] = ()) -> list[str]:
        """The whole command. `addresses` pins the source's name to what was checked, so that it cannot
        resolve to something else a moment later."""
        flags = [*_FLAGS, f"protocol.{_PROTOCOLS[self.source.kind]}.allow=always"]
        host = urlsplit(self.source.url).hostname
        if addresses and host and self.source.kind == "https" and host not in addresses:
            pinned = ",".join(f"[{address}]" if ":" in address else address for address in addresses)
            flags.append(f"http.curloptResolve={host}:{port_of(self.source)}:{pinned}")
        if self.credentials.ca_file:
            flags.append(f"http.sslCAInfo={self.credentials.ca_file}")
        return [
            "git",
            f"--git-dir={self.directory}",
            *(x for flag in flags for x in ("-c", flag)),
            *arguments,
        ]

    def environment(self) -> dict[str, str]:
        """The whole environment, built from empty."""
        nothing = str(self.room / "home")
        told = {
            "PATH": "/usr/bin:/bin",
            "HOME": nothing,
            "XDG_CONFIG_HOME": nothing,
            **ISOLATED,
            "GIT_CONFIG_GLOBAL": self._global_config(),
            "GIT_ALLOW_PROTOCOL": _PROTOCOLS[self.source.kind],
        }
        if self.source.kind == "ssh":
            told |= {"GIT_SSH_VARIANT": "ssh", "GIT_SSH_COMMAND": self._ssh_command()}
        if self.source.kind == "https" and (token := self.credentials.https_token):
            told |= {
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": f"http.{self.source.url}.extraHeader",
                "GIT_CONFIG_VALUE_0": f"Authorization: Basic {self._basic(token)}",
            }
        return told

    def _basic(self, token: Secret) -> str:
        return base64.b64encode(f"{self.credentials.https_user}:".encode() + token.reveal()).decode()

    def _global_config(self) -> str:
        """/dev/null, or for a local repository of another owner a file of ours that vouches for exactly it.

        git-upload-pack(1) refuses such a repository unless safe.directory names it, and it does not inherit
        `-c` or GIT_CONFIG_COUNT over the file transport. The operator named the path: that is the vouching.
        """
        if self.source.kind != "local":
            return "/dev/null"
        given = Path(self.source.url)
        if all(path.stat().st_uid == os.geteuid() for path in (given, given / ".git") if path.is_dir()):
            return "/dev/null"
        real = given.resolve()
        if any(char in str(real) for char in '"\\*\n'):
            return "/dev/null"
        trust = self.room / "safe.gitconfig"
        lines = [f'\tdirectory = "{path}"' for path in (self.source.url, real, real / ".git")]
        fresh = self.room / f"safe.gitconfig.{os.getpid()}"
        fresh.write_text("\n".join(["[safe]", *lines, ""]), encoding="utf-8")
        fresh.replace(trust)
        return str(trust)

    def _ssh_command(self) -> str:
        options = [f"-o{option}" for option in (f"UserKnownHostsFile={self.credentials.known_hosts}", *_SSH_OPTIONS)]
        return shlex.join(["ssh", "-F", "/dev/null", "-i", str(self.credentials.ssh_key), *options])


ISOLATED = {
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "/bin/false",
    "SSH_ASKPASS": "/bin/false",
    "GIT_PROTOCOL_FROM_USER": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_LFS_SKIP_SMUDGE": "1",
    "GIT_NO_LAZY_FETCH": "1",
}
"""What keeps git to itself on every call, and the variables that GitPython's own cat-file gets as well."""


def port_of(source: Source) -> int:
    """The port of a network source."""
    return urlsplit(source.url).port or (443 if source.kind == "https" else 22)


def _hash(commit: str) -> str:
    if not is_commit_id(commit):
        raise SourceError(f"{shown(commit, 60)!r} is not a full commit hash")
    return commit
