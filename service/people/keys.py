"""The keys that an issuer signs with, as it publishes them (RFC 7517). Kept, and read again when it is time.

    keys = IssuerKeys("https://login.example.org", clock)
    keys.of("2026-03", may_read=True)      the key, or None. IssuerAway where no keys are known

They are read at first use and again after an hour. They are read, too, when a token names a key that is not among them,
or is not signed by the key that it names. Between two reads are 30 seconds at least. Whoever cannot continue without
the new keys waits for them. While the issuer does not answer, the keys that are known stay good for a day.
"""

import logging
import threading
from collections.abc import Mapping
from typing import Any

from service.clock import Clock
from service.errors import InputError, PasserelleError
from service.model.people import IssuerAway, KeysDue
from service.people.fetching import checked_url, fetched

FRESH_S = 3600.0
GOOD_S = 86_400.0
AGAIN_S = 30.0
MOST_KEYS = 100
LEAST_RSA_BITS = 2048
_log = logging.getLogger("passerelle.api")


class IssuerKeys:
    """Of one issuer. Its methods may block."""

    def __init__(self, issuer: str, clock: Clock) -> None:
        """InputError where the extra is not installed, or the address cannot be used."""
        _jwk()
        self._issuer = checked_url(issuer, "the issuer").rstrip("/")
        self._url = issuer
        self._clock = clock
        self._reading = threading.Lock()
        self._keys: Mapping[str, Any] = {}
        self._read_s: float | None = None
        self._tried_s: float | None = None
        self._why = "its keys were not read yet"

    def of(self, kid: str, *, may_read: bool, wrong: Any | None = None) -> Any | None:
        """The key of this name; of an empty one the only key, if there is one alone. `wrong` is a key of this name that
        has not signed the token. KeysDue where the keys have to be read, and this call may not."""
        key = self._known(kid)
        is_needed = key is None or key is wrong
        if self._is_due(is_needed=is_needed):
            if not may_read:
                raise KeysDue("the keys of the issuer have to be read first")
            self._read(waits=is_needed)
            key = self._known(kid)
        if not self._is_good():
            raise IssuerAway(f"the keys of the issuer are not known: {self._why}")
        return key

    def _known(self, kid: str) -> Any | None:
        if not self._is_good():
            return None
        if not kid:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(kid)

    def _is_good(self) -> bool:
        return self._read_s is not None and self._clock.monotonic_s() - self._read_s < GOOD_S

    def _is_due(self, *, is_needed: bool) -> bool:
        if self._was_tried():
            return False
        is_old = self._read_s is None or self._clock.monotonic_s() - self._read_s >= FRESH_S
        return is_needed or (is_old and not self._reading.locked())

    def _was_tried(self) -> bool:
        return self._tried_s is not None and self._clock.monotonic_s() - self._tried_s < AGAIN_S

    def _read(self, *, waits: bool) -> None:
        """Read them, or wait for who does; without `waits` only if nobody does."""
        if not self._reading.acquire(blocking=waits):
            return
        try:
            if not self._was_tried():  # nobody did while this one waited
                self._keys, self._read_s = self._published(), self._clock.monotonic_s()
        except PasserelleError as error:
            self._why = error.what
            _log.warning("the keys of the issuer cannot be read: %s", error.what)
        finally:
            self._tried_s = self._clock.monotonic_s()
            self._reading.release()

    def _published(self) -> dict[str, Any]:
        """The keys that may have signed a token. Anything else that is published is left out."""
        about = fetched(f"{self._issuer}/.well-known/openid-configuration")
        if about.get("issuer") != self._url:
            raise IssuerAway(f"{self._issuer} says that it is another issuer")
        where = about.get("jwks_uri")
        listed = fetched(checked_url(where if isinstance(where, str) else "", "the address of the keys")).get("keys")
        found = {}
        for number, one in enumerate(listed[:MOST_KEYS] if isinstance(listed, list) else ()):
            if (key := _verifying(one)) is not None:
                found[str(one.get("kid") or f"#{number}")] = key
        if not found:
            raise IssuerAway(f"{self._issuer} publishes no key that can be used")
        return found


def _verifying(one: Any) -> Any | None:
    """A public key for signatures: RSA of 2048 bits and more, elliptic curves, Edwards curves. Never a secret."""
    jwk = _jwk()
    if not isinstance(one, dict) or one.get("kty") not in ("RSA", "EC", "OKP") or one.get("use", "sig") != "sig":
        return None
    try:
        key = jwk.import_key(one)
        if one["kty"] == "RSA" and key.public_key.key_size < LEAST_RSA_BITS:
            return None
    except Exception:  # whatever an issuer publishes: a key that cannot be read is left out
        return None
    return key


def _jwk() -> Any:
    try:
        from joserfc import jwk  # noqa: PLC0415  # an extra
    except ImportError:
        raise InputError(
            "PASSERELLE_OIDC_ISSUER is set, and joserfc is not installed",
            hint="pip install 'passerelle[oidc]' in the service's own environment",
        ) from None
    return jwk
