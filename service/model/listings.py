"""Questions to the lists of the history: one value for each list, with its filters, its order and its cursor.

The history reads by it, the API makes its parameters of it (`service/api/listings.py`), the command line asks with it.

DriftListing(host="pve1", limit=20)         a filter that is empty selects everything
DriftListing().seen_by(principal.hosts)     bounded to hosts that may be seen
DriftListing(start=page.next)               the page after
DriftListing(host="pve1").asked             {"host": "pve1"}: what a request has to say
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, ClassVar, Literal, Self

from service.model.access import DeliveryOutcome
from service.model.axes import Health, Phase, Reachability, SiteWord, SyncState, Weight
from service.model.rollouts import MemberState, RolloutState
from service.model.suspensions import Scope as SuspensionScope

Key = tuple[str | int, ...]
"""Where a list continues: the values of its order's columns in the last item."""
EVERY_HOST = ("*",)
Form = Literal["host", "text", "mac", "ip", "commit", "id", "flag", "either", "time"]
"""The types of a filter besides fixed words: text that is safe to store, the number of an item, yes or no (for
`either` also nothing), a time with zone.
"""


def _by(form: Any, says: str = "") -> dict[str, Any]:
    """What is declared of a filter: a Form, or a Literal of the words that it may be; and what it does, for people."""
    return {"form": form, "says": says}


