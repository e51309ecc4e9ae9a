"""What nobody should send: a clear 4xx, never a 5xx, nothing done, nothing reported."""

import asyncio
import json
import logging
import re
import time
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.api.parts import RequestLimits
from service.api.values import read_cursor, write_cursor
from service.errors import InputError, NotFound, PasserelleError, SourceError, Stale, StoreError, Unreachable
from service.history import History
from tests.api.world import World, problem_of, signature

HUGE = "9" * 5000


@pytest.mark.parametrize(
    "path",
    [
        "hosts?limit=0",
        "hosts?limit=201",
        "hosts?limit=-1",
        "hosts?limit=1e9",
        "hosts?limit=99999999999999999999",
        f"hosts?limit={HUGE}",
        "hosts?limit=nan",
        "hosts?sync=Maybe",
        "hosts?cursor=%00",
        "hosts?cursor=!!!",
        "hosts?cursor=bm90anNvbg",
        "hosts?cursor=" + "A" * 900,
        "drift?cursor=WyJ4Il0",
        "drift?host=PVE1",
        "drift?host=pve1%0a",
        "drift?resolved=perhaps",
        "leases?mac=10",
        "leases?mac=bc:24:11:00:00:01%0a",
        "leases?ip=10.10.10.999",
        "leases?ip=::1%25eth0",
        "leases?name=%00",
        "leases?name=a%0ab",
        "leases?name=" + "x" * 501,
        "events?after=-1",
        "events?after=9223372036854775808",
        "events?after=99999999999999999999",
        "events?type=%ed%a0%80%00",
        "applies?phase=Done",
        "applies?commit=main",
        "applies/..%2f..",
        "applies/0",
        "applies/" + "U" * 26,
        "plans/" + "0" * 27,
        "revisions/HEAD",
        "revisions/" + "g" * 40,
        "revisions/" + "a" * 40 + "%0a",
        "hosts/PVE1",
        "hosts/-pve1",
        "hosts/pve1%0a",
        "hosts/%00",
        "hosts/" + "a" * 64,
        "hosts/caf%c3%a9",
        "hosts/pve_1",
    ],
)
async def test_a_parameter_out_of_bounds_is_422(one_world: World, path: str) -> None:
    answer = await one_world.ask("GET", f"/api/v1/{path}")
    assert answer.status_code == 422 or (answer.status_code == 404 and "%2f" in path), answer.text
    problem_of(answer)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"host": "\\ud800", "digest": "x"}', 422),
        (b'{"host": "pve1\\u0000", "digest": "x"}', 422),
        (b'{"host": "pve1\\n", "digest": "x"}', 422),
        (b'{"host": "pve1", "plan_id": ' + HUGE.encode() + b"}", 400),
        (b'{"host": "pve1", "plan_id": NaN}', 400),
        (b'{"host": "pve1", "host": "pve2"}', 400),
        (b"[" * 16_000, 400),
        (b'{"a":' * 3_000, 400),
        (b'{"host": "pve1"', 400),
        (b"\xff\xfe", 400),
        (b"\xef\xbb\xbf{}", 400),
        (b"null", 422),
        (b"", 422),
        (b"{}" + b" " * (16 << 10), 413),
    ],
)
async def test_a_body_that_is_no_request_is_4xx(one_world: World, body: bytes, status: int) -> None:
    answer = await one_world.ask("POST", "/api/v1/applies", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    problem_of(answer)
    assert one_world.desk.asked == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({}, 415),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, 415),
        ({"Content-Type": "application/json; charset=utf-8"}, 202),
    ],
)
async def test_only_plain_json_is_read(world: World, headers: dict[str, str], status: int) -> None:
    body = json.dumps({"host": "pve1", "plan_id": world.plan_id()}).encode()
    answer = await world.ask("POST", "/api/v1/applies", content=body, headers=headers)
    assert answer.status_code == status, answer.text


