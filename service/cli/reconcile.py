"""`passerelle reconcile`: have a host looked at now, and follow what becomes of that."""

import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from cyclopts import Parameter

from service.cli.output import Format, complain, show_json, tell

POLL_S = 0.5
Output = Annotated[Format, Parameter(name=["--output", "-o"])]
Host = Mapping[str, Any]
TOLD = ("reachability", "sync", "reason", "phase", "drift_items")


def reconcile(host: str, /, *, wait: bool = True, timeout: float = 300, output: Output = "table") -> int:
    """Have a host looked at now, compared with what Git wants, and let its `sync` mode do what it allows.

    Exit codes: 0 the host is as Git wants it, or nobody waited; 1 it differs, or is waited for in vain; 3 applied but
    rolled back; 4 it cannot be reached.

    Parameters
    ----------
    host
        The host.
    wait
        --no-wait: only ask for it.
    timeout
        Seconds to wait at the most.
    output
        table for people, json for programs: the host's status at the end.
    """
    from service.cli.client import Client

    client = Client()
    before = client.get(f"hosts/{host}")
    client.post(f"hosts/{host}/reconcile")
    if not wait:
        tell(f"{host} is looked at; see `passerelle status {host}`")
        return 0
    found = watch(before, lambda: client.get(f"hosts/{host}"), timeout)
    if output == "json":
        show_json(found)
    return told_end(before, found)


def told_end(before: Host, found: Host) -> int:
    """The exit code; what is not as Git wants it is said with its reason."""
    host = found["host"]
    see = f"see `passerelle status {host}` and `passerelle plan {host}`"
    if not has_ended(before, found):
        complain(f"{host} was not looked at in time", see)
        return 1
    if found["reachability"] != "Reachable":
        complain(f"{host} is {found['reachability']}: {found['message']}", f"passerelle doctor {host}")
        return 4
    if found["sync"] == "Synced":
        tell(f"{host} is as Git wants it")
        return 0
    complain(f"{host} is {found['sync']}: {found['message'] or found['reason']}", see)
    is_undone = found["phase"] in ("RolledBack", "RollbackFailed") and found["apply_id"] != before["apply_id"]
    return 3 if is_undone else 1


def has_ended(before: Host, now: Host) -> bool:
    """Whether what is known of a host is of a later look than before, and nothing is under way on it. A host that
    cannot be reached is not looked at: it is over when that is new, or is said in other words."""
    if now["reachability"] != "Reachable":
        return bool((now["reachability"], now["message"]) != (before["reachability"], before["message"]))
    return bool(now["observed_at"] != before["observed_at"] and now["health"] != "Progressing")


def watch(
    before: Host,
    ask: Callable[[], Host],
    timeout_s: float,
    now_s: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Host:
    """Follow a host until the look has ended; tell what moves."""
    deadline_s, told = now_s() + timeout_s, ""
    while True:
        found = ask()
        line = "  ".join(str(found[name]) for name in TOLD if found[name] != "")
        if line != told and (found["observed_at"] != before["observed_at"] or found["health"] == "Progressing"):
            told = line
            tell(f"  {line} {'difference' if found['drift_items'] == 1 else 'differences'}")
        if has_ended(before, found) or now_s() >= deadline_s:
            return found
        sleep(POLL_S)
