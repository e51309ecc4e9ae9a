"""Hosts: where they are, what is wanted and what was seen, what differs, what would be done."""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, NamedTuple

from fastapi import FastAPI, Query
from starlette.requests import Request
from starlette.responses import Response

from service.api import apply_schemas, drill_schemas, host_schemas, listings, schemas
from service.api.awaited import MOST_S
from service.api.conditional import etag_of, is_known
from service.api.known import in_git, looked_at, status_of
from service.api.once import Key, once
from service.api.pages import text_page
from service.api.parts import Parts
from service.api.seen import status_seen
from service.api.values import Approver, HostPath, Planner, Reader, ask, there
from service.model.access import Principal
from service.model.attention import attention_of
from service.model.listings import HostListing
from service.model.runs import HostStatus, HostView, Page
from service.model.suspensions import Suspension, of_host

PREFIX = "/api/v1"
LookWait = Annotated[int, Query(ge=0, le=MOST_S, description="Wait so many seconds for the end of the look")]
NewsWait = Annotated[
    int, Query(ge=0, le=MOST_S, description="Wait so many seconds for what If-None-Match does not name")
]
MOST_TEXTS = 10_000
"""So many hosts' texts are kept; of more, the one that was made longest ago goes."""
_OF_STATUS = host_schemas.Host.model_fields.keys() - {
    "stale",
    "before_restart",
    "tried_at",
    "hints",
    "suspension",
    "attention",
}


