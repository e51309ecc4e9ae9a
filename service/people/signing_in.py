"""How a command signs a person in: the device flow (RFC 8628), and the refresh of what it brought (RFC 6749, 6).

device = begun(issuer, client, scope)          show device.where and device.code
signed = waited(device, sleep=time.sleep)      SignInFailed
signed = refreshed(signed)                     SignInFailed where the person has to sign in again
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from service.errors import PasserelleError
from service.model.people import IssuerAway
from service.people.fetching import checked_url, fetched, posted

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
LEAST_S, MOST_S = 1, 60
SLOWER_S = 5
REFUSALS = {
    "access_denied": "the sign-in was refused at the issuer",
    "expired_token": "nobody confirmed the sign-in in time",
    "invalid_grant": "the sign-in has ended",
    "invalid_client": "the issuer does not know the client, or does not allow it to sign in so",
}


class SignInFailed(PasserelleError):  # noqa: N818 (what became of it)
    """Nobody is signed in, and why."""


@dataclass(frozen=True, slots=True)
class Device:
    """A sign-in that a person has to confirm, with this code at this address."""

    issuer: str
    client: str
    token_url: str
    secret: str
    code: str
    where: str
    interval_s: float
    lasts_s: float


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What a command sends, until when it is good (seconds since 1970), and what it can be renewed with. `kind` is the
    name that the token has in the issuer's answer."""

    issuer: str
    client: str
    token: str
    ends_s: float
    refresh: str = ""
    kind: str = "id_token"


def begun(issuer: str, client: str, scope: str) -> Device:
    """Begin a sign-in. IssuerAway, SignInFailed where the issuer has no device flow."""
    about = _about(issuer)
    if not isinstance(url := about.get("device_authorization_endpoint"), str):
        raise SignInFailed(f"{issuer} does not offer the device flow", hint="allow it there for this client")
    status, said = posted(checked_url(url, "an address of the issuer"), {"client_id": client, "scope": scope})
    if status != 200:
        raise _failed(said)
    words = {name: said.get(name) for name in ("device_code", "user_code", "verification_uri")}
    if not all(isinstance(word, str) and word.isprintable() for word in words.values()):
        raise IssuerAway(f"{issuer} begins a sign-in without a code")
    return Device(
        issuer, client, str(about["token_endpoint"]), str(words["device_code"]), str(words["user_code"]),
        str(words["verification_uri"]), _seconds(said, "interval", 5), _seconds(said, "expires_in", 600),
    )  # fmt: skip


def waited(device: Device, *, sleep: Callable[[float], object]) -> SignedIn:
    """Ask until the person has confirmed it. SignInFailed where that is refused, or takes too long. To an issuer
    that does not answer it is sent again, each time after twice the time (RFC 8628, 3.5). IssuerAway where it never
    answers."""
    form = {"grant_type": DEVICE, "device_code": device.secret, "client_id": device.client}
    waited_s, interval_s = 0.0, max(LEAST_S, min(MOST_S, device.interval_s))
    away: IssuerAway | None = None
    while waited_s <= device.lasts_s:
        try:
            status, said = posted(device.token_url, form)
            away = IssuerAway(f"{device.issuer} answers with status {status}") if status >= 500 else None
        except IssuerAway as error:
            status, said, away = 0, {}, error
        if away is not None:
            interval_s = min(MOST_S, 2 * interval_s)
        elif status == 200:
            return _signed(device.issuer, device.client, said, "", "id_token" if "id_token" in said else "access_token")
        elif said.get("error") == "slow_down":
            interval_s += SLOWER_S
        elif said.get("error") != "authorization_pending":
            raise _failed(said)
        sleep(interval_s)
        waited_s += interval_s
    raise away or _failed({"error": "expired_token"})


def refreshed(old: SignedIn) -> SignedIn:
    """A new token for the same person. SignInFailed where there is none any more, IssuerAway."""
    if not old.refresh:
        raise _failed({"error": "invalid_grant"})
    form = {"grant_type": "refresh_token", "refresh_token": old.refresh, "client_id": old.client}
    status, said = posted(str(_about(old.issuer)["token_endpoint"]), form)
    if status != 200:
        raise _failed(said)
    if not isinstance(said.get(old.kind), str):  # another kind of token may have another audience and no groups
        what = old.kind.replace("_", " ").replace("id", "ID")
        raise SignInFailed(f"the issuer gives no new {what} when a sign-in is renewed", hint="run `passerelle login`")
    return _signed(old.issuer, old.client, said, old.refresh, old.kind)


def _about(issuer: str) -> dict[str, Any]:
    url = checked_url(issuer, "the issuer")
    about = fetched(f"{url.rstrip('/')}/.well-known/openid-configuration")
    if about.get("issuer") != issuer:
        raise IssuerAway(f"{issuer} says that it is another issuer")
    where = about.get("token_endpoint")
    checked_url(where if isinstance(where, str) else "", "an address of the issuer")
    return about


def _signed(issuer: str, client: str, said: Mapping[str, Any], refresh: str, kind: str) -> SignedIn:
    """The token of this kind. An ID token's audience is the client."""
    token = said.get(kind)
    try:
        payload = str(token).split(".")[1]
        ends_s = float(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"])
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        raise SignInFailed("the issuer gives no token that says when it ends", hint="add openid to --scope") from None
    new = said.get("refresh_token")
    return SignedIn(issuer, client, str(token), ends_s, new if isinstance(new, str) else refresh, kind)


def _failed(said: Mapping[str, Any]) -> SignInFailed:
    word = str(said.get("error", ""))[:60]
    shown = word if word and word.isprintable() else "without a reason"
    why = REFUSALS.get(word, f"the issuer refuses the sign-in: {shown}")
    return SignInFailed(why, hint="run `passerelle login`")


def _seconds(said: Mapping[str, Any], name: str, otherwise: float) -> float:
    value = said.get(name)
    return float(value) if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 86_400 else otherwise
