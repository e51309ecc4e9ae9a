"""The only place that knows who is who: it puts the edges into the loop and the API, and runs them."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from service.answers.answers import Answers
from service.api.awaited import Awaited
from service.api.create import create_app
from service.api.metrics import Metrics
from service.api.parts import Parts
from service.api.server import serve
from service.api.values import share_the_processor
from service.apply.fleet import FleetHosts, KeptConnections, Looks
from service.apply.host_file import host_file
from service.cache import Cache
from service.clock import Clock, SystemClock
from service.errors import (
    AuthFailed,
    Garbled,
    HostError,
    HostKeyChanged,
    InputError,
    PasserelleError,
    StoreError,
    Throttled,
    TooMuch,
    Unreachable,
)  # fmt: skip
from service.garbage import collect_rarely
from service.git.aside import Aside
from service.git.commands import Credentials
from service.git.mirror import Mirror
from service.git.source import parse_source
from service.git.trust import Trust
from service.history import History, open_history
from service.internet.resolver import parse_servers
from service.internet.sight import Sight
from service.kinds import KINDS
from service.logs import fields, log_event, log_to
from service.model.people import parse_grants
from service.notices.channel import Channel
from service.notices.channels import channels_of
from service.notices.telling import Telling
from service.observe.collect import Collector
from service.observe.hints import KINDS as HINT_KINDS
from service.observe.listening import Listening
from service.people.people import People, people_at
from service.reconcile.control import Control
from service.reconcile.hints import Hints
from service.reconcile.loop import Loop
from service.reconcile.planning import Planning
from service.reconcile.ports import HostQueue, Internet, Record
from service.reconcile.proposing import Proposals
from service.reconcile.queue import Queue
from service.reconcile.retention import Retention
from service.reconcile.rolling import Openings, Rolling
from service.reconcile.round import Rounds
from service.reconcile.suspending import Suspending
from service.reconcile.trouble import Troubles
from service.reconcile.watching import Watcher
from service.settings import Settings
from service.ssh.connection import SshDialer
from service.ssh.own_key import own_key
from service.ssh.pool import Connections
from service.stop_file import stop_reason
from service.systemd import Supervisor, supervised
from service.web.site import create_site
from service.work import Work
from service.workers import Workers

_LOG = logging.getLogger("passerelle")
GRACE_S = 3
STOP_S = 25.0
"""How long applies that hosts wait to have confirmed are finished after SIGTERM."""
STALE_ROUNDS = 5
STALE_SWEEPS = 2
FAILURES: dict[type[HostError], str] = {
    Unreachable: "unreachable", Throttled: "throttled", HostKeyChanged: "host-key", AuthFailed: "auth",
    Garbled: "garbled",
    TooMuch: "too-much",
}  # fmt: skip
"""The words of the metric for what failed."""
Lifespan: TypeAlias = Callable[[Any], contextlib.AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class Outside:
    """What the service is on: time, the connections to the hosts and the internet, where answers are worked on.
    Scenarios play it.

    `apply_clock` is time as somebody sees it who waits in the middle of an apply; `close` ends what was opened here.
    """

    clock: Clock
    apply_clock: Clock
    connections: KeptConnections
    looks: Looks
    work: Work
    close: Callable[[], Awaitable[None]]
    metrics: Metrics
    internet: Internet


@dataclass(frozen=True, slots=True)
class Shared:
    """What is different where several processes serve one database. `queue` is the loop's, `asks` gets the hosts of
    requests, `record` is what the watcher writes with. `look` has every process look at the repository, `owns(host)` is
    whether this one works on the host.
    """

    queue: HostQueue
    asks: HostQueue
    record: Record
    look: Callable[[], None]
    owns: Callable[[str], bool] = lambda _: False


@dataclass(frozen=True, slots=True)
class Service:
    """The loop and what the API works with, wired; nothing runs yet."""

    loop: Loop
    rounds: Rounds
    control: Control
    watcher: Watcher
    queue: HostQueue
    parts: Parts
    lifespan: Lifespan
    hosts: FleetHosts
    world: Outside
    listening: Listening

    def stop(self) -> None:
        """Begin nothing any more, and end what would have no end. Safe in a signal's handler."""
        self.loop.stop()
        self.parts.live.stop()

    def api(self, lifespan: Lifespan | None = None) -> Any:
        """The application, API and pages; the loop runs while it does, or what another `lifespan` starts."""
        return create_site(self.parts, create_app(self.parts, lifespan=lifespan or self.lifespan))