async def test_a_body_is_bounded_by_what_comes_not_by_what_is_told(world: World) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65536
            yield b" " * 65536

    answer = await world.ask("POST", "/api/v1/applies", content=endless(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert sent < 1 << 20


async def test_a_body_that_never_comes_is_given_up(history: History) -> None:
    world = World(history, limits=RequestLimits(body_s=0.05))
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        await asyncio.Event().wait()
        return {}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/hooks/gh",
        "raw_path": b"/hooks/gh",
        "query_string": b"",
        "headers": [(b"host", b"x"), (b"x-signature", b"sha256=" + b"0" * 64)],
        "client": ("192.0.2.1", 1),
        "server": ("x", 80),
        "scheme": "http",
        "http_version": "1.1",
    }
    await world.app(scope, receive, send)  # type: ignore[arg-type]
    assert sent[0]["status"] == 408


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nothing", 404),
        ("PUT", "/api/v1/hosts", 405),
        ("DELETE", "/api/v1/hosts/pve1", 405),
        ("TRACE", "/api/v1/hosts", 405),
        ("GET", "/api/v1/hosts/", 404),
        ("GET", "/hooks/gh", 405),
        ("GET", "/api/v1/hosts/pve9", 404),
    ],
)
async def test_what_is_not_there_is_a_problem_too(one_world: World, method: str, path: str, status: int) -> None:
    answer = await one_world.ask(method, path)
    assert answer.status_code == status
    problem_of(answer)


async def test_what_was_sent_is_never_sent_back(world: World) -> None:
    canary = "hunter2-canary"
    for body in ({"host": canary + "\n"}, {"host": "pve1", canary: 1}, {"host": [canary]}):
        answer = await world.ask("POST", "/api/v1/applies", json=body)
        assert answer.status_code == 422
        assert '"input"' not in answer.text
        assert answer.text.count(canary) <= (1 if canary in body else 0)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotFound("no host"), 404, "not-found"),
        (Stale("another plan"), 409, "plan-stale"),
        (InputError("observe only", hint="set sync"), 422, "bad-input"),
        (StoreError("disk I/O error at /var/lib/x"), 503, "storage-unavailable"),
        (SourceError("git is away"), 503, "source-unavailable"),
        (Unreachable("no route"), 503, "host-unreachable"),
    ],
)
async def test_every_error_of_ours_has_its_status(world: World, error: PasserelleError, status: int, code: str) -> None:
    world.desk.trouble = error
    answer = await world.ask("POST", "/api/v1/hosts/pve1/reconcile")
    body = problem_of(answer)
    assert (answer.status_code, body["code"]) == (status, code)
    assert body.get("hint", "") == error.hint
    assert "/var/lib" not in answer.text
    assert ("retry-after" in answer.headers) == (status == 503)


