"""Notices by e-mail: one message for each, in plain text, over TLS.

    mail = Mail(server_of("smtp://mail.example.org"), sender="passerelle@example.org", to=("ops@example.org",))
    mail.send("passerelle_41", at, {"type": …})        NoticeError where the server did not take it

`smtp` needs STARTTLS (RFC 3207), `smtps` is TLS from the start (RFC 8314); both check the certificate. `smtp+plain` is
not encrypted. A message that is sent again has the same Message-ID. Blocks for three timeouts at most.
"""

import re
import smtplib
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from typing import Any, Literal
from urllib.parse import urlsplit

from service.errors import InputError
from service.model.secret import Secret
from service.model.states import Json
from service.model.trees import shown
from service.notices.channel import NoticeError
from service.wire import ended_after, is_this_machine

TIMEOUT_S = 10.0
MOST_ADDRESSES = 20
SUBJECT = 150
TEXT = 4000
WORDS = 200
"""So many characters of a subject, of a text and of what a server says are kept."""
Protection = Literal["smtp", "smtps", "smtp+plain"]
PORTS: dict[Protection, int] = {"smtp": 587, "smtps": 465, "smtp+plain": 25}
_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@((?:[A-Za-z0-9-]{1,63}\.)*[A-Za-z0-9-]{1,63})")
_FULL_NAME = re.compile(r"[A-Za-z0-9.-]{1,200}")


@dataclass(frozen=True, slots=True)
class Server:
    """Where mail is handed in. `login` are user and password."""

    protection: Protection
    host: str
    port: int
    login: tuple[str, Secret] | None = None


