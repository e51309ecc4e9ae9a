"""Each code that the API can answer has a page, and each page a code: in the service and deploy/docs/problems.md."""

import ast
import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from joserfc import jws
from joserfc.jwk import RSAKey

from service import errors
from service.api import problem
from service.api.openapi import document
from service.api.parts import RequestLimits
from service.api.problem_pages import CODES, PAGES, Code, section
from service.api.server import only_health
from service.history import History
from tests.api.test_receivers import Forge
from tests.api.world import World, problem_of
from tests.golden import same_as_golden
from tests.people.test_people_tokens import signing_in

TOP = Path(__file__).parents[2]
DOCS = TOP / "deploy" / "docs" / "problems.md"
HEAD = """\
# Problems of the API

After reading this page you know what each error of the API means, and what to do.

An error is `application/problem+json`. Programs decide by its `code`, which does not change. `detail` has the words for
this case, `hint` the next step. `type` is the address of the text below, and the service shows it to everybody:

```text
GET /problems/held
```

`errors` has an entry for each value that is wrong, `instance` is the address of the request. Each answer has an
`X-Request-ID`, which is in the log and in the audit log, too.

"""
"""What the page says before the codes."""


def page() -> str:
    return HEAD + "\n".join(section(code) for code in CODES)


def test_the_page_of_the_docs_has_every_code() -> None:
    same_as_golden(DOCS, page())
    assert re.findall(r"^## (.+)$", DOCS.read_text(), re.MULTILINE) == sorted(CODES)


def test_each_code_has_a_page_and_each_page_a_code() -> None:
    assert set(PAGES) == set(CODES)
    for code, (status, *texts) in PAGES.items():
        assert 400 <= status < 600, code
        assert all(text.endswith(".") for text in texts), code