class HostTexts:
    """Hosts as they are answered. A text is kept with all that it is made of, and made again where that is another."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._kept: OrderedDict[str, tuple[Made, bytes]] = OrderedDict()

    def text(
        self, status: HostStatus, tried: Mapping[str, datetime], now: datetime, suspended: tuple[Suspension, ...] = ()
    ) -> bytes:
        """A host's status as JSON. `tried` was requested before the status: it never promises one that came later.
        `suspended` are the suspensions in force."""
        parts, host, seen_at = self._parts, status.host, status.observed_at
        made = Made(
            status,
            is_stale=seen_at is None or (now - seen_at).total_seconds() > parts.stale_after_s,
            is_before_restart=parts.is_before_restart(seen_at),
            is_compared=parts.answers.is_compared(host),
            tried_at=tried.get(host),
            hints=parts.hints(host),
            suspension=of_host(suspended, host, parts.labels(host), now, status.desired_digest),
        )
        kept = self._kept.get(host)
        if kept is not None and kept[0] == made:
            return kept[1]
        text = made.host().model_dump_json().encode()
        self._kept[host] = made, text
        self._kept.move_to_end(host)
        if len(self._kept) > MOST_TEXTS:
            self._kept.popitem(last=False)
        return text

    async def read(self, who: Principal, host: str) -> tuple[Mapping[str, datetime], bytes, HostStatus]:
        """A host as it is answered now, with when it was tried before that was read, and its status."""
        tried = self._parts.answers.tried()
        status = status_seen(who, await status_of(self._parts, who, host))
        now = self._parts.clock.now()
        return tried, self.text(status, tried, now, await ask(self._parts.reads.suspended, now)), status


class Made(NamedTuple):
    """What the text of a host is made of."""

    status: HostStatus
    is_stale: bool
    is_before_restart: bool
    is_compared: bool
    tried_at: datetime | None
    hints: tuple[str, ...]
    suspension: Suspension | None

    def host(self) -> host_schemas.Host:
        """As it is answered."""
        values = {name: getattr(self.status, name) for name in _OF_STATUS}
        if not self.is_compared:
            values["drift_items"] = None
        why = attention_of(self.status, is_stale=self.is_stale, is_suspended=self.suspension is not None)
        return host_schemas.Host(
            **values, stale=self.is_stale, before_restart=self.is_before_restart, tried_at=self.tried_at,
            hints=list(self.hints), suspension=held_by(self.suspension),
            attention=None if why is None else host_schemas.Attention.model_validate(why),
        )  # fmt: skip


def held_by(one: Suspension | None) -> host_schemas.HostSuspension | None:
    """A suspension as it is shown of a host."""
    return None if one is None else host_schemas.HostSuspension.model_validate(one)


def with_held(page: Page[HostStatus], held: Sequence[HostStatus], asked: HostListing) -> Page[HostStatus]:
    """A page of the database with the statuses that it did not take in their place. One that it would leave out by its
    axes comes in where it belongs, one that does not fit any more goes."""
    if not held:
        return page
    is_turned = asked.is_newest_first
    bounds = [str(key[0]) if key else None for key in (asked.start, page.next)]
    low, high = reversed(bounds) if is_turned else bounds
    axes = asked.asked
    if is_turned:
        here = [one for one in held if (low is None or one.host >= low) and (high is None or one.host < high)]
    else:
        here = [one for one in held if (low is None or one.host > low) and (high is None or one.host <= high)]
    here = [one for one in here if all(getattr(one, axis) == value for axis, value in axes.items())]
    names = {status.host for status in held}
    others = [one for one in page.items if one.host not in names]
    return replace(page, items=tuple(sorted([*others, *here], key=lambda one: one.host, reverse=is_turned)))


def add_routes(app: FastAPI, parts: Parts) -> None:
    """The routes below /hosts."""
    texts = HostTexts(parts)
    _add_lists(app, parts, texts)
    _add_views(app, parts)
    _add_reconcile(app, parts, texts)
    _add_actions(app, parts)


def _add_lists(app: FastAPI, parts: Parts, texts: HostTexts) -> None:
    @app.get(
        f"{PREFIX}/hosts",
        operation_id="list_hosts",
        summary="Hosts by name",
        tags=["hosts"],
        response_model=schemas.ListOf[host_schemas.Host],
    )
    async def list_hosts(who: Reader, request: Request, asked: listings.Hosts) -> Response:
        tried = parts.answers.tried()
        page = await parts.remembered.read(parts.reads.state, parts.reads.hosts, asked.seen_by(who.hosts))
        held = [one for one in parts.answers.unrecorded().values() if who.sees(one.host)]
        page = with_held(page, held, asked)
        shown = [status_seen(who, one) for one in page.items]
        now = parts.clock.now()
        suspended = await ask(parts.reads.suspended, now)
        return text_page([texts.text(one, tried, now, suspended) for one in shown], page.next, request)

    @app.get(
        f"{PREFIX}/hosts/{{host}}",
        operation_id="get_host",
        summary="The status of one host",
        tags=["hosts"],
        response_model=host_schemas.Host,
        description="With `If-None-Match` and `wait` the answer comes once it is another one, or 304 at the end.",
    )
    async def get_host(who: Reader, request: Request, host: HostPath, wait: NewsWait = 0) -> Response:
        async def look() -> bytes:
            return (await texts.read(who, host))[1]

        def is_news(body: bytes) -> bool:
            return not is_known(request, etag_of(body))

        body = await look()
        if wait and not is_news(body):
            body = await parts.awaited.until(host, look, is_news, wait_s=wait, clock=parts.clock)
        return Response(body, media_type="application/json")


def _add_views(app: FastAPI, parts: Parts) -> None:
    def view(found: HostView | None, what: str) -> schemas.View:
        known = there(found, what)
        return schemas.View.model_validate(replace(known, before_restart=parts.is_before_restart(known.at)))

    @app.get(f"{PREFIX}/hosts/{{host}}/desired", operation_id="get_desired", summary="What Git wants", tags=["hosts"])
    async def get_desired(who: Reader, host: HostPath) -> schemas.View:
        await in_git(parts, who, host)
        return view(await parts.answers.desired(host), f"no accepted revision names {host}")

    @app.get(
        f"{PREFIX}/hosts/{{host}}/observed",
        operation_id="get_observed",
        summary="The last observation of the host",
        response_model=schemas.View,
        tags=["hosts"],
    )
    async def get_observed(who: Reader, host: HostPath) -> Response:
        status = await in_git(parts, who, host)
        found = await parts.answers.observed(host)
        if found is None and (why := parts.answers.not_known(host, status)):
            raise why
        # a host decides how much it is: not on the event loop
        text = await asyncio.to_thread(lambda: view(found, f"{host} was not seen yet").model_dump_json(by_alias=True))
        return Response(text, media_type="application/json")

    @app.get(
        f"{PREFIX}/hosts/{{host}}/drift/patch",
        operation_id="accept_drift",
        summary="The differences as a patch of the spec, which accepts the state of the host. Writes nothing",
        tags=["drift", "hosts"],
    )
    async def accept_drift(who: Reader, host: HostPath) -> schemas.Acceptance:
        await looked_at(parts, who, host)
        return schemas.Acceptance.model_validate(await parts.answers.accept(host))

    @app.get(
        f"{PREFIX}/hosts/{{host}}/plan",
        operation_id="get_host_plan",
        summary="The steps of the next apply, and reasons against it",
        tags=["hosts", "plans"],
    )
    async def get_host_plan(who: Reader, host: HostPath) -> apply_schemas.Plan:
        await looked_at(parts, who, host)
        plan = await ask(parts.reads.current_plan, host)
        return apply_schemas.plan_out(there(plan, f"no plan for {host} yet"))

    @app.get(
        f"{PREFIX}/hosts/{{host}}/latches",
        operation_id="list_latches",
        summary="States that were rolled back and are not tried again",
        tags=["hosts"],
    )
    async def list_latches(who: Reader, host: HostPath) -> drill_schemas.Latches:
        await status_of(parts, who, host)
        found = await ask(parts.reads.latches, host)
        return drill_schemas.Latches(items=[drill_schemas.Latch.model_validate(latch) for latch in found])


def _add_reconcile(app: FastAPI, parts: Parts, texts: HostTexts) -> None:
    @app.post(
        f"{PREFIX}/hosts/{{host}}/reconcile",
        operation_id="reconcile_host",
        summary="Look at the host again now, and do what its sync mode allows",
        description="With `wait`, 200 and the host if the look, and an apply that follows from it, end in that time.",
        tags=["hosts"],
        status_code=202,
        response_model=schemas.Accepted,
        responses={200: {"model": host_schemas.Host, "description": "it has ended while the request waited"}},
    )
    async def reconcile_host(
        who: Planner, request: Request, host: HostPath, key: Key = None, wait: LookWait = 0
    ) -> Response:
        await status_of(parts, who, host)

        async def work() -> tuple[str, schemas.Accepted]:
            at = parts.clock.now()
            await parts.control.reconcile(host, who.name)
            location = f"{PREFIX}/hosts/{host}"
            return location, schemas.Accepted(host=host, location=location, at=at)

        answer = await once(parts, who, key, request, work)
        if not wait:
            return answer
        asked = datetime.fromisoformat(json.loads(bytes(answer.body))["at"])

        def has_ended(found: tuple[Mapping[str, datetime], bytes, HostStatus]) -> bool:
            tried, _, status = found
            return host in tried and tried[host] >= asked and status.health != "Progressing"

        found = await parts.awaited.until(
            host, lambda: texts.read(who, host), has_ended, wait_s=wait, clock=parts.clock
        )
        location = {"Location": answer.headers["Location"]}
        if has_ended(found):
            return Response(found[1], media_type="application/json", headers=location)
        return Response(answer.body, 202, {**location, "Retry-After": "1"}, "application/json")


def _add_actions(app: FastAPI, parts: Parts) -> None:

    @app.post(
        f"{PREFIX}/hosts/{{host}}/release",
        operation_id="release_host",
        summary="Lift the quarantine of a host whose rollback failed",
        description="A person has looked at the host. 422 where it is not quarantined.",
        tags=["hosts"],
        status_code=202,
        response_model=schemas.Accepted,
    )
    async def release_host(
        who: Approver, request: Request, host: HostPath, asked: drill_schemas.ReleaseAsked, key: Key = None
    ) -> Response:
        await status_of(parts, who, host)

        async def work() -> tuple[str, schemas.Accepted]:
            await parts.control.release(host, asked.reason, who.name)
            location = f"{PREFIX}/hosts/{host}"
            return location, schemas.Accepted(host=host, location=location)

        return await once(parts, who, key, request, work)

    @app.post(
        f"{PREFIX}/hosts/{{host}}/latch/clear",
        operation_id="clear_latch",
        summary="Let what was rolled back be tried again",
        tags=["hosts"],
    )
    async def clear_latch(who: Approver, host: HostPath, asked: drill_schemas.LatchClearAsked) -> drill_schemas.Cleared:
        await status_of(parts, who, host)
        return drill_schemas.Cleared(cleared=await parts.control.clear_latch(host, asked.reason, who.name))
