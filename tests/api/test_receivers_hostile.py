"""Deliveries that are forged, malformed, sent again or too large, to a receiver of each type: no fetch, no 5xx."""

import asyncio
import base64
import gzip
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from service.model.access import RECEIVER_TYPES, ReceiverType
from tests.api.test_receivers import FORGED, KEY, Forge
from tests.api.world import World, get, problem_of
from tests.hooks.forge_calls import COMMIT, Sent, call_of, push_body

MEBIBYTE = 1 << 20
UNLIKE: Mapping[ReceiverType, ReceiverType] = {
    "github": "gitlab", "gitlab": "github", "gitea": "bitbucket", "forgejo": "bitbucket", "gogs": "github",
    "bitbucket": "generic", "bitbucket-server": "generic", "generic": "github",
}  # fmt: skip
"""A type whose calls prove nothing to a receiver of this one."""


@dataclass
class Delivery:
    """A request to a receiver, as it goes over the wire."""

    headers: list[tuple[str, str]]
    body: bytes | AsyncIterator[bytes]
    method: str = "POST"
    to: str = "/hooks/forge"
    status: int = 401
    given: dict[str, Any] = field(default_factory=dict)


Made = Callable[[Forge], Delivery]


def plain(sent: Sent, **given: Any) -> Delivery:
    return Delivery(list(sent.headers.items()), sent.body, **given)


def is_proof(name: str) -> bool:
    return any(word in name.lower() for word in ("signature", "token"))


def proofs(change: Callable[[str], list[str]]) -> Made:
    """Each header that proves something, as often as `change` says."""

    def made(forge: Forge) -> Delivery:
        sent = forge.push()
        pairs = [(k, v) for k, value in sent.headers.items() for v in (change(value) if is_proof(k) else [value])]
        return Delivery(pairs, sent.body)

    return made


def by_secret(secret: str) -> Made:
    return lambda forge: plain(call_of(forge.type, secret, at=int(forge.world.clock.now().timestamp())))


def body(change: Callable[[bytes], bytes], **more: str) -> Made:
    """Signed as it was, sent as another body."""

    def made(forge: Forge) -> Delivery:
        sent = forge.push()
        return plain(Sent(sent.headers | more, change(sent.body)))

    return made


def to(path: str, status: int = 401) -> Made:
    return lambda forge: plain(forge.push(), to=path, status=status)


def method(name: str) -> Made:
    return lambda forge: plain(forge.push(), method=name, status=405)


def only(headers: Mapping[str, str]) -> Made:
    """No signature, but something else that knows the secret."""
    return lambda forge: Delivery(list(headers.items()), push_body(forge.type))


def of_length(told: str) -> Made:
    def made(forge: Forge) -> Delivery:
        sent = forge.push()
        return Delivery([*sent.headers.items(), ("Content-Length", told)], sent.body, status=413)

    return made


def too_large(forge: Forge) -> Delivery:
    large = b" " * MEBIBYTE + push_body(forge.type)
    return plain(forge.push(body=large), status=413)


def too_large_in_parts(forge: Forge) -> Delivery:
    large = b" " * MEBIBYTE + push_body(forge.type)

    async def parts() -> AsyncIterator[bytes]:
        for at in range(0, len(large), 1 << 16):
            yield large[at : at + (1 << 16)]

    return Delivery(list(forge.push(body=large).headers.items()), parts(), status=413)


def compressed(forge: Forge) -> Delivery:
    packed = gzip.compress(push_body(forge.type))
    sent = forge.push(body=packed)
    return Delivery([*sent.headers.items(), ("Content-Encoding", "gzip")], packed, status=415)


def of_another_forge(forge: Forge) -> Delivery:
    return plain(call_of(UNLIKE[forge.type], KEY, at=int(forge.world.clock.now().timestamp())))


def other_digest(name: str) -> Made:
    def made(forge: Forge) -> Delivery:
        sent = forge.push()
        digest = hmac.new(KEY.encode(), sent.body, name).hexdigest()
        pairs = [(k, f"{name}={digest}" if is_proof(k) else v) for k, v in sent.headers.items()]
        return Delivery(pairs, sent.body)

    return made


def digest_without_key(forge: Forge) -> Delivery:
    sent = forge.push()
    digest = hashlib.sha256(KEY.encode() + sent.body).hexdigest()
    return Delivery([(k, f"sha256={digest}" if is_proof(k) else v) for k, v in sent.headers.items()], sent.body)


def spelled_with_underscores(forge: Forge) -> Delivery:
    sent = forge.push()
    return Delivery([(k.replace("-", "_"), v) for k, v in sent.headers.items()], sent.body)


