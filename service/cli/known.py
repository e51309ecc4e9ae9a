"""What a command says of a host that was not looked at lately."""

from typing import TYPE_CHECKING

from service.cli.exit_codes import UNREACHABLE
from service.cli.output import complain
from service.cli.times import age

if TYPE_CHECKING:
    from service.cli.client import Client


def doubt(client: "Client", host: str) -> int:
    """0 where the last look reached and compared the host. Else the exit code, after saying how old the answer is."""
    found = client.get(f"hosts/{host}")
    if found["reachability"] == "Reachable" and found["sync"] != "Unknown":
        return 0
    seen = f"was last seen {age(found['observed_at'])}" if found["observed_at"] else "was never seen"
    why = found["message"] or found["reachability"]
    complain(f"{host} {seen}, and may differ by now: {why}", f"`passerelle status {host}` shows more")
    return UNREACHABLE
