"""What Git wanted of a host at two points: both commits, the difference of the host's file, the applies in between.

A point is a commit, an apply's id, or a time: then it is the commit that was in force. What a commit said is read from
the mirror. A commit that cannot be read any more is reported as such, and is never taken for one without the file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from service.clock import Clock
from service.errors import InputError, NotFound
from service.model.states import Json
from service.reconcile.ports import Memory
from service.reconcile.watching import Watcher
from service.spec.editing import unified

MOST_APPLIES = 200
"""So many applies in between are listed, the newest."""


@dataclass(frozen=True, slots=True)
class _Point:
    """`at` is when the commit was accepted, or the apply requested, or the time itself. `text` is the host's file,
    empty if the commit has none, None if it cannot be read; `why` says either."""

    commit: str
    at: datetime
    apply_id: str = ""
    file: str = ""
    text: str | None = None
    why: str = ""


class Comparing:
    """Blocks: it reads the mirror and the database."""

    def __init__(self, watcher: Watcher, memory: Memory, clock: Clock) -> None:
        self._watcher = watcher
        self._memory = memory
        self._clock = clock

    def difference(self, host: str, before: str | datetime, after: str | datetime | None) -> Mapping[str, Json]:
        """From one point to the other; None is what is in force now. The patch is None where a side cannot be read.
        NotFound and InputError for a point that names nothing."""
        one, two = self._point(host, before), self._point(host, after)
        notes = list(dict.fromkeys(point.why for point in (one, two) if point.why))
        if one.file and two.file and one.file != two.file:
            notes.append(f"The file of {host} was {one.file} at the first point, and is {two.file} at the second.")
        patch: str | None = None
        if one.text is not None and two.text is not None:
            patch = _patch(two.file or one.file, one.text, two.text)
        early, late = sorted((one, two), key=lambda point: point.at)
        applies = self._memory.applies_between(host, early.at, late.at, MOST_APPLIES + 1)
        listed: list[Json] = [
            {"id": it.id, "phase": it.phase, "ended_at": it.ended_at.isoformat() if it.ended_at else None}
            for it in applies[:MOST_APPLIES]
            if it.id != early.apply_id
        ]
        return {
            "host": host, "before": self._told(one), "after": self._told(two), "patch": patch, "notes": [*notes],
            "applies": listed, "has_more_applies": len(applies) > MOST_APPLIES,
        }  # fmt: skip

    def _point(self, host: str, asked: str | datetime | None) -> _Point:
        if asked is None:
            return self._read(host, _Point(self._watcher.wanted.commit, self._clock.now()))
        if isinstance(asked, datetime):
            then = self._memory.accepted_by(asked)
            if then is None:
                raise NotFound(f"no commit was in force at {asked.isoformat()}, as far as it is recorded")
            return self._read(host, _Point(then.commit, min(asked, self._clock.now())))
        if (found := self._memory.apply(asked)) is not None and found.host == host:
            return self._read(host, _Point(found.commit, found.requested_at or self._clock.now(), found.id))
        commit = named_commit(self._memory, host, asked)
        revision = self._memory.revision(commit)
        return self._read(host, _Point(commit, revision.fetched_at if revision else self._clock.now()))

    def _read(self, host: str, point: _Point) -> _Point:
        name = point.commit[:10]
        if not self._watcher.is_readable(point.commit):
            return replace(point, why=f"Git does not have the commit {name} any more, or it cannot be read now.")
        spec = self._watcher.spec_at(point.commit, host)
        if spec is None:
            return replace(point, text="", why=f"The commit {name} has no usable file of {host}.")
        text = self._watcher.file_at(point.commit, host)
        why = f"The file {spec.file} of the commit {name} cannot be read now." if text is None else ""
        return replace(point, file=spec.file, text=text, why=why)

    def _told(self, point: _Point) -> Json:
        revision = self._memory.revision(point.commit)
        return {
            "commit": point.commit, "subject": revision.subject if revision else None,
            "author_name": revision.author_name if revision else None,
            "committed_at": revision.committed_at.isoformat() if revision else None,
            "at": point.at.isoformat(), "file": point.file or None, "is_readable": point.text is not None,
        }  # fmt: skip


def named_commit(memory: Memory, host: str, prefix: str) -> str:
    """The accepted commit that begins so. NotFound, InputError where there are several."""
    commits = memory.commits(prefix.lower())
    if not commits:
        raise NotFound(f"no apply of {host} and no accepted commit is called {prefix}")
    if len(commits) > 1:
        raise InputError(f"{prefix} is the beginning of several commits", hint="give more of it")
    return commits[0]


def _patch(file: str, before: str, after: str) -> str:
    patch = unified(file, before, after)
    return patch.replace(f"+++ b/{file}\n", "+++ /dev/null\n", 1) if before and not after else patch
