"""`passerelle rollback`: bring a host to an earlier state, and hold it there."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from service.cli.output import Format, complain, tell

if TYPE_CHECKING:
    from service.cli.client import Client

Output = Annotated[Format, Parameter(name=["--output", "-o"])]


def rollback(
    host: str,
    /,
    *,
    to: str,
    reason: str = "",
    digest: str | None = None,
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
    digest
        Go back only by the plan of this digest: all of it, or at least its first 12 digits. `passerelle plan HOST
        --revision COMMIT` shows it. Without it the host goes back by the plan that is made when its turn comes.
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
        return _patch(client, host, to)
    if (asked := _asked(to, reason, digest)) is None:
        return 1
    started = client.post(f"hosts/{host}/rollback", asked, key=secrets.token_hex(16))
    if not wait:
        show_json(started) if output == "json" else tell(f"requested: {started['id']}")
        return 0
    code = ended(watch(client, str(started["id"]), timeout), as_json=output == "json")
    _tell_what_holds(host, to)
    return code


def _asked(to: str, reason: str, digest: str | None) -> dict[str, str] | None:
    """The request; None if it is incomplete or wrong: then a message says why."""
    from service.model.digests import digest_prefix

    if not reason:
        complain("a rollback needs a reason", "--reason TEXT")
        return None
    try:
        return {"to": to, "reason": reason} | ({} if digest is None else {"digest": digest_prefix(digest)})
    except ValueError as error:
        complain(f"--digest: {error}")
        return None


def _tell_what_holds(host: str, to: str) -> None:
    tell(
        f"{host} is held until Git wants something else of it, or until `passerelle resume {host}`. "
        f"`passerelle rollback {host} --to {to} --patch` prints the patch"
    )


def _patch(client: "Client", host: str, to: str) -> int:
    """Print the patch to that state."""
    found = client.get(f"hosts/{host}/rollback/patch", to=to)
    if not found["patch"]:
        tell(f"{found['file']} is as it was then")
    print(found["patch"], end="")
    return 0
