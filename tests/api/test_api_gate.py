"""Who gets in, and to what."""

import re
from datetime import timedelta

import pytest
from fastapi.routing import APIRoute

from service.api.create import create_app
from service.api.envelope import PUBLIC
from service.api.openapi import document
from service.api.parts import RequestLimits
from service.api.values import Needs
from service.history import History
from service.model.sources import SourceStanding
from service.model.trees import Commit
from tests.api.world import COMMIT, NOW, World, problem_of

PUBLIC_PATHS = {"/livez", "/readyz", "/hooks/{receiver}", "/problems/{code}"}

SCOPE_OF = {
    ("GET", "/api/v1/hosts"): "read",
    ("GET", "/api/v1/hosts/{host}"): "read",
    ("GET", "/api/v1/hosts/{host}/desired"): "read",
    ("GET", "/api/v1/hosts/{host}/observed"): "read",
    ("GET", "/api/v1/hosts/{host}/drift"): "read",
    ("GET", "/api/v1/hosts/{host}/drift/patch"): "read",
    ("GET", "/api/v1/hosts/{host}/plan"): "read",
    ("GET", "/api/v1/hosts/{host}/latches"): "read",
    ("GET", "/api/v1/hosts/{host}/trace"): "read",
    ("GET", "/api/v1/hosts/{host}/firewall"): "read",
    ("POST", "/api/v1/hosts/{host}/reconcile"): "plan",
    ("POST", "/api/v1/hosts/{host}/latch/clear"): "approve",
    ("POST", "/api/v1/hosts/{host}/release"): "approve",
    ("POST", "/api/v1/source/accept"): "approve",
    ("GET", "/api/v1/drills"): "read",
    ("POST", "/api/v1/drills"): "apply",
    ("GET", "/api/v1/drills/{drill_id}"): "read",
    ("GET", "/api/v1/rollouts"): "read",
    ("GET", "/api/v1/rollouts/{rollout_id}"): "read",
    ("GET", "/api/v1/rollouts/{rollout_id}/hosts"): "read",
    ("POST", "/api/v1/rollouts/{rollout_id}/halt"): "apply",
    ("POST", "/api/v1/rollouts/{rollout_id}/resume"): "approve",
    ("POST", "/api/v1/rollouts/{rollout_id}/abort"): "approve",
    ("GET", "/api/v1/applies"): "read",
    ("POST", "/api/v1/applies"): "apply",
    ("GET", "/api/v1/applies/{apply_id}"): "read",
    ("GET", "/api/v1/plans/{plan_id}"): "read",
    ("POST", "/api/v1/plans"): "plan",
    ("GET", "/api/v1/drift"): "read",
    ("GET", "/api/v1/revisions"): "read",
    ("GET", "/api/v1/revisions/{commit}"): "read",
    ("GET", "/api/v1/findings"): "read",
    ("GET", "/api/v1/source"): "read",
    ("GET", "/api/v1/leases"): "read",
    ("GET", "/api/v1/guests"): "read",
    ("GET", "/api/v1/sites"): "read",
    ("GET", "/api/v1/leases/history"): "read",
    ("GET", "/api/v1/hosts/{host}/guests"): "read",
    ("GET", "/api/v1/hosts/{host}/pools"): "read",
    ("GET", "/api/v1/topology"): "read",
    ("GET", "/api/v1/topology.svg"): "read",
    ("GET", "/api/v1/hosts/{host}/topology"): "read",
    ("GET", "/api/v1/hosts/{host}/topology.svg"): "read",
    ("GET", "/api/v1/hosts/{host}/leases/{ip}/patch"): "read",
    ("GET", "/api/v1/events"): "read",
    ("GET", "/api/v1/stream"): "read",
    ("GET", "/api/v1/audit"): "read",
    ("GET", "/api/v1/notices"): "read",
    ("GET", "/api/v1/whoami"): "read",
    ("GET", "/api/v1/receivers"): "read",
    ("GET", "/api/v1/deliveries"): "read",
    ("POST", "/api/v1/hosts/{host}/rollback"): "approve",
    ("GET", "/api/v1/hosts/{host}/rollback/patch"): "read",
    ("GET", "/api/v1/hosts/{host}/difference"): "read",
    ("GET", "/api/v1/windows"): "read",
    ("GET", "/api/v1/trends"): "read",
    ("GET", "/api/v1/about"): "read",
    ("GET", "/api/v1/suspensions"): "read",
    ("POST", "/api/v1/suspensions"): "apply",
    ("POST", "/api/v1/suspensions/{number}/end"): "apply",
    ("GET", "/api/v1/tokens"): "tokens",
    ("DELETE", "/api/v1/tokens/{token_id}"): "tokens",
    ("GET", "/api/v1/sessions"): "read",
    ("DELETE", "/api/v1/sessions/{session_id}"): "tokens",
    ("GET", "/metrics"): "read",
    ("GET", "/openapi.json"): "read",
    ("GET", "/docs"): "read",
    ("POST", "/api/v1/hosts/{host}/forget"): "approve",
}
SCOPES = ("read", "plan", "apply", "approve", "tokens", "admin")