def outside(settings: Settings) -> Outside:
    """The machine's clock, real connections, processes with limits. InputError where the key is none."""
    clock, workers = SystemClock(), Workers()
    connections = Connections(SshDialer(own_key(settings.host_key_path)), clock)
    sight = Sight(parse_servers(settings.resolvers))

    async def close() -> None:
        await connections.close()
        await workers.close()

    return Outside(clock, clock, connections, Collector(clock, workers), workers, close, Metrics(), sight)


def build(
    settings: Settings, history: History, world: Outside | None = None, *, shared: Shared | None = None
) -> Service:
    """Everything wired, over the real world if no other is given."""
    host_file()  # read now: an upgrade may replace our files while this process runs, room by room
    settings.check_files()
    mirror, aside = mirrors_of(settings)
    world = world or outside(settings)
    clock, metrics = world.clock, world.metrics
    stop, awaited = metrics.watched(partial(stop_reason, settings.state_dir)), Awaited()
    queue = shared.queue if shared is not None else Queue(clock)
    hints = Hints(
        queue.add, clock, observe_s=settings.observe_s, counted=metrics.hinted, coalesced=metrics.coalesced,
        is_failing=lambda name: bool((known := rounds.known(name)) and known.failures),
    )  # fmt: skip
    listening = Listening(clock, hints)
    hosts = FleetHosts(
        world.connections, world.looks, world.apply_clock, controller=settings.controller,
        listening=listening if settings.hints else None,
    )  # fmt: skip
    record = shared.record if shared else history.store
    openings = Openings(history.queries, KINDS, settings.ceilings)
    rolling = Rolling(history.store, history.queries, clock, queue)
    watcher = Watcher(mirror, record, history.queries, KINDS, clock, Cache(settings.specs_path), openings.opening)
    troubles = Troubles(clock, metrics.failed)
    rounds = Rounds(
        history.store, history.queries, hosts, world.internet, KINDS, clock, world.work, observe_s=settings.observe_s,
        sweep_s=lambda name: settings.sweep_s if listening.kinds(name) == HINT_KINDS else 0.0,
        failed=lambda error: metrics.ssh_failed(FAILURES.get(type(error), "other")), spec_at=watcher.spec_at,
        filled=metrics.filled, troubles=troubles, ceilings=settings.ceilings, stop=stop,
        rolling=rolling, ended=awaited.looked,
    )  # fmt: skip
    loop = Loop(
        watcher, rounds, queue, clock, poll_s=settings.poll_s, workers=settings.workers,
        reconciled=metrics.reconciled, fetched=lambda: metrics.fetched(clock.now()),
        troubles=troubles, began=hints.began, rolling=rolling,
        paused=Suspending(history.store, history.queries, clock, metrics.suspended).keep,
        **({"owns": shared.owns} if shared else {}),
    )  # fmt: skip
    answers = Answers(watcher, rounds, KINDS, clock.now)
    control = Control(
        watcher, rounds, shared.asks if shared else queue, history.store, history.queries, clock,
        shared.look if shared else loop.look_now, answers.not_known,
    )  # fmt: skip
    channels = channels_of(settings.notices)
    parts = Parts(
        reads=history.queries, writes=history.store, control=control, answers=answers, clock=clock, metrics=metrics,
        proposals=Proposals(aside, watcher, rounds, KINDS, clock, Planning(world.work)),
        stale_after_s=max(300.0, STALE_ROUNDS * settings.observe_s, STALE_SWEEPS * settings.sweep_s * settings.hints),
        started_at=clock.now(), hints=listening.kinds, windows=watcher.windows, people=people_of(settings, clock),
        channels={one.name: one.where for one in channels}, notice_hold_s=settings.notice_hold_s, awaited=awaited,
        branch=parse_source(settings.source, settings.branch).branch, stop=stop, labels=watcher.labels_of,
        sessions=settings.sessions, web_url=settings.web_url,
    )  # fmt: skip
    for told in (metrics.told, awaited.told, parts.live.told):
        history.tell_to(told)
    tells = [] if shared else telling_of(channels, settings, history, clock, metrics)
    runs_beside: list[Retention | Telling] = [Retention(history.store, settings.keep, clock, metrics.kept), *tells]
    lifespan = _lifespan(loop, world, listening, lambda: status_of(watcher), runs_beside)
    return Service(loop, rounds, control, watcher, queue, parts, lifespan, hosts, world, listening)