OF_HOST = _by("host", "Only this host")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A page of a list: `limit` items after the key `start`, of hosts that the selectors `visible` (`*`, `?`) choose.

    `order` are the columns that it is sorted by, `key` their types in a cursor. `sorts_by` is the field of its items
    that says so: `sort` is that name, with `-` the other way round; empty for the list's own way. No two items have the
    same key, so the order is one order, and the same index gives both ways.
    """

    order: ClassVar[tuple[str, ...]] = ("id",)
    key: ClassVar[tuple[type, ...]] = (int,)
    newest_first: ClassVar[bool] = False
    sorts_by: ClassVar[str] = "id"

    limit: int = 50
    start: Key = ()
    visible: Sequence[str] = EVERY_HOST
    sort: str = ""

    @property
    def is_newest_first(self) -> bool:
        """Whether its order is turned round."""
        return self.sort.startswith("-") if self.sort else self.newest_first

    def seen_by(self, visible: Sequence[str]) -> Self:
        """The same, bounded to what somebody may see."""
        return replace(self, visible=tuple(visible))

    @property
    def asked(self) -> dict[str, str | int | bool]:
        """The filters that are set, by name."""
        found = {one.name: (getattr(self, one.name), one.default) for one in filters_of(type(self))}
        return {name: _in_words(value) for name, (value, default) in found.items() if value != default}


@dataclass(frozen=True, slots=True, kw_only=True)
class HostListing(Listing):
    """Hosts by name, by the axes of their status."""

    order = ("host",)
    sorts_by = "host"
    key = (str,)

    sync: SyncState | Literal[""] = field(default="", metadata=_by(SyncState))
    health: Health | Literal[""] = field(default="", metadata=_by(Health))
    reachability: Reachability | Literal[""] = field(default="", metadata=_by(Reachability))
    phase: Phase | Literal[""] = field(default="", metadata=_by(Phase))


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftListing(Listing):
    """Differences, the oldest first: open ones, or those of the past."""

    host: str = field(default="", metadata=OF_HOST)
    resolved: bool = field(default=False, metadata=_by("flag", "those of the past instead"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyListing(Listing):
    """Applies, the newest first."""

    key = (str,)
    newest_first = True

    host: str = field(default="", metadata=OF_HOST)
    phase: Phase | Literal[""] = field(default="", metadata=_by(Phase))
    commit: str = field(default="", metadata=_by("commit"))


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillListing(Listing):
    """Drills, the newest first."""

    key = (str,)
    newest_first = True

    host: str = field(default="", metadata=OF_HOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutListing(Listing):
    """Rollouts, the newest first."""

    order = ("number",)
    sorts_by = "created_at"
    key = (int,)
    newest_first = True

    state: RolloutState | Literal[""] = field(default="", metadata=_by(RolloutState))
    commit: str = field(default="", metadata=_by("commit"))


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutHostListing(Listing):
    """The hosts of a rollout by name."""

    order = ("host",)
    sorts_by = "host"
    key = (str,)

    rollout_id: str = field(default="", metadata=_by("text", "Only those of this rollout"))
    state: MemberState | Literal[""] = field(default="", metadata=_by(MemberState))


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionListing(Listing):
    """Commits that were looked at, the newest first by when they were fetched."""

    order = ("fetched_at", "id")
    sorts_by = "fetched_at"
    key = (int, int)
    newest_first = True


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryListing(Listing):
    """Calls to receivers, the newest first."""

    newest_first = True

    receiver: str = field(default="", metadata=_by("text", "Only those to this receiver"))
    outcome: DeliveryOutcome | Literal[""] = field(
        default="", metadata=_by(DeliveryOutcome, "Only those of which this came")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditListing(Listing):
    """Who did what, the newest first."""

    newest_first = True

    host: str = field(default="", metadata=OF_HOST)
    by: str = field(default="", metadata=_by("text", "Only what this token's name, local user or receiver did"))
    action: str = field(default="", metadata=_by("text", "Only this action, as create_apply"))
    request_id: str = field(default="", metadata=_by("text", "Only this request, by its X-Request-ID"))


@dataclass(frozen=True, slots=True, kw_only=True)
class EventListing(Listing):
    """Events in the order in which they were reported, or the newest first; those with a higher id than `after`."""

    after: int = field(default=0, metadata=_by("id", "Only events with a higher id"))
    host: str = field(default="", metadata=OF_HOST)
    type: str = field(default="", metadata=_by("text", "Only events of this type"))
    newest: bool = field(default=False, metadata=_by("flag", "The newest first; the next page goes back in time"))
    since: datetime | None = field(default=None, metadata=_by("time", "Only events of this time and later"))
    until: datetime | None = field(default=None, metadata=_by("time", "Only events of before this time"))

    @property
    def is_newest_first(self) -> bool:
        """Whether the newest are requested."""
        return self.sort.startswith("-") if self.sort else self.newest


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseListing(Listing):
    """Leases by address, as numbers: as they are now, or as they were `at` a time."""

    order = ("ip_order", "host", "mac")
    sorts_by = "ip"
    key = (str, str, str)

    host: str = field(default="", metadata=OF_HOST)
    name: str = field(default="", metadata=_by("text", "Only this name"))
    mac: str = field(default="", metadata=_by("mac", "Only this hardware address"))
    ip: str = field(default="", metadata=_by("ip", "Only this address"))
    active: bool | None = field(default=None, metadata=_by("either", "Only those in force, or only those of the past"))
    at: datetime | None = field(
        default=None,
        metadata=_by("time", "Those that were held at this time (RFC 3339); first and last seen are of that interval"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseHistoryListing(Listing):
    """Who had which address and name from when until when, the newest first."""

    order = ("from_at", "id")
    sorts_by = "from_at"
    key = (int, int)
    newest_first = True

    host: str = field(default="", metadata=OF_HOST)
    name: str = field(default="", metadata=_by("text", "Only this name"))
    mac: str = field(default="", metadata=_by("mac", "Only this hardware address"))
    ip: str = field(default="", metadata=_by("ip", "Only this address"))


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteListing(Listing):
    """Published sites by host and name."""

    order = ("host", "site")
    sorts_by = "host"
    key = (str, str)

    host: str = field(default="", metadata=OF_HOST)
    name: str = field(default="", metadata=_by("text", "Only this site, or the one with this alias"))
    state: SiteWord | Literal[""] = field(default="", metadata=_by(SiteWord))
    weight: Weight | Literal[""] = field(
        default="", metadata=_by(Weight, "trouble: a person has to act; waits: passerelle or the CA has the next move")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspensionListing(Listing):
    """Suspensions, the newest first."""

    newest_first = True

    scope: SuspensionScope | Literal[""] = field(default="", metadata=_by(SuspensionScope))
    target: str = field(default="", metadata=_by("text", "Only of this host, or of this label (KEY=VALUE)"))
    in_force: bool | None = field(
        default=None, metadata=_by("either", "Only those in force, or only those that have ended")
    )


def _in_words(value: Any) -> Any:
    """As a request says it."""
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value).lower() if isinstance(value, bool) else value


LISTINGS: tuple[type[Listing], ...] = (
    HostListing, DriftListing, ApplyListing, DrillListing, RevisionListing, EventListing, LeaseListing,
    LeaseHistoryListing, SiteListing, DeliveryListing, SuspensionListing,
    RolloutListing, AuditListing,
)  # fmt: skip


def filters_of(kind: type[Listing]) -> list[Any]:
    """The fields that filter, in order: `name`, `default`, `metadata` (form, says)."""
    return [one for one in fields(kind) if "form" in one.metadata]
