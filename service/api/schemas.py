"""What the API answers and takes, field by field. New optional fields may come; none goes without a new version."""

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from service.api.problem_pages import Code
from service.model.access import Scope
from service.model.axes import Phase
from service.model.changes import Moved, Op, Where
from service.model.events import Part
from service.model.runs import RevisionState
from service.model.sources import SourceState
from service.model.states import well_formed

T = TypeVar("T")


class Answer(BaseModel):
    """What goes out: made from the values of the same field names."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


class Told(Answer):
    """What holds a host's or a file's own words: any text, as far as UTF-8 can hold it."""

    @field_validator("*", mode="before")
    @classmethod
    def _well_formed(cls, value: Any) -> Any:
        return well_formed(value)


class Asked(BaseModel):
    """What comes in: an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ListOf(Answer, Generic[T]):
    """A page of a list."""

    items: list[T]
    next_cursor: str | None = Field(default=None, description="give it back as `cursor`; null at the end")


class Drift(Answer):
    """One field that is not as wanted."""

    id: int
    host: str
    kind: str
    resource: str
    field: str
    op: Op
    want: Any
    have: Any
    where: Where = Field(
        description="live: kernel and daemons; file: a managed file; boot: the state after the next boot"
    )
    moved: Moved = Field(description="the side that changed since the last apply: git, host or both")
    first_seen: datetime
    last_seen: datetime
    unknown: str = Field(description="why it could not be read; then `have` is empty")
    cause: str = Field(description="why it is expected, if no key of the spec says it")
    resolved_at: datetime | None
    resolved_by: str


class DriftOfFleet(ListOf[Drift]):
    """A page of what differs, and the hosts of which nothing can be said."""

    not_compared: list[str] = Field(
        description="hosts that were not compared with what Git wants now: nothing of them is in the list; at most 1000"
    )


class Revision(Answer):
    """A commit that was looked at."""

    commit: str
    author_name: str
    author_email: str
    committed_at: datetime
    subject: str
    fetched_at: datetime
    state: RevisionState
    reason: str
    findings: list[Any]


class Source(Told):
    """Whether the repository is followed. The last good revision is in force in every state."""

    state: SourceState
    message: str = Field(description="why it is not followed, in words; empty when it is")
    commit: str = Field(description="the revision in force; empty before the first")
    since: datetime | None = Field(description="when it came into this state")
    fetched_at: datetime | None = Field(description="when it last answered well")


class Findings(Answer):
    """What lint says about the newest commit that was looked at."""

    commit: str
    state: RevisionState
    reason: str
    findings: list[Any]


class Lease(Answer):
    """Who has, or had, which address under which name."""

    host: str
    mac: str
    ip: str
    name: str
    first_seen: datetime
    last_seen: datetime
    expires_at: datetime | None
    active: bool


class LeaseInterval(Answer):
    """Who had an address under a name from when until when: until the earlier of `until_at` and `expires_at`."""

    host: str
    mac: str
    ip: str
    name: str
    from_at: datetime = Field(description="when it was first seen")
    until_at: datetime | None = Field(description="when it was seen to be gone or changed; null while it lasts")
    expires_at: datetime | None = Field(description="when the lease ends; null: never")


class Pool(Told):
    """A range of addresses on a bridge."""

    host: str
    interface: str
    start: str
    end: str
    size: int
    leased: int
    reserved: int = Field(description="kept for guests that do not use them now")
    free: int


class Pools(Answer):
    """The ranges of a host."""

    items: list[Pool]


class Patch(Told):
    """A change of a host's spec file as a unified diff, for `git apply`."""

    host: str
    commit: str
    file: str
    patch: str


class Point(Told):
    """A commit that was compared."""

    commit: str
    subject: str | None = Field(description="null: the commit is not recorded")
    author_name: str | None
    committed_at: datetime | None
    at: datetime = Field(description="when it was accepted, or the apply was requested, or the time that was given")
    file: str | None = Field(description="the host's file in it; null: there is none, or it cannot be read")
    is_readable: bool


class ApplyBetween(Answer):
    """An apply between two points."""

    id: str
    phase: Phase
    ended_at: datetime | None


class Difference(Told):
    """What Git wanted of a host at two points."""

    host: str
    from_: Point = Field(validation_alias="before", serialization_alias="from")
    to: Point = Field(validation_alias="after", serialization_alias="to")
    patch: str | None = Field(description="a unified diff, empty where nothing differs; null: a side cannot be read")
    notes: list[str] = Field(description="what cannot be read, is not there, or was elsewhere")
    applies: list[ApplyBetween] = Field(description="the newest first, 200 at most")
    has_more_applies: bool


class EventOrigin(Answer):
    """Where an event comes from."""

    part: Part = Field(description="the source: a commit, an observation on a host, a person, the service itself")
    was: dict[str, str] = Field(description="for a change of state: the previous values")


class Event(Answer):
    """Something that happened. Ids only grow."""

    id: int
    at: datetime
    type: str
    host: str
    text: str
    detail: dict[str, Any]
    from_: EventOrigin = Field(validation_alias="origin", serialization_alias="from")


class View(Told):
    """What is wanted of a host, or what was seen of it."""

    host: str
    commit: str
    digest: str
    at: datetime | None
    before_restart: bool = Field(description="nobody has seen it since the service started")
    content: Any


class LeftOut(Told):
    """A difference that no key of the spec can say, and why."""

    what: str
    why: str


class Acceptance(Told):
    """A patch (unified diff) of a host's spec file with which Git wants what the host has; may be empty."""

    host: str
    commit: str
    file: str
    patch: str
    taken: list[str]
    left: list[LeftOut]


class Trace(Told):
    """What becomes of a packet by what Git wants of a host."""

    host: str
    commit: str
    verdict: Literal["ACCEPT", "DROP", "REJECT"]
    rule: str | None = Field(description="file:line of the rule that decides; null: no line of a file does")
    id: str | None = Field(description="the rule that decides, as in the list of the host's firewall")
    why: str
    nat: list[str] = Field(description="How its addresses change on the way")


class Accepted(Answer):
    """Work that was requested; `location` is where to see it."""

    host: str
    location: str
    at: datetime | None = Field(
        default=None, description="time of the request. A look with a later `tried_at` started after it"
    )


class Token(Answer):
    """A token without its secret."""

    id: str
    name: str
    scopes: list[Scope]
    hosts: list[str]
    created_at: datetime
    created_by: str
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


class Tokens(Answer):
    """Every token."""

    items: list[Token]


class Problem(Answer):
    """RFC 9457."""

    type: str = Field(description="the address of the page of the code")
    title: str
    status: int
    code: Code
    detail: str = ""
    hint: str = Field(default="", description="what to do next")
    instance: str = ""
    request_id: str = ""
    errors: list[dict[str, str]] = []
