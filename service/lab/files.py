"""The files that make a booted image this host and no other: a bare provider's configuration of the uplink."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass

from service.lab import addresses, python_index, recipe

Content = bytes | str
"""A file's content as tests give it; text is UTF-8. One that begins with `#!` becomes executable."""

INTERFACES = """\
auto lo
iface lo inet loopback

auto enp1s0
iface enp1s0 inet static
\taddress {address}/24
\tgateway {gateway}
"""

HOSTS = """\
127.0.0.1\tlocalhost
127.0.1.1\t{name}
{internet}\t{repository}
"""


@dataclass(frozen=True)
class Identity:
    """What is this host's alone. `key` and `public_key` are OpenSSH's forms of its ed25519 host key."""

    name: str
    address: str
    machine_id: str
    key: str
    public_key: str
    authorized_key: str


def of_host(identity: Identity, suite: str) -> dict[str, tuple[bytes, int]]:
    """path → (content, mode) of every file that a fresh host starts with next to its release's image."""
    interfaces = INTERFACES.format(address=identity.address, gateway=addresses.PROVIDER)
    hosts = HOSTS.format(name=identity.name, internet=addresses.INTERNET, repository=recipe.REPOSITORY_HOST)
    plain = {
        "/etc/network/interfaces": interfaces,
        "/etc/hosts": hosts,
        "/etc/hostname": f"{identity.name}\n",
        "/etc/resolv.conf": f"nameserver {addresses.INTERNET}\n",
        "/etc/machine-id": f"{identity.machine_id}\n",
        "/etc/pip.conf": python_index.PIP_CONF,
        "/etc/apt/sources.list": f"deb [trusted=yes] http://{recipe.REPOSITORY_HOST}/debian/{suite} ./\n",
        "/etc/ssh/ssh_host_ed25519_key.pub": f"{identity.public_key}\n",
    }
    secret = {
        "/etc/ssh/ssh_host_ed25519_key": identity.key,
        "/root/.ssh/authorized_keys": f"{identity.authorized_key}\n",
    }
    return {path: (text.encode(), 0o644) for path, text in plain.items()} | {
        path: (text.encode(), 0o600) for path, text in secret.items()
    }


def given(files: Mapping[str, Content]) -> dict[str, tuple[bytes, int]]:
    """path → (content, mode) of the files that a test puts on a host before it boots."""
    raw = {path: content.encode() if isinstance(content, str) else content for path, content in files.items()}
    return {path: (content, 0o755 if content.startswith(b"#!") else 0o644) for path, content in raw.items()}


def packed(files: Mapping[str, tuple[bytes, int]]) -> dict[str, list[str | int]]:
    """The same as JSON can carry it."""
    return {path: [base64.b64encode(content).decode(), mode] for path, (content, mode) in files.items()}


def unpacked(files: Mapping[str, list[str | int]]) -> dict[str, tuple[bytes, int]]:
    """The reverse of `packed`."""
    return {path: (base64.b64decode(str(content)), int(mode)) for path, (content, mode) in files.items()}
