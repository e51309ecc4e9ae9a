"""Calls to receivers: which are taken, what follows of them, and what the ledger says."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from service.model.access import RECEIVER_TYPES, ReceiverType
from tests.api.world import World, get, problem_of
from tests.hooks.forge_calls import COMMIT, Sent, call_of

KEY = "whsec_" + base64.b64encode(b"k" * 32).decode()


@dataclass
class Forge:
    """A forge of one kind, and the receiver that it calls."""

    world: World
    type: ReceiverType
    secret: str = KEY

    def __post_init__(self) -> None:
        self.world.history.store.add_receiver(
            "forge", self.type, by="local", at=self.world.clock.now(), secret=self.secret
        )

    def push(self, **given: Any) -> Sent:
        return call_of(self.type, self.secret, at=int(self.world.clock.now().timestamp()), **given)

    async def send(self, sent: Sent, *, to: str = "forge", client: str = "192.0.2.1") -> httpx2.Response:
        headers = {name: value.encode("latin-1") for name, value in sent.headers.items()}
        return await self.world.ask("POST", f"/hooks/{to}", token="", client=client, content=sent.body, headers=headers)


@pytest.fixture(params=RECEIVER_TYPES)
def forge(world: World, request: pytest.FixtureRequest) -> Forge:
    return Forge(world, request.param)


@pytest.fixture
def github(world: World) -> Forge:
    return Forge(world, "github")


async def test_a_push_is_taken_and_the_ledger_says_so(world: World, forge: Forge) -> None:
    answer = await forge.send(forge.push())
    assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
    assert world.desk.asked == [("nudge", "forge", COMMIT)]
    [one] = (await get(world, "deliveries"))["items"]
    assert (one["outcome"], one["delivery"], one["branch"], one["commit"]) == ("accepted", "d-1", "main", COMMIT)
    assert one["repeats"] == 0


async def test_a_delivery_that_comes_again_is_told_and_fetches_nothing(world: World, forge: Forge) -> None:
    answers = [await forge.send(forge.push()) for _ in range(4)]
    assert [one.status_code for one in answers] == [202] * 4
    assert [one.json()["status"] for one in answers] == ["accepted", *["duplicate"] * 3]
    assert len(world.desk.asked) == 1
    [one] = (await get(world, "deliveries"))["items"]
    assert one["repeats"] == 3


Broken = Callable[[Sent], Sent]


def without(*names: str) -> Broken:
    def broken(sent: Sent) -> Sent:
        return Sent({k: v for k, v in sent.headers.items() if k.lower() not in names}, sent.body)

    return broken


def with_headers(change: Callable[[str, str], str]) -> Broken:
    """Every header that proves something, changed."""

    def broken(sent: Sent) -> Sent:
        proofs = ("signature", "token")
        return Sent(
            {k: change(k, v) if any(p in k.lower() for p in proofs) else v for k, v in sent.headers.items()}, sent.body
        )

    return broken


def with_body(change: Callable[[bytes], bytes]) -> Broken:
    return lambda sent: replace(sent, body=change(sent.body))


FORGED: dict[str, Broken] = {
    "a blank more": with_body(lambda body: body + b" "),
    "a byte less": with_body(lambda body: body[:-1]),
    "no body": with_body(lambda _: b""),
    "another branch written in": with_body(lambda body: body.replace(b"main", b"evil")),
    "a byte-order mark": with_body(lambda body: b"\xef\xbb\xbf" + body),
    "the body twice": with_body(lambda body: body * 2),
    "no header of a forge": lambda sent: Sent({}, sent.body),
    "no proof": with_headers(lambda _, value: ""),
    "a proof in capitals": with_headers(lambda _, value: value.upper() + "A"),
    "a proof and a blank inside": with_headers(lambda _, value: value[:20] + " " + value[20:]),
    "a proof cut off": with_headers(lambda _, value: value[:-1]),
    "a longer proof": with_headers(lambda _, value: value + "0"),
    "zeros": with_headers(lambda _, value: "sha256=" + "0" * 64),
    "zeros without a prefix": with_headers(lambda _, value: "0" * 64),
    "only a prefix": with_headers(lambda _, value: "sha256="),
    "sha1": with_headers(lambda _, value: "sha1=" + "0" * 40),
    "md5": with_headers(lambda _, value: "md5=" + "0" * 32),
    "letters of another alphabet": with_headers(lambda _, value: "\xe9" * 64),
    "a very long proof": with_headers(lambda _, value: "a" * 1500),
    "two proofs in one": with_headers(lambda _, value: f"{value},{value}"),
    "a comma before": with_headers(lambda _, value: f",{value}"),
    "quotes": with_headers(lambda _, value: f'"{value}"'),
    "null": with_headers(lambda _, value: "null"),
    "an algorithm that is none": with_headers(lambda _, value: "none=" + value[-64:]),
}


async def test_a_forged_call_is_401_and_nothing_follows(world: World, forge: Forge) -> None:
    for name, broken in FORGED.items():
        answer = await forge.send(broken(forge.push()), client=f"192.0.2.{len(name)}")
        assert answer.status_code == 401, (name, answer.text)
        assert problem_of(answer)["detail"] == "no such receiver, or not its signature"
    assert world.desk.asked == []
    found = (await get(world, "deliveries"))["items"]
    assert {one["outcome"] for one in found} == {"refused"}


async def test_a_call_for_another_receiver_or_by_another_secret_is_401(world: World, forge: Forge) -> None:
    world.history.store.add_receiver("other", forge.type, by="local", at=world.clock.now())
    other = "whsec_" + base64.b64encode(b"x" * 32).decode()
    assert (await forge.send(forge.push(), to="other")).status_code == 401
    assert (await forge.send(call_of(forge.type, other, at=int(world.clock.now().timestamp())))).status_code == 401
    assert (await forge.send(forge.push(), to="nobody")).status_code == 401
    assert world.desk.asked == []


async def test_gitlab_calls_of_another_time_are_401(world: World) -> None:
    forge = Forge(world, "gitlab")
    sent = forge.push()
    world.clock.pass_time(301)
    assert (await forge.send(sent)).status_code == 401
    assert (await forge.send(forge.push())).status_code == 202
    assert (await forge.send(forge.push(delivery="d-2", signing=False))).status_code == 202


async def test_two_secrets_are_good_until_the_old_one_ends(world: World, forge: Forge) -> None:
    store, old = world.history.store, forge.push(delivery="old")
    forge.secret = store.rotate_receiver(
        "forge", by="local", at=world.clock.now(), overlap=timedelta(seconds=60), secret=KEY.replace("a2t", "b2t")
    )
    assert (await forge.send(old)).status_code == 202
    assert (await forge.send(forge.push(delivery="new"))).status_code == 202
    before, forge.secret = forge.secret, store.rotate_receiver("forge", by="local", at=world.clock.now())
    assert (await forge.send(call_of(forge.type, KEY, at=int(world.clock.now().timestamp())))).status_code == 401
    world.clock.pass_time(61)
    at = int(world.clock.now().timestamp())
    assert (await forge.send(call_of(forge.type, before, at=at, delivery="one day"))).status_code == 202
    world.clock.pass_time(86_400)
    at = int(world.clock.now().timestamp())
    if before.startswith("whsec_") or forge.type != "gitlab":
        assert (await forge.send(call_of(forge.type, before, at=at, delivery="later"))).status_code == 401


async def test_a_suspended_receiver_answers_503_to_the_forge_and_401_to_others(world: World, forge: Forge) -> None:
    store = world.history.store
    store.suspend_receiver("forge", "the forge is being moved", by="ann", at=world.clock.now())
    answer = await forge.send(forge.push())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert "the forge is being moved" in str(problem_of(answer)["detail"])
    assert (await forge.send(FORGED["a blank more"](forge.push()))).status_code == 401
    assert world.desk.asked == []
    assert store.resume_receiver("forge", by="ann", at=world.clock.now())
    assert (await forge.send(forge.push())).status_code == 202


@pytest.mark.parametrize(
    ("given", "outcome"),
    [
        ({"branch": "other"}, "other-branch"),
        ({"branch": "refs/heads/main"}, "other-branch"),
        ({"event": "issues"}, "other-event"),
        ({"event": "ping"}, "ping"),
        ({"body": b"not JSON"}, "accepted"),
        ({"body": b'{"ref": "refs/tags/main"}'}, "other-branch"),
    ],
)
async def test_what_a_receiver_does_not_obey_is_taken_and_fetches_nothing(
    world: World, github: Forge, given: dict[str, Any], outcome: str
) -> None:
    answer = await github.send(github.push(**given))
    assert (answer.status_code, answer.json()["status"]) == (202, outcome)
    assert len(world.desk.asked) == (outcome == "accepted")
    [one] = (await get(world, f"deliveries?outcome={outcome}"))["items"]
    assert one["message"] == answer.json()["message"]


async def test_a_call_without_an_event_and_one_of_no_forge_with_another_ref_are_obeyed(world: World) -> None:
    github = Forge(world, "github")
    sent = without("x-github-event")(github.push())
    assert (await github.send(sent)).json()["status"] == "accepted"
    world.history.store.add_receiver("script", "generic", by="local", at=world.clock.now(), secret=KEY)
    for number, ref in enumerate((b"HEAD", b"refs/tags/v1", b"v1")):
        sent = call_of("generic", KEY, body=b'{"ref": "%b"}' % ref, delivery=f"g-{number}")
        assert (await github.send(sent, to="script")).json()["status"] == "accepted"


async def test_a_delivery_that_is_sent_again_after_the_receiver_was_mended_is_obeyed(
    world: World, github: Forge
) -> None:
    sent = github.push(branch="next")
    assert (await github.send(sent)).json()["status"] == "other-branch"
    store, now = world.history.store, world.clock.now()
    store.remove_receiver("forge", by="local", at=now)
    store.add_receiver("forge", "github", by="local", at=now, secret=KEY, branches=["next"])
    assert [(await github.send(sent)).json()["status"] for _ in range(2)] == ["accepted", "duplicate"]
    [one] = (await get(world, "deliveries"))["items"]
    assert (one["outcome"], one["repeats"]) == ("accepted", 2)


async def test_a_push_of_so_many_refs_that_not_all_are_read_is_obeyed(world: World) -> None:
    forge = Forge(world, "bitbucket")
    new = {"type": "branch", "name": "other", "target": {"hash": COMMIT}}
    for number, count in enumerate((50, 51)):
        body = json.dumps({"push": {"changes": [{"new": new}] * count}}).encode()
        answer = await forge.send(forge.push(body=body, delivery=f"d-{number}"))
        assert answer.json()["status"] == ("other-branch" if count == 50 else "accepted")


async def test_the_events_and_branches_of_a_receiver_are_its_own(world: World) -> None:
    world.history.store.add_receiver(
        "both", "github", by="local", at=world.clock.now(), secret=KEY, events=["push", "create"],
        branches=["next", "main"],
    )  # fmt: skip
    forge = Forge(world, "github")
    for number, (event, branch, outcome) in enumerate(
        [("push", "next", "accepted"), ("create", "main", "accepted"), ("push", "x", "other-branch"),
         ("delete", "next", "other-event")]
    ):  # fmt: skip
        sent = forge.push(event=event, branch=branch, delivery=f"d-{number}")
        assert (await forge.send(sent, to="both")).json()["status"] == outcome


async def test_refused_calls_are_in_the_ledger_but_a_flood_of_them_is_not(world: World, github: Forge) -> None:
    for _ in range(20):
        assert (await github.send(FORGED["a blank more"](github.push()))).status_code == 401
    found = (await get(world, "deliveries"))["items"]
    assert [one["outcome"] for one in found] == ["refused"] * 5
    assert "compare the secret" in found[0]["message"]
    world.clock.pass_time(10)
    assert (await github.send(FORGED["no header of a forge"](github.push()))).status_code == 401
    found = (await get(world, "deliveries"))["items"]
    assert len(found) == 5  # it had no form of a proof: nobody looks who it is for
    sent = Sent(call_of("gitea", KEY).headers, b"x")
    del sent.headers["X-Hub-Signature-256"]
    assert (await github.send(sent)).status_code == 401
    assert "X-Hub-Signature-256" in (await get(world, "deliveries"))["items"][0]["message"]


async def test_the_ledger_is_paged_and_for_who_sees_every_host(world: World, github: Forge) -> None:
    for number in range(7):
        await github.send(github.push(delivery=f"d-{number}"))
    first = await get(world, "deliveries?limit=5")
    second = await get(world, f"deliveries?limit=5&cursor={first['next_cursor']}")
    assert [one["delivery"] for one in first["items"] + second["items"]] == [f"d-{n}" for n in reversed(range(7))]
    assert second["next_cursor"] is None
    assert (await get(world, "deliveries?receiver=other"))["items"] == []
    for path in ("deliveries", "receivers"):
        some = await world.ask("GET", f"/api/v1/{path}", token=world.token("read", hosts=("pve1",)))
        assert (some.status_code, some.json()["items"]) == (200, [])
        assert (await world.ask("GET", f"/api/v1/{path}", token=world.token("plan"))).status_code == 403


async def test_receivers_are_listed_without_secrets(world: World, github: Forge) -> None:
    world.history.store.rotate_receiver("forge", by="local", at=world.clock.now())
    [one] = (await get(world, "receivers"))["items"]
    assert (one["name"], one["type"], one["suspended"], one["events"]) == ("forge", "github", "", [])
    assert one["old_until"] is not None
    assert github.secret not in str(one)
    assert "secret" not in one
