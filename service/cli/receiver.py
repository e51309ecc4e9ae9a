"""`passerelle receiver`: webhooks by which a forge reports a push. Works on the state directory."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from service.cli.token import Output, StateDir
from service.model.access import DeliveryOutcome, ReceiverType

receiver = App(name="receiver", help="Create, rotate, suspend and remove webhook receivers, and see who called.")

SecretFile = Annotated[Path | None, Parameter(name="--secret-file")]


@receiver.command(name="add")
def add(
    name: str,
    /,
    *,
    type_: Annotated[ReceiverType, Parameter(name="--type")],
    branch: Annotated[list[str] | None, Parameter(show_default=False, negative="")] = None,
    event: Annotated[list[str] | None, Parameter(show_default=False, negative="")] = None,
    secret_file: SecretFile = None,
    state_dir: StateDir = None,
    output: Output = "table",
) -> int:
    """Create a receiver and print its secret for the forge. It cannot be shown again.

    Parameters
    ----------
    name
        The last part of its address, /hooks/NAME: small letters, digits, . - _.
    type_
        The kind of forge. generic: whoever sends X-Signature: sha256=<hex>, the HMAC-SHA256 of the body.
    branch
        Obey pushes to this branch only; repeat it for several. Without it, the branch that the service follows.
    event
        Obey these events, as the forge names them, and no others. Without it, pushes.
    secret_file
        Use the secret in this file (- for standard input) instead of a new one.
    state_dir
        The service's state directory. Without it, PASSERELLE_STATE_DIR, or what the service's environment file says.
    output
        table or json.
    """
    from service.cli.state import local_user, open_state
    from service.clock import SystemClock

    given = _given(secret_file)
    with open_state(state_dir) as history:
        secret = history.store.add_receiver(
            name, type_, by=local_user(), at=SystemClock().now(), secret=given, events=event or (),
            branches=branch or (),
        )  # fmt: skip
    _show_secret(name, type_, secret, output, is_given=given is not None)
    return 0


@receiver.command(name="rotate")
def rotate(
    name: str,
    /,
    *,
    overlap: str = "1d",
    secret_file: SecretFile = None,
    state_dir: StateDir = None,
    output: Output = "table",
) -> int:
    """Give a receiver a new secret and print it. The old one stays good for a while, so that no call is lost.

    Parameters
    ----------
    name
        Its name.
    overlap
        How long the old secret stays good: 30m, 12h, 7d; 0d if it leaked.
    secret_file
        Use the secret in this file (- for standard input) instead of a new one.
    state_dir
        The service's state directory. Without it, PASSERELLE_STATE_DIR, or what the service's environment file says.
    output
        table or json.
    """
    from service.cli.output import tell
    from service.cli.state import lifetime, local_user, open_state
    from service.clock import SystemClock

    given, kept = _given(secret_file), lifetime(overlap)
    with open_state(state_dir) as history:
        at = SystemClock().now()
        secret = history.store.rotate_receiver(name, by=local_user(), at=at, overlap=kept, secret=given)
        type_ = next(one.type for one in history.queries.receivers() if one.name == name)
    _show_secret(name, type_, secret, output, is_given=given is not None)
    if output != "json":
        until = f"until {(at + kept).isoformat(timespec='seconds')}" if kept else "no more"
        tell(f"the old secret is good {until}")
    return 0


@receiver.command(name="suspend")
def suspend(name: str, /, *, reason: str, state_dir: StateDir = None) -> int:
    """Turn the calls of a receiver away (503) until it is resumed. The service fetches at its interval meanwhile.

    Parameters
    ----------
    name
        Its name.
    reason
        Why, for others who find it so.
    state_dir
        The service's state directory. Without it, PASSERELLE_STATE_DIR, or what the service's environment file says.
    """
    from service.cli.output import tell
    from service.cli.state import local_user, open_state
    from service.clock import SystemClock

    with open_state(state_dir) as history:
        history.store.suspend_receiver(name, reason, by=local_user(), at=SystemClock().now())
    tell(f"receiver {name} is suspended; passerelle receiver resume {name}")
    return 0


@receiver.command(name="resume")
def resume(name: str, /, *, state_dir: StateDir = None) -> int:
    """Take the calls of a suspended receiver again.

    Parameters
    ----------
    name
        Its name.
    state_dir
        The service's state directory. Without it, PASSERELLE_STATE_DIR, or what the service's environment file says.
    """
    from service.cli.output import tell
    from service.cli.state import local_user, open_state
    from service.clock import SystemClock

    with open_state(state_dir) as history:
        is_done = history.store.resume_receiver(name, by=local_user(), at=SystemClock().now())
    tell(f"receiver {name} takes calls again" if is_done else f"receiver {name} was not suspended")
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
    from service.clock import SystemClock

    with open_state(state_dir) as history:
        found = history.queries.receivers()
    if output == "json":
        show_json([asdict(one) for one in found])
        return 0
    now = SystemClock().now()
    rows = [
        {
            "name": one.name,
            "type": one.type,
            "obeys": ", ".join(one.events) or "pushes",
            "branches": ", ".join(one.branches) or "the source's",
            "old secret": one.old_until.isoformat(timespec="seconds") if one.old_until and one.old_until > now else "",
            "suspended": one.suspended,
        }
        for one in found
    ]
    show_table(list(rows[0]) if rows else [], rows, empty="no receivers. Create one with `passerelle receiver add`")
    return 0


@receiver.command(name="deliveries")
def deliveries(
    name: str | None = None,
    /,
    *,
    outcome: DeliveryOutcome | None = None,
    limit: int = 50,
    state_dir: StateDir = None,
    output: Output = "table",
) -> int:
    """List the newest calls and what came of them.

    Parameters
    ----------
    name
        Only those to this receiver.
    outcome
        Only those of which this came.
    limit
        At most so many, 1 to 10000.
    state_dir
        The service's state directory. Without it, PASSERELLE_STATE_DIR, or what the service's environment file says.
    output
        table or json.
    """
    from dataclasses import asdict

    from service.cli.output import show_json, show_table
    from service.cli.state import open_state
    from service.errors import InputError
    from service.model.listings import DeliveryListing

    if not 1 <= limit <= 10_000:
        raise InputError("--limit is 1 to 10000")
    asked = DeliveryListing(limit=limit, receiver=name or "", outcome=outcome or "")
    with open_state(state_dir) as history:
        found = history.queries.deliveries(asked).items
    if output == "json":
        show_json([asdict(one) for one in found])
        return 0
    rows = [
        {
            "at": one.at.isoformat(timespec="seconds"),
            "receiver": one.receiver,
            "event": one.event,
            "branch": one.branch,
            "outcome": one.outcome + (f", again {one.repeats}×" if one.repeats else ""),
            "message": one.message,
        }
        for one in found
    ]
    show_table(list(rows[0]) if rows else [], rows, empty="no calls were recorded")
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


def _given(path: Path | None) -> str | None:
    """The secret in a file, None where no file is named. InputError where it cannot be read."""
    import sys

    from service.errors import InputError

    if path is None:
        return None
    try:
        text = sys.stdin.read(4096) if str(path) == "-" else path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the secret in {path} cannot be read: {error}", hint="name a readable text file") from None
    return text.strip()


def _show_secret(name: str, type_: ReceiverType, secret: str, output: Output, *, is_given: bool) -> None:
    """Print a secret that was made; one that was given is known."""
    from service.cli.output import show_json, tell

    path = f"/hooks/{name}"
    if output == "json":
        show_json({"name": name, "type": type_, "path": path, **({} if is_given else {"secret": secret})})
        return
    if not is_given:
        print(secret)
    tell(f"POST {path} with {'the given' if is_given else 'this'} secret; it is not shown again")
    if type_ == "gitlab" and secret.startswith("whsec_"):
        tell("in GitLab it is the signing token; only where GitLab has no such field, the secret token")
