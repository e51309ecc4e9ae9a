"""`passerelle events`: what happened, and what happens."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from service.cli.output import Format, printable, show_json, tell
from service.cli.streamed import followed
from service.model.listings import EventListing

if TYPE_CHECKING:
    from service.cli.client import Client

Output = Annotated[Format, Parameter(name=["--output", "-o"])]
Happened = Mapping[str, Any]


def events(
    host: str | None = None,
    /,
    *,
    kind: Annotated[str | None, Parameter(name="--type")] = None,
    most: int = 50,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative="")] = False,
    output: Output = "table",
) -> int:
    """Show events in order, one a line: time, host, type and a sentence.

    Parameters
    ----------
    host
        Only events of this host.
    kind
        Only events of this type, such as apply.finished.
    most
        Number of the newest events. With --follow, 0 shows only new events.
    follow
        Show new events until ^C. With -o json each event is one line.
    output
        table for people, json for programs.
    """
    from service.cli.client import Client

    client = Client()
    asked = EventListing(host=host or "", type=kind or "")
    if follow:
        newest = client.items("events", EventListing(newest=True), most=1)
        past = latest(client, asked, most)
        show(past, as_lines=True, as_json=output == "json")
        after = max((int(one["id"]) for one in (*newest, *past)), default=0)
        for happened in followed(lambda last: client.stream(asked, last), after, time.sleep):
            show([happened], as_lines=True, as_json=output == "json")
    found = latest(client, asked, most)
    if not found and host is not None:
        client.get(f"hosts/{host}")  # says that there is no such host
    show(found, as_lines=False, as_json=output == "json")
    return 0


def latest(client: "Client", asked: EventListing, most: int) -> list[dict[str, Any]]:
    """The newest, the oldest of them first."""
    from dataclasses import replace

    return client.items("events", replace(asked, newest=True), most=most)[::-1] if most > 0 else []


def show(found: Sequence[Happened], *, as_lines: bool, as_json: bool) -> None:
    """Events one by one; as JSON one document, or one line each."""
    if as_json and not as_lines:
        show_json(list(found))
        return
    for happened in found:
        print(json.dumps(happened) if as_json else line_of(happened), flush=True)
    if not found and not as_lines:
        tell("nothing happened yet")


def line_of(happened: Happened) -> str:
    """One event in one line. A sentence that begins with the host does not name it twice."""
    at = str(happened["at"]).partition(".")[0].removesuffix("Z").replace("T", " ")
    return printable(f"{at}Z  {happened['host'] or '-':<12}  {happened['type']:<20}  {happened['text']}")
