"""An issuer on loopback: it publishes its keys, signs what a test wants, and lets a device sign in (RFC 8628). It takes
what OpenID Connect Discovery 1.0, RFC 6749 and RFC 8628 have, and nothing else.
"""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from tests.threaded import in_thread

CLIENT = "passerelle"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
KEYS = {number: RSAKey.generate_key(2048, {"kid": f"key-{number}"}) for number in (1, 2)}
CURVE = ECKey.generate_key("P-256", {"kid": "curve"})
with warnings.catch_warnings():  # joserfc warns of it, and takes it
    warnings.simplefilter("ignore")
    WEAK = RSAKey.generate_key(1024, {"kid": "weak"})


class LocalIssuer(ThreadingHTTPServer):
    """`published` are its keys now, `calls` the paths that were called, `refused` what no document describes.

    `answers` are the next replies to one who polls for a token, after so many polls that are `lost`; then `kinds` of
    tokens are given, once for each refresh token.
    """

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.published: list[Any] = [KEYS[1], CURVE, WEAK]
        self.calls: list[str] = []
        self.refused: list[str] = []
        self.says = self.url
        self.raw_keys: Any = None
        self.is_broken = False
        self.answers: list[str] = []
        self.good_refresh = "refresh-1"
        self.claims: dict[str, Any] = {}
        self.kinds = ["id_token"]
        self.lost = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/realms/ops"

    def token(self, now_s: float, *, key: Any = KEYS[1], header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A good token of Ann, but for what is given; a claim of None is left out."""
        said = {
            "iss": self.url, "aud": CLIENT, "sub": "248289761001", "exp": int(now_s) + 300, "iat": int(now_s),
            "preferred_username": "ann", "groups": ["ops"],
        }  # fmt: skip
        said = {name: value for name, value in (said | claims).items() if value is not None}
        algorithm = {"RSA": "RS256", "EC": "ES256", "oct": "HS256"}[key.key_type]
        head = {"alg": algorithm, "kid": key.kid, "typ": "JWT"} | (header or {})
        head = {name: value for name, value in head.items() if value is not None}
        return jwt.encode(head, said, key, algorithms=[head["alg"]])


class _Handler(BaseHTTPRequestHandler):
    server: LocalIssuer

    def do_GET(self) -> None:
        one = self.server
        one.calls.append(self.path)
        keys = one.raw_keys if one.raw_keys is not None else [key.as_dict(private=False) for key in one.published]
        found: dict[str, Any] = {
            "/realms/ops/.well-known/openid-configuration": {
                "issuer": one.says, "jwks_uri": f"{one.url}/keys", "token_endpoint": f"{one.url}/token",
                "device_authorization_endpoint": f"{one.url}/device",
            },
            "/realms/ops/keys": {"keys": keys},
        }  # fmt: skip
        if self.path not in found:
            one.refused.append(self.path)
        self._answer(404 if self.path not in found else 500 if one.is_broken else 200, found.get(self.path, {}))

    def do_POST(self) -> None:
        one = self.server
        one.calls.append(self.path)
        form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode(), strict_parsing=True)
        said = {name: values[0] for name, values in form.items() if len(values) == 1}
        if self.headers["content-type"] != "application/x-www-form-urlencoded" or said.get("client_id") != CLIENT:
            one.refused.append(f"{self.path} {said}")
            self._answer(401, {"error": "invalid_client"})
        elif self.path == "/realms/ops/device" and said.keys() == {"client_id", "scope"}:
            self._answer(200, {
                "device_code": "device-1", "user_code": "WDJB-MJHT", "verification_uri": f"{one.url}/go",
                "expires_in": 600, "interval": 5,
            })  # fmt: skip
        elif self.path == "/realms/ops/token" and said.get("grant_type") == DEVICE and said.keys() == {"client_id", "grant_type", "device_code"} and said["device_code"] == "device-1":  # fmt: skip # noqa: E501
            if one.lost:
                one.lost -= 1
                self.close_connection = True
            else:
                self._answer(400, {"error": one.answers.pop(0)}) if one.answers else self._grant()
        elif self.path == "/realms/ops/token" and said.get("grant_type") == "refresh_token" and said.keys() == {"client_id", "grant_type", "refresh_token"}:  # fmt: skip # noqa: E501
            is_good = said["refresh_token"] == one.good_refresh
            self._grant() if is_good else self._answer(400, {"error": "invalid_grant"})
        else:
            one.refused.append(f"{self.path} {said}")
            self._answer(400, {"error": "invalid_request"})

    def _grant(self) -> None:
        one = self.server
        one.good_refresh = f"refresh-{len(one.calls)}"
        token = one.token(**one.claims)
        self._answer(200, {
            "access_token": "opaque", "token_type": "Bearer", "expires_in": 300, "refresh_token": one.good_refresh,
            **dict.fromkeys(one.kinds, token),
        })  # fmt: skip

    def _answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (its name there)
        """Nothing."""


@contextmanager
def issuing(port: int = 0) -> Iterator[LocalIssuer]:
    """One that runs."""
    with LocalIssuer(port) as server, in_thread(server):
        yield server
