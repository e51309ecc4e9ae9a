"""The API keeps its description, whatever is sent: schemathesis makes requests of it, good and bad ones.

Each operation is called with both kinds of database, and all of them of a process that answers while others work.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
import pytest_asyncio
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode, openapi
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from service.api.openapi import document
from service.model.secret import Secret
from tests.api.world import World
from tests.jobs.answering import LONG_S, answering
from tests.postgres import Cluster
from tests.safety.worker_runs import Fleet


def _described() -> dict[str, Any]:
    """Without what it says of tokens: every request here has one. tests/api/test_api_gate.py is about those."""
    described: dict[str, Any] = json.loads(json.dumps(document()))
    for operations in described["paths"].values():
        for operation in operations.values():
            operation.pop("security", None)
    return described


FOUND: list[Any] = list(openapi.from_dict(_described()).get_all_operations())
OPERATIONS: dict[str, Any] = {one.ok().label: one.ok() for one in FOUND}
CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance,
    response_schema_conformance,
]  # fmt: skip
MODES = {GenerationMode.POSITIVE: [], GenerationMode.NEGATIVE: [negative_data_rejection]}
EXAMPLES, FEW = 20, 3
ENDLESS = "GET /api/v1/stream"
"""A process of its own answers it without end; test_two_apis.py reads it there."""
pytestmark = pytest.mark.long


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
@pytest.mark.parametrize("label", sorted(OPERATIONS))
def test_an_operation_keeps_its_description(world: World, label: str, mode: GenerationMode) -> None:
    seen: Counter[int] = Counter()
    with asyncio.Runner() as runner:

        def ask(case: Case[Any]) -> httpx2.Response:
            sent = requests.Request(**case.as_transport_kwargs(base_url="http://passerelle.test")).prepare()
            parts = urlsplit(str(sent.url))
            path = f"{parts.path}?{parts.query}" if parts.query else parts.path
            headers = {name: value for name, value in sent.headers.items() if name.lower() != "authorization"}
            return runner.run(world.ask(str(sent.method), path, content=sent.body or b"", headers=headers))

        _check(label, mode, EXAMPLES, ask, seen)
    assert seen.total() or mode is GenerationMode.NEGATIVE


def _check(label: str, mode: GenerationMode, examples: int, ask: Any, seen: Counter[int]) -> None:
    operation = OPERATIONS[label]

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy(mode))
    def one(case: Case[Any]) -> None:
        answer = ask(case)
        seen[answer.status_code] += 1
        case.validate_response(answer, checks=[*CHECKS, *MODES[mode]])

    try:
        one()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, "a good request can always be made"


@pytest_asyncio.fixture
async def fleet(tmp_path: Path, cluster: Cluster) -> AsyncIterator[Fleet]:
    made = Fleet(tmp_path, cluster, hosts=2, workers=1, observe_s=LONG_S, poll_s=LONG_S, sync="approve")
    await made.begin()
    try:
        yield made
    finally:
        await made.end()
        cluster.dropped(Secret(made.url.encode()))


@pytest.mark.timeout(400)
async def test_a_process_that_answers_while_others_work_keeps_it(fleet: Fleet) -> None:
    seen: Counter[int] = Counter()
    with answering(fleet) as api, requests.Session() as session:
        assert await fleet.until(lambda: len(api.items("/hosts")) == 2, 90)

        def ask(case: Case[Any]) -> Any:
            headers = {"Authorization": f"Bearer {api.token}"}
            return case.call(base_url=api.url, session=session, headers=headers, timeout=30)

        for label in sorted(OPERATIONS.keys() - {ENDLESS}):
            for mode in MODES:
                await asyncio.to_thread(_check, label, mode, FEW, ask, seen)
        assert api.ask("GET", "/readyz")[0] == 200
    assert seen[200] and not any(status >= 500 for status in seen), seen
    assert not any(fleet.faults().values())
