"""What was applied once and is in the spec no more: removed where it is provably ours, which only bridges are."""

from collections.abc import Iterator

from service.resources.desired import Desired, LastApplied
from service.resources.links import Link
from service.resources.resource import Resource
from service.resources.stanzas import Stanza

BRIDGES = "bridges"


def retired(desired: Desired, base: LastApplied) -> Iterator[Resource]:
    """Bridges of the last apply that nobody wants now: their stanza and their link go.

    A physical interface, a package or a service that leaves the spec stays as it is: it was there before us.
    """
    wanted = {resource.id for resource in desired.resources}
    for name in sorted(base.named(BRIDGES, "link")):
        if f"link:{name}" not in wanted:
            yield Link(BRIDGES, name, bridge=True, gone=True)
            yield Stanza(BRIDGES, name, gone=True)
