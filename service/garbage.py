"""How often Python looks for objects that hold each other (the module gc of its library).

    collect_rarely()     once, when a process that serves is built

Almost all objects of the service go when nothing holds them any more. What remains for the collector is little, but it
looks at every object there is: with 1,000 hosts it took 0.3 s, in which no request was answered.
"""

import gc

THRESHOLDS = (10_000, 20, 20)
"""Python's own are 700, 10 and 10."""


def collect_rarely() -> None:
    """What was imported and built stays until the end, so it is never looked at again. The rest is looked at rarely."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
