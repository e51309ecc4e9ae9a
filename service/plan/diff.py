"""The three-way diff: where the host is not as wanted, and which side moved since the last apply."""

from service.model.changes import Difference, Drift, Moved
from service.model.observed import HostObserved
from service.resources.desired import Desired, LastApplied


def drift(desired: Desired, base: LastApplied, observed: HostObserved) -> tuple[Drift, ...]:
    """Every difference with its side, in the order of the resources' ids."""
    return tuple(
        Drift(difference, moved(difference, base))
        for resource in desired.resources
        for difference in resource.differences(observed)
    )


def moved(difference: Difference, base: LastApplied) -> Moved:
    """`git` when the wish is not what was last applied, `host` when the host is not, `both` when neither is.

    Before the first apply everything is Git's move: nobody promised the host anything yet.
    """
    if not base.exists:
        return "git"
    applied = base.wishes.get(difference.key)
    git_moved = applied != difference.want
    host_moved = applied != difference.have
    if git_moved and host_moved:
        # a thing that was never ours and is not there yet has moved on one side only
        return "git" if applied is None and difference.op == "missing" else "both"
    return "git" if git_moved else "host"
