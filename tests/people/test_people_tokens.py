"""Tokens of an issuer at the API: which are accepted, which are not and why, and what the groups of a person allow."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import RSAKey

from service.api.envelope import AWAY
from service.api.parts import RequestLimits
from service.errors import InputError
from service.history import History, open_history
from service.model.access import SCOPES
from service.model.people import Grant, Person, groups_of, parse_grants, principal_of
from service.people.keys import AGAIN_S, FRESH_S, GOOD_S
from service.people.people import people_at
from tests.api.shared_routes import app_of
from tests.api.world import NOW, World, problem_of
from tests.people.issuer import CLIENT, CURVE, KEYS, WEAK, LocalIssuer, issuing
from tests.state_folders import made

NOT_OURS = "its issuer is not PASSERELLE_OIDC_ISSUER"
GRANTS = parse_grants("ops=read,plan; deployers=apply@pve1; admins=admin")
NOW_S = NOW.timestamp()
FOREIGN = RSAKey.generate_key(2048, {"kid": "key-1"})


@pytest.fixture
def issuer() -> Iterator[LocalIssuer]:
    with issuing() as server:
        yield server
        assert server.refused == []


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with open_history(made(tmp_path / "state" / "passerelle.sqlite")) as opened:
        yield opened


@pytest.fixture
def world(history: History, issuer: LocalIssuer) -> World:
    return signing_in(World(history).fill(), issuer.url)


def signing_in(world: World, url: str, grants: tuple[Grant, ...] = GRANTS) -> World:
    people = people_at(url, CLIENT, grants, "groups", world.clock)
    world.app = app_of(replace(world.parts, people=people))
    return world


async def status(world: World, token: str, method: str = "GET", path: str = "/api/v1/hosts", json: Any = None) -> Any:
    return await world.ask(method, path, token=token, json=json)


async def test_a_good_token_opens_what_the_groups_allow(world: World, issuer: LocalIssuer) -> None:
    for key in (KEYS[1], CURVE):
        assert (await status(world, issuer.token(NOW_S, key=key))).status_code == 200
    token = issuer.token(NOW_S, groups=["ops", "deployers"])
    caller = (await status(world, token, path="/api/v1/whoami")).json()
    assert caller["name"] == f"ann (248289761001 of {issuer.url.removeprefix('http://')})"
    assert caller["how"] == "sign-in"
    assert caller["grants"] == [
        {"scopes": ["read", "plan"], "hosts": ["*"]}, {"scopes": ["apply"], "hosts": ["pve1"]},
    ]  # fmt: skip
    refused = await status(world, issuer.token(NOW_S, groups=["others"]))
    assert (refused.status_code, problem_of(refused)["detail"]) == (403, "the token lacks the scope read")


async def test_the_audit_log_names_the_person_and_the_issuer(world: World, issuer: LocalIssuer) -> None:
    token = issuer.token(NOW_S, groups=["admins"], preferred_username="ann\n\x1b[31m")
    answer = await status(world, token, "POST", "/api/v1/suspensions", json={"host": "pve1", "reason": "a test"})
    assert answer.status_code in (200, 201), answer.text
    (entry,) = [one for one in world.history.queries.acts_after(0).entries if one.how == "api"]
    assert entry.by == f"ann (248289761001 of {issuer.url.removeprefix('http://')})".replace("ann", "ann [31m")
    assert entry.token.startswith("oidc-")


async def test_grants_do_not_mix(world: World, issuer: LocalIssuer) -> None:
    """`read` on all hosts and `apply` on pve1 is not `apply` on all."""
    token = issuer.token(NOW_S, groups=["ops", "deployers"])
    for host, expected in (("pve1", {200, 202, 404, 409}), ("pve2", {404})):
        answer = await status(world, token, "POST", "/api/v1/drills", json={"host": host})
        assert answer.status_code in expected, (host, answer.text)
    assert (await status(world, token, path="/api/v1/hosts/pve1")).status_code == 200


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def payload(one: LocalIssuer) -> bytes:
    return json.dumps({"iss": one.url, "aud": CLIENT, "sub": "1", "exp": NOW_S + 60, "groups": ["admins"]}).encode()


def unsigned(one: LocalIssuer, header: dict[str, Any]) -> str:
    return f"{b64(json.dumps(header).encode())}.{b64(payload(one))}.{'' if 'crit' not in header else b64(b'x' * 256)}"


def confused(one: LocalIssuer) -> str:
    head = f"{b64(json.dumps({'alg': 'HS256', 'kid': 'key-1'}).encode())}.{b64(payload(one))}"
    return f"{head}.{b64(hmac.new(KEYS[1].as_pem(private=False), head.encode(), hashlib.sha256).digest())}"


def swapped(one: LocalIssuer) -> str:
    head, _, signature = one.token(NOW_S).split(".")
    return f"{head}.{b64(payload(one))}.{signature}"


BAD: dict[str, tuple[Callable[[LocalIssuer], str], str]] = {
    "expired": (lambda one: one.token(NOW_S, exp=NOW_S - 31), "it has expired"),
    "no end": (lambda one: one.token(NOW_S, exp=None), "its exp is not a time"),
    "an end that is a word": (lambda one: one.token(NOW_S, exp="9999999999"), "its exp is not a time"),
    "an end that is true": (lambda one: one.token(NOW_S, exp=True), "its exp is not a time"),
    "an end without end": (lambda one: one.token(NOW_S, exp=float("inf")), "its exp is not a time"),
    "not yet": (lambda one: one.token(NOW_S, nbf=NOW_S + 31), "it is of the future"),
    "of tomorrow": (lambda one: one.token(NOW_S, iat=NOW_S + 31), "it is of the future"),
    "another audience": (lambda one: one.token(NOW_S, aud="grafana"), "it is for another audience"),
    "other audiences": (lambda one: one.token(NOW_S, aud=["grafana", "x"]), "it is for another audience"),
    "no audience": (lambda one: one.token(NOW_S, aud=None), "it is for another audience"),
    "another issuer": (lambda one: one.token(NOW_S, iss="https://evil.example.org"), NOT_OURS),
    "no issuer": (lambda one: one.token(NOW_S, iss=None), NOT_OURS),
    "nobody": (lambda one: one.token(NOW_S, sub=None), "it does not say whom it is about"),
    "a number": (lambda one: one.token(NOW_S, sub=7), "it does not say whom it is about"),
    "an unknown key": (lambda one: one.token(NOW_S, key=KEYS[2]), "does not publish the key"),
    "no name of a key": (lambda one: one.token(NOW_S, header={"kid": None}), "does not publish the key"),
    "a key with a good name": (lambda one: one.token(NOW_S, key=FOREIGN), "its signature is not good"),
    "a weak key": (lambda one: one.token(NOW_S, key=WEAK), "does not publish the key"),
    "another type": (lambda one: one.token(NOW_S, header={"typ": "logout+jwt"}), "not one of a token for people"),
    "alg none": (lambda one: unsigned(one, {"alg": "none", "kid": "key-1"}), "its algorithm is not accepted"),
    "alg None": (lambda one: unsigned(one, {"alg": "NoNe", "kid": "key-1"}), "its algorithm is not accepted"),
    "no alg": (lambda one: unsigned(one, {"kid": "key-1"}), "is not"),
    "crit": (lambda one: unsigned(one, {"alg": "RS256", "kid": "key-1", "crit": ["x"]}), "its header is not one"),
    "the public key as a secret": (confused, "its algorithm is not accepted"),
    "another payload": (swapped, "its signature is not good"),
    "no JWT": (lambda _: "a.b.c", "it is not a signed JWT"),
    "deep": (lambda _: f"{b64(b'[' * 3000)}.e30.x", "it is not a signed JWT"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
@pytest.mark.parametrize("kind", BAD)
async def test_what_is_wrong_with_a_token_is_said_and_it_opens_nothing(
    world: World, issuer: LocalIssuer, kind: str
) -> None:
    make, why = BAD[kind]
    answer = await status(world, make(issuer))
    assert (answer.status_code, problem_of(answer)["code"]) == (401, "unauthorized"), answer.text
    assert why in str(problem_of(answer)["detail"])


async def test_a_moment_of_difference_between_clocks_is_allowed(world: World, issuer: LocalIssuer) -> None:
    for token in (issuer.token(NOW_S, exp=NOW_S - 29), issuer.token(NOW_S, iat=NOW_S + 29, nbf=NOW_S + 29)):
        assert (await status(world, token)).status_code == 200
    assert (await status(world, issuer.token(NOW_S, aud=["other", CLIENT]))).status_code == 200
    assert (await status(world, issuer.token(NOW_S, header={"typ": "at+jwt"}))).status_code == 200


async def test_a_new_key_is_found_and_the_issuer_is_not_asked_without_end(world: World, issuer: LocalIssuer) -> None:
    assert (await status(world, issuer.token(NOW_S))).status_code == 200
    assert len(issuer.calls) == 2
    for _ in range(5):
        assert (await status(world, issuer.token(NOW_S, key=KEYS[2]))).status_code == 401
    assert len(issuer.calls) == 2, "not so soon after the last time"
    issuer.published = [KEYS[2]]
    world.clock.pass_time(AGAIN_S)
    now_s = NOW_S + AGAIN_S
    assert (await status(world, issuer.token(now_s, key=KEYS[2]))).status_code == 200
    assert (await status(world, issuer.token(now_s))).status_code == 401, "the old key is not published any more"
    assert (await status(world, issuer.token(now_s, key=KEYS[2], header={"kid": None}))).status_code == 200
    assert len(issuer.calls) == 4


async def test_requests_at_the_same_time_wait_for_the_first_keys(world: World, issuer: LocalIssuer) -> None:
    token = issuer.token(NOW_S)
    answers = await asyncio.gather(*(status(world, token) for _ in range(8)))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert len(issuer.calls) == 2


async def test_requests_at_the_same_time_wait_for_a_new_key(world: World, issuer: LocalIssuer) -> None:
    assert (await status(world, issuer.token(NOW_S))).status_code == 200
    issuer.published = [KEYS[2]]
    world.clock.pass_time(AGAIN_S)
    answers = await asyncio.gather(*(status(world, issuer.token(NOW_S, key=KEYS[2])) for _ in range(8)))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert len(issuer.calls) == 4


@pytest.mark.parametrize("kid", [None, "same"])
async def test_a_new_key_without_a_name_of_its_own_is_found(world: World, issuer: LocalIssuer, kid: str | None) -> None:
    named: dict[str, Any] = {} if kid is None else {"kid": kid}
    first, second = ({"kty": "RSA", "n": key.as_dict()["n"], "e": key.as_dict()["e"], **named} for key in KEYS.values())
    issuer.raw_keys = [first]
    assert (await status(world, issuer.token(NOW_S, header={"kid": kid}))).status_code == 200
    issuer.raw_keys = [second]
    new = issuer.token(NOW_S, key=KEYS[2], header={"kid": kid})
    assert (await status(world, new)).status_code == 401, "not so soon after the last time"
    world.clock.pass_time(AGAIN_S)
    assert (await status(world, new)).status_code == 200
    assert (await status(world, issuer.token(NOW_S, header={"kid": kid}))).status_code == 401
    assert len(issuer.calls) == 4


async def test_who_comes_while_the_issuer_is_away_is_slowed_down_and_logged(
    history: History, caplog: pytest.LogCaptureFixture
) -> None:
    with issuing() as gone:
        url = gone.url
        token = gone.token(NOW_S)
    limits = RequestLimits(failures_burst=2)
    world = signing_in(World(history, limits=limits).fill(), url)
    assert [(await status(world, token)).status_code for _ in range(3)] == [503, 503, 429]
    assert "without a valid token is refused" in caplog.text


async def test_an_issuer_that_is_away_at_the_start_is_said_and_asked_again(
    history: History, caplog: pytest.LogCaptureFixture
) -> None:
    with issuing() as gone:
        port, url = gone.server_address[1], gone.url
    world = signing_in(World(history).fill(), url)
    with issuing() as other:
        token = other.token(NOW_S, iss=url)
    answer = await status(world, token)
    assert answer.status_code == 503
    assert problem_of(answer)["detail"] == AWAY, "a stranger learns nothing of the network"
    assert "the keys of the issuer cannot be read: 127.0.0.1 does not answer: Connection refused" in caplog.text
    assert answer.headers["retry-after"] == "30"
    assert (await status(world, world.token("read"))).status_code == 200, "tokens of the service work"
    with issuing(port):
        assert (await status(world, token)).status_code == 503, "not so soon"
        world.clock.pass_time(AGAIN_S)
        assert (await status(world, token)).status_code == 200


async def test_keys_that_are_known_stay_good_for_a_day_without_the_issuer(
    world: World, issuer: LocalIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await status(world, issuer.token(NOW_S))).status_code == 200
    issuer.is_broken = True
    for passed_s in (FRESH_S, GOOD_S - 1):
        world.clock.pass_time(passed_s - (world.clock.now() - NOW).total_seconds())
        assert (await status(world, issuer.token(NOW_S + passed_s))).status_code == 200
    world.clock.pass_time(AGAIN_S)
    answer = await status(world, issuer.token(NOW_S + GOOD_S + AGAIN_S))
    assert (answer.status_code, "answers with status 500" in caplog.text) == (503, True)
    issuer.is_broken = False
    world.clock.pass_time(AGAIN_S)
    assert (await status(world, issuer.token(NOW_S + GOOD_S + 2 * AGAIN_S))).status_code == 200


@pytest.mark.parametrize("keys", [[], {}, "x", [7], [{"kty": "oct", "k": "AAAA", "kid": "key-1"}], [{"kty": "RSA"}]])
async def test_what_is_published_and_is_no_public_key_is_left_out(
    world: World, issuer: LocalIssuer, keys: Any, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.raw_keys = keys
    answer = await status(world, issuer.token(NOW_S))
    assert (answer.status_code, "publishes no key that can be used" in caplog.text) == (503, True)


async def test_an_issuer_that_names_another_one_is_not_believed(
    world: World, issuer: LocalIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.says = "https://evil.example.org"
    answer = await status(world, issuer.token(NOW_S))
    assert (answer.status_code, "says that it is another issuer" in caplog.text) == (503, True)


async def test_without_an_issuer_no_such_token_is_good(history: History, issuer: LocalIssuer) -> None:
    assert (await status(World(history).fill(), issuer.token(NOW_S))).status_code == 401
    assert issuer.calls == []


@pytest.mark.parametrize(
    ("url", "audience", "grants"),
    [("http://login.example.org", CLIENT, GRANTS), ("x", CLIENT, GRANTS), ("https://l.example", "", GRANTS),
     ("https://l.example", CLIENT, ()), ("https://a:b@l.example", CLIENT, GRANTS)],
)  # fmt: skip
def test_settings_that_cannot_be_used_are_refused(history: History, url: str, audience: str, grants: Any) -> None:
    with pytest.raises(InputError):
        people_at(url, audience, grants, "groups", World(history).clock)
    assert people_at("", audience, grants, "groups", World(history).clock) is None


def test_grants_are_read_and_what_is_none_is_named() -> None:
    assert parse_grants("a=b c=read@pve-*,gate1; *=read ;") == (
        Grant("a=b c", frozenset({"read"}), ("pve-*", "gate1")), Grant("*", frozenset({"read"})),
    )  # fmt: skip
    for text in ("x", "=read", "x=", "x=write", "x=read@", "x=read@a b", "x=read@A"):
        with pytest.raises(InputError):
            parse_grants(text)
    with pytest.raises(InputError, match="`a=` grants no scope"):
        parse_grants("a=")


@pytest.mark.parametrize(
    ("claims", "claim", "groups"),
    [
        ({"groups": ["a", 7, None, "b"]}, "groups", {"a", "b"}), ({"groups": "a"}, "groups", {"a"}),
        ({"realm_access": {"roles": ["a"]}}, "realm_access.roles", {"a"}), ({"x.y": ["a"]}, "x.y", {"a"}),
        ({"groups": {"a": 1}}, "groups", set()), ({}, "groups", set()), ({"a": "b"}, "a.b.c", set()),
    ],
)  # fmt: skip
def test_groups_are_words_in_a_claim(claims: dict[str, Any], claim: str, groups: set[str]) -> None:
    assert groups_of(claims, claim) == groups


HOSTS = st.lists(st.sampled_from(["*", "pve1", "pve2", "pve*", "gate1"]), min_size=1, max_size=3).map(tuple)
GRANTED = st.builds(
    Grant, st.sampled_from(["a", "b", "c"]), st.frozensets(st.sampled_from(SCOPES), min_size=1, max_size=3), HOSTS
)


@given(st.lists(GRANTED, max_size=5), st.frozensets(st.sampled_from(["a", "b", "c"])), st.sampled_from(SCOPES))
def test_nobody_may_more_than_one_of_the_grants_says(grants: list[Grant], groups: frozenset[str], needed: Any) -> None:
    who = principal_of(Person("https://l", "1", "ann", groups), grants, needed)
    mine = [grant for grant in grants if grant.group in groups]

    def is_granted(scope: Any, host: str) -> bool:
        return any(
            replace(who, scopes=grant.scopes, hosts=grant.hosts).may(scope)
            and replace(who, hosts=grant.hosts).sees(host)
            for grant in mine
        )

    for host in ("pve1", "pve2", "pve33", "gate1", "other"):
        for scope in SCOPES:
            if who.may(scope) and who.sees(host):
                assert is_granted(scope, host)
        assert (who.may(needed) and who.sees(host)) == is_granted(needed, host)
