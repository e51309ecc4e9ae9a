"""Real servers on loopback: a name server with a zone that tests write, an HTTP server, an HTTPS server."""

import asyncio
import contextlib
import datetime
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeAlias, cast

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from service.internet.resolver import NameServer

LOOPBACK = "127.0.0.1"
Zone: TypeAlias = dict[tuple[str, str], list[str] | str]
"""(name, type) -> records as a zone file has them, or the name of an rcode. A name with any entry exists."""


class Names(asyncio.DatagramProtocol):
    """Answers by the zone, over UDP; `asked` are its questions."""

    def __init__(self, zone: Zone, *, truncates: bool = False) -> None:
        self.zone = zone
        self.truncates = truncates
        self.asked: list[tuple[str, str]] = []
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        self._transport.sendto(self.reply(data, over_udp=True), addr)

    def reply(self, data: bytes, *, over_udp: bool) -> bytes:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True), question.rdtype.name
        self.asked.append((name, kind))
        response = dns.message.make_response(query, recursion_available=True)
        while alias := self.zone.get((name, "CNAME")):
            response.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", "CNAME", *alias))
            name = alias[0].removesuffix(".")
        rows = self.zone.get((name, kind), ())
        if isinstance(rows, str):
            response.set_rcode(dns.rcode.from_text(rows))
        elif rows:
            response.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", kind, *rows))
        elif not any(known == name or known.endswith(f".{name}") for known, _ in self.zone):
            response.set_rcode(dns.rcode.NXDOMAIN)
        if over_udp and self.truncates:
            response.answer.clear()
            response.flags |= dns.flags.TC
        return bytes(response.to_wire())


@contextlib.asynccontextmanager
async def name_server(zone: Zone, *, truncates: bool = False) -> AsyncIterator[tuple[NameServer, Names]]:
    """One that answers over UDP and TCP."""
    loop = asyncio.get_running_loop()
    names = Names(zone, truncates=truncates)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        wire = names.reply(await reader.readexactly(size), over_udp=False)
        writer.write(len(wire).to_bytes(2, "big") + wire)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, LOOPBACK, 0)
    port = server.sockets[0].getsockname()[1]
    transport, _ = await loop.create_datagram_endpoint(lambda: names, local_addr=(LOOPBACK, port))
    try:
        yield NameServer(LOOPBACK, port), names
    finally:
        transport.close()
        server.close()
        await server.wait_closed()


Reply = Callable[[str, str], bytes]
"""(host name, path) -> all that the server sends."""


def http(status: str, body: str = "") -> bytes:
    """A whole answer."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()


@contextlib.asynccontextmanager
async def http_server(reply: Reply, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Its port. It closes after each answer."""

    busy: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        busy.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split(" ")[1]
            host = next(line.split(": ")[1] for line in head.split("\r\n") if line.lower().startswith("host: "))
            writer.write(reply(host, path))
            await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, LOOPBACK, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.gather(*busy)


def certificate(folder: Path, *names: str, serial: int = 0x4A1F) -> ssl.SSLContext:
    """A server's TLS with a self-signed certificate for the names; its file is `folder`/certificate.pem."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=36_500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "certificate.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context
