"""The order of events of a migration, and how far a repository is in it. Pure.

STEPS                                   every step: what it does, how it is undone, how one sees that it is done
steps_from(stage, is_back=…)            the steps that are left, in order

A step is found to be done by looking at Git, the hosts and the internet, never by a record of its own. So a command
that was killed is started again, and continues.
"""

from dataclasses import dataclass
from typing import Literal

StepName = Literal["check", "give", "applied", "certificates", "answers", "names", "take", "last"]
Stage = Literal["one", "both", "other"]
"""Which hosts have the guests in Git: only the one that gives them, both, or only the other one."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step. {giver} and {taker} are hosts: the one that has the guests, and the one that gets them."""

    name: StepName
    does: str
    undone: str
    seen: str

    def between(self, giver: str, taker: str) -> "Step":
        """The same with the names of the hosts."""
        does, undone, seen = (text.format(giver=giver, taker=taker) for text in (self.does, self.undone, self.seen))
        return Step(self.name, does, undone, seen)


STEPS = (
    Step(
        "check",
        "Check that both hosts are reached and in sync, that nothing of {taker} is in the way, and that lint accepts "
        "the result",
        "It changes nothing",
        "It runs before the first commit, each time",
    ),
    Step(
        "give",
        "Commit and push: {taker} gets the guests and what they need, and {giver} stays as it is",
        "A commit that reverts it. Guests that {taker} made by then stay there, unmanaged",
        "The branch has the commit",
    ),
    Step(
        "applied",
        "Wait until {taker} has applied the commit, and its new guests run",
        "It only waits",
        "The service says that {taker} is Synced with this commit, and that its guests run",
    ),
    Step(
        "certificates",
        "Carry the certificates and the ACME account from the proxy of {giver} to that of {taker}, encrypted",
        "The proxy of {giver} keeps its own copy",
        "{taker} shows no self-signed certificate for a site for which {giver} shows an issued one",
    ),
    Step(
        "answers",
        "Compare every site through {giver} and through {taker}",
        "It changes nothing",
        "Each site has the same status through both, and its certificate",
    ),
    Step(
        "names",
        "Change the DNS records of the sites to {taker}, while both hosts answer",
        "The records are changed back to {giver}",
        "The name servers say no other address than those of {taker}",
    ),
    Step(
        "take",
        "Commit and push: {giver} loses the guests, their forwards and `web`",
        "A commit that reverts it",
        "The branch has the commit",
    ),
    Step(
        "last",
        "Wait until {giver} has applied it, and ask every site once more",
        "It only waits",
        "The service says that {giver} is Synced with this commit, and every site answers",
    ),
)
_FIRST: dict[Stage, StepName] = {"one": "check", "both": "applied", "other": "last"}


def steps_from(stage: Stage, giver: str, taker: str, *, is_back: bool = False) -> tuple[Step, ...]:
    """What is left to do from here on, towards `taker`. Going back needs no check: Git only gets back what it had."""
    names = [step.name for step in STEPS]
    left = STEPS[names.index(_FIRST[stage]) :]
    return tuple(step.between(giver, taker) for step in left if not (is_back and step.name == "check"))