def routes(world: World) -> list[APIRoute]:
    found = [route for route in world.app.routes if isinstance(route, APIRoute)]
    assert len(found) == len(world.app.routes), "a route that is none of FastAPI's own: look at it here"
    return found


def address(world: World, path: str) -> str:
    values = {"drill_id": world.drill_id()} if "{drill_id}" in path else {}
    values |= {"host": "pve1", "apply_id": world.apply_id(), "plan_id": world.plan_id(), "commit": COMMIT}
    values["ip"] = "10.10.10.9"
    if "{number}" in path:
        values["number"] = str(world.suspension_id())
    values |= {"rollout_id": world.rollout_id()} if "{rollout_id}" in path else {}
    return re.sub(r"\{(\w+)\}", lambda m: values.get(m[1], "0" * 12), path)


def body_for(world: World, path: str) -> dict[str, object] | None:
    if path == "/api/v1/applies":
        return {"host": "pve1", "plan_id": world.plan_id()}
    if path.endswith("/rollback"):
        if waiting := world.history.queries.waiting_apply("pve1"):
            world.history.store.finish_apply(waiting.id, "Refused", at=NOW)
        return {"to": "c" * 10, "reason": "it was better"}
    if path == "/api/v1/suspensions":
        return {"host": "pve1", "reason": "the switch is replaced"}
    if path == "/api/v1/plans":
        return {"branch": "new"}
    if path == "/api/v1/drills":
        return {"host": "pve1"}
    if path.endswith("/forget"):
        world.history.store.orphan_host("pve1", at=NOW)
    given: dict[str, object] = {"commit": "b" * 10} if path.endswith("/source/accept") else {}
    of_people = ("/halt", "/resume", "/abort", "/latch/clear", "/release", "/forget", "/source/accept")
    return given | {"reason": "the cable is back"} if path.endswith(of_people) else None


def test_every_route_needs_a_token_but_the_public_ones(world: World) -> None:
    open_ones, guarded = set(), {}
    for route in routes(world):
        needs = [d.call for d in route.dependant.dependencies if isinstance(d.call, Needs)]
        for method in route.methods or ():
            if needs:
                [need] = needs
                guarded[method, route.path] = need.scope
            else:
                open_ones.add(route.path)
    assert open_ones == PUBLIC_PATHS
    assert guarded == SCOPE_OF


def test_the_gate_lets_the_same_through_as_the_routes_say(world: World) -> None:
    for route in routes(world):
        is_public = any(public.fullmatch(address(world, route.path)) for public in PUBLIC)
        assert is_public == (route.path in PUBLIC_PATHS), route.path


@pytest.mark.parametrize("scope", [None, *SCOPES])
async def test_a_token_opens_what_its_scope_says_and_nothing_else(world: World, scope: str | None) -> None:
    token = world.token(scope) if scope else ""  # type: ignore[arg-type]
    for (method, path), needed in SCOPE_OF.items():
        body = body_for(world, path) if method == "POST" else None
        query = (
            "?from=outside&to=host&proto=tcp"
            if path.endswith("/trace")
            else "?to=ccccccc"
            if path.endswith("/rollback/patch")
            else "?from=ccccccc"
            if path.endswith("/difference")
            else ""
        )
        answer = await world.ask(method, address(world, path) + query, token=token, json=body)
        if scope is None:
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"].startswith("Bearer")
        elif scope in (needed, "admin"):
            assert answer.status_code in (200, 201, 202, 204, 404), (method, path, answer.text)
            assert answer.status_code != 404 or path in ("/api/v1/tokens/{token_id}", "/api/v1/sessions/{session_id}")
        else:
            assert answer.status_code == 403, (method, path)
            assert needed in str(problem_of(answer)["detail"])


async def test_nothing_was_done_for_those_who_may_not(world: World) -> None:
    for scope in ("read", "approve", "tokens"):
        for path in ("/api/v1/applies", "/api/v1/hosts/pve1/reconcile"):
            await world.ask("POST", path, token=world.token(scope), json=body_for(world, path))
    assert world.desk.asked == []


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api/v1/nothing",
        "/api/v2/hosts",
        "/livez/",
        "//livez",
        "/hooks/",
        "/hooks/a/b",
        "/hooks/..%2f..%2fapi%2fv1%2fhosts",
        "/docs/oauth2-redirect",
        "/redoc",
        "/livez%0a",
    ],
)
async def test_a_path_that_is_not_public_says_nothing_without_a_token(one_world: World, path: str) -> None:
    answer = await one_world.ask("GET", path, token="")
    assert answer.status_code == 401
    assert problem_of(answer)["code"] == "unauthorized"


