"""`passerelle notices`: who is informed of what happens. On the service's own machine."""

from typing import TYPE_CHECKING, Any

from cyclopts import App

from service.cli.token import Output, StateDir

if TYPE_CHECKING:
    from service.history import History
    from service.model.states import Json
    from service.notices.channel import Channel
    from service.settings import Settings

notices = App(name="notices", help="Send a notice as a test, and show whether notices are taken.")
COLUMNS = ("channel", "waiting", "sent", "last sent", "failed", "last failed", "dropped", "error")


@notices.command(name="test")
def test(*, state_dir: StateDir = None) -> int:
    """Send one notice now by each way that is set. It says that it is a test.

    Exit codes: 0 all were taken, 1 one was not.

    Parameters
    ----------
    state_dir
        The service's state directory. Without it, PASSERELLE_STATE_DIR, or what the service's environment file says.
    """
    import secrets

    from service.cli.output import complain, tell
    from service.clock import SystemClock
    from service.errors import InputError
    from service.notices.channel import NoticeError
    from service.notices.channels import channels_of

    settings = _settings(state_dir)
    at = SystemClock().now()
    text = "a test of the notices of passerelle"
    body: dict[str, Json] = {"type": "test", "timestamp": at.isoformat(), "data": {"text": text}}
    channels = channels_of(settings.notices)
    if not channels:
        raise InputError("nobody is informed of events", hint="set PASSERELLE_NOTICE_URL or PASSERELLE_NOTICE_SMTP")
    is_well = True
    for channel in channels:
        try:
            remark = channel.send(f"{settings.controller}_test_{secrets.token_hex(8)}", at, body)
        except NoticeError as error:
            remark = error.what
        else:
            tell(f"{channel.where} has taken the notice")
        if remark:
            is_well = False
            complain(remark)
    return 0 if is_well else 1


@notices.command(name="show")
def show(*, state_dir: StateDir = None, output: Output = "table") -> int:
    """Show for each way how many notices were sent and wait, when, and what was wrong with the last attempt.

    Exit codes: 0 nothing was wrong, 1 something was.

    Parameters
    ----------
    state_dir
        The service's state directory. Without it, PASSERELLE_STATE_DIR, or what the service's environment file says.
    output
        table or json.
    """
    from service.cli.output import show_json, show_table
    from service.cli.state import open_state
    from service.notices.channels import channels_of

    settings = _settings(state_dir)
    with open_state(state_dir) as history:
        rows = rows_of(settings, channels_of(settings.notices), history)
    if output == "json":
        show_json(rows)
    else:
        empty = "nobody is informed of events: neither PASSERELLE_NOTICE_URL nor PASSERELLE_NOTICE_SMTP is set"
        show_table(COLUMNS, rows, empty=empty)
    return 1 if any(row["error"] for row in rows) else 0


def rows_of(settings: "Settings", channels: "list[Channel]", history: "History") -> list[dict[str, Any]]:
    """One row for each way that is set."""
    from service.clock import SystemClock
    from service.model.notices import NoticeStanding

    rows = []
    for channel in channels:
        now = SystemClock().now()
        found = history.queries.notice_state(channel.name, now, hold_s=settings.notice_hold_s)
        standing, due = found or (NoticeStanding(), 0)
        rows.append(
            {
                "channel": channel.name, "where": channel.where, "waiting": due, "sent": standing.sent,
                "last sent": standing.sent_at or "never", "failed": standing.failed,
                "last failed": standing.failed_at or "never", "dropped": standing.dropped, "error": standing.error,
            }
        )  # fmt: skip
    return rows


def _settings(state_dir: StateDir) -> "Settings":
    from service.settings import read_settings, settings_beside

    return settings_beside() if state_dir is None else read_settings(state_dir=state_dir)
