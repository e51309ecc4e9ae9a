"""Commands by which a person lets the loop go on: clear a latch, release a quarantine."""

import time
from typing import Annotated

from cyclopts import App, Parameter

from service.cli.output import complain, tell

Reason = Annotated[str, Parameter(help="Why it may go on; it is kept in the history.")]
POLL_S = 0.5

latch = App(name="latch", help="Desired states that were rolled back and are not tried again by themselves.")


@latch.command
def clear(host: str, /, *, reason: Reason) -> int:
    """Let what was rolled back on a host be tried again.

    Exit codes: 0 cleared, 1 there was none or it was refused.

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
    """Lift the quarantine of a host whose rollback failed. Look at the host first: nothing is put back by this.

    Exit codes: 0 released, 1 it was not quarantined, or still is.

    Parameters
    ----------
    host
        The host.
    timeout
        Seconds to wait for it at the most.
    """
    from service.cli.client import Client

    client = Client()
    client.post(f"hosts/{host}/release", {"reason": reason})
    deadline = time.monotonic() + timeout
    while found := client.get(f"hosts/{host}"):
        if not found["quarantined"]:
            tell(f"{host}: released; it is compared anew")
            return 0
        if time.monotonic() > deadline:
            complain(f"{host} is still quarantined: {found['message']}", f"see `passerelle status {host}`")
            break
        time.sleep(POLL_S)
    return 1
