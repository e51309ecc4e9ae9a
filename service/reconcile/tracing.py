"""Questions about packets, answered by the revision in force; one host is made ready once for each revision."""

import asyncio
from collections.abc import Mapping

from service.errors import NotFound
from service.kinds.tracing import HostTracer
from service.model.states import Json
from service.reconcile.watching import Watcher

KEPT = 32
"""Hosts kept ready; a firewall of thousands of rules takes a moment to compile."""


class Tracers:
    """Answers from what Git wants, not from what the host has."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._ready: dict[tuple[str, str], HostTracer] = {}

    async def trace(self, host: str, asked: Mapping[str, str]) -> dict[str, Json]:
        """What becomes of a packet: commit, verdict, rule, why, nat. NotFound for a host that no revision names,
        InputError for what is no packet."""
        wanted = self._watcher.wanted
        if host not in wanted.hosts:
            raise NotFound(f"no revision names the host {host}")
        key = (wanted.commit, host)
        if key not in self._ready:
            made = await asyncio.to_thread(HostTracer, wanted.hosts[host], self._watcher.kinds)
            kept = [(k, v) for k, v in self._ready.items() if k[0] == wanted.commit]
            self._ready = dict([*kept[-KEPT + 1 :], (key, made)])
        traced = await asyncio.to_thread(self._ready[key].trace, asked)
        return {"host": host, "commit": wanted.commit, **traced.as_json()}
