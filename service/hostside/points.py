"""Named points, where a test may stop a process to kill it or to pull the plug."""

from __future__ import annotations

import os
import signal

from service.hostside.facts import RESTORE_ORDER
from service.hostside.host import Host, read_text

# Named points for fault injection; N is the step's number. Those of a restore at boot begin with "boot-".
POINTS = (
    *("locked", "observed", "staged", "checked", "journal-armed", "armed", "proven"),
    *("step-N-before", "step-N-after", "verifying", "applied"),
    *("confirm-locked", "confirm-verified", "on-confirm-N", "confirmed", "disarmed"),
    *("restore-begin", *("restore-" + kind for kind in RESTORE_ORDER), "restore-verify", "restored"),
    *("boot-restore-begin", "boot-restore-file", "boot-restore-unit", "boot-restored"),
)


def point(host: Host, name: str) -> None:
    """A named point, where a test may stop this process (SIGSTOP) to kill it or to pull the plug.

    Only on a host that is marked for tests by the file /run/passerelle-test; the point is named by the environment's
    PASSERELLE_STOP_AT or by that file's content. For points of a boot, when /run is new, the file
    /var/lib/passerelle/test-stop-at names the point; it is used up when it stops the process.
    """
    once = host.state("test-stop-at")
    marked = os.path.exists(host.path("/run/passerelle-test"))
    here = marked and name in (os.environ.get("PASSERELLE_STOP_AT"), read_text(host.path("/run/passerelle-test")))
    if not here and os.path.exists(once) and read_text(once) == name:
        os.unlink(once)
        here = True
    if here:
        with open(host.path("/run/passerelle-point"), "w", encoding="utf-8") as file:
            file.write(f"{name}\n")
        os.kill(os.getpid(), signal.SIGSTOP)
