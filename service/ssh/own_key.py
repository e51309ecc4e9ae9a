"""The service's own key, made at its first start."""

import ipaddress
import os
from pathlib import Path

import asyncssh

from service.errors import InputError
from service.model.trees import quoted
from service.ssh.keys import load_client_key


def own_key(path: Path) -> asyncssh.SSHKey:
    """The key to log in with; a new ed25519 key where there is none, its public half next to it in PATH.pub.

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


def authorized_line(path: Path, source: str = "", *, is_jump: bool = False) -> str:
    """The line of authorized_keys (sshd(8)) that lets this key log in and run commands, and nothing else.

    `source` are the addresses or networks that may use it, with commas between them. A jump host (`is_jump`) also
    forwards connections: with `restrict` alone its sshd refuses them, whatever AllowTcpForwarding says.

    InputError if a place is neither, if the key cannot be used, or if it would be made by another user than the owner
    of its folder.
    """
    places = [_place(item.strip()) for item in source.split(",")] if source else []
    if not path.exists() and path.parent.is_dir() and path.parent.stat().st_uid != os.geteuid():
        owner = path.parent.owner()
        raise InputError(f"{path} does not exist yet, and {owner} owns its folder", hint=f"run the command as {owner}")
    words = own_key(path).export_public_key().decode().split()
    options = [f'from="{",".join(places)}"'] if places else []
    options += ["restrict", "port-forwarding"] if is_jump else ["restrict"]
    return f"{','.join(options)} {words[0]} {words[1]} passerelle"


def _place(text: str) -> str:
    """An address or a network in its canonical form."""
    try:
        return str(ipaddress.ip_network(text) if "/" in text else ipaddress.ip_address(text))
    except ValueError:
        raise InputError(f"{quoted(text)} is not an address or a network", hint="write it as 192.0.2.10") from None
