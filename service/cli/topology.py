"""The command about what is on a host and behind it: nested lists, data, or a picture."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from service.cli.exit_codes import UNREACHABLE
from service.cli.known import doubt
from service.cli.output import printable, show_json

Form = Literal["text", "json", "svg"]


def topology(
    host: str, /, *, output: Annotated[Form, Parameter(name=["--output", "-o"])] = "text", width: int | None = None
) -> int:
    """Show what is on a host and behind it: uplinks, bridges, guests, forwards, sites, and what of them has drifted.

    Exit codes: 0; 1 error; 4 the host is unreachable, or was not compared with what Git wants now. What is not known is
    shown as not known.

    Parameters
    ----------
    host
        The host.
    output
        text for nested lists, json for programs, svg for a picture.
    width
        Width of the picture in pixels, 320 to 2400. Default: 1080.
    """
    from service.cli.client import Client

    client = Client()
    if output == "svg":
        print(client.picture(f"hosts/{host}/topology.svg", width=width))
        return doubt(client, host)
    found = client.get(f"hosts/{host}/topology")
    if output == "json":
        show_json(found)
    else:
        for line in lines_of(found["outline"]):
            print(printable(line))
    return doubt(client, host) or (UNREACHABLE if found["unknown"] else 0)


def lines_of(item: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    """An outline as lines: two blanks and a dash for each level below the first."""
    yield f"{'  ' * (depth - 1)}- {item['text']}" if depth else str(item["text"])
    for one in item["items"]:
        yield from lines_of(one, depth + 1)