def people_of(settings: Settings, clock: Clock) -> People | None:
    """Those who sign in, where the operator set an issuer. InputError for what cannot be used."""
    grants = parse_grants(settings.oidc_grants)
    return people_at(settings.oidc_issuer, settings.oidc_audience, grants, settings.oidc_groups_claim, clock)


def telling_of(
    channels: Sequence[Channel], settings: Settings, history: History, clock: Clock, metrics: Metrics,
    leads: Callable[[], bool] = lambda: True,
) -> list[Telling]:  # fmt: skip
    """What informs people, one for each way."""
    return [
        Telling(
            channel, history.queries, history.store, clock, controller=settings.controller,
            hold_s=settings.notice_hold_s, numbers=metrics.noticed(channel.name), leads=leads,
        )
        for channel in channels
    ]  # fmt: skip


def mirrors_of(settings: Settings) -> tuple[Mirror, Aside]:
    """Of the branch that is followed, with what it is trusted by, and of the branches that are only looked at."""
    source = parse_source(settings.source, settings.branch)
    credentials = Credentials(
        https_token=settings.git_token, ca_file=settings.git_ca_file, ssh_key=settings.git_key,
        known_hosts=settings.git_known_hosts,
    )  # fmt: skip
    trust = None
    if settings.require_signed and settings.signers:
        trust = Trust(settings.require_signed, settings.signers, settings.revoked_signers)
    mirror = Mirror(
        settings.git_path, source, credentials=credentials, allow_loopback=settings.allow_loopback, trust=trust
    )
    room = settings.git_path / "branches"
    return mirror, Aside(room, source, credentials=credentials, allow_loopback=settings.allow_loopback)


def status_of(watcher: Watcher) -> str:
    """What `systemctl status` shows: the revision in force, for how many hosts, and what is wrong with the source."""
    wanted, standing = watcher.wanted, watcher.standing
    count = len(wanted.hosts)
    at = f"{count} host{'s' * (count != 1)} at {wanted.commit[:10]}" if wanted.commit else "no revision yet"
    return f"{at}; the source is {standing.state}"


def _lifespan(
    loop: Loop, world: Outside, listening: Listening, status: Callable[[], str],
    runs_beside: Sequence[Retention | Telling],
) -> Lifespan:  # fmt: skip
    """What runs while the API does."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        share_the_processor()
        with contextlib.suppress(StoreError):  # the loop tries it again, and says so
            await loop.remember()
        running = asyncio.create_task(loop.run())
        beside = [asyncio.create_task(one.run()) for one in runs_beside]
        try:
            async with supervised(Supervisor.of_environment(SystemClock()), lambda: loop.stuck, status):
                yield
        finally:
            for task in beside:
                task.cancel()
            await loop.finish(STOP_S)
            running.cancel()
            for task in (*beside, running):
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            await listening.close()
            await world.close()

    return lifespan


def run_service(settings: Settings) -> None:
    """Serve until instructed to stop. InputError when there is no source."""
    if not settings.source:
        raise InputError("no config repository is set", hint="give --source PATH-OR-URL, or set PASSERELLE_SOURCE")
    with (
        contextlib.closing(log_to(form=settings.log)),
        open_history(settings.database_path, serve=True, url=settings.database) as history,
    ):
        history.tell_to(log_event)
        history.store.close_secrets()
        built = build(settings, history)
        collect_rarely()
        where = f"{settings.listen} port {settings.port}"
        named = fields(listen=settings.listen, port=settings.port, source=settings.source, branch=settings.branch)
        _LOG.info(
            "API listening on %s. `passerelle status` shows source and hosts, ^C stops the service", where, extra=named
        )
        try:
            serve(built.api(), settings.listen, settings.port, grace_s=GRACE_S, on_stop=built.stop)
        except SystemExit:  # uvicorn ends the program with a code of its own, after it has logged why
            raise PasserelleError("the service could not start", hint="the lines above say why") from None
