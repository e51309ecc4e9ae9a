"""`passerelle login` and `logout`: a person signs in at the issuer, and the commands use that."""

import contextlib
import fcntl
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from service.people.signing_in import SignedIn

RENEW_S = 30
"""A token that ends so soon is renewed before it is used."""


def login(*, issuer: str = "", client: str = "", scope: str = "openid profile email") -> int:
    """Sign in at the issuer of the service, and keep that for the service at PASSERELLE_URL.

    It prints an address and a code. Open the address in any browser, and confirm the code there. The file
    ~/.config/passerelle/login.json has the result. Only its owner can read it. PASSERELLE_TOKEN and
    PASSERELLE_TOKEN_FILE come first.

    Parameters
    ----------
    issuer
        The issuer, as PASSERELLE_OIDC_ISSUER of the service has it. Without it, that variable, or that of the last
        time.
    client
        The client's id at the issuer. Without it, PASSERELLE_OIDC_AUDIENCE, or that of the last time.
    scope
        What the issuer should give: openid, and what it needs to name the groups. offline_access lasts longer.
    """
    from service.cli.output import tell
    from service.errors import InputError
    from service.people.signing_in import begun, waited

    before: dict[str, Any] = {}
    with contextlib.suppress(InputError):  # the old file is replaced
        before = _read(login_file())
    issuer = issuer or os.environ.get("PASSERELLE_OIDC_ISSUER", "") or str(before.get("issuer", ""))
    client = client or os.environ.get("PASSERELLE_OIDC_AUDIENCE", "") or str(before.get("client", ""))
    if not issuer or not client:
        raise InputError("the issuer or the client is not known", hint="passerelle login --issuer URL --client ID")
    device = begun(issuer, client, scope)
    tell(f"Open {device.where} and confirm the code {device.code}")
    signed = waited(device, sleep=time.sleep)
    with _alone():
        keep(signed, service_url())
    tell(f"signed in for {service_url()}. `passerelle whoami` shows as whom")
    return 0


def logout() -> int:
    """Forget the sign-in of this user. The token stays good until it expires."""
    from service.cli.output import tell

    if login_file().exists():
        with _alone():
            login_file().unlink(missing_ok=True)
    tell("the sign-in is forgotten on this machine")
    return 0


def service_url() -> str:
    """The service that the commands use."""
    from service.cli.client import DEFAULT_URL

    return (os.environ.get("PASSERELLE_URL") or DEFAULT_URL).rstrip("/")


def login_file() -> Path:
    """Where the sign-in of this user is kept."""
    folder = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(folder) / "passerelle" / "login.json"


def keep(signed: "SignedIn", url: str) -> None:
    """Write it whole, for its owner only. A token is sent to no service but this one."""
    from dataclasses import asdict

    path = login_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".login-", dir=path.parent)  # of mode 0600
    with os.fdopen(descriptor, "w") as out:
        json.dump(asdict(signed) | {"url": url}, out)
    Path(name).replace(path)


def token_of_login(url: str, refused: bytes | None = None) -> bytes | None:
    """The token of the person who signed in for this service, renewed where it ends soon or is the one that was
    `refused`. None where nobody did. SignInFailed where the person has to sign in again.

    One command renews it, and the others use what that one got: an issuer may end a sign-in whose refresh token comes
    twice (RFC 9700, 4.14.2)."""

    def is_good(one: "SignedIn") -> bool:
        return time.time() < one.ends_s - RENEW_S and one.token.encode() != refused

    if (signed := _signed_in(url)) is None or is_good(signed):
        return signed.token.encode() if signed else None
    from service.model.people import IssuerAway
    from service.people.signing_in import refreshed

    with _alone():
        if (signed := _signed_in(url)) is not None and not is_good(signed):
            try:
                signed = refreshed(signed)
            except IssuerAway:
                if time.time() >= signed.ends_s or signed.token.encode() == refused:
                    raise
            else:
                keep(signed, url)
    return signed.token.encode() if signed else None


def _signed_in(url: str) -> "SignedIn | None":
    """Who signed in for this service, as the file says it."""
    said = _read(login_file())
    if not said or said.pop("url", None) != url:
        return None
    from service.people.signing_in import SignedIn

    words = {name: value for name, value in said.items() if name != "ends_s" and isinstance(value, str)}
    ends_s = said.get("ends_s")
    if isinstance(ends_s, bool) or not isinstance(ends_s, int | float):
        return None
    try:
        return SignedIn(**words, ends_s=ends_s)
    except TypeError:
        return None


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """While no other command changes the file."""
    path = login_file().with_suffix(".lock")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(path: Path) -> dict[str, Any]:
    """What the file says; InputError where others can read it."""
    from service.private_files import read_private

    if not path.exists():
        return {}
    try:
        found = json.loads(read_private(path, "the file of the sign-in", hint="run `passerelle login`"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