def server_of(url: str, login: tuple[str, Secret] | None = None, *, is_plain: bool = False) -> Server:
    """Read an address such as `smtp://mail.example.org:587`. InputError for one that cannot be used, and for one that
    is not encrypted, unless it is this machine or `is_plain`. A login goes to another machine with encryption only."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InputError(f"the address of the mail server cannot be read: {error}") from None
    host = parts.hostname or ""
    if parts.scheme not in PORTS or not host or not url.isascii() or not url.isprintable() or " " in url:
        raise InputError(
            "the address of the mail server is not one of smtp://, smtps:// and smtp+plain://",
            hint="smtp://mail.example.org in PASSERELLE_NOTICE_SMTP",
        )
    if parts.username is not None or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise InputError(
            "the address of the mail server has more than a name and a port",
            hint="user and password belong into the file that PASSERELLE_NOTICE_SMTP_LOGIN_FILE names",
        )
    protection = parts.scheme
    if protection == "smtp+plain" and not is_plain and not is_this_machine(host):
        raise InputError(
            f"notices would go to {host} without encryption",
            hint="use smtp:// or smtps://, or set PASSERELLE_NOTICE_PLAIN=true where the way to it is safe",
        )
    if protection == "smtp+plain" and login is not None and not is_this_machine(host):
        raise InputError(
            f"the password would go to {host} without encryption",
            hint="use smtp:// or smtps://, or unset PASSERELLE_NOTICE_SMTP_LOGIN_FILE",
        )
    return Server(protection, host, port or PORTS[protection], login)


def login_of(content: bytes) -> tuple[str, Secret]:
    """User and password: the first line and the second. InputError where it is anything else; it is not shown."""
    lines = content.decode("ascii", "replace").rstrip("\r\n").splitlines()
    if len(lines) != 2 or not all(line and line.isascii() and line.isprintable() for line in lines):
        raise InputError(
            "the login of the mail server is not two lines",
            hint="the user in the first line, the password in the second, both in ASCII",
        )
    return lines[0], Secret(lines[1].encode())


def addresses_of(text: str) -> tuple[str, ...]:
    """Addresses as in `a@example.org, b@example.org`. InputError for one that is not valid."""
    found = tuple(one.strip() for one in text.split(",") if one.strip())
    for one in found:
        if not _ADDRESS.fullmatch(one):
            raise InputError(
                f"`{shown(one, 60)}` is not an address of mail", hint="write name@example.org, without a name before it"
            )
    if not 1 <= len(found) <= MOST_ADDRESSES:
        raise InputError(
            f"notices go to {len(found)} addresses of mail", hint=f"set 1 to {MOST_ADDRESSES}, with commas between"
        )
    return found


class Mail:
    """One server, one sender, some readers. `list_name` is what a reader's program can sort by."""

    def __init__(
        self, server: Server, *, sender: str, to: Sequence[str], list_name: str, timeout_s: float = TIMEOUT_S
    ) -> None:  # fmt: skip
        self._server = server
        self._sender = sender
        self._to = tuple(to)
        self._domain = sender.rpartition("@")[2]
        self._list_name = list_name
        self._timeout_s = timeout_s
        self.where = f"{server.host} for {', '.join(to)}"

    def send(self, notice_id: str, at: datetime, body: Mapping[str, Json]) -> str:
        """Hand it in once. Returns which readers were refused, where some were taken. NoticeError where none was."""
        message = self.message(notice_id, at, body)
        refused = {}
        try:
            refused = self._handed_in(message)
        except smtplib.SMTPRecipientsRefused as error:
            raise NoticeError(f"{self._server.host} refuses {_refusals(error.recipients)}") from None
        except smtplib.SMTPAuthenticationError as error:
            raise NoticeError(f"{self._server.host} does not take the user and the password: {_said(error)}") from None
        except smtplib.SMTPResponseException as error:
            raise NoticeError(f"{self._server.host} does not take notices: {_said(error)}") from None
        except (OSError, ValueError) as error:  # SMTPException is an OSError; ValueError: a reply that is not valid
            raise NoticeError(f"{self._server.host} does not take notices: {_why(error)}") from None
        return f"{self._server.host} refuses {_refusals(refused)}" if refused else ""

    def message(self, notice_id: str, at: datetime, body: Mapping[str, Json]) -> EmailMessage:
        """The message. Words of hosts are in its subject and text only, on one line and without control characters."""
        data = body.get("data")
        said = data if isinstance(data, dict) else {}
        text = shown(str(said.get("text", "")), TEXT)
        message = EmailMessage(policy=SMTP_POLICY)
        message["From"] = self._sender
        message["To"] = ", ".join(self._to)
        message["Subject"] = shown(f"[{self._list_name}] {text}", SUBJECT)
        message["Date"] = at
        message["Message-ID"] = f"<{notice_id}@{self._domain}>"
        message["List-Id"] = f"<{self._list_name}.{self._domain}>"
        message["Auto-Submitted"] = "auto-generated"
        lines = [
            text,
            "",
            f"What: {shown(str(body.get('type', '')))}",
            f"When: {shown(str(body.get('timestamp', '')))}",
        ]
        if said.get("host"):
            lines.append(f"Host: {shown(str(said['host']))}")
        if said.get("now"):
            lines.append(f"State: {shown(str(said.get('was', '')))} -> {shown(str(said['now']))}")
        if said.get("keeps_changing"):
            lines.append("The state keeps changing. It is reported once in ten minutes.")
        message.set_content("\n".join(lines) + "\n", cte="quoted-printable")
        return message

    def _handed_in(self, message: EmailMessage) -> dict[str, tuple[int, bytes]]:
        name = socket.gethostname()
        name = name if _FULL_NAME.fullmatch(name) else "localhost"
        server = self._server
        tls: Any = _Tls(server.host)  # of a context, `smtplib` calls `wrap_socket` alone
        client = (
            smtplib.SMTP_SSL(local_hostname=name, timeout=self._timeout_s, context=tls)
            if server.protection == "smtps"
            else smtplib.SMTP(local_hostname=name, timeout=self._timeout_s)
        )  # fmt: skip
        try:
            with ended_after(2 * self._timeout_s, lambda: tls.socket or client.sock):
                code, words = client.connect(server.host, server.port)
                if code != 220:
                    raise smtplib.SMTPConnectError(code, words)
                if server.protection == "smtp":
                    client.starttls(context=tls)
                if server.login is not None:
                    user, password = server.login
                    client.login(user, password.reveal().decode())
                refused = client.send_message(message, self._sender, self._to)
                _leave(client)
        finally:
            client.close()
            if tls.socket is not None:  # `smtplib` does not know it before the handshake has ended
                tls.socket.close()
        return refused


class _Tls:
    """What `smtplib` wraps its socket with. The socket is known before the handshake, so a deadline ends that, too."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._context = ssl.create_default_context()
        self.socket: ssl.SSLSocket | None = None

    def wrap_socket(self, plain: socket.socket, *, server_hostname: str) -> ssl.SSLSocket:
        """The certificate has to be one for the host that the operator set."""
        self.socket = self._context.wrap_socket(plain, server_hostname=self._host, do_handshake_on_connect=False)
        self.socket.do_handshake()
        return self.socket


def _leave(client: smtplib.SMTP) -> None:
    """The message was taken by now, however the server ends the connection."""
    try:
        client.quit()
    except (OSError, ValueError):
        return


def _refusals(refused: Mapping[str, tuple[int, bytes]]) -> str:
    return ", ".join(
        f"{to}: {code} {shown(text.decode('utf-8', 'replace'), WORDS)}" for to, (code, text) in refused.items()
    )


def _said(error: smtplib.SMTPResponseException) -> str:
    text = error.smtp_error
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    return shown(f"{error.smtp_code} {words}", WORDS)


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not good: {error.verify_message}"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return f"it does not offer what is needed: {shown(str(error), WORDS)}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return shown(str(error), WORDS) or type(error).__name__
