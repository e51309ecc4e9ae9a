"""`passerelle receiver`: webhooks by which a forge reports a push. Works on the state directory."""

from typing import Annotated

from cyclopts import App, Parameter

from service.cli.token import Output, StateDir
from service.model.access import ReceiverType

receiver = App(name="receiver", help="Create, list and remove webhook receivers in the service's state folder.")


@receiver.command(name="add")
def add(
    name: str,
    /,
    *,
    type_: Annotated[ReceiverType, Parameter(name="--type")],
    state_dir: StateDir = None,
    output: Output = "table",
) -> int:
    """Create a receiver and print its secret for the forge. It cannot be shown again.

    Parameters
    ----------
    name
        The last part of its address, /hooks/NAME: small letters, digits, . - _.
    type_
        github: X-Hub-Signature-256; generic: X-Signature: sha256=<hex>.
    state_dir
        The service's state directory. Without it, PASSERELLE_STATE_DIR, or what the service's environment file says.
    output
        table or json.
    """
    from service.cli.output import show_json, tell
    from service.cli.state import local_user, open_state
    from service.clock import SystemClock

    with open_state(state_dir) as history:
        secret = history.store.add_receiver(name, type_, by=local_user(), at=SystemClock().now())
    path = f"/hooks/{name}"
    if output == "json":
        show_json({"name": name, "type": type_, "path": path, "secret": secret})
    else:
        print(secret)
        tell(f"POST {path} with this secret; it is not shown again")
    return 0


@receiver.command(name="list")
def list_receivers(*, state_dir: StateDir = None, output: Output = "table") -> int:
    """List every receiver, without secrets.

    Parameters
    ----------
    state_dir
        The service's state directory. Without it, PASSERELLE_STATE_DIR, or what the service's environment file says.
    output
        table or json.
    """
    from dataclasses import asdict

    from service.cli.output import show_json, show_table
    from service.cli.state import open_state

    with open_state(state_dir) as history:
        found = history.queries.receivers()
    if output == "json":
        show_json([asdict(one) for one in found])
        return 0
    show_table(
        ["name", "type", "created"],
        [{"name": r.name, "type": r.type, "created": r.created_at.isoformat(timespec="seconds")} for r in found],
        empty="no receivers. Create one with `passerelle receiver add`",
    )
    return 0


@receiver.command(name="remove")
def remove(name: str, /, *, state_dir: StateDir = None) -> int:
    """Take no more calls for this receiver.

    Parameters
    ----------
    name
        Its name.
    state_dir
        The service's state directory. Without it, PASSERELLE_STATE_DIR, or what the service's environment file says.
    """
    from service.cli.output import complain, tell
    from service.cli.state import local_user, open_state
    from service.clock import SystemClock

    with open_state(state_dir) as history:
        is_done = history.store.remove_receiver(name, by=local_user(), at=SystemClock().now())
    if not is_done:
        complain(f"no receiver {name}", "see `passerelle receiver list`")
        return 1
    tell(f"receiver {name} is gone")
    return 0
