"""What a secret file holds appears nowhere but on its host, whatever else the host's spec has; and the search finds it
where the same file is not marked."""

import asyncio
import io
import json
import logging
import pickle
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import httpx2
import pytest

from service.adopt.material import of_observed
from service.answers.views import shown_with_met
from service.api.create import create_app
from service.api.live import Live
from service.api.parts import Parts, RequestLimits
from service.apply.document import document
from service.cli import run
from service.cli.plan_text import show_plan
from service.kinds import KINDS
from service.kinds.desire import desire
from service.model.listings import ApplyListing
from service.model.observed import HostObserved
from service.model.plans import Plan
from service.model.states import Seen
from service.model.telling import Ended
from service.plan.make import make_plan
from service.resources.desired import Desired, LastApplied
from tests.cli.reached import reached
from tests.laws.host import after_plan, bare_host, file_fact, hidden
from tests.laws.planted import NEW, OLD, PATH, Planted, told
from tests.laws.specs import FOLDER, head, names, spec_of, whole
from tests.reconcile.rooms import Room, a_room

BASE = LastApplied()


def wanted(name: str, content: bytes | None, *, is_marked: bool = True) -> Desired:
    spec = spec_of(whole((FOLDER / f"{name}.yaml").read_text()))
    return desire(spec, (*KINDS, Planted(content, is_marked)))


def host_with(desired: Desired, content: bytes) -> HostObserved:
    """A host that has the file already, with another content."""
    host = bare_host(desired.watch)
    facts = {**host.facts, f"file:{PATH}": Seen(file_fact(content, "0600"))}
    return hidden(replace(host, facts=facts, texts={**host.texts, PATH: Seen(content)}), desired.watch.secrets)


def said(desired: Desired, host: HostObserved, plan: Plan) -> Iterator[str]:
    """Every form in which these values are shown, stored or may get into a message."""
    for value in (desired, host, plan, *plan.steps, *plan.drifts, of_observed(host)):
        yield repr(value)
        yield str(value)
    yield repr(asdict(plan) | {"blobs": None})
    yield json.dumps(plan.as_json())
    out = io.StringIO()
    show_plan({"host": plan.host, "digest": plan.digest, "body": plan.as_json()}, out)
    yield out.getvalue()
    yield json.dumps(desired.as_json())
    yield json.dumps(shown_with_met(host, desired))


@pytest.mark.parametrize("name", names())
def test_no_value_of_a_plan_tells_a_secret(name: str) -> None:
    for content in (NEW, None):
        desired = wanted(name, content)
        host = host_with(desired, OLD)
        plan = make_plan(desired, BASE, host)
        assert f"file:{PATH}" in {step.fact for step in plan.steps}
        assert set().union(*map(told, said(desired, host, plan))) == set()


@pytest.mark.parametrize("name", names())
def test_the_search_finds_what_is_not_marked(name: str) -> None:
    desired = wanted(name, NEW, is_marked=False)
    host = host_with(desired, OLD)
    found = set().union(*map(told, said(desired, host, make_plan(desired, BASE, host))))
    assert {f"{NEW.strip()!r}", f"{OLD.strip()!r}", f"the digest of {OLD.strip()!r}"} <= found


@pytest.mark.parametrize("name", names())
def test_after_its_plan_the_host_has_the_secret_and_only_its_document_had_it(name: str) -> None:
    desired = wanted(name, NEW)
    host = host_with(desired, OLD)
    plan = pickle.loads(pickle.dumps(make_plan(desired, BASE, host)))  # as from a worker
    order = document(plan, apply_id="A", generation=1, controller="c", confirm_timeout_s=60)
    (step,) = [step for step in order["steps"] if step["fact"] == f"file:{PATH}"]
    assert (step["before"]["sha256"], step["after"]["sha256"]) == (file_fact(OLD)["sha256"], file_fact(NEW)["sha256"])
    assert "mark" not in json.dumps(order["steps"])
    assert step["after"]["sha256"] in order["blobs"]
    assert file_fact(OLD)["sha256"] not in order["blobs"]
    left = after_plan(host, plan)
    again = make_plan(desired, LastApplied.from_json(desired.as_json()), left)
    assert (again.drifts, again.steps) == ((), ())


