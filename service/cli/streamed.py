"""The service's stream of events as the command line reads it (Server-Sent Events, HTML standard, 9.2)."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from service.cli.output import complain, tell

AGAIN_S = 2.0
SILENT_S = 40.0
"""The service sends something every 15 seconds; who is silent for longer is away."""
Lines = Iterable[bytes]


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its type (empty for an event), the id up to which everything came, and its data."""

    type: str
    id: int | None
    data: str


def messages(lines: Lines) -> Iterator[Message]:
    """The messages in lines as they come in. One that is not complete at the end is none."""
    kind, number, data = "", None, []
    for line in lines:
        name, _, value = line.decode().rstrip("\r\n").partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "id" and value.isdecimal():
            number = int(value)
        elif name == "data":
            data.append(value)
        elif not name and not value and (number is not None or data):
            yield Message(kind, number, "\n".join(data))
            kind, number, data = "", None, []


def followed(
    connect: Callable[[int | None], Iterator[Message]], after: int | None, sleep: Callable[[float], None]
) -> Iterator[dict[str, Any]]:
    """Events as they happen, after an id (None: only new ones). When the stream ends or the service does not answer,
    for example during a restart, it is opened again after the last id. That is reported once. ApiError where the
    service refuses it."""
    import json

    from service.cli.client import ApiError
    from service.errors import PasserelleError

    is_away = False
    while True:
        try:
            for message in connect(after):
                if is_away:
                    tell("the service answers again")
                is_away = False
                after = after if message.id is None else message.id
                if message.type == "gap":
                    _tell_gap(json.loads(message.data))
                elif message.data and not message.type:
                    yield json.loads(message.data)
        except PasserelleError as error:
            if isinstance(error, ApiError) and error.status < 500 and error.status != 429:
                raise
            if not is_away:
                complain(error.what, f"passerelle asks again every {AGAIN_S:.0f} seconds; ^C ends")
            is_away = True
        sleep(AGAIN_S)


def _tell_gap(said: dict[str, Any]) -> None:
    """Events that the service does not have any more."""
    complain(
        f"the events after {said.get('asked')} are not in the history any more. It continues after {said.get('after')}",
        "keep events for longer (PASSERELLE_KEEP_EVENT_DAYS), or read them sooner",
    )
