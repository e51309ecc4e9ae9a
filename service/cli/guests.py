"""Commands about the guests behind a host: who is who, how full the pools are, a lease made a line of the spec."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from service.cli.exit_codes import UNREACHABLE
from service.cli.known import doubt
from service.cli.output import Format, TableFormat, complain, printable, show_csv, show_json, show_table, tell
from service.cli.reading import tell_seen
from service.cli.times import with_zone
from service.model.guest_lines import LineKind, LineSort

if TYPE_CHECKING:
    from service.cli.client import Client

Output = Annotated[Format, Parameter(name=["--output", "-o"])]


COLUMNS = ["ip", "name", "kind", "host", "bridge", "mac", "reserved", "expires_at", "last_seen", "file", "line", "text"]


def guests(
    host: str | None = None,
    /,
    *,
    bridge: str | None = None,
    name: str | None = None,
    mac: str | None = None,
    ip: str | None = None,
    kind: LineKind | None = None,
    search: str | None = None,
    conflict: bool | None = None,
    at: str | None = None,
    sort: LineSort | None = None,
    most: int = 1000,
    output: Annotated[TableFormat, Parameter(name=["--output", "-o"])] = "table",
) -> int:
    """Show the guests behind a host, or behind all of them: who has which address, who waits, who is unknown.

    Without a host, or with a filter, each lease is a line, and each guest without one. Exit codes: 0; 1 error; 4 the
    host is unreachable, or was not compared with what Git wants now; without a host, 4 if any was not.

    Parameters
    ----------
    host
        The host. Default: all.
    bridge
        Only addresses in the network of this interface.
    name
        Only this guest name.
    mac
        Only this MAC address.
    ip
        Only this address.
    kind
        fixed, dynamic, foreign, waiting (no lease now), expired, or unknown.
    search
        Words that all have to be in a line.
    conflict
        --conflict: only lines with a conflict; --no-conflict: only those without.
    at
        The leases that were held at this time, as in 2026-11-17T03:00; without a zone it is UTC.
    sort
        The column that lines are sorted by, with - before it the other way round. Default: ip.
    most
        Largest number of lines, at most 10000.
    output
        table for people, json for programs, csv for a spreadsheet.
    """
    from service.cli.client import Client

    client = Client()
    asked: dict[str, str | bool | None] = {
        "bridge": bridge, "name": name, "mac": mac, "ip": ip, "kind": kind, "q": search, "sort": sort,
        "conflict": conflict, "at": when.isoformat() if (when := with_zone(at)) else None,
    }  # fmt: skip
    if host is None or output == "csv" or any(value is not None for value in asked.values()):
        found = client.get("guests", host=host, limit=most, **asked)
        return _lines(found, doubt(client, host) if host else UNREACHABLE if found["not_known"] else 0, output)
    return _of_host(client, host, output)


def _of_host(client: "Client", host: str, output: TableFormat) -> int:
    """The guests of one host with their states, and what is wrong with their names."""
    found = client.get(f"hosts/{host}/guests")
    code = doubt(client, host)
    if output == "json":
        show_json(found)
        return code
    tell_seen(found)
    columns = ["name", "state", "source", "address", "reserved", "mac", "lease_name"]
    show_table(columns, found["items"], empty="nobody is behind this host")
    for finding in found["findings"]:
        complain(f"{finding['rule']}: {finding['text']}")
    return code


def _lines(found: Mapping[str, Any], code: int, output: TableFormat) -> int:
    """The table of the fleet, and what is not in it."""
    if output == "json":
        show_json(found)
        return code
    if output == "csv":
        show_csv(COLUMNS, found["items"])
    else:
        show_table(COLUMNS, found["items"], empty="no such guest")
    if left := found["total"] - len(found["items"]):
        tell(f"{left} more lines fit: --most {found['total']} shows them")
    if found["is_cut"]:
        tell("the service has more leases than it reads for this table")
    if found["not_known"]:
        complain(
            f"not compared with Git, so guests may be missing: {', '.join(found['not_known'])}", "passerelle status"
        )
    return code


def pools(host: str, /, *, output: Output = "table") -> int:
    """Show how full a host's ranges of addresses are.

    Exit codes: 0; 1 error; 4 the host is unreachable, or was not compared with what Git wants now.

    Parameters
    ----------
    host
        The host.
    output
        table for people, json for programs.
    """
    from service.cli.client import Client

    client = Client()
    items = client.get(f"hosts/{host}/pools")["items"]
    code = doubt(client, host)
    if output == "json":
        show_json(items)
    else:
        columns = ["interface", "start", "end", "size", "leased", "reserved", "free"]
        show_table(columns, items, empty="this host gives out no addresses")
    return code


def fix(host: str, address: str, /, *, output: Output = "table") -> int:
    """Print a patch of the host's spec file, for `git apply`, that reserves a leased address for its guest.

    Parameters
    ----------
    host
        The host that gave the lease.
    address
        The leased address.
    output
        table for the patch itself, json for programs.
    """
    from service.cli.client import Client

    found = Client().get(f"hosts/{host}/leases/{address}/patch")
    if output == "json":
        show_json(found)
        return 0
    for line in found["patch"].splitlines():
        print(printable(line))
    return 0
