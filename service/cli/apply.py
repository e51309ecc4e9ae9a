"""`passerelle apply`: tell the service to apply a host's plan, and watch it."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from service.cli.output import Format, complain, show_json, tell

if TYPE_CHECKING:
    from service.cli.client import ApiError

Output = Annotated[Format, Parameter(name=["--output", "-o"])]
POLL_S = 0.5
DIGEST_SHOWN = len("sha256:") + 12
STALE = 5
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
    """Show the plan of a host, ask for your approval, apply it, and wait for the end.

    Without --digest and --yes the command needs a terminal to ask. It applies only the plan that you approved.
    Exit codes: 0 applied and confirmed, or nothing to do; 1 failed, rejected or not approved; 3 rolled back;
    4 host unreachable; 5 the plan has changed.

    Parameters
    ----------
    host
        The host.
    digest
        The digest of the approved plan, as `passerelle plan` shows it: all of it, or at least the first 12 digits.
    yes
        Apply the current plan without asking.
    wait
        --no-wait: return at once, and do not wait for the end.
    timeout
        Longest time to wait, in seconds.
    output
        table for people, json for programs.
    """
    import secrets

    from service.cli.client import ApiError, Client
    from service.model.digests import digest_prefix

    try:
        given = None if digest is None else digest_prefix(digest)
    except ValueError as error:
        complain(f"--digest: {error}")
        return 1
    client = Client()
    try:
        if given is None:
            plan = client.get(f"hosts/{host}/plan")
            if (code := agreed(plan, yes=yes)) is not None:
                return code
            given = plan["digest"]
        started = client.post("applies", {"host": host, "digest": given}, key=secrets.token_hex(16))
    except ApiError as error:
        return _not_started(host, error)
    if not wait:
        show_json(started) if output == "json" else tell(f"requested: {started['id']}")
        return 0
    try:
        found = watch(client, str(started["id"]), timeout)
    except KeyboardInterrupt:
        complain(f"{host}: the apply continues without this command", f"see `passerelle history {started['id']}`")
        raise
    return ended(found, as_json=output == "json")


def _not_started(host: str, error: "ApiError") -> int:
    """The exit code of an apply that the service did not take."""
    complain(error.what, error.hint or f"see `passerelle plan {host}`")
    if error.status < 500:
        tell(f"{host}: nothing was applied")
    return STALE if error.problem.get("code") == "plan-stale" else error.exit_code


def ended(found: Mapping[str, Any], *, as_json: bool) -> int:
    """The exit code of an apply in its present state. If it failed, that is reported with the next step."""
    host, phase, why = found["host"], found["phase"], found["error"] or found["cause"]
    if as_json:
        show_json(found)
    see = f"see `passerelle history {found['id']}`"
    if not found["ended_at"]:
        complain(f"{host}: the apply continues ({phase}), and this command stops waiting", see)
        return 1
    if phase not in EXITS:
        complain(f"{host}: {phase}{f': {why}' if why else ''}", see)
        return 4 if found["cause"] == "unreachable" else 1
    tell(f"{host}: {phase}{f': {why}' if why else ''}")
    return EXITS[phase]


def agreed(plan: Mapping[str, Any], *, yes: bool) -> int | None:
    """Show a plan and ask: None where it is agreed to, else the exit code."""
    import sys

    from service.cli.plan_text import is_empty, show_plan

    host, body = plan["host"], plan["body"]
    show_plan(plan, sys.stderr)
    if is_empty(body):
        return 0
    if body["refusals"]:
        complain(f"the plan of {host} is refused; nothing was applied", "follow `Fix:` above")
        return 1
    if yes:
        return None
    if not sys.stdin.isatty():
        complain("no terminal to ask on; nothing was applied", "give --digest DIGEST, or --yes")
        return 1
    try:
        if is_yes(f"apply this plan ({plan['digest'][:DIGEST_SHOWN]}) to {host}? [y/N] "):
            return None
    except KeyboardInterrupt:
        print(file=sys.stderr)
        tell(f"{host}: nothing was applied")
        raise
    tell(f"{host}: nothing was applied")
    return 1


def is_yes(question: str) -> bool:
    """Whether a person at the terminal says yes. The end of the input is a no."""
    import sys

    print(question, end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        print(file=sys.stderr)
    return answer.strip().lower() in ("y", "yes")


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