def named_in_the_source() -> set[str]:
    """Every code that the API's source gives to a problem: by its name, by the error's class or by the status."""
    found: set[str] = {code for _, _, code in problem.OURS}
    found |= set(problem._CODES.values())
    for file in sorted((TOP / "service").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("RequestRefused", "problem"):
                given = [one.value for one in node.keywords if one.arg == "code"]
                found |= {str(one.value) for one in given if isinstance(one, ast.Constant)}
                assert all(isinstance(one, ast.Constant) for one in given) or file.name == "problem.py", file
    return found


def test_the_source_gives_no_code_without_a_page_and_no_page_is_left_over() -> None:
    assert named_in_the_source() == set(CODES)


def test_a_code_of_an_error_has_the_status_of_its_page() -> None:
    for status, code in [*((one, code) for _, one, code in problem.OURS), *problem._CODES.items()]:
        assert PAGES[code].status == status, code


def test_the_description_names_the_codes() -> None:
    assert set(document()["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]) == set(CODES)


Ask = Callable[[World], Awaitable[httpx2.Response]]


def get(path: str, **given: Any) -> Ask:
    return lambda world: world.ask("GET", path, **given)


def post(path: str, **given: Any) -> Ask:
    return lambda world: world.ask("POST", path, **given)


def failing(error: Exception) -> Ask:
    def ask(world: World) -> Awaitable[httpx2.Response]:
        world.desk.trouble = error
        return world.ask("GET", "/api/v1/source")

    return ask


async def _slow() -> AsyncIterator[bytes]:
    yield b"{"
    await asyncio.Event().wait()


async def _late(world: World) -> httpx2.Response:
    return await post("/api/v1/plans", content=_slow(), headers={"Content-Type": "application/json"})(world)


async def _key_twice(world: World) -> httpx2.Response:
    headers = {"Idempotency-Key": "k"}
    await world.ask("POST", "/api/v1/hosts/pve1/reconcile", headers=headers)
    return await world.ask("POST", "/api/v1/hosts/pve2/reconcile", headers=headers)


async def _key_busy(world: World) -> httpx2.Response:
    headers = {"Idempotency-Key": "k"}
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def held(host: str, by: str) -> None:
        arrived.set()
        await go_on.wait()

    world.desk.reconcile = held  # type: ignore[method-assign]
    first = asyncio.ensure_future(world.ask("POST", "/api/v1/hosts/pve1/reconcile", headers=headers))
    await arrived.wait()
    second = await world.ask("POST", "/api/v1/hosts/pve1/reconcile", headers=headers)
    go_on.set()
    assert (await first).status_code == 202
    return second


async def _suspended(world: World) -> httpx2.Response:
    forge = Forge(world, "github")
    world.history.store.suspend_receiver("forge", "moved", by="ann", at=world.clock.now())
    return await forge.send(forge.push())


async def _too_many(world: World) -> httpx2.Response:
    for _ in range(10):
        answer = await world.ask("GET", "/metrics", token="psr_guess")
        if answer.status_code == 429:
            break
    return answer


async def _busy(world: World) -> httpx2.Response:
    world.app = only_health(world.app)  # type: ignore[assignment]
    return await world.ask("GET", "/api/v1/hosts")


async def _issuer_away(world: World) -> httpx2.Response:
    token = jws.serialize_compact({"alg": "RS256", "kid": "1"}, b"{}", RSAKey.generate_key(2048), algorithms=["RS256"])
    return await signing_in(world, "http://127.0.0.1:9").ask("GET", LIST, token=token)


LIST = "/api/v1/hosts"
ANSWERED: dict[Code, Ask] = {
    "bad-cursor": get(f"{LIST}?cursor=abc"),
    "bad-input": get(f"{LIST}?limit=0"),
    "bad-request": post("/api/v1/plans", content=b"{", headers={"Content-Type": "application/json"}),
    "body-too-large": post("/api/v1/plans", json={"branch": "x" * 20_000}),
    "forbidden": lambda world: world.ask("GET", LIST, token=world.token("plan")),
    "header-too-large": get(LIST, headers={"X": "x" * 17_000}),
    "held": failing(errors.Held("the host is suspended")),
    "host-error": failing(errors.Garbled("no answer that can be read")),
    "host-left-git": failing(errors.LeftGit("pve1 is not in Git")),
    "host-never-seen": failing(errors.NeverSeen("pve1 was not seen")),
    "host-not-compared": failing(errors.NotKnown("pve1 was not compared")),
    "host-unreachable": failing(errors.Unreachable("no connection")),
    "idempotency-key-reused": _key_twice,
    "in-flight": _key_busy,
    "internal-error": failing(RuntimeError("a secret that nobody sees")),
    "issuer-unavailable": _issuer_away,
    "method-not-allowed": lambda world: world.ask("PUT", LIST),
    "misdirected-request": get(LIST, headers={"Host": "evil.test"}),
    "not-found": get(f"{LIST}/nobody"),
    "plan-stale": failing(errors.Stale("something else would be done")),
    "receiver-suspended": _suspended,
    "repeated-parameter": get(f"{LIST}?limit=1&limit=2"),
    "request-timeout": _late,
    "source-changed": failing(errors.SourceChanged("the branch is elsewhere")),
    "source-unavailable": failing(errors.SourceError("not reachable")),
    "storage-unavailable": failing(errors.StoreError("locked")),
    "token-in-address": get(f"{LIST}?token=psr_x"),
    "too-many-requests": _too_many,
    "unauthorized": get(LIST, token=""),
    "unavailable": _busy,
    "unknown-parameter": get(f"{LIST}?nothing=1"),
    "unsupported-media-type": post("/api/v1/plans", content=b"{}", headers={"Content-Type": "text/plain"}),
    "waits-already": failing(errors.WaitsAlready("it waits")),
}
"""A request that is answered with each code."""


@pytest.mark.parametrize("code", CODES)
async def test_the_type_of_a_problem_leads_to_its_page(history: History, code: Code) -> None:
    limits = RequestLimits(body_s=0.05, failures_burst=3)
    allowed = ("passerelle.test",) if code == "misdirected-request" else ()
    world = World(history, limits=limits, hosts_allowed=allowed).fill()
    found = problem_of(await ANSWERED[code](world))
    assert (found["code"], found["status"]) == (code, PAGES[code].status)
    world = World(history)
    answer = await world.ask("GET", str(found["type"]), token="")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert answer.text == section(code)


async def test_a_page_that_is_not_there_is_a_problem_itself(one_world: World) -> None:
    for name in ("nothing", "HELD", "%2e%2e", "a" * 300):
        answer = await one_world.ask("GET", f"/problems/{name}", token="")
        assert answer.status_code in (404, 422), name
        assert problem_of(answer)["code"] in ("not-found", "bad-input")
    assert (await one_world.ask("GET", "/problems/", token="")).status_code == 401
    assert (await one_world.ask("POST", "/problems/held", token="")).status_code == 405
