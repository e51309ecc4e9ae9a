"""`passerelle notices`: who is informed of what happens. On the service's own machine."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from cyclopts import App

from service.cli.token import Output, StateDir

if TYPE_CHECKING:
    from service.model.states import Json
    from service.settings import Settings

notices = App(name="notices", help="Send a notice as a test, and show whether notices are taken.")


@notices.command(name="test")
def test(*, state_dir: StateDir = None) -> int:
    """Send one notice to PASSERELLE_NOTICE_URL now, signed as all are. It says that it is a test.

    Exit codes: 0 it was taken, 1 it was not.

    Parameters
    ----------
    state_dir
        The service's state directory. Without it, PASSERELLE_STATE_DIR, or what the service's environment file says.
    """
    import secrets

    from service.cli.output import tell
    from service.clock import SystemClock
    from service.errors import InputError
    from service.notices.webhook import Webhook

    settings = _settings(state_dir)
    secret = settings.notice_secret
    if secret is None:
        raise InputError(
            "nobody is informed of events", hint="set PASSERELLE_NOTICE_URL and PASSERELLE_NOTICE_SECRET_FILE"
        )
    at = SystemClock().now()
    hook = Webhook(settings.notice_url, secret)
    body: dict[str, Json] = {
        "type": "test",
        "timestamp": at.isoformat(),
        "data": {"text": "a test of the notices of passerelle"},
    }
    hook.send(f"{settings.controller}_test_{secrets.token_hex(8)}", at, body)
    tell(f"{hook.host} has taken the notice")
    return 0


@notices.command(name="show")
def show(*, state_dir: StateDir = None, output: Output = "table") -> int:
    """Show how many notices were sent, how many attempts failed, and why the last one did.

    Parameters
    ----------
    state_dir
        The service's state directory. Without it, PASSERELLE_STATE_DIR, or what the service's environment file says.
    output
        table or json.
    """
    from service.cli.output import show_json, show_table
    from service.cli.state import open_state

    with open_state(state_dir) as history:
        found = history.queries.notices("webhook")
        waiting = 0 if found is None else history.queries.newest_event_id() - found.after
    if found is None:
        show_table([], [], empty="no notice was ever due: PASSERELLE_NOTICE_URL is not set, or the service did not run")
        return 0
    row = {**asdict(found), "later events": waiting}
    if output == "json":
        show_json(row)
    else:
        show_table(["sent", "failed", "dropped", "later events", "error"], [row], empty="")
    return 1 if found.error else 0


def _settings(state_dir: StateDir) -> "Settings":
    from service.settings import read_settings, settings_beside

    return settings_beside() if state_dir is None else read_settings(state_dir=state_dir)
