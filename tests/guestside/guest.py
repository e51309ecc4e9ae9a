"""A guest in a folder: what the host gives it, what it keeps, its clock."""

import json
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.guestside import client, main, record, settings
from service.guestside.errors import Trouble
from service.guestside.shipped import files
from service.guestside.world import World
from tests.guestside.authority import Authority

WWW = {"name": "www.example.org", "names": ["www.example.org", "example.org"]}


@dataclass
class Guest:
    """`ahead_s` is how far its clock is ahead; `broken` is what nginx says against its files, `packages` the list in
    place of the shipped one."""

    top: Path
    acme: dict[str, Any]
    certificates: list[dict[str, Any]] = field(default_factory=lambda: [WWW])
    ahead_s: float = 0
    chance: float = 0.5
    reloads: int = 0
    broken: str = ""
    packages: str = ""
    unmounted: str = ""
    starts: int = 0
    starts_in_s: list[float] = field(default_factory=list)

    @property
    def config(self) -> Path:
        return self.top / "etc"

    @property
    def state(self) -> Path:
        return self.top / "state"

    @property
    def webroot(self) -> Path:
        return self.state / "webroot"

    def world(self) -> World:
        return World(
            config=str(self.config),
            state=str(self.state),
            now=self.now,
            chance=lambda: self.chance,
            reload=self.reload,
            start=self.start,
            start_in=self.starts_in_s.append,
            is_mounted=lambda path: path != self.unmounted,
            python=str(Path(sys.base_prefix) / "bin/python3"),
        )

    def now(self) -> float:
        return time.time() + self.ahead_s

    def set_clock(self, at: float) -> None:
        self.ahead_s = at - time.time()

    def reload(self) -> None:
        if self.broken:
            raise Trouble(self.broken)
        self.reloads += 1

    def start(self) -> None:
        self.starts += 1

    def write(self) -> None:
        """What the host gives."""
        for name, text in files().items():
            path = self.config / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        if self.packages:
            (self.config / "requirements.txt").write_text(self.packages)
        document = {"version": 1, "acme": self.acme, "certificates": self.certificates}
        (self.config / "certificates.json").write_text(json.dumps(document, indent=1, sort_keys=True))

    def do(self, verb: str) -> int:
        """One verb of the program."""
        self.write()
        return main.main([verb], self.world())

    def grow_old(self, by_s: float) -> None:
        """All that the guest knows is this much older: as a later time, for an authority with a clock of its own."""
        for path in [self.state / "state.json", *self.state.glob("kept/*/*/facts.json")]:
            path.write_text(json.dumps(older(json.loads(path.read_text()), by_s)))

    def permit(self, **more: Any) -> None:
        """Allow the first order of all certificates, as the service does."""
        self.write()
        given = {each["name"]: {"ok": True, **more} for each in self.certificates}
        wanted = settings.read(str(self.config / "certificates.json"))
        record.permit(self.world(), wanted.certificates, given)

    def status(self, name: str = "www.example.org") -> dict[str, Any]:
        """The status of one certificate, from the file."""
        found: dict[str, Any] = json.loads((self.state / "status.json").read_text())["certificates"][name]
        return found

    def live(self, name: str = "www.example.org") -> Path:
        return self.state / "live" / name

    def chain(self, name: str = "www.example.org") -> str:
        return (self.live(name) / "fullchain.pem").read_text()

    def serial(self, name: str = "www.example.org") -> str:
        serial: str = self.status(name)["certificate"]["serial"]
        return serial


def older(value: Any, by_s: float) -> Any:
    """The same with all times since the epoch made earlier."""
    if isinstance(value, dict):
        return {key: older(each, by_s) for key, each in value.items()}
    if isinstance(value, list):
        return [older(each, by_s) for each in value]
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 1_000_000_000:
        return type(value)(value - by_s)
    return value


def acme_of(authority: Authority, **more: Any) -> dict[str, Any]:
    """The section `acme` for this authority."""
    return {
        "directory": authority.directory,
        "staging": None,
        "ca_file": str(authority.ca_file),
        "email": "admin@example.org",
        "profile": "classic",  # pebble takes any where the order names none
        "terms_agreed": True,
        "challenge": "http-01",
        **more,
    }


def verified(authority: Authority, guest: Guest, name: str = "www.example.org") -> None:
    """The live chain leads to pebble's root, and the live key is its key."""
    root = guest.top / "root.pem"
    root.write_bytes(authority.ask("/roots/0"))
    chain = guest.live(name) / "fullchain.pem"
    argv = ["openssl", "verify", "-CAfile", str(root), "-untrusted", str(chain), "-verify_hostname", name, str(chain)]
    said = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    assert said.returncode == 0, said.stderr
    matched(guest, name)


def matched(guest: Guest, name: str = "www.example.org") -> None:
    """The live key belongs to the live chain, and only root can read it."""
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
        guest.live(name) / "fullchain.pem", guest.live(name) / "privkey.pem"
    )
    assert (guest.live(name) / "privkey.pem").stat().st_mode & 0o7777 == 0o600


def prepared(top: Path) -> str:
    """The name of a client's environment that was made once, for guests to link to."""
    (top / "state").mkdir(parents=True)
    guest = Guest(top, {})
    guest.write()
    return str(Path(client.environment(guest.world())).parent.parent)