MALFORMED: Mapping[str, Made] = {
    "the right proof twice": proofs(lambda value: [value, value]),
    "the right proof, then a wrong one": proofs(lambda value: [value, "sha256=" + "0" * 64]),
    "a wrong proof, then the right one": proofs(lambda value: ["sha256=" + "0" * 64, value]),
    "an empty proof, then the right one": proofs(lambda value: ["", value]),
    "a proof backwards": proofs(lambda value: [value[::-1]]),
    "a proof in base64": proofs(lambda value: [base64.b64encode(value.encode()).decode()]),
    "a NUL in the proof": proofs(lambda value: [value + "\0"]),
    "signed with no secret": by_secret("whsec_"),
    "signed with the receiver's name": by_secret("whsec_" + base64.b64encode(b"forge").decode()),
    "signed with the secret in capitals": by_secret("whsec_" + KEY[6:].swapcase()),
    "sha512": other_digest("sha512"),
    "sha384": other_digest("sha384"),
    "a digest that is no HMAC": digest_without_key,
    "the call of another forge": of_another_forge,
    "the body written anew": body(lambda sent: json.dumps(json.loads(sent), indent=1).encode()),
    "the body in UTF-16": body(lambda sent: sent.decode().encode("utf-16")),
    "the body as a form": body(
        lambda sent: b"payload=" + sent, **{"Content-Type": "application/x-www-form-urlencoded"}
    ),
    "another commit written in": body(lambda sent: sent.replace(COMMIT.encode(), b"e" * 40) + b"\n"),
    "a NUL byte at the end": body(lambda sent: sent + b"\0"),
    "the secret as a token of the API": only({"Authorization": f"Bearer {KEY}"}),
    "the secret as a password": only({"Authorization": "Basic " + base64.b64encode(f"x:{KEY}".encode()).decode()}),
    "the secret as a cookie": only({"Cookie": f"secret={KEY}"}),
    "the secret under a name that nobody reads": only({"X-Secret": KEY, "X-Hub-Secret": KEY}),
    "the secret in the address": lambda forge: Delivery([], push_body(forge.type), to=f"/hooks/forge?secret={KEY}"),
    "names with underscores": spelled_with_underscores,
    "the receiver in capitals": to("/hooks/FORGE"),
    "the receiver with a NUL": to("/hooks/forge%00"),
    "the receiver with a blank": to("/hooks/forge%20"),
    "below the receiver": to("/hooks/forge/push"),
    "the receiver by a way around": to("/hooks/%2e%2e%2fforge"),
    "a name of 250 letters": to("/hooks/" + "f" * 250, 422),
    "GET": method("GET"),
    "PUT": method("PUT"),
    "DELETE": method("DELETE"),
    "a length that is none": of_length("many"),
    "a length below zero": of_length("-1"),
    "a length of eleven digits": of_length("99999999999"),
    "a body of more than 1 MiB": too_large,
    "a body of more than 1 MiB in parts": too_large_in_parts,
    "a compressed body": compressed,
}
"""What is wrong with it, and the call."""


@pytest.fixture(params=RECEIVER_TYPES)
def forge(world: World, request: pytest.FixtureRequest) -> Forge:
    return Forge(world, request.param)


async def send(forge: Forge, one: Delivery, client: str) -> httpx2.Response:
    headers = [(name, value.encode("latin-1")) for name, value in one.headers]
    return await forge.world.ask(
        one.method, one.to, token="", client=client, content=one.body, headers=headers, **one.given
    )


async def test_a_delivery_that_is_not_right_is_refused_and_fetches_nothing(world: World, forge: Forge) -> None:
    statuses = {}
    for number, (name, made) in enumerate(MALFORMED.items()):
        one = made(forge)
        answer = await send(forge, one, f"192.0.2.{number}")
        assert answer.status_code == one.status, (name, answer.text)
        assert KEY not in answer.text, name
        statuses[name] = problem_of(answer)["code"]
    assert world.desk.asked == []
    assert len(statuses) + len(FORGED) >= 60
    assert {one["outcome"] for one in (await get(world, "deliveries"))["items"]} == {"refused"}
    assert (await forge.send(forge.push())).status_code == 202  # the receiver is none the worse for it
    assert len(world.desk.asked) == 1


async def test_a_delivery_that_is_sent_again_fetches_once(world: World, forge: Forge) -> None:
    """At once, later, from another place, with headers that prove nothing changed, and after the receiver is gone."""
    sent = forge.push()
    at_once = await asyncio.gather(*(forge.send(sent) for _ in range(8)))
    assert {one.status_code for one in at_once} == {202}
    assert sorted(one.json()["status"] for one in at_once) == ["accepted", *["duplicate"] * 7]
    for client in ("192.0.2.7", "198.51.100.1"):
        assert (await forge.send(sent, client=client)).json()["status"] == "duplicate"
    more = Sent(sent.headers | {"X-Request-Id-Of-Nobody": "1", "User-Agent": "replay"}, sent.body)
    assert (await forge.send(more)).json()["status"] == "duplicate"
    world.clock.pass_time(3_600)
    late = await forge.send(sent)
    if forge.type == "gitlab":  # the only one that signs the time
        assert late.status_code == 401
    else:
        assert late.json()["status"] == "duplicate"
    assert len(world.desk.asked) == 1
    world.history.store.remove_receiver("forge", by="local", at=world.clock.now())
    assert (await forge.send(sent)).status_code == 401
    assert len(world.desk.asked) == 1
