"""A site as Git wants it, as far as checks and people need it."""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

Challenge = Literal["http-01", "dns-01"]
Platform = Literal["debian", "proxmox"]

LETS_ENCRYPT = "letsencrypt.org"
"""The name by which CAA records mean Let's Encrypt (https://letsencrypt.org/docs/caa/)."""
IDENTITY_PATH = "/.well-known/passerelle"
"""The proxy answers here, over HTTP and for every name of its sites, with its identity."""


def identity_of(host: str, guest: str, mac: str) -> str:
    """What a proxy answers at IDENTITY_PATH: no other one answers the same. Not a secret.

    While a guest goes to another host, both hosts have one with its name and MAC address.
    """
    return sha256(f"passerelle proxy\n{host}\n{guest}\n{mac.lower()}\n".encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Authority:
    """The CA of a host's sites. `names` are those by which CAA records mean it: () = only its directory knows.

    `is_staging`: nobody trusts what it issues. `directory` is the URL that Git names, `ca_pem` what its TLS is trusted
    by, "" = what the system trusts.
    """

    directory: str
    names: tuple[str, ...] = ()
    is_staging: bool = False
    challenge: Challenge = "http-01"
    ca_pem: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class SiteWanted:
    """One site. `name` is its first name and that of its certificate, `names` are all of them with `name` first.

    `proxy` is the guest that answers, with the MAC address `mac`, at `proxy_address` in the host's network. `upstream`
    is what it leads to, as in `http://dev:8080`. `addresses` are those of the host where the proxy is published, IPv4
    and IPv6. `identity` is what its proxy answers at IDENTITY_PATH. Not `is_https`: plain HTTP, and no certificate.
    """

    host: str
    name: str
    names: tuple[str, ...]
    proxy: str
    mac: str
    proxy_address: str
    upstream: str
    addresses: tuple[str, ...]
    identity: str
    authority: Authority
    platform: Platform = "debian"
    vmid: int | None = None
    is_https: bool = True

    @property
    def port(self) -> int:
        """Where it answers for visitors."""
        return 443 if self.is_https else 80

    @property
    def guest_key(self) -> str:
        """The guest as what runs on the host finds it (service/hostside/inside.py)."""
        return f"{self.proxy}@{self.vmid or self.mac}"
