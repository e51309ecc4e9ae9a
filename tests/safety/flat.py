"""Whether a figure that was read again and again stays flat, or grows. Pure."""

import statistics
from collections.abc import Sequence


def grows(values: Sequence[float], *, share: float = 0.0, by: float = 0.0) -> bool:
    """Whether the last quarter is above the second one by more than `share` of it and `by`.

    The first quarter does not count: what is made on first use is made then. Medians, so one reading decides nothing.
    ValueError for fewer than 8 values.
    """
    if len(values) < 8:
        raise ValueError("too few values to say anything")
    quarter = len(values) // 4
    before, after = statistics.median(values[quarter : 2 * quarter]), statistics.median(values[-quarter:])
    return after > before * (1 + share) + by
