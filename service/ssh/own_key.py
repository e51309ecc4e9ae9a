"""The service's own key, made at its first start."""

import os
from pathlib import Path

import asyncssh

from service.errors import InputError
from service.ssh.keys import load_client_key


def own_key(path: Path) -> asyncssh.SSHKey:
    """The key to log in with; a new ed25519 key where there is none, its public half beside it in PATH.pub.

    Raises InputError when it can be neither read nor made.
    """
    if not path.exists():
        key = asyncssh.generate_private_key("ssh-ed25519", comment="passerelle")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(key.export_private_key())
            path.with_name(path.name + ".pub").write_bytes(key.export_public_key())
        except OSError as error:
            raise InputError(f"the SSH key {path} cannot be made: {error.strerror}") from None
    return load_client_key(path)
