"""The service's own key, and the keys by which hosts are known.

load_client_key(path) -> asyncssh.SSHKey         once, when the service starts; raises InputError
pinned(target) -> Pinned                         raises InputError when there is no usable pinned key: never "any key"
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from service.errors import InputError
from service.model.trees import quoted
from service.observe.connection import Target
from service.private_files import read_private

# Host certificates are not offered: no CA can be pinned, and a host that has a certificate would show it first.
HOST_KEY_ALGORITHMS = (
    "ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256",
    "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
)  # fmt: skip

_KEY_LINE = re.compile(
    r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)) [A-Za-z0-9+/]{40,2000}={0,3}( [\x20-\x7e]*)?"
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
_ADDRESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:%_-]{0,252}|::[A-Za-z0-9.:%_-]{0,252}")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")


@dataclass(frozen=True, slots=True)
class Pinned:
    """The pinned keys of one host, ready for a handshake. `algorithms` has those of the pinned keys first, so that a
    host with several keys shows one that is pinned."""

    known_hosts: asyncssh.SSHKnownHosts
    algorithms: tuple[str, ...]
    fingerprints: tuple[str, ...]


def load_client_key(path: Path) -> asyncssh.SSHKey:
    """The key to log in with. Raises InputError when the file is missing, encrypted, no private key, or can be read by
    others."""
    data = read_private(
        path, "the SSH key", hint=f"name a key that the host accepts with --ssh-key, or create one: {_making(path)}"
    )
    try:
        return asyncssh.import_private_key(data)
    except asyncssh.KeyEncryptionError:
        raise InputError(f"the SSH key {path} has a passphrase; the service needs one without") from None
    except (asyncssh.KeyImportError, ValueError):
        raise InputError(f"{path} holds no SSH private key") from None


def _making(path: Path) -> str:
    """The command that makes a key there; ssh-keygen makes no folder."""
    folder = "" if path.parent.is_dir() else f"mkdir -p -m 700 {path.parent} && "
    return f"{folder}ssh-keygen -t ed25519 -N '' -f {path}"


def pinned(target: Target) -> Pinned:
    """What proves that a host is the one meant. Raises InputError for a target that must not be dialled."""
    _check(target)
    if not target.host_keys:
        raise InputError(
            f"{target.name}: no host key is pinned, so the host cannot be identified",
            hint=f"put the output of `ssh-keyscan -t ed25519 {target.address}`, compared on its console, "
            "under connection.host_keys",
        )
    keys = [_key(target.name, line) for line in target.host_keys]
    lines = [f"{target.name} {key.export_public_key().decode().strip()}" for key in keys]
    first = [name for key in keys for name in _signatures(key)]
    return Pinned(
        asyncssh.import_known_hosts("\n".join(lines)),
        tuple(dict.fromkeys([*first, *HOST_KEY_ALGORITHMS])),
        tuple(key.get_fingerprint() for key in keys),
    )


def _signatures(key: asyncssh.SSHKey) -> Sequence[str]:
    name = key.get_algorithm()
    return ("rsa-sha2-512", "rsa-sha2-256") if name == "ssh-rsa" else (name,)


def _key(name: str, line: str) -> asyncssh.SSHKey:
    if _KEY_LINE.fullmatch(line):
        try:
            return asyncssh.import_public_key(line)
        except (asyncssh.KeyImportError, ValueError):
            pass
    raise InputError(
        f"{name}: {quoted(line)} is not a host key", hint="a line of ssh-keyscan without the address: ssh-ed25519 AAAA…"
    )


def _check(target: Target) -> None:
    wrong = [
        what
        for what, ok in (
            ("name", _NAME.fullmatch(target.name)),
            ("address", _ADDRESS.fullmatch(target.address)),
            ("user", _USER.fullmatch(target.user)),
            ("port", 0 < target.port < 65536),
        )
        if not ok
    ]
    if wrong:
        raise InputError(f"{quoted(target.name)}: the connection's {' and '.join(wrong)} cannot be used")
