"""A mail server on loopback (aiosmtpd): it speaks TLS by a certificate of a private authority, and knows one user."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, Literal

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = "passerelle", "correct horse: battery"


@dataclass
class Post:
    """What the server got. `refused` readers get a 550, `answer` is the reply to each message."""

    port: int = 0
    got: list[tuple[str, list[str], EmailMessage]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    answer: str = "250 taken"
    logins: list[str] = field(default_factory=list)
    were_safe: list[bool] = field(default_factory=list)

    needs_login: bool = False

    async def handle_MAIL(self, _server: SMTP, session: Session, envelope: Envelope, sender: str, _options: Any) -> str:
        if self.needs_login and not session.authenticated:
            return "530 who are you?"
        envelope.mail_from = sender
        return "250 good"

    async def handle_RCPT(self, _server: SMTP, _session: Session, envelope: Envelope, to: str, _options: Any) -> str:
        if to in self.refused:
            return "550 nobody of this name\x07"
        envelope.rcpt_tos.append(to)
        return "250 good"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:
        if self.answer.startswith("250"):
            content = envelope.original_content or b""
            message = message_from_bytes(content, policy=default)
            assert isinstance(message, EmailMessage)
            self.raw.append(content)
            self.got.append((str(envelope.mail_from), envelope.rcpt_tos, message))
            self.were_safe.append(server.transport is not None and bool(server.transport.get_extra_info("ssl_object")))
        return self.answer

    def login(self, _server: SMTP, _session: Session, _envelope: Envelope, how: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append(how)
        is_good = (data.login.decode(), data.password.decode()) == (USER, PASSWORD)
        return AuthResult(success=is_good, handled=False)


@contextmanager
def mail_server(tls: Literal["", "starttls", "implicit"] = "", files: tuple[str, str] | None = None,
                *, needs_login: bool = False) -> Iterator[Post]:  # fmt: skip
    """One that runs. `files` are its certificate and its key."""
    post, loop = Post(needs_login=needs_login), asyncio.new_event_loop()
    made: list[SMTP] = []
    context = None
    if files is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)

    def protocol() -> SMTP:
        made.append(
            SMTP(
                post, hostname="mail.example.org", loop=loop, tls_context=context if tls == "starttls" else None,
                require_starttls=tls == "starttls", authenticator=post.login, auth_require_tls=tls == "starttls",
                ident="test",
            )
        )  # fmt: skip
        return made[-1]

    async def begin() -> asyncio.Server:
        implicit = context if tls == "implicit" else None
        return await loop.create_server(protocol, "127.0.0.1", 0, ssl=implicit)

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(begin(), loop).result()
    post.port = server.sockets[0].getsockname()[1]
    try:
        yield post
    finally:
        asyncio.run_coroutine_threadsafe(_ended(server, made), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _ended(server: asyncio.Server, made: list[SMTP]) -> None:
    server.close()
    for one in made:
        if one.transport is not None:
            one.transport.close()
    rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    await asyncio.sleep(0)