async def outputs(room: Room) -> list[tuple[str, bytes]]:
    """Everything the service says of what happened, by where it says it."""
    at = room.clock.now()
    token = room.store.create_token("reader", scopes=["admin"], by="test", at=at)
    limits = RequestLimits(requests_burst=10_000)
    app = create_app(
        Parts(
            room.queries,
            room.store,
            room.control,
            room.answers,
            room.clock,
            room.metrics,
            limits=limits,
            proposals=room.proposals,
            live=Live(life_s=0),  # a stream ends once it has sent what there is
        )
    )
    applies = room.queries.applies(ApplyListing(limit=50)).items
    plans = {apply.plan_id for apply in applies}
    ids = {
        "host": ["pve1"], "plan_id": sorted(plans), "apply_id": [apply.id for apply in applies],
        "commit": [room.watcher.wanted.commit],
    }  # fmt: skip
    found: list[tuple[str, bytes]] = []
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app, client=("192.0.2.1", 4000)), base_url="http://passerelle.test",
        headers={"Authorization": f"Bearer {token}"},
    ) as http:  # fmt: skip
        for path, ways in app.openapi()["paths"].items():
            key = path.partition("{")[2].partition("}")[0]
            for value in ids.get(key, [""]) if "get" in ways and (not key or key in ids) else []:
                answer = await http.get(
                    path.replace(f"{{{key}}}", value), params={"limit": 200} if path.endswith("/events") else {},
                    headers={"Last-Event-ID": "0"},  # all of a stream, from the beginning
                )  # fmt: skip
                found.append((f"GET {path}", answer.content))
                assert answer.status_code in (200, 404, 422, 503), (path, answer.text)
    with reached(app, token):
        for words in (["plan", "pve1"], ["plan", "pve1", "-o", "json"], ["drift"], ["history"], ["status", "pve1"]):
            await asyncio.to_thread(run, words)
    found += [(file.name, file.read_bytes()) for file in sorted(room.path.parent.iterdir()) if file.is_file()]
    return found


async def lived(room: Room, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> dict[str, bytes]:
    """A push that writes the file, a host that changes it, a round that fails, an apply that is rolled back, and
    all that is reported of it."""
    caplog.set_level(logging.DEBUG)
    await room.push(head() + (FOLDER / "uplink-alone.yaml").read_text())
    await room.round()
    await room.round()
    assert room.hosts.host is not None
    assert len(room.hosts.applied) == 1
    there = room.hosts.host
    changed = replace(
        there,
        facts={**there.facts, f"file:{PATH}": Seen(file_fact(OLD, "0600"))},
        texts={**there.texts, PATH: Seen(OLD)},
    )
    room.hosts.host = hidden(changed, there.secrets)
    room.hosts.begin = lambda: 1 // 0  # type: ignore[assignment,return-value]  # a bug of ours, in the middle of it
    await room.round()
    room.hosts.begin = lambda: None
    room.hosts.ends = [Ended("rolled_back", "deadline", "nobody confirmed")]
    await room.round()
    logging.getLogger("test").error("what a round knows: %r", room.rounds.standing("pve1"))
    return {**dict(await outputs(room)), "log": caplog.text.encode(), "terminal": "".join(capsys.readouterr()).encode()}


async def test_nothing_that_the_service_says_or_keeps_tells_a_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with a_room(tmp_path, kinds=(*KINDS, Planted(NEW))) as room:
        said_where = await lived(room, caplog, capsys)
    assert {where for where, text in said_where.items() if told(text)} == set()
    assert PATH.encode() in said_where["GET /api/v1/hosts/{host}/plan"], "the file itself is not a secret"


async def test_the_search_finds_it_in_all_those_places_where_it_is_not_marked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with a_room(tmp_path, kinds=(*KINDS, Planted(NEW, is_marked=False))) as room:
        said_where = await lived(room, caplog, capsys)
    found = {where for where, text in said_where.items() if told(text)}
    assert found >= {
        "GET /api/v1/hosts/{host}/plan", "GET /api/v1/plans/{plan_id}", "GET /api/v1/hosts/{host}/desired",
        "GET /api/v1/hosts/{host}/observed", "GET /api/v1/drift", "passerelle.sqlite", "log", "terminal",
    }  # fmt: skip
