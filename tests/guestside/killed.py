"""`python -m tests.guestside.killed CONFIG STATE AHEAD N`: a run that is killed before its N-th change of the disk.

N = 0: it is not killed, and prints how many there were. What counts is a rename, a link, a removal, and the start of a
program: between two of them nothing changes that a later run could see.
"""

import os
import signal
import sys
import time

from service.guestside.main import main
from service.guestside.world import World

COUNTED = ("os.rename", "os.symlink", "os.remove", "os.mkdir", "subprocess.Popen")
config, state, ahead_s, at = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
seen: list[str] = []


def killed(event: str, _arguments: object) -> None:
    if event in COUNTED:
        seen.append(event)
        if len(seen) == at:
            os.kill(os.getpid(), signal.SIGKILL)


world = World(
    config=config,
    state=state,
    now=lambda: time.time() + ahead_s,
    reload=lambda: None,
    start=lambda: None,
    start_in=lambda _: None,
    is_mounted=lambda _: True,
    python=f"{sys.base_prefix}/bin/python3",
)
sys.addaudithook(killed)
code = main(["run"], world)
print(len(seen))
sys.exit(code)
