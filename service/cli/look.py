"""`passerelle look`: have a host looked at now, and follow what comes of it."""

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any

from cyclopts import Parameter

from service.cli.known import fix_of
from service.cli.output import Format, complain, show_json, tell

Output = Annotated[Format, Parameter(name=["--output", "-o"])]
Host = Mapping[str, Any]
TOLD = ("reachability", "sync", "reason", "phase")


def look(host: str, /, *, wait: bool = True, timeout: float = 300, output: Output = "table") -> int:
    """Have a host looked at now, compared with what Git wants, and let its `sync` mode do what it allows.

    Waits until that is over, and an apply that follows from it, too. Exit codes: 0 the host is in sync, or --no-wait;
    1 it differs, or the look did not end in time; 3 rolled back; 4 the host is unreachable.

    Parameters
    ----------
    host
        The host.
    wait
        --no-wait: return at once, and do not wait for the end.
    timeout
        Longest time to wait, in seconds.
    output
        table for people, json for programs: the host's status at the end.
    """
    from service.cli.client import Client

    client = Client()
    before = client.get(f"hosts/{host}")
    asked = client.post(f"hosts/{host}/reconcile")
    if not wait:
        show_json(asked) if output == "json" else tell(f"{host} is looked at now; see `passerelle status {host}`")
        return 0
    news: tuple[str, Host] = ("", before)

    def ask(wait_s: float) -> Host:
        nonlocal news
        tag, last = news
        found, tag = client.news(f"hosts/{host}", tag, wait_s, known=last)
        news = (tag, found)
        return dict(found)

    found = watch(asked["at"], ask, timeout)
    if output == "json":
        show_json(found)
    return told_end(asked["at"], before, found)


def told_end(asked_at: str, before: Host, found: Host) -> int:
    """The exit code; what is not as Git wants it is reported with its reason."""
    host = found["host"]
    see = f"see `passerelle status {host}` and `passerelle plan {host}`"
    if not has_ended(asked_at, found):
        complain(f"the look at {host} did not end in time", see)
        return 1
    if found["reachability"] != "Reachable":
        complain(f"{host} is {found['reachability']}: {found['message']}", fix_of(found))
        return 4
    if found["sync"] == "Synced":
        tell(f"{host} is as Git wants it")
        return 0
    complain(f"{host} is {found['sync']}: {found['message'] or found['reason']}", see)
    is_undone = found["phase"] in ("RolledBack", "RollbackFailed") and found["apply_id"] != before["apply_id"]
    return 3 if is_undone else 1


def has_ended(asked_at: str, now: Host) -> bool:
    """Whether a look that began after it was requested is over, and nothing that came of it is under way."""
    if now["tried_at"] is None or datetime.fromisoformat(now["tried_at"]) < datetime.fromisoformat(asked_at):
        return False
    return bool(now["health"] != "Progressing")


def watch(
    asked_at: str,
    ask: Callable[[float], Host],
    timeout_s: float,
    now_s: Callable[[], float] = time.monotonic,
) -> Host:
    """Follow a host until the look has ended; tell what changes. `ask` answers when the status is another one, or after
    so many seconds."""
    deadline_s, told = now_s() + timeout_s, ""
    while True:
        found = ask(max(0.0, deadline_s - now_s()))
        is_over = has_ended(asked_at, found)
        number = found["drift_items"]
        line = "  ".join([str(found[name]) for name in TOLD if found[name]])
        line += "" if number is None else f"  {number} difference{'s' * (number != 1)}"
        if line != told and (is_over or found["health"] == "Progressing"):
            told = line
            tell(f"  {line}")
        if is_over or now_s() >= deadline_s:
            return found
