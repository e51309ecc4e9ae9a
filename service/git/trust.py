"""Whether commits are signed by somebody whom the operator trusts: git's own verification, with the operator's keys.

    Trust("ssh", signers, revoked)      signers: allowed_signers of ssh-keygen(1); revoked: keys, or a KRL
    Trust("pgp", signers)               signers: public keys, as `gpg --export --armor` writes them
    read_checks(answer) -> list[Checked]    what `git log --format=CHECK` said of each commit

The other kind of signature verifies nothing: git chooses the program by the signature, and gets none for it. Each
check has a new folder for gpg(1), with the signers' keys alone: no key of the user and no trust database counts.

Sources: git-log(1) "%G?", git-config(1) "gpg", ssh-keygen(1) "ALLOWED SIGNERS", gpg(1).
"""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from service.errors import SourceError
from service.git.child import GitAnswer, GitLimits, run
from service.model.trees import shown

SignedBy = Literal["ssh", "pgp"]
CHECK = "%H%x1f%G?%x1f%GK%x1f%GS%x1e"
AT_ONCE = 200
"""So many commits are checked by one command: each is a program of its own, and a command has a deadline."""
MAX_NEW = 20_000
_NOTHING = "/bin/false"
_GPG_CONF = "trust-model always\nno-auto-check-trustdb\nno-auto-key-retrieve\nno-greeting\n"

_WHY = {
    "N": "has no signature",
    "B": "has a signature that is wrong",
    "E": "is signed with a key that is not among the signers' ({key})",
    "U": "is signed with a key that is not among the signers' ({key})",
    "X": "has a signature that is out of date ({key})",
    "Y": "is signed with a key that is out of date ({key})",
    "R": "is signed with a key that was revoked ({key})",
}
"""git-log(1), %G?, for people."""


@dataclass(frozen=True, slots=True)
class Trust:
    """Which signatures count. `signers` and `revoked` are files that only the operator may write."""

    by: SignedBy
    signers: Path
    revoked: Path | None = None

    def flags(self) -> tuple[str, ...]:
        """The settings of git for a check."""
        if self.by == "pgp":
            return ("gpg.program=gpg", f"gpg.ssh.program={_NOTHING}", f"gpg.x509.program={_NOTHING}")
        revoked = (f"gpg.ssh.revocationFile={self.revoked}",) if self.revoked else ()
        return (
            f"gpg.ssh.allowedSignersFile={self.signers}", *revoked, "gpg.ssh.program=ssh-keygen",
            f"gpg.program={_NOTHING}", f"gpg.x509.program={_NOTHING}",
        )  # fmt: skip

    def stamp(self) -> tuple[object, ...]:
        """What changes with the operator's files: inode, size and time of each, None for one that is not there."""
        return tuple(_stamp(path) for path in (self.signers, self.revoked) if path is not None)

    @contextlib.contextmanager
    def keys(self, environment: Mapping[str, str], limits: GitLimits) -> Iterator[dict[str, str]]:
        """The environment of a check, in which gpg(1) finds the signers' keys and no others. SourceError where they
        cannot be read. The folder's path is short: a socket's may have about 100 bytes (unix(7))."""
        with tempfile.TemporaryDirectory(prefix="psr-") as name:
            told = {**environment, "GNUPGHOME": name}
            if self.by == "ssh":
                self._readable()
            else:
                self._bring(Path(name), told, limits)
            yield told

    def _bring(self, home: Path, environment: dict[str, str], limits: GitLimits) -> None:
        (home / "gpg.conf").write_text(_GPG_CONF, encoding="ascii")
        command = ["gpg", "--batch", "--quiet", "--no-autostart", "--import", str(self.signers.absolute())]
        answer = run(command, environment, home, limits)
        if not answer.ok:
            said = shown(answer.stderr.decode("utf-8", "replace"), 200)
            raise SourceError(f"the signers' keys in {self.signers} cannot be read: {said}", hint="see gpg --show-keys")

    def _readable(self) -> None:
        for path in (self.signers, self.revoked):
            try:
                if path is not None:
                    path.read_bytes()
            except OSError as error:
                raise SourceError(f"{path} cannot be read: {error.strerror}", hint="check the file's mode") from None


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_ino, state.st_size, state.st_mtime_ns


@dataclass(frozen=True, slots=True)
class Checked:
    """What git says of a commit's signature: `letter` is %G? of git-log(1)."""

    commit: str
    letter: str
    key: str
    signer: str

    @property
    def is_good(self) -> bool:
        """Signed with a key of the signers that is in force."""
        return self.letter == "G"

    @property
    def why(self) -> str:
        """Why it does not count, for people: what follows "the commit …"."""
        return _WHY.get(self.letter, "has a signature that git cannot check").format(key=self.key or "no key named")


def read_checks(answer: GitAnswer) -> list[Checked]:
    """One value for each commit that git reported."""
    rows = [row.strip("\n").split("\x1f") for row in answer.stdout.decode("utf-8", "replace").split("\x1e")]
    return [Checked(row[0], row[1], shown(row[2], 80), shown(row[3], 80)) for row in rows if len(row) == 4]
