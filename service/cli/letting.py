"""Commands by which a person lets the loop continue: clear a latch, release a quarantine."""

import time
from typing import Annotated

from cyclopts import App, Parameter

from service.cli.output import complain, tell

Reason = Annotated[str, Parameter(help="Why applies can start again. The history keeps it.")]
POLL_S = 0.5

latch = App(name="latch", help="Desired states that were rolled back and are not tried again.")


@latch.command
def clear(host: str, /, *, reason: Reason) -> int:
    """Allow a state that was rolled back to be tried again.

    Exit codes: 0 cleared, 1 there was none, or it was rejected.

    Parameters
    ----------
    host
        The host.
    """
    from service.cli.client import Client

    cleared = int(Client().post(f"hosts/{host}/latch/clear", {"reason": reason})["cleared"])
    if not cleared:
        complain(f"nothing is latched on {host}")
        return 1
    tell(f"{host}: {cleared} cleared; what Git wants is tried again as `sync` allows")
    return 0


def release(host: str, /, *, reason: Reason, timeout: float = 90) -> int:
    """Lift the quarantine of a host whose rollback failed. Check the host first: this restores nothing.

    Exit codes: 0 released, 1 the host was not in quarantine, or still is.

    Parameters
    ----------
    host
        The host.
    timeout
        Longest time to wait, in seconds.
    """
    from service.cli.client import Client

    client = Client()
    host = client.post(f"hosts/{host}/release", {"reason": reason})["host"]
    deadline = time.monotonic() + timeout
    while found := client.get(f"hosts/{host}"):
        if not found["quarantined"]:
            tell(f"{host}: released. The service compares the host again")
            return 0
        if time.monotonic() > deadline:
            complain(f"{host} is still quarantined: {found['message']}", f"see `passerelle status {host}`")
            break
        time.sleep(POLL_S)
    return 1
