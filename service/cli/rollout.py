"""`passerelle rollout`: how far a revision is on its way to the hosts; halt it, let it continue, abort it."""

from typing import Annotated, Any

from cyclopts import App, Parameter

from service.cli.output import Format, show_json, show_table, tell

Output = Annotated[Format, Parameter(name=["--output", "-o"])]
Why = Annotated[str, Parameter(help="Why; it is kept in the history.")]
COLUMNS = ["id", "commit", "state", "wave", "hosts", "done", "failed", "pending", "aside", "why"]

rollout = App(name="rollout", help="Revisions on their way to many hosts, in waves.")


@rollout.command(name="list")
def list_(*, limit: int = 20, output: Output = "table") -> int:
    """Show rollouts, the newest first.

    Parameters
    ----------
    limit
        How many at the most, up to 50.
    output
        table for people, json for programs.
    """
    from service.cli.client import Client

    found = Client().get("rollouts", limit=str(limit))["items"]
    if output == "json":
        show_json(found)
    else:
        show_table(COLUMNS, [_row(one) for one in found], empty="no rollout was recorded")
    return 0


@rollout.command(name="show")
def show(rollout_id: str, /, *, output: Output = "table") -> int:
    """Show one rollout and what has become of its hosts. Exit code 0 where it is running or done, else 1.

    Parameters
    ----------
    rollout_id
        Its id, as in `passerelle rollout list`.
    output
        table for people, json for programs.
    """
    from service.cli.client import Client

    client = Client()
    found = client.get(f"rollouts/{rollout_id}")
    hosts: list[dict[str, Any]] = []
    words = {"limit": "200"}
    while True:
        page = client.get(f"rollouts/{rollout_id}/hosts", **words)
        hosts += page["items"]
        if not page["next_cursor"]:
            break
        words["cursor"] = page["next_cursor"]
    if output == "json":
        show_json({**found, "members": hosts})
    else:
        show_table(COLUMNS, [_row(found)], empty="")
        show_table(["host", "state", "wave", "ended_at", "aside", "error"], hosts, empty="it has no host")
    return 0 if found["state"] in ("running", "done") else 1


@rollout.command(name="halt")
def halt(rollout_id: str, /, *, reason: Why) -> int:
    """Begin no further host. Changes that are under way come to their end.

    Parameters
    ----------
    rollout_id
        Its id, as in `passerelle rollout list`.
    """
    return _move(rollout_id, "halt", reason)


@rollout.command(name="resume")
def resume(rollout_id: str, /, *, reason: Why) -> int:
    """Continue with a rollout that is halted. One that waits because it is large is approved by it.

    Needs a token of scope approve.

    Parameters
    ----------
    rollout_id
        Its id, as in `passerelle rollout list`.
    """
    return _move(rollout_id, "resume", reason)


@rollout.command(name="abort")
def abort(rollout_id: str, /, *, reason: Why) -> int:
    """Give it to no further host, until Git wants something else. Hosts that have it keep it.

    Needs a token of scope approve.

    Parameters
    ----------
    rollout_id
        Its id, as in `passerelle rollout list`.
    """
    return _move(rollout_id, "abort", reason)


def _move(rollout_id: str, verb: str, reason: str) -> int:
    from service.cli.client import Client

    found = Client().post(f"rollouts/{rollout_id}/{verb}", {"reason": reason})
    tell(f"rollout {found['id']} is {found['state']}: {found['done']} of {found['hosts']} hosts have it")
    return 0


def _row(found: dict[str, Any]) -> dict[str, Any]:
    return {**found, "commit": found["commit"][:10], "wave": f"{found['wave']} of {found['waves']}"}
