"""Where a host may be found whose address moves: by its name, where it was, and at the addresses that it reported.

    reported(observed) -> ("198.51.100.12", …)
    first_that_is(addresses, connect) -> (address, connection)

An address that is not the host's any more may be another machine's. Its key is not a pinned one, so it is passed over,
and nothing is sent to it. If no address leads to the host, the key that was wrong is what people read.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from service.errors import HostKeyChanged, Unreachable
from service.model.observed import HostObserved
from service.model.states import Seen

C = TypeVar("C")

MOST_REPORTED = 4


def reported(observed: HostObserved) -> tuple[str, ...]:
    """The other addresses of a host, which may lead to it when the one in use does not.

    They are those of interfaces that a DHCP server or a router gives addresses, and of the interface in use, at most
    `MOST_REPORTED`. A host without given addresses moves by a commit only, so it reports none.
    """
    if not observed.dynamic:
        return ()
    in_use = observed.path.server if observed.path is not None else ""
    found: list[str] = []
    for name in sorted({fact.partition(":")[2] for fact in observed.facts if fact.startswith("addresses:")}):
        seen = observed.fact(f"addresses:{name}")
        static = seen.value if isinstance(seen, Seen) and isinstance(seen.value, list) else []
        given = observed.dynamic.get(name, ())
        here = [str(address).partition("/")[0] for address in (*given, *static)]
        if given or in_use in here:
            found += [address for address in here if address != in_use]
    return tuple(dict.fromkeys(found))[:MOST_REPORTED]


async def first_that_is(addresses: Iterable[str], connect: Callable[[str], Awaitable[C]]) -> tuple[str, C] | None:
    """The first address at which the host answers, with what `connect` made; None without an address. Raises what the
    first wrong key was, else the first Unreachable."""
    trouble: HostKeyChanged | Unreachable | None = None
    for address in addresses:
        try:
            return address, await connect(address)
        except Unreachable as error:
            trouble = trouble or error
        except HostKeyChanged as error:
            trouble = trouble if isinstance(trouble, HostKeyChanged) else error
    if trouble is not None:
        raise trouble
    return None
