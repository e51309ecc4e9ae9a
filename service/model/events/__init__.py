"""Everything that is reported as an event: one class for each name, with what it says in typed fields.

ApplyFinished(host="pve1", apply="01…", phase="RolledBack", was={"phase": "Running"}).text     the sentence for people
event.detail                                                                  the fields for programs, as JSON
DECLARED["apply.finished"]                                                    the class of a name
origin_of("apply.finished", detail) -> Origin                                 who told it, and what state it came from

A field marked `IN_WORDS` is in the sentence only. A field that ends in `_` has the name without it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from service.model.events.access import (
    ReceiverAdded,
    ReceiverRemoved,
    ReceiverResumed,
    ReceiverRotated,
    ReceiverSuspended,
    SessionBegan,
    SessionEnded,
    TokenCreated,
    TokenRevoked,
)
from service.model.events.changes import (
    ApplyAgain,
    ApplyFinished,
    ApplyLatched,
    ApplyReached,
    ApplyRequested,
    ApplyStarted,
    ApplyStepped,
    DriftFound,
    DriftResolved,
    DrillFailed,
    DrillPassed,
    DrillRequested,
    DrillStarted,
    LatchCleared,
    PlanMade,
)
from service.model.events.guests import (
    DISPUTES,
    GuestProgress,
    LeaseSeen,
    LeaseShared,
    NameConflict,
    NameMoved,
    NameTaken,
    NameTwice,
)
from service.model.events.hosts import (
    HostForgotten,
    HostLeft,
    HostQuarantined,
    HostRelease,
    HostReleased,
    HostRenamed,
    HostState,
    HostWithoutPast,
    LeftBehind,
    NextBoot,
    ReconcileAsked,
    RoundFailed,
)
from service.model.events.pauses import Resumed, Suspended
from service.model.events.sites import (
    CertificateExpired,
    CertificateIssued,
    CertificateOrderFailed,
    CertificateProgramFailed,
    CertificateRenewalFailed,
    CertificateRenewed,
    SiteGone,
    SitePublished,
    SiteUnreachable,
    SiteUpstreamOff,
    SiteWaiting,
)
from service.model.events.source import (
    HistoryAccepted,
    RevisionAccepted,
    RevisionRefused,
    RolloutMoved,
    SourceTrouble,
    SourceWell,
)
from service.model.events.told import Happened, Part, Weight


@dataclass(frozen=True, slots=True)
class Origin:
    """`part` reported it; `was` is the state before, by axis, where the event is a move from one state to another."""

    part: Part
    was: Mapping[str, str] = field(default_factory=dict)


def _declared(kind: type[Happened]) -> dict[str, type[Happened]]:
    """The kind and what is made of it, by name; what only shares fields has none, a variant that of its kind."""
    found = {kind.name: kind} if "name" in vars(kind) else {}
    for one in kind.__subclasses__():
        found = _declared(one) | found
    return found


DECLARED: Mapping[str, type[Happened]] = _declared(Happened)
"""Every event that there is, by name."""

OF_PEOPLE = (
    TokenCreated, TokenRevoked, SessionBegan, SessionEnded,
    ReceiverAdded, ReceiverRemoved, ReceiverRotated, ReceiverSuspended, ReceiverResumed,
)  # fmt: skip
"""Events about who may do what: only for who sees every host."""


def origin_of(name: str, detail: Mapping[str, Any]) -> Origin:
    """Where an event comes from, whenever it was written: one of a name that is reported no more is the service's."""
    kind = DECLARED.get(name)
    was = detail.get("was")
    known = {str(axis): str(value) for axis, value in was.items()} if isinstance(was, Mapping) else {}
    return Origin(kind.part_of(detail) if kind is not None else "service", known)


__all__ = [
    "DECLARED",
    "DISPUTES",
    "OF_PEOPLE",
    "ApplyAgain",
    "ApplyFinished",
    "ApplyLatched",
    "ApplyReached",
    "ApplyRequested",
    "ApplyStarted",
    "ApplyStepped",
    "CertificateExpired",
    "CertificateIssued",
    "CertificateOrderFailed",
    "CertificateProgramFailed",
    "CertificateRenewalFailed",
    "CertificateRenewed",
    "DriftFound",
    "DriftResolved",
    "DrillFailed",
    "DrillPassed",
    "DrillRequested",
    "DrillStarted",
    "GuestProgress",
    "Happened",
    "HistoryAccepted",
    "HostForgotten",
    "HostLeft",
    "HostQuarantined",
    "HostRelease",
    "HostReleased",
    "HostRenamed",
    "HostState",
    "HostWithoutPast",
    "LatchCleared",
    "LeaseSeen",
    "LeaseShared",
    "LeftBehind",
    "NameConflict",
    "NameMoved",
    "NameTaken",
    "NameTwice",
    "NextBoot",
    "Origin",
    "Part",
    "PlanMade",
    "ReceiverAdded",
    "ReceiverRemoved",
    "ReceiverResumed",
    "ReceiverRotated",
    "ReceiverSuspended",
    "ReconcileAsked",
    "Resumed",
    "RevisionAccepted",
    "RevisionRefused",
    "RolloutMoved",
    "RoundFailed",
    "SessionBegan",
    "SessionEnded",
    "SiteGone",
    "SitePublished",
    "SiteUnreachable",
    "SiteUpstreamOff",
    "SiteWaiting",
    "SourceTrouble",
    "SourceWell",
    "Suspended",
    "TokenCreated",
    "TokenRevoked",
    "Weight",
    "origin_of",
]
