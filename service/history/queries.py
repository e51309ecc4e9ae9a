"""The one reader of the database: frozen values out, one consistent view for each call.

Every method blocks; async callers use a thread. Lists are pages, of what `service/model/listings.py` declares.

    hosts(…) host(name) name_now(old) drift(…) plan(id) current_plan(host) plan_digests(host, prefix) applies(…)
    apply(id) unfinished_applies(host) revisions(…) revision(commit) newest_revision(state) rewrite(before, commit)
    leases(…) lease_history(…) events(…) newest_event_id() event_edges() latches(host) drills(…) drill(id)
    unfinished_drills(host)
    base(host) tokens() receivers() receiver_secret(name) deliveries(…) counts() waiting_apply(host) waiting_drill(host)
    release_asked(host) sighting(host) sites(…) suspended(now) suspensions(…) acts(…) acts_after(id) notices(channel)
    rollouts(…) rollout(id) newest_rollout() rollout_hosts(…) trends(days)
    sessions(limits)
"""

from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import BigInteger, ColumnElement, Select, Table, bindparam, func, literal, or_, select, true

from service.history.agreements import COLUMNS as HOST_COLUMNS
from service.history.audit_queries import AuditQueries
from service.history.columns import from_microseconds, microseconds
from service.history.database import Database
from service.history.lease_queries import LeaseQueries
from service.history.notice_queries import NoticeQueries
from service.history.pepper import Pepper
from service.history.reading import columns_of, first_since, in_force, of_host, ordered, rows_of_hosts, seen_by
from service.history.receiver_queries import ReceiverQueries
from service.history.rollout_queries import RolloutQueries, standing_of_hosts
from service.history.session_queries import SessionQueries
from service.history.sighting_queries import SightingQueries
from service.history.site_queries import SiteQueries
from service.history.suspension_queries import SuspensionQueries
from service.history.tables import (
    applies,
    bases,
    drift,
    drills,
    events,
    hosts,
    latches,
    plans,
    revisions,
    rewrites,
    sites,
    steps,
    tokens,
)
from service.history.trend_queries import TrendQueries
from service.history.ulid import first_at
from service.history.waiting_queries import WaitingQueries
from service.model.access import Token
from service.model.events import OF_PEOPLE, HostRenamed
from service.model.listings import (
    EVERY_HOST,
    ApplyListing,
    DriftListing,
    DrillListing,
    EventListing,
    HostListing,
    Listing,
    RevisionListing,
)
from service.model.rollouts import Stand
from service.model.runs import (
    FINISHED,
    Apply,
    ApplyStep,
    Base,
    DriftItem,
    Drill,
    Event,
    HostStatus,
    Latch,
    Moment,
    Page,
    PlanRecord,
    ProbeRecord,
    Proof,
    Revision,
    RevisionState,
)
from service.model.sites.records import SiteRecord
from service.model.sources import Rewrite

T = TypeVar("T")
_UNDER_WAY = (applies.c.ended_at.is_(None), applies.c.phase.not_in(FINISHED))
"""The applies that have not ended. The index over them knows the first of the two."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers for the metrics: hosts, open drift by (host, kind), and by host: applies that have not ended, latches
    that hold, active leases, the time of the last success. `sites` are all that are published. `rollout` is the state
    of the newest one, empty where there is none, `rollout_hosts` where each of its hosts is."""

    hosts: tuple[HostStatus, ...] = ()
    drift: dict[tuple[str, str], int] = field(default_factory=dict)
    under_way: dict[str, int] = field(default_factory=dict)
    latched: dict[str, int] = field(default_factory=dict)
    leases: dict[str, int] = field(default_factory=dict)
    succeeded_at: dict[str, datetime] = field(default_factory=dict)
    sites: tuple[SiteRecord, ...] = ()
    rollout: str = ""
    rollout_hosts: dict[str, Stand] = field(default_factory=dict)


