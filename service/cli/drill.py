"""`passerelle drill`: let a host undo a change of nothing, and see that it can."""

import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from cyclopts import Parameter

from service.cli.output import Format, complain, show_json, show_table, tell

Output = Annotated[Format, Parameter(name=["--output", "-o"])]
POLL_S = 0.5
TELL_S = 3.0
ENDED = ("Passed", "Failed")
PHASES = {
    "Pending": "waits for the host's turn",
    "Running": "the host arms a test change. Nobody confirms it, so the host rolls back after 10 s",
}
REBOOTING = {
    **PHASES,
    "Running": "the host arms a test change and reboots. The boot rolls back, and a new connection has to come in",
}
REBOOT_WAIT_S = 900.0


def drill(
    host: str,
    /,
    *,
    reboot: bool = False,
    yes: bool = False,
    wait: bool = True,
    timeout: float | None = None,
    output: Output = "table",
) -> int:
    """Prove that a host can roll back: start a harmless test change, do not confirm it, and check the rollback.

    The drill proves the timer, the unit that runs before networking at boot, the rollback with its comparison, and that
    a new connection comes in afterwards. It takes about 15 seconds. Exit codes: 0 proven, 1 not proven or rejected,
    4 host unreachable.

    Parameters
    ----------
    host
        The host.
    reboot
        Reboot the host instead of waiting for the timer. The boot has to roll back, and to bring up the same addresses,
        link and default routes. This interrupts every guest of the host.
    yes
        With --reboot: do not ask for a confirmation.
    wait
        --no-wait: return as soon as the drill is requested.
    timeout
        Longest time to wait, in seconds. Default 300, with --reboot 900.
    output
        table for people, json for programs.
    """
    import secrets

    from service.cli.client import Client

    if reboot and not yes and not agreed(host):
        return 1
    client = Client()
    wish: dict[str, Any] = {"host": host} | ({"reboot": True, "confirm": host} if reboot else {})
    found: dict[str, Any] = client.post("drills", wish, key=secrets.token_hex(16))
    if wait:
        what = "the host reboots, and the boot rolls back" if reboot else "the host rolls back automatically"
        tell(f"drill {found['id']} on {host}: a harmless test change; {what}")
        path = f"drills/{found['id']}"
        limit_s = timeout if timeout is not None else REBOOT_WAIT_S if reboot else 300.0
        found = watch(found, lambda: client.get(path), limit_s, phases=REBOOTING if reboot else PHASES)
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


def agreed(host: str) -> bool:
    """Whether a person at the terminal says the host's name: a reboot interrupts its guests."""
    import sys

    if not sys.stdin.isatty():
        complain("a reboot interrupts every guest, and there is no terminal to ask on", "Fix: give --yes")
        return False
    tell(f"{host} reboots: every guest on it is interrupted")
    if input("type the name of the host to continue: ").strip() == host:
        return True
    complain(f"{host} was not rebooted", "")
    return False


def watch(
    found: dict[str, Any],
    ask: Callable[[], dict[str, Any]],
    timeout_s: float,
    now_s: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    phases: Mapping[str, str] = PHASES,
) -> dict[str, Any]:
    """Follow a drill to its end; tell each phase as it begins, and every few seconds that it continues."""
    deadline_s = now_s() + timeout_s
    state, began_s, told_s = "", 0.0, 0.0
    while True:
        if found["state"] != state:
            state, began_s, told_s = found["state"], now_s(), now_s()
            tell(f"  {state}{': ' + phases[state] if state in phases else ''}")
        elif now_s() - told_s >= TELL_S:
            told_s = now_s()
            tell(f"  {state} for {told_s - began_s:.0f} s")
        if state in ENDED or now_s() >= deadline_s:
            return found
        sleep(POLL_S)
        found = ask()
