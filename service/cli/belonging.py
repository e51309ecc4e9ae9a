"""Commands about what belongs to the fleet: a host that left Git, a history that was rewritten."""

from typing import Annotated

from cyclopts import App, Parameter

from service.cli.output import tell

Why = Annotated[str, Parameter(help="Why; it is kept in the history.")]

host_app = App(name="host", help="Hosts that left Git.")
source_app = App(name="source", help="The repository that the service follows.")


@host_app.command
def forget(host: str, /, *, reason: Why = "") -> int:
    """Remove all records of a host that left Git, but for its events. Nothing on the host is touched.

    Exit codes: 0 removed, 1 the host is in Git, or there is none of this name.

    Parameters
    ----------
    host
        A host that `passerelle status` shows as Orphaned.
    """
    from service.cli.client import Client

    gone = Client().post(f"hosts/{host}/forget", {"reason": reason})["host"]
    tell(f"{gone}: all records are removed, but for its events")
    return 0


@source_app.command
def accept(commit: str, /, *, reason: Why) -> int:
    """Follow the branch although its history was rewritten, from this commit on.

    `passerelle status` shows the commit. What Git wants then is compared with the hosts as after any other push.
    Exit codes: 0 accepted, 1 the history was not rewritten, or the branch is at another commit by now.

    Parameters
    ----------
    commit
        The commit at which the branch is now: at least the first 10 characters.
    """
    from service.cli.client import Client

    found = Client().post("source/accept", {"commit": commit, "reason": reason})["commit"]
    tell(f"the history from {found[:10]} on is accepted; the service fetches it now")
    return 0
