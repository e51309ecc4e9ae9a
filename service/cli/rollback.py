"""`passerelle rollback`: bring a host to an earlier state, and hold it there."""

from typing import Annotated

from cyclopts import Parameter

from service.cli.output import Format, complain, tell

Output = Annotated[Format, Parameter(name=["--output", "-o"])]


def rollback(
    host: str,
    /,
    *,
    to: str,
    reason: str = "",
    patch: Annotated[bool, Parameter(negative="")] = False,
    wait: bool = True,
    timeout: float = 3700,
    output: Output = "table",
) -> int:
    """Bring a host to the state of an earlier apply or commit, and hold it there until Git wants something else of it.

    The apply has the refusals, the steps and the switch of any other. Then the host is suspended with your reason.
    Exit codes: as of `passerelle apply`.

    Parameters
    ----------
    host
        The host.
    to
        The id of an apply that was confirmed (`passerelle history`), or a commit: its name or the beginning of it.
    reason
        Why. Everybody who looks at the host sees it.
    patch
        Change nothing, and print the patch that gives the host's file the text that it had then, for `git apply`.
    wait
        --no-wait: return at once, and do not wait for the end.
    timeout
        Longest time to wait, in seconds.
    output
        table for people, json for programs.
    """
    import secrets

    from service.cli.apply import ended, watch
    from service.cli.client import Client
    from service.cli.output import show_json

    client = Client()
    if patch:
        found = client.get(f"hosts/{host}/rollback/patch", to=to)
        if not found["patch"]:
            tell(f"{found['file']} is as it was then")
        print(found["patch"], end="")
        return 0
    if not reason:
        complain("a rollback needs a reason", "--reason TEXT")
        return 1
    started = client.post(f"hosts/{host}/rollback", {"to": to, "reason": reason}, key=secrets.token_hex(16))
    if not wait:
        show_json(started) if output == "json" else tell(f"requested: {started['id']}")
        return 0
    code = ended(watch(client, str(started["id"]), timeout), as_json=output == "json")
    tell(
        f"{host} is held until Git wants something else of it, or until `passerelle resume {host}`. "
        f"`passerelle rollback {host} --to {to} --patch` prints the patch"
    )
    return code
