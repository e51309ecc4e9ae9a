"""What is made of an observation is made once: the interfaces files, dnsmasq's, nft's, as values.

    @derived
    def interfaces_config(observed): …      worked out at the first question about an observation, kept with it

Such a function is pure, its further arguments can be hashed, and nobody changes what it returns. Another observation,
also a copy with another field, begins again.
"""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from service.model.observed import HostObserved

P = ParamSpec("P")
T = TypeVar("T")


def derived(make: Callable[Concatenate[HostObserved, P], T]) -> Callable[Concatenate[HostObserved, P], T]:
    """The same function, called once for each observation and arguments."""

    @wraps(make)
    def once(observed: HostObserved, /, *args: P.args, **kwargs: P.kwargs) -> T:
        key = (make, args, *sorted(kwargs.items()))
        if key not in observed.derived:
            observed.derived[key] = make(observed, *args, **kwargs)
        known: T = observed.derived[key]
        return known

    return once