@pytest.mark.parametrize("error", [RuntimeError("secret hunter2"), KeyError("hunter2"), PasserelleError("hunter2")])
async def test_a_fault_tells_a_request_id_and_nothing_else(
    world: World, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    world.desk.trouble = error
    with caplog.at_level(logging.ERROR, logger="passerelle.api"):
        answer = await world.ask("POST", "/api/v1/hosts/pve1/reconcile")
    body = problem_of(answer)
    assert (answer.status_code, set(body)) == (500, {"type", "title", "status", "code", "request_id"})
    assert "hunter2" not in answer.text
    assert str(body["request_id"]) in caplog.text


@pytest.mark.parametrize("odd", ["vmbr\ud800", "\udc80\udcff", "\udfff\ud800", "\x00\x1b[2J", "\U000e0041"])
async def test_what_a_host_calls_its_things_is_answered_whatever_it_is(world: World, odd: str) -> None:
    """A lone surrogate in a link's name was a 500."""
    world.desk.odd = odd
    for path in ("observed", "drift/patch"):
        answer = await world.ask("GET", f"/api/v1/hosts/pve1/{path}")
        assert answer.status_code == 200, path
        answer.json()
        answer.text.encode()


async def hook(world: World, secret: str, body: bytes, **headers: str) -> int:
    signed = {"X_Hub_Signature_256": signature(secret, body), "X_GitHub_Delivery": "d-1", "X_GitHub_Event": "push"}
    signed |= headers
    sent = {name.replace("_", "-"): value.encode("latin-1") for name, value in signed.items() if value != "none"}
    return (await world.ask("POST", "/hooks/gh", token="", content=body, headers=sent)).status_code


async def test_a_good_delivery_nudges_once(world: World) -> None:
    secret = world.history.store.add_receiver("gh", "github", by="local", at=world.clock.now())
    assert await hook(world, secret, b'{"ref": "refs/heads/main"}') == 202
    assert await hook(world, secret, b'{"ref": "refs/heads/main"}') == 202
    assert await hook(world, secret, b"payload=not%20json", X_GitHub_Delivery="d-2") == 202
    assert await hook(world, secret, b"", X_GitHub_Delivery="none") == 202
    assert world.desk.asked == [("nudge", "gh")] * 3


async def test_a_generic_delivery_has_its_own_header(world: World) -> None:
    secret = world.history.store.add_receiver("gen", "generic", by="local", at=world.clock.now())
    for header, status in (("X-Signature", 202), ("X-Hub-Signature-256", 401)):
        answer = await world.ask(
            "POST", "/hooks/gen", token="", content=b"x", headers={header: signature(secret, b"x")}
        )
        assert answer.status_code == status


@pytest.mark.parametrize(
    "header",
    [
        "none",
        "",
        "sha256=",
        "sha256=" + "0" * 64,
        "sha256=" + "0" * 63,
        "sha1=" + "0" * 40,
        "\xe9" * 64,
        "sha256=" + "\xff" * 64,
        "sha256=" + "0" * 4000,
    ],
)
async def test_a_signature_that_is_none_is_401(world: World, header: str) -> None:
    secret = world.history.store.add_receiver("gh", "github", by="local", at=world.clock.now())
    assert await hook(world, secret, b"{}", X_Hub_Signature_256=header) == 401
    assert world.desk.asked == []


async def test_the_signature_of_other_bytes_or_of_another_receiver_is_401(world: World) -> None:
    secret = world.history.store.add_receiver("gh", "github", by="local", at=world.clock.now())
    other = world.history.store.add_receiver("other", "github", by="local", at=world.clock.now())
    assert await hook(world, secret, b"{}", X_Hub_Signature_256=signature(secret, b"{} ")) == 401
    assert await hook(world, other, b"{}") == 401
    assert world.desk.asked == []


@pytest.mark.parametrize("name", ["nobody", "GH", "gh%00", "gh%0a", "%ed%a0%80", "a" * 190, "'; DROP TABLE receivers"])
async def test_an_unknown_receiver_answers_like_a_wrong_signature(world: World, name: str) -> None:
    world.history.store.add_receiver("gh", "github", by="local", at=world.clock.now())
    unknown = await world.ask("POST", f"/hooks/{name}", token="", content=b"{}")
    wrong = await world.ask("POST", "/hooks/gh", token="", content=b"{}")
    assert unknown.status_code == wrong.status_code == 401
    own = {"instance": "", "request_id": ""}
    assert {**unknown.json(), **own} == {**wrong.json(), **own}


async def test_a_delivery_is_bounded_in_size(history: History) -> None:
    world = World(history, limits=RequestLimits(hook_bytes=20_000, body_bytes=1000))
    secret = history.store.add_receiver("gh", "github", by="local", at=world.clock.now())
    assert await hook(world, secret, b"x" * 20_001) == 413
    assert await hook(world, secret, b"x" * 20_000) == 202


async def test_a_flood_of_wrong_signatures_is_slowed_down_and_starves_nobody(history: History) -> None:
    world = World(history, limits=RequestLimits(hooks_burst=2, hooks_every_s=10))
    secret = history.store.add_receiver("gh", "github", by="local", at=world.clock.now())
    wrong = [await hook(world, "wrong", b"{}") for _ in range(4)]
    assert wrong == [401, 401, 429, 429]
    right = [await hook(world, secret, b"{}", X_GitHub_Delivery=f"n-{n}") for n in range(50)]
    assert right == [202] * 50
    assert (await world.ask("POST", "/hooks/gh", token="", client="192.0.2.9", content=b"{}")).status_code == 401
    world.clock.pass_time(10)
    assert await hook(world, "wrong", b"{}") == 401


def deliver(world: World, path: str, headers: list[tuple[bytes, bytes]], parts: list[bytes]) -> "Raw":
    """A request whose body comes in parts and is never complete."""
    return Raw(world, {"method": "POST", "path": path, "headers": [(b"host", b"x"), *headers]}, parts)


class Raw:
    """One request as the server hands it to the application."""

    def __init__(self, world: World, scope: dict[str, object], parts: list[bytes]) -> None:
        self.read = 0
        self.status = 0
        self._parts = parts
        path = str(scope["path"])
        fixed = {"type": "http", "raw_path": path.encode(), "query_string": b"", "client": ("192.0.2.1", 1)}
        fixed |= {"server": ("x", 80), "scheme": "http", "http_version": "1.1"}
        self.ended = asyncio.ensure_future(world.app(fixed | scope, self._receive, self._send))  # type: ignore[arg-type]

    async def _receive(self) -> dict[str, object]:
        if self.read < len(self._parts):
            self.read += 1
            return {"type": "http.request", "body": self._parts[self.read - 1], "more_body": True}
        await asyncio.Event().wait()
        return {}

    async def _send(self, message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            self.status = int(str(message["status"]))


SIGNED = (b"x-signature", b"sha256=" + b"0" * 64)


async def test_a_body_is_read_of_nobody_who_may_not_send_one(world: World) -> None:
    bearer = (b"authorization", f"Bearer {world.token('read')}".encode())
    kind = (b"content-type", b"application/json")
    for path, headers, status in [
        ("/api/v1/applies", [kind], 401),
        ("/api/v1/applies", [kind, bearer], 403),
        ("/api/v1/drills", [kind, bearer], 403),
        ("/api/v1/hosts/pve1/release", [kind, bearer], 403),
        ("/hooks/gh", [], 401),
        ("/hooks/gh", [(b"x-signature", b"sha256=short")], 401),
    ]:
        asked = deliver(world, path, headers, [b"x" * 1000])
        await asyncio.wait_for(asked.ended, 10)
        assert (asked.status, asked.read) == (status, 0), path


async def test_what_deliveries_hold_together_is_bounded(history: History) -> None:
    """Otherwise each connection costs a mebibyte for as long as somebody likes."""
    world = World(history, limits=RequestLimits(hooks_bytes=3000))
    asked = [deliver(world, "/hooks/gh", [SIGNED], [b"x" * 900]) for _ in range(6)]
    await asyncio.wait([one.ended for one in asked[:3]], timeout=10)
    assert [one.status for one in asked] == [408, 408, 408, 0, 0, 0]
    for one in asked[3:]:
        one.ended.cancel()
    await asyncio.gather(*(one.ended for one in asked), return_exceptions=True)


async def test_a_body_of_unknown_keys_costs_next_to_nothing(one_world: World) -> None:
    """0.9 MB of them held the event loop for 4.3 s."""
    keys = {f"k{number}": 0 for number in range(1_600)}
    body = json.dumps({"host": "pve1"} | keys, separators=(",", ":")).encode()
    assert 14_000 < len(body) < 16_384
    began = time.process_time()
    answer = await one_world.ask("POST", "/api/v1/applies", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) <= 50
    assert time.process_time() - began < 0.5
    more = json.dumps({f"k{number}": 0 for number in range(60_000)}).encode()
    began = time.process_time()
    answer = await one_world.ask("POST", "/api/v1/applies", content=more, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/v1/drills", "GET, POST"),
        ("PUT", "/api/v1/applies", "GET, POST"),
        ("OPTIONS", "/api/v1/hosts", "GET"),
        ("GET", "/api/v1/hosts/pve1/reconcile", "POST"),
        ("GET", "/api/v1/tokens/000000000000", "DELETE"),
    ],
)
async def test_405_names_every_method_of_the_path(one_world: World, method: str, path: str, allowed: str) -> None:
    answer = await one_world.ask(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(["hosts", "drift", "applies", "revisions", "leases", "events"]),
    query=st.dictionaries(
        st.sampled_from(["limit", "cursor", "host", "name", "mac", "ip", "active", "after", "type", "phase", "commit"]),
        st.one_of(st.text(max_size=30), st.integers().map(str), st.floats().map(str)),
        max_size=4,
    ),
)
async def test_no_query_makes_a_5xx(one_world: World, path: str, query: dict[str, str]) -> None:
    clean = {key: value.encode("utf-8", "replace").decode() for key, value in query.items()}
    answer = await one_world.ask("GET", f"/api/v1/{path}", params=clean)
    assert answer.status_code in ((200, 400, 404, 422) if clean.get("host") else (200, 400, 422))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8)),
            lambda inner: st.one_of(
                st.lists(inner, max_size=3),
                st.dictionaries(st.sampled_from(["host", "plan_id", "digest", "x"]), inner, max_size=3),
            ),
        ).map(lambda value: json.dumps(value).encode()),
    )
)
async def test_no_body_makes_a_5xx(one_world: World, body: bytes) -> None:
    answer = await one_world.ask("POST", "/api/v1/applies", content=body, headers={"Content-Type": "application/json"})
    assert 400 <= answer.status_code < 500
    assert re.fullmatch(r"[\x20-\x7e]*", answer.text)


@given(
    st.lists(
        st.one_of(
            st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Co", "Cn"]), max_size=20),
            st.integers(0, 2**63 - 1),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_a_cursor_comes_back_as_it_was(key: list[str | int]) -> None:
    text = write_cursor(tuple(key))
    assert text is not None
    assert read_cursor(text, tuple(type(part) for part in key)) == tuple(key)
