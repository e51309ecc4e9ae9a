"""Whose token of an issuer this is: a signed JWT (RFC 7519, 9068; OpenID Connect Core 3.1.3.7).

issuer = Issuer("https://login.example.org", "passerelle", keys, groups_claim="groups")
issuer.person_of(b"eyJ…", at=now)       TokenRefused says why not, IssuerAway where no keys are known
"""

import json
from datetime import datetime
from typing import Any

from service.model.people import Person, TokenRefused, groups_of
from service.people.keys import IssuerKeys

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
"""Signatures by a private key. `none`, and those by a secret that is shared, prove nothing here."""
TYPES = ("jwt", "at+jwt", "application/at+jwt", "application/jwt")
LEEWAY_S = 30
"""So far may the issuer's clock be from this machine's."""
MOST_BYTES = 8192
NAMES = ("preferred_username", "email", "name")


class Issuer:
    """One issuer, and the audience that its tokens have to be for."""

    def __init__(self, issuer: str, audience: str, keys: IssuerKeys, *, groups_claim: str) -> None:
        self.issuer = issuer
        self._audience = audience
        self._keys = keys
        self._groups_claim = groups_claim

    def person_of(self, token: bytes, *, at: datetime, may_read: bool = True) -> Person:
        """The person, where everything of the token is good. Blocks where the keys have to be read, or raises KeysDue
        where it may not."""
        claims = self._claims(token, may_read=may_read)
        now_s = at.timestamp()
        if claims.get("iss") != self.issuer:
            raise TokenRefused("its issuer is not PASSERELLE_OIDC_ISSUER")
        audience = claims.get("aud")
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            raise TokenRefused("it is for another audience")
        if now_s >= _time(claims, "exp") + LEEWAY_S:
            raise TokenRefused("it has expired. Fix: `passerelle login`")
        for name in ("nbf", "iat"):
            if name in claims and now_s < _time(claims, name) - LEEWAY_S:
                raise TokenRefused("it is of the future: the clocks of the issuer and of this machine differ")
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 1 <= len(subject) <= 255:
            raise TokenRefused("it does not say whom it is about")
        name = next((claims[name] for name in NAMES if isinstance(claims.get(name), str) and claims[name]), subject)
        return Person(self.issuer, subject, name, groups_of(claims, self._groups_claim))

    def _claims(self, token: bytes, *, may_read: bool) -> dict[str, Any]:
        """What a key of the issuer has signed."""
        from joserfc import jws  # noqa: PLC0415  # an extra; that it is there was found out with the keys
        from joserfc.errors import JoseError  # noqa: PLC0415

        if len(token) > MOST_BYTES:
            raise TokenRefused(f"it is longer than {MOST_BYTES} bytes")
        try:
            header = jws.extract_compact(token).headers()
        except (JoseError, ValueError, RecursionError):
            raise TokenRefused("it is not a signed JWT") from None
        algorithm, kid, kind = header.get("alg"), header.get("kid", ""), header.get("typ", "JWT")
        if algorithm not in ALGORITHMS:
            raise TokenRefused("its algorithm is not accepted")
        if "crit" in header or not isinstance(kid, str) or not isinstance(kind, str) or kind.lower() not in TYPES:
            raise TokenRefused("its header is not one of a token for people")
        key = self._keys.of(kid, may_read=may_read)
        if key is None:
            raise TokenRefused("the issuer does not publish the key that signed it")
        claims = _signed(token, key, str(algorithm))
        if claims is None:  # a new key may have the name of the old one, or none
            newer = self._keys.of(kid, may_read=may_read, wrong=key)
            claims = None if newer is None or newer is key else _signed(token, newer, str(algorithm))
        if claims is None:
            raise TokenRefused("its signature is not good")
        if not isinstance(claims, dict):
            raise TokenRefused("it has no claims")
        return claims


def _signed(token: bytes, key: Any, algorithm: str) -> Any | None:
    """What the key has signed, None where it has not signed this."""
    from joserfc import jws  # noqa: PLC0415  # an extra
    from joserfc.errors import JoseError  # noqa: PLC0415

    try:
        return json.loads(jws.deserialize_compact(token, key, algorithms=[algorithm]).payload)
    except (JoseError, ValueError, TypeError, RecursionError):
        return None


def _time(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
        raise TokenRefused(f"its {name} is not a time")
    return float(value)
