"""Signers with real keys: OpenSSH's and GnuPG's, each of them in a folder of its own."""

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from service.lab.waiting import grown_s
from tests.git.forge import Entries, Forge

SEVERAL = "20200101000000Z"


def ran(*words: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> bytes:
    done = subprocess.run(words, input=stdin, env=env, capture_output=True, check=False, timeout=grown_s(60))
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    return done.stdout


@dataclass(frozen=True)
class SshKey:
    """An ed25519 key."""

    path: Path
    who: str

    @classmethod
    def made(cls, folder: Path, who: str) -> "SshKey":
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / who
        ran("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", who, "-f", str(path))
        return cls(path, who)

    @property
    def public(self) -> str:
        return " ".join(self.path.with_suffix(".pub").read_text().split()[:2])

    def allowed(self, options: str = "") -> str:
        return f'{self.who}@example.org namespaces="git"{options} {self.public}\n'

    def settings(self) -> list[str]:
        return ["gpg.format=ssh", f"user.signingkey={self.path}"]


class PgpKeys:
    """A GnuPG folder with some keys, by name. Its path is short: the sockets of gpg-agent have to fit."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="gpg-"))
        self.env = {"PATH": "/usr/bin:/bin", "GNUPGHOME": str(self.home), "LC_ALL": "C.UTF-8"}

    def gpg(self, *words: str, stdin: bytes = b"") -> bytes:
        return ran("gpg", "--batch", "--quiet", "--yes", "--pinentry-mode", "loopback", "--passphrase", "", *words,
                   stdin=stdin, env=self.env)  # fmt: skip

    def make(self, who: str, *, at: str = "", ends: str = "never") -> None:
        faked = ("--faked-system-time", at) if at else ()
        self.gpg(*faked, "--quick-gen-key", f"{who} <{who}@example.org>", "ed25519", "sign", ends)

    def revoke(self, who: str) -> None:
        [name] = self.fingerprints(who)
        certificate = (self.home / "openpgp-revocs.d" / f"{name}.rev").read_text().replace(":-----BEGIN", "-----BEGIN")
        self.gpg("--import", stdin=certificate.encode())

    def fingerprints(self, who: str) -> list[str]:
        listed = self.gpg("--with-colons", "--list-keys", who).decode().splitlines()
        return [line.split(":")[9] for line in listed if line.startswith("fpr:")][:1]

    def export(self, *who: str) -> bytes:
        return self.gpg("--export", "--armor", *who)

    def settings(self, who: str, folder: Path, at: str = "") -> list[str]:
        """What git needs to sign as this one, by a program that uses this folder."""
        program = folder / f"gpg-{who}"
        faked = f"--faked-system-time {at}" if at else ""
        program.write_text(f'#!/bin/sh\nGNUPGHOME={self.home} exec gpg --batch {faked} "$@"\n')
        program.chmod(0o755)
        return ["gpg.format=openpgp", f"gpg.program={program}", f"user.signingkey={self.fingerprints(who)[0]}"]

    def end(self) -> None:
        subprocess.run(["gpgconf", "--kill", "all"], env=self.env, check=False, timeout=grown_s(30))
        shutil.rmtree(self.home, ignore_errors=True)


def push_signed(forge: Forge, entries: Entries, settings: list[str], *, message: str = "signed") -> str:
    """A commit on top of main that is signed so; without settings one that is not signed."""
    heads = forge.git("for-each-ref", "--format=%(objectname)", "refs/heads/main").split()
    above = [word for head in heads for word in ("-p", head)]
    flags = [word for one in settings for word in ("-c", one)]
    sign = ["-S"] if settings else []
    commit = forge.git(*flags, "commit-tree", *sign, forge.tree(entries), *above, "-m", message)
    forge.git("update-ref", "refs/heads/main", commit)
    return commit
