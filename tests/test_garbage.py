"""A process that serves looks for unreachable objects rarely, and never at what it was built of."""

import subprocess
import sys

PROGRAM = """
import gc, weakref
import service.app
from service.garbage import THRESHOLDS, collect_rarely

collect_rarely()
print(gc.get_freeze_count() > 100_000, gc.get_threshold() == THRESHOLDS, gc.isenabled())

class Held: ...
one, other = Held(), Held()
one.other, other.other = other, one
gone = weakref.ref(one)
del one, other
gc.collect()
print(gone() is None)
"""


def test_what_was_built_is_set_aside_and_the_rest_is_collected() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["True"] * 4