@pytest.mark.parametrize(
    "header",
    [
        "Basic YTpi",
        "Bearer",
        "Bearer ",
        "Bearer psr_x.y",
        "Bearer \xff\xfe",
        "Bearer " + "a" * 5000,
        "bearer\tpsr_",
        "psr_000000000000.0",
    ],
)
async def test_an_odd_authorization_is_401_never_500(one_world: World, header: str) -> None:
    answer = await one_world.ask("GET", "/api/v1/hosts", token="", headers={"Authorization": header.encode("latin-1")})
    assert answer.status_code == 401


async def test_two_authorizations_are_none(world: World) -> None:
    answer = await world.ask("GET", "/api/v1/hosts", headers={"Authorization": f"Bearer {world.token('read')}"})
    assert answer.status_code == 401


async def test_a_token_in_the_address_is_refused(world: World) -> None:
    answer = await world.ask("GET", f"/api/v1/hosts?token={world.token()}", token="")
    assert answer.status_code == 400
    assert world.token() not in answer.text


async def test_unknown_id_and_wrong_secret_answer_alike(world: World) -> None:
    good = world.token()
    wrong = good[:17] + "0" * 43
    unknown = "psr_000000000000" + good[16:]
    answers = [await world.ask("GET", "/api/v1/hosts", token=token) for token in (wrong, unknown)]
    said = [{**answer.json(), "request_id": ""} for answer in answers]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert said[0] == said[1]


async def test_an_ended_or_expired_token_is_refused_at_once(world: World) -> None:
    token = world.token("read")
    assert (await world.ask("GET", "/api/v1/hosts", token=token)).status_code == 200
    assert (await world.ask("DELETE", f"/api/v1/tokens/{token[4:16]}")).status_code == 204
    assert (await world.ask("GET", "/api/v1/hosts", token=token)).status_code == 401
    admin = world.token()
    world.clock.pass_time(91 * 86_400)
    assert (await world.ask("GET", "/api/v1/hosts", token=admin)).status_code == 401


async def test_a_list_of_tokens_holds_no_secret(world: World) -> None:
    token = world.token("read")
    listed = await world.ask("GET", "/api/v1/tokens")
    assert token[4:16] in listed.text
    assert token.split(".")[1] not in listed.text
    assert "digest" not in listed.text


async def test_a_token_for_some_hosts_sees_and_touches_only_those(world: World) -> None:
    token = world.token("read", "plan", "apply", "approve", hosts=("pve1", "lab-*"))
    for path in ("hosts", "drift", "leases", "applies", "drills", "events"):
        world.apply_id("pve2")
        world.drill_id("pve2")
        listed = (await world.ask("GET", f"/api/v1/{path}?limit=200", token=token)).json()["items"]
        assert {item["host"] for item in listed} <= {"pve1", ""}, path
    refused = {
        "GET": [
            "hosts/pve2",
            "hosts/pve2/desired",
            "hosts/pve2/observed",
            "hosts/pve2/drift",
            "hosts/pve2/drift/patch",
            "hosts/pve2/plan",
            "hosts/pve2/latches",
            f"plans/{world.plan_id('pve2')}",
            f"applies/{world.apply_id('pve2')}",
            f"drills/{world.drill_id('pve2')}",
        ],
        "POST": ["hosts/pve2/reconcile", "hosts/pve2/latch/clear", "hosts/pve2/release", "applies", "drills"],
    }
    for method, paths in refused.items():
        for path in paths:
            body = {"host": "pve2", "plan_id": world.plan_id("pve2")} if path == "applies" else {"reason": "because"}
            body = {"host": "pve2"} if path == "drills" else body
            answer = await world.ask(method, f"/api/v1/{path}", token=token, json=body if method == "POST" else None)
            assert answer.status_code == 404, path
    assert world.desk.asked == []
    metrics = (await world.ask("GET", "/metrics", token=token)).text
    assert 'host="pve1"' in metrics
    assert 'host="pve2"' not in metrics


def found(file: str, what: str) -> dict[str, object]:
    return {"file": file, "line": 1, "col": 1, "path": "", "severity": "error", "rule": "r", "what": what, "right": ""}


