"""What a command says of a host that was not looked at lately."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from service.cli.exit_codes import UNREACHABLE
from service.cli.output import complain
from service.cli.times import age

if TYPE_CHECKING:
    from service.cli.client import Client


def fix_of(found: Mapping[str, Any]) -> str:
    """What to do about a host that the last look did not reach, by its status: the same as `plan` says."""
    from service.answers.known import FIXES

    by_cause: Mapping[str, str] = {**FIXES}
    return by_cause.get(found["reachability"], f"see `passerelle status {found['host']}`")


def doubt(client: "Client", host: str) -> int:
    """0 where the last look reached and compared the host. Else the exit code, after saying how old the answer is."""
    found = client.get(f"hosts/{host}")
    if found["reachability"] == "Reachable" and found["sync"] != "Unknown":
        return 0
    seen = f"was last seen {age(found['observed_at'])}" if found["observed_at"] else "was never seen"
    why = found["message"] or found["reachability"]
    complain(f"{host} {seen}, and may differ by now: {why}", fix_of(found))
    return UNREACHABLE
