"""The three-way diff: where the host is not as wanted, and which side changed since the last apply."""

from collections.abc import Mapping, Sequence

from service.model.changes import Difference, Drift, Moved
from service.model.states import Json
from service.resources.desired import Desired, LastApplied
from service.resources.resource import Compared, Resource

Key = tuple[str, str, str, str]
"""A difference's identity: see `Difference.key`."""


Thing = tuple[str, str, str]
"""What a wish is about: resource, field, where. The section that needs it is not a part of it. If several need it, the
first one gives the name, and that may be another one in the next revision.
"""


def drift(desired: Desired, base: LastApplied, compared: Sequence[Compared[Resource]]) -> tuple[Drift, ...]:
    """Every difference with its side, in the order given."""
    sides = Sides(base, desired.wishes)
    return tuple(
        Drift(difference, sides.moved(difference)) for _, differences in compared for difference in differences
    )


class Sides:
    """What was applied last, against what is wished now."""

    def __init__(self, base: LastApplied, wished: Mapping[Key, Json]) -> None:
        self._exists = base.exists
        self._keys: tuple[Mapping[Key, Json], Mapping[Key, Json]] = (base.wishes, wished)
        self._applied, self._wished = by_thing(base.wishes), by_thing(wished)

    def moved(self, difference: Difference) -> Moved:
        """`git` when the wish is not the one last applied, `host` when the host is not as last applied, or `both`.

        What was never wished before is Git's move, whatever the host had: nobody promised anything yet. What no spec
        names (a left-over, one rule more in our own table) is Git's move where its section changed, else the host's.
        """
        if not self._exists:
            return "git"
        thing = difference.key[1:]
        if thing not in self._applied:
            before, now = (of_kind(wishes, difference.kind) for wishes in self._keys)
            return "git" if thing in self._wished or before != now else "host"
        applied = self._applied[thing]
        git_moved = thing not in self._wished or self._wished[thing] != applied
        host_moved = not difference.unknown and difference.have != applied
        if git_moved and host_moved:
            return "both"
        return "git" if git_moved else "host"


def by_thing(wishes: Mapping[Key, Json]) -> dict[Thing, Json]:
    """Wishes by what they are about."""
    return {(resource, field, where): want for (_, resource, field, where), want in wishes.items()}


def of_kind(wishes: Mapping[Key, Json], kind: str) -> dict[Key, Json]:
    """The wishes of one section."""
    return {key: want for key, want in wishes.items() if key[0] == kind}