class Queries(
    LeaseQueries, WaitingQueries, SightingQueries, SiteQueries, ReceiverQueries, SuspensionQueries, RolloutQueries,
    AuditQueries, NoticeQueries, TrendQueries, SessionQueries,
):  # fmt: skip
    """Everything that can be read: each call one consistent view, frozen values out."""

    def __init__(self, database: Database, pepper: Pepper) -> None:
        self._database = database
        self._pepper = pepper

    def state(self) -> int | None:
        """A number that is higher once anything was written to the database. None where it is not known now. Never
        waits."""
        return self._database.state()

    def hosts(self, asked: HostListing) -> Page[HostStatus]:
        """Hosts by name."""
        query = select(*HOST_COLUMNS).where(seen_by(hosts.c.host, asked.visible))
        query = query.where(*(hosts.c[axis] == value for axis, value in asked.asked.items()))
        return self._page(query, HostStatus, hosts, asked)

    def host(self, name: str) -> HostStatus | None:
        """One host in its present state."""
        return self._one(_HOST, HostStatus, of_host=name)

    def name_now(self, old: str) -> str:
        """The present name of the host that was last renamed from this one; empty where there is no such host."""
        query = select(events.c.host, events.c.detail).join(hosts, hosts.c.host == events.c.host)
        query = query.where(events.c.type == HostRenamed.name).order_by(events.c.id.desc())
        with self._database.read() as connection:
            found = connection.execute(query).all()
        return next((str(name) for name, detail in found if detail.get("old") == old), "")

    def generation(self, host: str) -> int:
        """The last generation given out for a host; 0 before the first."""
        with self._database.read() as connection:
            found = connection.execute(select(hosts.c.generation).where(hosts.c.host == host)).scalar()
        return int(found or 0)

    def drift(self, asked: DriftListing) -> Page[DriftItem]:
        """Open differences, or those of the past."""
        query = select(*columns_of(drift, DriftItem)).where(of_host(drift.c.host, asked.host, asked.visible))
        state = drift.c.resolved_at
        query = query.where(state.is_not(None) if asked.resolved else state.is_(None))
        return self._page(query, DriftItem, drift, asked)

    def plan(self, plan_id: str) -> PlanRecord | None:
        """A plan with its body."""
        return self._one(select(*columns_of(plans, PlanRecord)).where(plans.c.id == plan_id), PlanRecord)

    def current_plan(self, host: str) -> PlanRecord | None:
        """The newest plan of a host."""
        query = select(*columns_of(plans, PlanRecord)).where(plans.c.host == host)
        return self._one(query.order_by(plans.c.id.desc()).limit(1), PlanRecord)

    def plan_digests(self, host: str, prefix: str) -> tuple[str, ...]:
        """The digests of a host's plans that begin so, each once; of many the first ten."""
        is_one = plans.c.digest.between(prefix, f"{prefix}~") & plans.c.digest.startswith(prefix, autoescape=True)
        query = select(plans.c.digest).distinct().where(plans.c.host == host, is_one).order_by(plans.c.digest)
        with self._database.read() as connection:
            return tuple(connection.execute(query.limit(10)).scalars())

    def applies(self, asked: ApplyListing) -> Page[Apply]:
        """Applies without their steps."""
        query = _applies().where(of_host(applies.c.host, asked.host, asked.visible))
        for column, value in ((applies.c.phase, asked.phase), (applies.c.commit, asked.commit)):
            query = query.where(column == value) if value else query
        return self._page(query, Apply, applies, asked)

    def apply(self, apply_id: str) -> Apply | None:
        """An apply with its steps."""
        with self._database.read() as connection:
            query = _applies().add_columns(applies.c.probes, applies.c.moments).where(applies.c.id == apply_id)
            found = connection.execute(query).mappings().one_or_none()
            if found is None:
                return None
            row = {
                **found,
                "probes": tuple(ProbeRecord(**probe) for probe in found["probes"]),
                "moments": tuple(Moment(one["name"], datetime.fromisoformat(one["at"])) for one in found["moments"]),
            }
            done = connection.execute(
                select(*columns_of(steps, ApplyStep)).where(steps.c.apply_id == apply_id).order_by(steps.c.position)
            ).mappings()
            return Apply(**row, steps=tuple(ApplyStep(**step) for step in done))

    def last_ended(self, host: str, desired_digest: str, *, before: str) -> Apply | None:
        """The newest apply of the same to a host that ended, of those that were requested before the apply `before`."""
        query = _applies().where(
            applies.c.host == host,
            applies.c.desired_digest == desired_digest,
            applies.c.id < before,
            applies.c.phase.in_(FINISHED),
        )
        return self._one(query.order_by(applies.c.id.desc()).limit(1), Apply)

    def applies_between(self, host: str, since: datetime, until: datetime, most: int) -> tuple[Apply, ...]:
        """Those of a host that were requested from one time to the other, the newest first, `most` at most."""
        ids = (applies.c.id >= first_at(since), applies.c.id < first_at(until + timedelta(milliseconds=1)))
        query = _applies().where(applies.c.host == host, *ids).order_by(applies.c.id.desc()).limit(most)
        with self._database.read() as connection:
            return tuple(Apply(**row) for row in connection.execute(query).mappings())

    def unfinished_applies(self, host: str = "") -> tuple[Apply, ...]:
        """What was under way, oldest first: after a crash, the hosts' journals tell how it ended."""
        query = _applies().where(*_UNDER_WAY, of_host(applies.c.host, host, EVERY_HOST))
        query = query.order_by(applies.c.id)
        with self._database.read() as connection:
            return tuple(Apply(**row) for row in connection.execute(query).mappings())

    def revisions(self, asked: RevisionListing) -> Page[Revision]:
        """Revisions with their findings."""
        query = select(*columns_of(revisions, Revision), revisions.c.id.label("_id"))
        key = (from_microseconds(int(asked.start[0])), asked.start[1]) if len(asked.start) == 2 else ()
        query = ordered(query, revisions, asked, key)
        with self._database.read() as connection:
            rows = list(connection.execute(query.limit(asked.limit + 1)).mappings())
        last = rows[asked.limit - 1] if len(rows) > asked.limit else None
        return Page(
            tuple(_revision(row) for row in rows[: asked.limit]),
            (microseconds(last["fetched_at"]), last["_id"]) if last is not None else None,
        )

    def revision(self, commit: str) -> Revision | None:
        """One revision by its full commit id."""
        return self._revision(revisions.c.commit == commit)

    def accepted_by(self, at: datetime) -> Revision | None:
        """The one that was in force at this time."""
        return self._revision((revisions.c.state == "accepted") & (revisions.c.fetched_at <= at))

    def commits(self, prefix: str) -> tuple[str, ...]:
        """The accepted commits whose name begins so, two at most."""
        begins_so = (revisions.c.commit >= prefix, revisions.c.commit < prefix + "g", revisions.c.state == "accepted")
        with self._database.read() as connection:
            return tuple(connection.execute(select(revisions.c.commit).where(*begins_so).limit(2)).scalars())

    def newest_revision(self, state: RevisionState | None = "accepted") -> Revision | None:
        """The one in force (`accepted`), the last that was refused, or with None the last of all."""
        return self._revision(revisions.c.state == state if state else true())

    def rewrite(self, *, before: str = "", commit: str = "") -> Rewrite | None:
        """The last rewritten history that a person accepted: the one that followed a commit, or that a commit began."""
        query = select(*columns_of(rewrites, Rewrite))
        query = query.where(rewrites.c.before == before if before else rewrites.c.commit == commit)
        return self._one(query.order_by(rewrites.c.id.desc()).limit(1), Rewrite)

    def _revision(self, which: ColumnElement[bool]) -> Revision | None:
        query = select(*columns_of(revisions, Revision)).where(which)
        query = query.order_by(revisions.c.fetched_at.desc(), revisions.c.id.desc()).limit(1)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return _revision(row) if row is not None else None

    def events(self, asked: EventListing) -> Page[Event]:
        """Events in order. Who may read sees those of the whole fleet, but of tokens and receivers only with every
        host."""
        query = select(*columns_of(events, Event))
        query = query.where(events.c.host == asked.host) if asked.host else query
        query = query.where(
            true() if "*" in asked.visible else or_(events.c.host == "", seen_by(events.c.host, asked.visible))
        )
        query = query.where(events.c.type == asked.type) if asked.type else query
        if "*" not in asked.visible:
            query = query.where(events.c.type.not_in([kind.name for kind in OF_PEOPLE]))
        with self._database.read() as connection:
            if asked.since is not None:
                query = query.where(events.c.id >= literal(first_since(connection, events, asked.since), BigInteger))
            if asked.until is not None:
                query = query.where(events.c.id < literal(first_since(connection, events, asked.until), BigInteger))
        return self._page(query.where(events.c.id > literal(asked.after, BigInteger)), Event, events, asked)

    def newest_event_id(self) -> int:
        """The id of the newest event; 0 when there is none."""
        with self._database.read() as connection:
            return int(connection.execute(select(func.coalesce(func.max(events.c.id), 0))).scalar_one())

    def event_edges(self) -> tuple[int, int]:
        """The ids of the oldest and of the newest event; 0 where there is none."""
        ends = [select(func.coalesce(edge(events.c.id), 0)).scalar_subquery() for edge in (func.min, func.max)]
        with self._database.read() as connection:
            oldest, newest = connection.execute(select(*ends)).one()
        return int(oldest), int(newest)

    def latches(self, host: str) -> tuple[Latch, ...]:
        """The latches of a host that hold."""
        return self._all(_LATCHES, Latch, of_host=host)

    def drills(self, asked: DrillListing) -> Page[Drill]:
        """Drills with their proofs."""
        query = select(*columns_of(drills, Drill)).where(of_host(drills.c.host, asked.host, asked.visible))
        page = self._page(query, dict, drills, asked)
        return Page(tuple(_drill(row) for row in page.items), page.next)

    def drill(self, drill_id: str) -> Drill | None:
        """One drill with its proofs."""
        row = self._one(select(*columns_of(drills, Drill)).where(drills.c.id == drill_id), dict)
        return None if row is None else _drill(row)

    def unfinished_drills(self, host: str) -> tuple[Drill, ...]:
        """Drills of a host that have not ended, oldest first."""
        query = select(*columns_of(drills, Drill)).where(drills.c.host == host, drills.c.ended_at.is_(None))
        return tuple(_drill(row) for row in self._all(query.order_by(drills.c.id), dict))

    def base(self, host: str) -> Base | None:
        """What was last applied."""
        return self._one(_BASE, Base, of_host=host)

    def tokens(self) -> tuple[Token, ...]:
        """Every token, newest first, without anything secret."""
        rows = self._all(select(*columns_of(tokens, Token)).order_by(tokens.c.created_at.desc(), tokens.c.id), dict)
        return tuple(Token(**row | {"scopes": tuple(row["scopes"]), "hosts": tuple(row["hosts"])}) for row in rows)

    def counts(self) -> Counts:
        """Numbers for the metrics, in one view. Nothing is counted: there are tallies of what is in force."""
        succeeded = applies.alias()
        newest = select(succeeded.c.id).where(succeeded.c.host == hosts.c.host, succeeded.c.phase == "Succeeded")
        newest = newest.order_by(succeeded.c.id.desc()).limit(1)
        ended_well = select(hosts.c.host, applies.c.ended_at).join_from(
            hosts, applies, applies.c.id == newest.scalar_subquery()
        )
        published = select(*columns_of(sites, SiteRecord)).order_by(sites.c.host, sites.c.site)
        with self._database.read() as connection:
            standing = connection.execute(select(*HOST_COLUMNS).order_by(hosts.c.host)).mappings()
            rollout, rollout_hosts = standing_of_hosts(connection)
            return Counts(
                hosts=tuple(HostStatus(**row) for row in standing),
                drift={(row.host, row.kind): row.rows for row in in_force(connection, "open drift")},
                under_way={row.host: row.rows for row in in_force(connection, "open applies")},
                latched={row.host: row.rows for row in in_force(connection, "held latches")},
                leases={row.host: row.rows for row in in_force(connection, "held leases")},
                succeeded_at={row[0]: row[1] for row in connection.execute(ended_well) if row[1] is not None},
                sites=tuple(SiteRecord(**row) for row in connection.execute(published).mappings()),
                rollout=rollout,
                rollout_hosts=rollout_hosts,
            )

    def _page(self, query: Select[Any], value: type[T], table: Table, asked: Listing) -> Page[T]:
        query = ordered(query, table, asked, asked.start).limit(asked.limit + 1)
        with self._database.read() as connection:
            rows = rows_of_hosts(connection, query, table, asked)
        more = len(rows) > asked.limit
        return Page(
            tuple(value(**row) for row in rows[: asked.limit]),
            tuple(rows[asked.limit - 1][name] for name in asked.order) if more else None,
        )

    def _one(self, query: Select[Any], value: type[T], **words: str) -> T | None:
        with self._database.read() as connection:
            row = connection.execute(query, words).mappings().one_or_none()
        return value(**row) if row is not None else None

    def _all(self, query: Select[Any], value: type[T], **words: str) -> tuple[T, ...]:
        with self._database.read() as connection:
            return tuple(value(**row) for row in connection.execute(query, words).mappings())


