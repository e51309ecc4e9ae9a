"""Questions about packets, answered by the revision in force; one host is made ready once for each revision."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.answers.firewalls import tables_as_json
from service.answers.packets import HostTracer
from service.errors import NoHost
from service.kinds.kind import Kind
from service.model.runs import FirewallView
from service.model.states import Json
from service.spec.host import HostSpec

KEPT = 32
"""Hosts kept ready; a firewall of thousands of rules takes a moment to compile."""


class WantedRevision(Protocol):
    """What Git wants in one commit."""

    @property
    def commit(self) -> str: ...

    @property
    def hosts(self) -> Mapping[str, HostSpec]: ...


@dataclass(slots=True)
class Ready:
    """One host, ready for questions. `tables` are made with the first question for them."""

    spec: HostSpec
    tracer: HostTracer
    commit: str = ""
    tables: Mapping[str, Json] | None = None


class Tracers:
    """Answers from what Git wants, not from what the host has."""

    def __init__(self, revision: Callable[[], WantedRevision], kinds: Sequence[Kind]) -> None:
        """`revision` is the one in force."""
        self._revision = revision
        self._kinds = kinds
        self._ready: dict[str, Ready] = {}

    async def trace(self, host: str, asked: Mapping[str, str]) -> dict[str, Json]:
        """What becomes of a packet: commit, verdict, rule, why, nat. NoHost for a host that no revision names,
        InputError for what is not a packet."""
        commit, ready = await self._get(host)
        traced = await asyncio.to_thread(ready.tracer.trace, asked)
        return {"host": host, "commit": commit, **traced.as_json()}

    async def firewall(self, host: str) -> FirewallView:
        """Every rule in the order in which it is tried. NoHost for a host that no revision names."""
        commit, ready = await self._get(host)
        if ready.tables is None:
            ready.tables = await asyncio.to_thread(tables_as_json, ready.tracer)
        return FirewallView(host, commit, ready.tables)

    async def _get(self, host: str) -> tuple[str, Ready]:
        wanted = self._revision()
        if host not in wanted.hosts:
            raise NoHost(host)
        spec = wanted.hosts[host]
        ready = self._ready.pop(host, None)
        if ready is None or (ready.commit != wanted.commit and ready.spec is not spec):
            # the lines may be others in another commit, so an equal spec is not enough
            ready = Ready(spec, await asyncio.to_thread(HostTracer, spec, self._kinds))
        ready.commit = wanted.commit
        self._ready[host] = ready
        while len(self._ready) > KEPT:
            del self._ready[next(iter(self._ready))]
        return wanted.commit, ready
