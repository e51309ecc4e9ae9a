"""The three-way diff: where the host is not as wanted, and which side moved since the last apply."""

from collections.abc import Mapping, Sequence

from service.model.changes import Difference, Drift, Moved
from service.model.states import Json
from service.resources.desired import Desired, LastApplied
from service.resources.resource import Compared, Resource

Key = tuple[str, str, str, str]
"""A difference's identity: see `Difference.key`."""


def drift(desired: Desired, base: LastApplied, compared: Sequence[Compared[Resource]]) -> tuple[Drift, ...]:
    """Every difference with its side, in the order given."""
    wished = desired.wishes
    return tuple(
        Drift(difference, moved(difference, base, wished)) for _, differences in compared for difference in differences
    )


def moved(difference: Difference, base: LastApplied, wished: Mapping[Key, Json]) -> Moved:
    """`git` when the wish is not the one last applied, `host` when the host is not as last applied, `both` for both.

    What was never wished before is Git's move, whatever the host had: nobody promised anything yet. What no spec names
    (a left-over, one rule more in our own table) is Git's move where its section changed, else the host's.
    """
    if not base.exists:
        return "git"
    key = difference.key
    if key not in base.wishes:
        is_gits = key in wished or of_kind(base.wishes, difference.kind) != of_kind(wished, difference.kind)
        return "git" if is_gits else "host"
    applied = base.wishes[key]
    git_moved = key not in wished or wished[key] != applied
    host_moved = not difference.unknown and difference.have != applied
    if git_moved and host_moved:
        return "both"
    return "git" if git_moved else "host"


def of_kind(wishes: Mapping[Key, Json], kind: str) -> dict[Key, Json]:
    """The wishes of one section."""
    return {key: want for key, want in wishes.items() if key[0] == kind}
