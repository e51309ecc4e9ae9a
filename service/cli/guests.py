"""Commands about the guests behind a host: who is who, how full the pools are, a lease made a line of the spec."""

from typing import Annotated

from cyclopts import Parameter

from service.cli.known import doubt
from service.cli.output import Format, complain, printable, show_json, show_table
from service.cli.reading import tell_seen

Output = Annotated[Format, Parameter(name=["--output", "-o"])]


def guests(host: str, /, *, output: Output = "table") -> int:
    """Show the guests of a host: declared, silent and unknown ones, and names that two guests claim.

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
