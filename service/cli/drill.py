"""`passerelle drill`: let a host undo a change of nothing, and see that it can."""

import time
from collections.abc import Callable
from typing import Annotated, Any

from cyclopts import Parameter

from service.cli.output import Format, complain, show_json, show_table, tell

Output = Annotated[Format, Parameter(name=["--output", "-o"])]
POLL_S = 0.5
TELL_S = 3.0
ENDED = ("Passed", "Failed")
PHASES = {
    "Pending": "waits for the host's turn",
    "Running": "the host arms its switch; nobody confirms, so it undoes everything after 10 s",
}


def drill(
    host: str,
    /,
    *,
    wait: bool = True,
    timeout: float = 300,
    output: Output = "table",
) -> int:
    """Prove that a host can undo a change: arm one that changes nothing, confirm it not, and look at what happens.

    Proven are the timer, the unit that runs before networking at boot, the rollback with its comparison, and that a new
    connection comes in afterwards. Takes some 15 seconds. Exit codes: 0 proven, 1 not proven or not asked for,
    4 host unreachable.

    Parameters
    ----------
    host
        The host.
    wait
        --no-wait: return as soon as the drill is asked for.
    timeout
        Seconds to watch at the most.
    output
        table for people, json for programs.
    """
    import secrets

    from service.cli.client import Client

    client = Client()
    found: dict[str, Any] = client.post("drills", {"host": host}, key=secrets.token_hex(16))
    if wait:
        tell(f"drill {found['id']} on {host}: nothing is changed, the host undoes it by itself")
        path = f"drills/{found['id']}"
        found = watch(found, lambda: client.get(path), timeout)
    if output == "json":
        show_json(found)
    elif found["proofs"]:
        show_table(["name", "ok", "told"], found["proofs"], empty="")
    if found["state"] == "Passed":
        tell(f"{host}: proven")
        return 0
    if found["state"] == "Failed":
        complain(f"{host}: not proven: {found['error']}", f"see `passerelle status {host}`")
        return 4 if client.get(f"hosts/{host}")["reachability"] != "Reachable" else 1
    tell(f"asked for: {found['id']}")
    return 1 if wait else 0


def watch(
    found: dict[str, Any],
    ask: Callable[[], dict[str, Any]],
    timeout_s: float,
    now_s: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Follow a drill to its end; tell each phase as it begins, and every few seconds that it goes on."""
    deadline_s = now_s() + timeout_s
    state, began_s, told_s = "", 0.0, 0.0
    while True:
        if found["state"] != state:
            state, began_s, told_s = found["state"], now_s(), now_s()
            tell(f"  {state}{': ' + PHASES[state] if state in PHASES else ''}")
        elif now_s() - told_s >= TELL_S:
            told_s = now_s()
            tell(f"  {state} for {told_s - began_s:.0f} s")
        if state in ENDED or now_s() >= deadline_s:
            return found
        sleep(POLL_S)
        found = ask()