def _holding() -> Select[Any]:
    """The latches of `of_host` that hold, with why."""
    why = [func.coalesce(applies.c[name], "").label(name) for name in ("cause", "error")]
    query = select(*columns_of(latches, Latch), *why)
    query = query.outerjoin_from(latches, applies, applies.c.id == latches.c.apply_id)
    return query.where(latches.c.host == bindparam("of_host"), latches.c.cleared_at.is_(None)).order_by(latches.c.id)


_HOST = select(*HOST_COLUMNS).where(hosts.c.host == bindparam("of_host"))
_BASE = select(*columns_of(bases, Base)).where(bases.c.host == bindparam("of_host"))
_LATCHES = _holding()
"""What each round of each host reads: made once, for that takes as long as reading."""


def _applies() -> Select[Any]:
    """Applies with the author of their commit, as far as the commit is known."""
    author = [func.coalesce(revisions.c[name], "").label(name) for name in ("author_name", "author_email", "subject")]
    columns = [column for column in columns_of(applies, Apply) if column.name not in ("probes", "moments")]
    return select(*columns, *author).outerjoin_from(applies, revisions, revisions.c.commit == applies.c.commit)


def _drill(row: dict[str, Any]) -> Drill:
    return Drill(**row | {"proofs": tuple(Proof(**proof) for proof in row["proofs"])})


def _revision(row: Any) -> Revision:
    values = {f.name: row[f.name] for f in fields(Revision)}
    return Revision(**values | {"findings": tuple(values["findings"])})
