"""`passerelle apply`: tell the service to apply a host's plan, and watch it."""

import time
from collections.abc import Mapping
from typing import Annotated, Any

from cyclopts import Parameter

from service.cli.output import Format, complain, show_json, tell

Output = Annotated[Format, Parameter(name=["--output", "-o"])]
POLL_S = 0.5
EXITS = {"Succeeded": 0, "RolledBack": 3, "RollbackFailed": 3}


def apply(
    host: str,
    /,
    *,
    digest: str | None = None,
    yes: Annotated[bool, Parameter(negative="")] = False,
    wait: bool = True,
    timeout: float = 3700,
    output: Output = "table",
) -> int:
    """Apply the plan of one host and watch it to its end.

    What is applied is the plan with the digest given, or the one shown and confirmed. Exit codes: 0 applied and
    confirmed, or nothing to do; 1 failed or refused, 3 rolled back, 4 host unreachable, 5 the plan is stale.

    Parameters
    ----------
    host
        The host.
    digest
        The plan that was agreed to; asked for on a terminal if not given.
    yes
        Apply whatever the plan is now, without a question.
    wait
        --no-wait: return as soon as the apply is asked for.
    timeout
        Seconds to watch at the most.
    output
        table for people, json for programs.
    """
    import secrets

    from service.cli.client import ApiError, Client

    client = Client()
    try:
        if digest is None:
            plan = client.get(f"hosts/{host}/plan")
            if not any(plan["body"][name] for name in ("steps", "packages", "refusals")):
                tell(f"{host}: no changes")
                return 0
            if not (digest := agreed(plan, host, yes=yes)):
                return 1
        started = client.post("applies", {"host": host, "digest": digest}, key=secrets.token_hex(16))
    except ApiError as error:
        complain(error.what, error.hint or f"see `passerelle plan {host}`")
        return 5 if error.status == 409 else 1
    if not wait:
        show_json(started) if output == "json" else tell(f"asked for: {started['id']}")
        return 0
    ended = watch(client, str(started["id"]), timeout)
    if output == "json":
        show_json(ended)
    if ended["phase"] not in EXITS:
        complain(f"{host}: {ended['phase']}: {ended['error'] or ended['cause']}")
        return 4 if ended["cause"] == "unreachable" else 1
    tell(f"{host}: {ended['phase']}{': ' + ended['error'] if ended['error'] else ''}")
    return EXITS[ended["phase"]]


def agreed(plan: Mapping[str, Any], host: str, *, yes: bool) -> str:
    """The digest of a plan, after a person saw it; empty where they said no."""
    import sys

    from service.cli.plan import as_text

    if yes:
        return str(plan["digest"])
    tell(as_text(plan["body"]))
    if not sys.stdin.isatty():
        complain("nobody can be asked here", "give --digest, or --yes")
        return ""
    answer = input(f"apply {plan['digest'][:19]} to {host}? [y/N] ")
    return str(plan["digest"]) if answer.strip().lower() in ("y", "yes") else ""


def watch(client: Any, apply_id: str, timeout_s: float) -> dict[str, Any]:
    """Follow an apply and tell each step as it moves."""
    deadline = time.monotonic() + timeout_s
    told: dict[int, str] = {}
    phase = ""
    while True:
        found: dict[str, Any] = client.get(f"applies/{apply_id}")
        if found["phase"] != phase:
            phase = found["phase"]
            tell(f"  {phase}")
        for step in found["steps"]:
            if step["state"] not in ("pending", told.get(step["position"])):
                told[step["position"]] = step["state"]
                tell(f"  {step['state']:>8}  {step['fact']}  {step['why']}  {step['error']}".rstrip())
        if found["ended_at"] or time.monotonic() > deadline:
            return found
        time.sleep(POLL_S)
