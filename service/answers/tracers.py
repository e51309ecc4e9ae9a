"""Questions about packets, answered by the revision in force; one host is made ready once for each revision."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from service.answers.packets import HostTracer
from service.errors import NoHost
from service.kinds.kind import Kind
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


class Tracers:
    """Answers from what Git wants, not from what the host has."""

    def __init__(self, revision: Callable[[], WantedRevision], kinds: Sequence[Kind]) -> None:
        """`revision` is the one in force."""
        self._revision = revision
        self._kinds = kinds
        self._ready: dict[tuple[str, str], HostTracer] = {}

    async def trace(self, host: str, asked: Mapping[str, str]) -> dict[str, Json]:
        """What becomes of a packet: commit, verdict, rule, why, nat. NoHost for a host that no revision names,
        InputError for what is not a packet."""
        wanted = self._revision()
        if host not in wanted.hosts:
            raise NoHost(host)
        key = (wanted.commit, host)
        if key not in self._ready:
            made = await asyncio.to_thread(HostTracer, wanted.hosts[host], self._kinds)
            kept = [(k, v) for k, v in self._ready.items() if k[0] == wanted.commit]
            self._ready = dict([*kept[-KEPT + 1 :], (key, made)])
        traced = await asyncio.to_thread(self._ready[key].trace, asked)
        return {"host": host, "commit": wanted.commit, **traced.as_json()}
