"""Commits of a migration: their messages, and how far a migration is by those that a branch has. Pure.

    Passerelle-Migration: pve1 to pve2
    Passerelle-Step: give | take | give-back | take-back

`give-back` reverts a `take`, `take-back` reverts a `give` (git-interpret-trailers(1)).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from service.errors import InputError
from service.migrate.arriving import Edit
from service.migrate.order import Stage

MIGRATION, STEP = "Passerelle-Migration", "Passerelle-Step"
CommitStep = Literal["give", "take", "give-back", "take-back"]
_HOSTS = re.compile(r"([a-z0-9-]{1,63}) to ([a-z0-9-]{1,63})")
_WIDTH = 72


@dataclass(frozen=True, slots=True)
class Record:
    """One commit of a migration."""

    commit: str
    source: str
    target: str
    step: CommitStep

    @property
    def ends(self) -> bool:
        """Only one host has the guests after it."""
        return self.step in ("take", "take-back")


@dataclass(frozen=True, slots=True)
class Past:
    """How far a migration is. `given` and `taken` are the commits that are in force, "" for none. `was_taken_back`: it
    has been there, and all its commits are reverted.
    """

    stage: Stage = "one"
    given: str = ""
    taken: str = ""
    was_taken_back: bool = False


def record_of(commit: str, migration: str, step: str) -> Record | None:
    """What the trailers of a commit say; None where that is nothing of ours."""
    hosts = _HOSTS.fullmatch(migration.strip())
    known = next((one for one in get_args(CommitStep) if one == step.strip()), None)
    return Record(commit, hosts[1], hosts[2], known) if hosts and known else None


def past_of(records: Sequence[Record], source: str, target: str) -> Past:
    """How far `source to target` is. `records` are all of a branch, the newest first.

    InputError while another migration of one of the two hosts is between its commits.
    """
    touching = [one for one in records if {one.source, one.target} & {source, target}]
    newest = next(iter(touching), None)
    if newest is None:
        return Past()
    if (newest.source, newest.target) != (source, target):
        if newest.ends:
            return Past()
        raise InputError(
            f"the migration of {newest.source} to {newest.target} has begun and has not ended",
            hint=f"end it first: `passerelle migrate {newest.source} --to {newest.target}`, with or without --back",
        )
    given = next((one.commit for one in touching if one.step == "give"), "")
    if newest.step == "give":
        return Past("both", given)
    if newest.step == "take":
        return Past("other", given, newest.commit)
    if newest.step == "give-back":
        return Past("both", given)
    return Past(was_taken_back=True)


def message_of(edit: Edit, source: str, target: str, step: CommitStep, reverts: str = "") -> str:
    """The message of a commit that makes this edit."""
    subject, why = _WORDS[step]
    subject = subject.format(source=source, target=target)
    lines = [f"migrate {source} to {target}: {subject}", "", *_folded(why.format(source=source, target=target))]
    if reverts:
        lines += ["", f"This reverts commit {reverts}."]
    elif edit.moves:
        lines += ["", *(f"- {move}" for move in edit.moves)]
    return "\n".join([*lines, "", f"{MIGRATION}: {source} to {target}", f"{STEP}: {step}", ""])


_WORDS: dict[CommitStep, tuple[str, str]] = {
    "give": ("{target} gets the guests", "{source} stays as it is, and continues to serve."),
    "take": ("{source} loses the guests", "{target} has them, and serves. On {source} they stay, unmanaged."),
    "give-back": ("{source} gets the guests back", "{target} stays as it is, and continues to serve."),
    "take-back": (
        "{target} loses the guests again",
        "{source} has them, and serves. On {target} they stay, unmanaged.",
    ),
}


def _folded(text: str) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) >= _WIDTH:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
