"""`passerelle events`: what happened, and what happens."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from service.cli.output import Format, complain, printable, show_json, tell
from service.model.listings import EventListing

if TYPE_CHECKING:
    from service.cli.client import Client

Output = Annotated[Format, Parameter(name=["--output", "-o"])]
Happened = Mapping[str, Any]
POLL_S = 1.0
PAGE = 200


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
        for happened in followed(lambda last: client.items("events", since(asked, last), most=PAGE), after):
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


def since(asked: EventListing, after: int) -> EventListing:
    """The same, after an event."""
    from dataclasses import replace

    return replace(asked, after=after)


def followed(
    ask: Callable[[int], Sequence[Happened]], after: int, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Happened]:
    """Events as they happen. If the service does not answer, for example during a restart, the command asks again, and
    reports this once.
    """
    from service.cli.client import ApiError
    from service.errors import PasserelleError

    is_away = False
    while True:
        try:
            found = ask(after)
        except ApiError as error:
            if error.status < 500 and error.status != 429:
                raise
            found, is_away = (), told_away(error, is_away=is_away)
        except PasserelleError as error:
            found, is_away = (), told_away(error, is_away=is_away)
        else:
            if is_away:
                tell("the service answers again")
            is_away = False
        for happened in found:
            after = int(happened["id"])
            yield happened
        if len(found) < PAGE:
            sleep(POLL_S)


def told_away(error: Any, *, is_away: bool) -> bool:
    """Say once that nobody answers."""
    if not is_away:
        complain(error.what, "passerelle asks again every second; ^C ends")
    return True


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
