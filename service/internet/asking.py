"""One HTTP request to one address, under a name, bounded in time and size."""

import asyncio
import contextlib
import ssl
from dataclasses import dataclass

import h11

from service.model.trees import shown

CONNECT_S = 4.0
ANSWER_S = 8.0
MOST_BODY = 64 * 1024
MOST_HEAD = 16 * 1024


@dataclass(frozen=True, slots=True)
class Response:
    """`status` 0: no answer, and `error` says why. `der` is the certificate of the server, where it was TLS."""

    status: int = 0
    body: bytes = b""
    error: str = ""
    der: bytes = b""


async def ask(address: str, port: int, name: str, path: str, *, tls: ssl.SSLContext | None = None) -> Response:
    """GET `path` under the host name `name` from this very address. Never raises for what the server does."""
    try:
        async with asyncio.timeout(CONNECT_S):
            server_name = name if tls is not None else None
            reader, writer = await asyncio.open_connection(
                address, port, ssl=tls, server_hostname=server_name, limit=MOST_HEAD
            )
    except TimeoutError:
        return Response(error=f"no connection within {CONNECT_S:.0f} s")
    except (OSError, ValueError) as error:
        return Response(error=in_words(error))
    der = _certificate(writer)
    try:
        async with asyncio.timeout(ANSWER_S):
            status, body = await _exchange(reader, writer, name, path)
        return Response(status, body, der=der)
    except TimeoutError:
        return Response(error=f"it accepts connections, but did not answer within {ANSWER_S:.0f} s", der=der)
    except (OSError, EOFError, h11.ProtocolError) as error:
        return Response(error=f"it accepts connections, but its answer is not HTTP ({in_words(error)})", der=der)
    finally:
        writer.transport.abort()  # nothing is left to be said, and a server that does not close holds nobody up
        with contextlib.suppress(OSError, TimeoutError):
            await writer.wait_closed()


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str, path: str
) -> tuple[int, bytes]:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST_HEAD)
    headers = [("Host", name), ("User-Agent", "passerelle"), ("Accept", "*/*"), ("Connection", "close")]
    request = connection.send(h11.Request(method="GET", target=path, headers=headers))
    writer.write((request or b"") + (connection.send(h11.EndOfMessage()) or b""))
    await writer.drain()
    status, body = 0, b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(MOST_HEAD))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
            if len(body) > MOST_BODY:
                return status, body[:MOST_BODY]
        elif isinstance(event, h11.InformationalResponse):
            continue
        else:
            return status, body


def _certificate(writer: asyncio.StreamWriter) -> bytes:
    tls = writer.get_extra_info("ssl_object")
    return (tls.getpeercert(binary_form=True) or b"") if tls is not None else b""


def in_words(error: BaseException) -> str:
    """An error of a connection in few words."""
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused"
    if isinstance(error, ConnectionResetError):
        return "the connection was reset"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {shown(error.reason or 'no reason given', 60)}"
    if isinstance(error, OSError) and error.strerror:
        return shown(error.strerror, 80).lower()
    return shown(str(error), 80) or type(error).__name__