async def test_a_token_for_some_hosts_sees_findings_of_those_alone(world: World) -> None:
    store = world.history.store
    findings = [
        found("hosts/pve1.yaml", "no address"),
        found("hosts/paris/pve2.yaml", "canary"),
        found("hosts/pve1.yaml", "the same address as pve2, canary"),
        found("hosts/pve1.yaml", "the same MAC as in hosts/paris/pve2.yaml:3, canary"),
        found("fleet.yaml", "canary of pve2"),
    ]
    reason = "4 errors, the first: hosts/paris/pve2.yaml:1:1: canary"
    store.refuse_revision(
        Commit("d" * 40, "Ann", "ann@example.org", NOW, "second"), reason=reason, at=NOW + timedelta(seconds=1),
        findings=findings,
    )  # fmt: skip
    world.desk.standing = SourceStanding("refused", f"dddddddddd is refused: {reason}", COMMIT, NOW, NOW)
    few, all_hosts = world.token("read", hosts=("pve1",)), world.token("read")
    for path in ("findings", "revisions", "revisions/" + "d" * 40, "source", "events?limit=200"):
        assert "canary" in (await world.ask("GET", f"/api/v1/{path}", token=all_hosts)).text, path
        answer = await world.ask("GET", f"/api/v1/{path}", token=few)
        assert answer.status_code == 200
        assert "canary" not in answer.text, path
        assert "4 errors" in answer.text, path
    seen = (await world.ask("GET", "/api/v1/findings", token=few)).json()["findings"]
    assert [one["what"] for one in seen] == ["no address"]


async def test_a_token_for_some_hosts_sees_and_ends_no_token_that_reaches_further(world: World) -> None:
    wide, same, narrow = (world.token("read", hosts=hosts) for hosts in (("*",), ("lab-*",), ("lab-7",)))
    keeper = world.token("tokens", "read", hosts=("lab-*",))
    listed = (await world.ask("GET", "/api/v1/tokens", token=keeper)).text
    ids = {token: token[4:16] for token in (wide, same, narrow)}
    assert [ids[token] in listed for token in (wide, same, narrow)] == [False, True, True]
    assert (await world.ask("DELETE", f"/api/v1/tokens/{ids[wide]}", token=keeper)).status_code == 404
    assert (await world.ask("GET", "/api/v1/hosts", token=wide)).status_code == 200
    assert (await world.ask("DELETE", f"/api/v1/tokens/{ids[narrow]}", token=keeper)).status_code == 204
    events = (await world.ask("GET", "/api/v1/events?limit=200", token=keeper)).text
    assert ids[wide] not in events
    assert "token.created" not in events
    assert ids[wide] in (await world.ask("GET", "/api/v1/events?limit=200")).text


async def test_guessing_is_slowed_down_and_nobody_else_is(history: History) -> None:
    world = World(history, limits=RequestLimits(failures_burst=3, failures_every_s=10))
    codes = [(await world.ask("GET", "/metrics", token="psr_guess")).status_code for _ in range(5)]
    assert codes == [401, 401, 401, 429, 429]
    slowed = await world.ask("GET", "/metrics", token="psr_guess")
    assert slowed.status_code == 429
    assert int(slowed.headers["retry-after"]) in range(1, 12)
    assert (await world.ask("GET", "/metrics")).status_code == 200
    assert (await world.ask("GET", "/metrics", token="psr_guess", client="192.0.2.2")).status_code == 401
    world.clock.pass_time(11)
    assert (await world.ask("GET", "/metrics", token="psr_guess")).status_code == 401


async def test_one_principal_has_its_bounds(history: History) -> None:
    world = World(history, limits=RequestLimits(requests_burst=3, requests_every_s=1))
    codes = [(await world.ask("GET", "/api/v1/hosts")).status_code for _ in range(4)]
    assert codes == [200, 200, 200, 429]
    assert (await world.ask("GET", "/api/v1/hosts", token=world.token("read"))).status_code == 200


async def test_only_the_listed_host_names_are_answered(history: History) -> None:
    world = World(history, hosts_allowed=("passerelle.test", "localhost"))
    for name, code in [
        ("passerelle.test", 200),
        ("PASSERELLE.test:8765", 200),
        ("localhost", 200),
        ("evil.test", 421),
        ("passerelle.test/docs?", 421),
        ("passerelle.test:x", 421),
        ("", 421),
    ]:
        assert (await world.ask("GET", "/livez", token="", headers={"Host": name})).status_code == code, name


async def test_security_headers_stand_on_every_answer(world: World) -> None:
    for path, token in [("/livez", ""), ("/api/v1/hosts", None), ("/api/v1/hosts", ""), ("/api/v1/nothing", None)]:
        headers = (await world.ask("GET", path, token=token)).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers
        assert re.fullmatch(r"[0-9a-f]{16}", headers["x-request-id"])


async def test_a_web_socket_is_not_for_us(world: World) -> None:
    sent = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    async def receive() -> dict[str, object]:
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": "/livez", "headers": [], "query_string": b"", "subprotocols": []}
    await world.app(scope, receive, send)  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_the_description_needs_nothing_behind_it(world: World) -> None:
    assert document() == create_app(world.parts).openapi()
