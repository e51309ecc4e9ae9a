"""What a command says of a host that was not looked at lately."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from service.cli.exit_codes import UNREACHABLE
from service.cli.output import complain
from service.cli.times import age

if TYPE_CHECKING:
    from service.cli.client import Client

MOST_NAMED = 10
"""Hosts that a message names; it counts the others."""


def fix_of(found: Mapping[str, Any]) -> str:
    """What to do about a host that the last look did not reach, by its status: the same as `plan` says."""
    from service.answers.known import FIXES

    see = f"see `passerelle status {found['host']}`"
    return next((fix for cause, fix in FIXES.items() if cause == found["reachability"]), see)


def never_seen(client: "Client") -> int:
    """0 where every host in Git was seen at least once. Else the exit code, after naming the others: what a list of
    seen things says of them is nothing."""
    from service.model.listings import HostListing

    hosts = client.items("hosts", HostListing())
    names = [one["host"] for one in hosts if one["observed_at"] is None and one["reason"] != "Orphaned"]
    if not names:
        return 0
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    complain(
        f"never seen, so nothing is known of them: {', '.join(names[:MOST_NAMED])}{more}",
        f"`passerelle plan {names[0]}` says why",
    )
    return UNREACHABLE


def doubt(client: "Client", host: str) -> int:
    """0 where the last look reached and compared the host. Else the exit code, after saying how old the answer is."""
    found = client.get(f"hosts/{host}")
    if found["reachability"] == "Reachable" and found["sync"] != "Unknown":
        return 0
    seen = f"was last seen {age(found['observed_at'])}" if found["observed_at"] else "was never seen"
    why = found["message"] or found["reachability"]
    complain(f"{host} {seen}, and may differ by now: {why}", fix_of(found))
    return UNREACHABLE
