"""Which events people are informed of: moves from one state to another, and single faults. Never what is the same.

    judged = judge(events, standing, now, hold_s=30)
    judged.notice       what is to be sent now, or None; judged.standing after it, once it was sent

A state has to last `hold_s` before anybody is informed of it. One that keeps changing is reported once in FLAP_S.
The id of a notice is that of its event: one that is sent twice can be recognised.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from service.model.events import DECLARED, ApplyFinished, ApplyLatched, HostState, SourceTrouble, SourceWell
from service.model.runs import Event

AT_ONCE = 200
"""So many events are gone through at once."""
WELL = "well"
AWAY = ("Unreachable", "AuthFailed", "HostKeyChanged")
SOURCE = "source"
FLAP_S = 600.0
MOST_AGE = timedelta(days=1)
"""An event that is older is dropped: who could not be reached for a day reads the history."""
STATES = (HostState.name, SourceTrouble.name, SourceWell.name)
FAULTS = frozenset(
    name
    for name, kind in DECLARED.items()
    if vars(kind).get("weight") == "trouble" and name not in (*STATES, ApplyLatched.name)
)
"""A state that is latched was rolled back, which is reported already."""
BAD_ENDS = ("Failed", "RolledBack", "RollbackFailed")


@dataclass(frozen=True, slots=True)
class Notice:
    """What a person is informed of. `was` and `now` are words of a state; a single fault has none. `keeps_changing`:
    the state did not last, for so long that it is reported nevertheless."""

    event: int
    at: datetime
    type: str
    host: str
    text: str
    was: str = ""
    now: str = ""
    keeps_changing: bool = False


@dataclass(frozen=True, slots=True)
class NoticeStanding:
    """How far a channel is. `after` is the last event that needs nothing any more. `words` are the states that were
    reported, of those that are not well; `unsettled` since when a state keeps changing. The numbers are counted since
    the first start. `error` is why the last attempt failed, or what was not right with it; empty once all is well.
    `sent_at` and `failed_at` are when the last notice was taken and was not.
    """

    after: int = 0
    words: Mapping[str, str] = field(default_factory=dict)
    unsettled: Mapping[str, str] = field(default_factory=dict)
    sent: int = 0
    failed: int = 0
    dropped: int = 0
    error: str = ""
    sent_at: str = ""
    failed_at: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """`notice` is to be sent. `before` counts until it was sent, `then` after that."""

    before: NoticeStanding
    notice: Notice | None = None
    then: NoticeStanding = field(default_factory=NoticeStanding)


def state_of(event: Event) -> tuple[str, str] | None:
    """(what it is about, its state), where the event says one that is known."""
    if event.type in (SourceTrouble.name, SourceWell.name):
        return SOURCE, WELL if event.type == SourceWell.name else "not-followed"
    if event.type != HostState.name:
        return None
    said = {axis: str(event.detail.get(axis, "")) for axis in ("sync", "reason", "health", "reachability")}
    if said["reachability"] in AWAY and said["reason"] != "Orphaned":
        return event.host, said["reachability"]
    if "Unknown" in (said["sync"], said["reachability"]) and said["reason"] != "Orphaned":
        return None
    if said["health"] == "Degraded":
        return event.host, "Degraded"
    return event.host, "Drifted" if said["reason"] in ("Drifted", "Diverged") else WELL


def is_fault(event: Event) -> bool:
    """Whether it is reported alone."""
    is_bad_end = event.type == ApplyFinished.name and event.detail.get("phase") in BAD_ENDS
    return event.type in FAULTS or is_bad_end


def judge(events: Sequence[Event], standing: NoticeStanding, now: datetime, *, hold_s: float) -> Judged:
    """Go through the events after `standing.after` in their order, until one is to be reported or has to wait."""
    words, unsettled = dict(standing.words), dict(standing.unsettled)
    for number, event in enumerate(events):
        here = replace(standing, words=dict(words), unsettled=dict(unsettled))
        notice = None
        if is_fault(event):
            notice = Notice(event.id, event.at, event.type, event.host, event.text)
        elif (state := state_of(event)) is not None:
            subject, word = state
            is_followed = any(_followers(events[number + 1 :], event, subject, hold_s))
            if not is_followed and timedelta(0) <= now - event.at < timedelta(seconds=hold_s):
                return Judged(here)
            if is_followed:
                since = datetime.fromisoformat(unsettled.setdefault(subject, event.at.isoformat()))
            if not is_followed or event.at - since >= timedelta(seconds=FLAP_S):
                unsettled.pop(subject, None)
                if words.get(subject, WELL) != word:
                    was = words.pop(subject, WELL)
                    notice = Notice(event.id, event.at, event.type, event.host, event.text, was, word, is_followed)
                    words |= {} if word == WELL else {subject: word}
        then = replace(standing, after=event.id, words=dict(words), unsettled=dict(unsettled))
        if notice is not None and now - event.at > MOST_AGE:
            notice, then = None, replace(then, dropped=then.dropped + 1)
        if notice is not None:
            return Judged(here, notice, replace(then, sent=then.sent + 1, error=""))
        standing = then
    return Judged(standing)


def waiting(events: Sequence[Event], standing: NoticeStanding, now: datetime, *, hold_s: float) -> int:
    """How many notices are due, and were not sent. `events` are those after `standing.after`."""
    count = 0
    judged = judge(events, standing, now, hold_s=hold_s)
    while judged.notice is not None:
        count += 1
        events = [event for event in events if event.id > judged.then.after]
        judged = judge(events, judged.then, now, hold_s=hold_s)
    return count


def _followers(later: Sequence[Event], event: Event, subject: str, hold_s: float) -> Iterator[Event]:
    """The events in which the state changes again before it has lasted long enough."""
    for one in later:
        if one.at - event.at >= timedelta(seconds=hold_s):
            return
        state = state_of(one)
        if state is not None and state[0] == subject:
            yield one
