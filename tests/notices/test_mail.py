"""Notices by e-mail, handed in at a real server: over TLS, with a login, to servers that fail, refuse and dawdle."""

import contextlib
import ipaddress
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from service.cli import run
from service.errors import InputError
from service.history import History
from service.model.events import DrillFailed
from service.model.secret import Secret
from service.model.states import Json
from service.notices.channel import Channel, NoticeError
from service.notices.channels import Wanted, channels_of
from service.notices.mail import SUBJECT, Mail, Server, addresses_of, login_of, server_of
from service.notices.telling import RETRY_FIRST_S, Telling
from service.settings import read_settings
from tests.cli.test_private_authority import Authority
from tests.documents import run_by
from tests.notices.smtp_server import PASSWORD, USER, Post, mail_server
from tests.notices.test_telling import Kept
from tests.reconcile.clocks import StoppedClock

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOGIN = (USER, Secret(PASSWORD.encode()))
BODY: dict[str, Json] = {
    "type": "host.state", "timestamp": NOW.isoformat(),
    "data": {
        "event": 41, "host": "pve1", "text": "pve1 is Unreachable", "was": "well", "now": "Unreachable",
        "keeps_changing": True,
    },
}  # fmt: skip


def mail(
    port: int, way: str = "smtp+plain", *, login: Any = None, timeout_s: float = 10, to: str = "ops@example.org"
) -> Mail:
    server = server_of(f"{way}://127.0.0.1:{port}", login)
    return Mail(server, sender="service@example.org", to=to.split(), list_name="passerelle", timeout_s=timeout_s)


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """One that this machine trusts."""
    made = Authority.new(tmp_path / "authority")
    monkeypatch.setenv("SSL_CERT_FILE", str(made.file))
    return made


@pytest.fixture
def files(authority: Authority) -> tuple[str, str]:
    return authority.server_files(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))


def test_one_notice_is_one_message_with_the_headers_of_a_program() -> None:
    with mail_server() as post:
        assert mail(post.port, to="a@example.org b@example.org").send("passerelle_41", NOW, BODY) == ""
    ((sender, readers, message),) = post.got
    assert (sender, readers) == ("service@example.org", ["a@example.org", "b@example.org"])
    assert message["Subject"] == "[passerelle] pve1 is Unreachable"
    assert message["From"] == "service@example.org"
    assert message["To"] == "a@example.org, b@example.org"
    assert message["Message-ID"] == "<passerelle_41@example.org>"
    assert message["List-Id"] == "<passerelle.example.org>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime == NOW
    assert message.get_content_type() == "text/plain"
    assert message.get_content().splitlines() == [
        "pve1 is Unreachable", "", "What: host.state", "When: 2026-01-01T00:00:00+00:00", "Host: pve1",
        "State: well -> Unreachable", "The state keeps changing. It is reported once in ten minutes.",
    ]  # fmt: skip


@pytest.mark.parametrize(("way", "tls"), [("smtp", "starttls"), ("smtps", "implicit")])
def test_it_goes_over_tls_with_user_and_password(files: tuple[str, str], way: str, tls: Any) -> None:
    with mail_server(tls, files, needs_login=True) as post:
        mail(post.port, way, login=LOGIN).send("passerelle_41", NOW, BODY)
        assert (len(post.got), post.were_safe, len(post.logins)) == (1, [True], 1)
        with pytest.raises(NoticeError, match="does not take the user and the password: 535") as error:
            mail(post.port, way, login=(USER, Secret(b"wrong"))).send("passerelle_42", NOW, BODY)
        assert "wrong" not in str(error.value)
        with pytest.raises(NoticeError, match="530"):
            mail(post.port, way).send("passerelle_42", NOW, BODY)
        assert len(post.got) == 1


@pytest.mark.parametrize(("way", "tls"), [("smtp", "starttls"), ("smtps", "implicit")])
def test_a_certificate_for_another_name_or_of_another_authority_is_refused_before_the_password(
    authority: Authority, files: tuple[str, str], monkeypatch: pytest.MonkeyPatch, way: str, tls: Any
) -> None:
    other = authority.server_files(x509.DNSName("elsewhere.example.org"))
    with mail_server(tls, other) as post, pytest.raises(NoticeError, match="its certificate is not good"):
        mail(post.port, way, login=LOGIN).send("passerelle_41", NOW, BODY)
    assert (post.got, post.logins) == ([], [])
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    again = authority.server_files(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    with mail_server(tls, again) as post, pytest.raises(NoticeError, match="its certificate is not good"):
        mail(post.port, way, login=LOGIN).send("passerelle_41", NOW, BODY)
    assert (post.got, post.logins) == ([], [])


def test_a_server_that_offers_no_tls_gets_neither_password_nor_notice() -> None:
    with mail_server() as post, pytest.raises(NoticeError, match="does not offer what is needed: STARTTLS"):
        mail(post.port, "smtp", login=LOGIN).send("passerelle_41", NOW, BODY)
    assert (post.got, post.logins) == ([], [])


@pytest.mark.parametrize("answer", ["451 come again later", "554 spam\x1b[31m", "421 closing"])
def test_a_message_that_is_refused_is_a_failure_in_the_servers_words(answer: str) -> None:
    with mail_server() as post:
        post.answer = answer
        with pytest.raises(NoticeError, match=f"does not take notices: {answer[:8]}") as error:
            mail(post.port).send("passerelle_41", NOW, BODY)
    assert "\x1b" not in str(error.value)


def test_readers_that_are_refused_are_named_and_the_others_get_it() -> None:
    with mail_server() as post:
        post.refused = {"b@example.org"}
        both = mail(post.port, to="a@example.org b@example.org")
        assert both.send("passerelle_41", NOW, BODY) == "127.0.0.1 refuses b@example.org: 550 nobody of this name"
        assert [readers for _, readers, _ in post.got] == [["a@example.org"]]
        post.refused.add("a@example.org")
        with pytest.raises(NoticeError, match=r"refuses a@example.org: 550 .*b@example.org: 550"):
            both.send("passerelle_41", NOW, BODY)


@contextmanager
def answering(words: Callable[[socket.socket, threading.Event], None]) -> Iterator[int]:
    """A server that does this with its first connection."""
    ended = threading.Event()

    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            words(connection, ended)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            ended.set()
            thread.join()


def dawdles(connection: socket.socket, ended: threading.Event) -> None:
    for _ in range(400):
        connection.sendall(b"2")
        if ended.wait(0.05):
            return


def shakes_slowly(connection: socket.socket, ended: threading.Event) -> None:
    connection.sendall(b"220 hello\r\n")
    connection.recv(100)
    connection.sendall(b"250-here\r\n250 STARTTLS\r\n")
    connection.recv(100)
    connection.sendall(b"220 go on\r\n")
    connection.sendall(b"\x16\x03\x03\x40\x00")
    dawdles(connection, ended)


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("smtp+plain", dawdles), ("smtps", dawdles), ("smtp", shakes_slowly),
        ("smtp", lambda _connection, ended: ended.wait(30)),
        ("smtp", lambda connection, _: connection.sendall(b"554 go away\r\n")),
        ("smtp", lambda connection, _: connection.sendall(b"hello\r\n")),
        ("smtp", lambda connection, _: connection.sendall(b"2" * 100_000)),
        ("smtp", lambda connection, _: connection.close()),
    ],
)  # fmt: skip
def test_a_server_that_is_slow_silent_or_none_is_given_up(way: str, words: Any) -> None:
    with answering(words) as port, pytest.raises(NoticeError, match=r"127\.0\.0\.1 does not take notices"):
        mail(port, way, timeout_s=0.3).send("passerelle_41", NOW, BODY)


def test_nobody_there_is_a_failure_that_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(NoticeError, match="does not take notices: Connection refused"):
        mail(port).send("passerelle_41", NOW, BODY)


HOSTILE = st.text(max_size=300) | st.sampled_from(
    [
        "x\r\nBcc: all@example.org",
        "x\n\n.\r\nMAIL FROM:<a@b>",
        "=?utf-8?q?=0ABcc:_a@b?=",
        "x\u2028To: y",
        "\ud800",
        "." * 2000,
    ]
)


@given(HOSTILE, HOSTILE, HOSTILE)
def test_no_words_of_a_host_become_a_header_or_another_message(text: str, host: str, state: str) -> None:
    body: dict[str, Json] = {"type": host, "timestamp": text, "data": {"host": host, "text": text, "now": state}}
    one = Mail(Server("smtp", "x", 1), sender="a@example.org", to=("b@example.org",), list_name="passerelle")
    raw = one.message("passerelle_1", NOW, body).as_bytes()
    head, _, rest = raw.partition(b"\r\n\r\n")
    names = [line.partition(b":")[0] for line in head.split(b"\r\n") if not line.startswith(b" ")]
    assert names == [
        b"From", b"To", b"Subject", b"Date", b"Message-ID", b"List-Id", b"Auto-Submitted", b"Content-Type",
        b"Content-Transfer-Encoding", b"MIME-Version",
    ]  # fmt: skip
    assert all(len(line) < 999 for line in raw.split(b"\r\n"))
    assert raw.isascii()
    assert len(rest) < 60_000
    assert len(one.message("passerelle_1", NOW, body)["Subject"]) <= SUBJECT


def test_a_text_with_a_lone_dot_arrives_whole() -> None:
    with mail_server() as post:
        mail(post.port).send("passerelle_1", NOW, {"type": "test", "data": {"text": ".\r\n.\r\nQUIT é"}})
    ((_, _, message),) = post.got
    assert message.get_content().splitlines()[0] == ". . QUIT é"


@pytest.mark.parametrize(
    "url",
    [
        "", "mail.example.org", "http://mail.example.org", "smtp://", "smtp://a:b@mail.example.org", "smtp://m/x",
        "smtp://m?x", "smtp://m:x", "smtp://m\r\nx", "smtp://m x", "smtp://exämple.org",
    ],
)  # fmt: skip
def test_an_address_of_a_server_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InputError):
        server_of(url)


def test_without_encryption_only_this_machine_is_reached() -> None:
    assert server_of("smtp+plain://localhost").port == 25
    assert (server_of("smtp://m").port, server_of("smtps://m").port, server_of("smtps://m:1").port) == (587, 465, 1)
    with pytest.raises(InputError, match="without encryption"):
        server_of("smtp+plain://mail.example.org")
    assert server_of("smtp+plain://mail.example.org", is_plain=True).host == "mail.example.org"
    login = ("ann", Secret(b"x"))
    with pytest.raises(InputError, match="the password would go to mail"):
        server_of("smtp+plain://mail.example.org", login, is_plain=True)
    assert server_of("smtp+plain://localhost", login).login == server_of("smtps://mail.example.org", login).login


@pytest.mark.parametrize(
    "text", ["", " , ", "x", "a b@example.org", "A <a@b>", "a@b\r\nBcc: c@d", "é@b", "a@b c", "a@-\x00"]
)
def test_an_address_of_mail_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        addresses_of(text)
    assert addresses_of("a@b.example, c+d@e.example,") == ("a@b.example", "c+d@e.example")


@pytest.mark.parametrize(
    "content", [b"", b"user\n", b"user\npass\nmore\n", b"\npass\n", b"user\n\x00\n", "user\npässe".encode()]
)
def test_a_login_that_is_none_is_refused_and_not_shown(content: bytes) -> None:
    with pytest.raises(InputError) as error:
        login_of(content)
    assert "pass" not in str(error.value).replace("password", "")
    assert login_of(b"user\npass word\r\n") == ("user", Secret(b"pass word"))


async def test_the_events_are_the_queue_and_what_fails_is_sent_again(history: History) -> None:
    clock, numbers = StoppedClock(), Kept()
    with mail_server() as post:
        one = mail(post.port, to="a@example.org b@example.org")
        telling = Telling(
            Channel("mail", one.where, one.send), history.queries, history.store, clock, controller="c1", hold_s=30,
            numbers=numbers,
        )  # fmt: skip
        await telling.once()
        history.store.add_event(DrillFailed(host="pve1", drill="d1", error="x"), at=clock.now())
        event = history.queries.newest_event_id()
        post.answer = "451 not now"
        assert await telling.once() == RETRY_FIRST_S
        standing, waiting = numbers.said
        assert (standing.error, waiting) == ("127.0.0.1 does not take notices: 451 not now", 1)
        post.answer, post.refused = "250 taken", {"b@example.org"}
        assert await telling.once() == 0
        assert [message["Message-ID"] for _, _, message in post.got] == [f"<c1_{event}@example.org>"]
        standing, waiting = numbers.said
        assert (standing.sent, standing.failed, waiting) == (1, 1, 0)
        assert "refuses b@example.org" in standing.error
        assert numbers.results == ["failed", "sent"]


@pytest.fixture
def mailed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Post]:
    """The settings of the page, for a server on loopback."""
    file = tmp_path / "mail"
    file.write_text(f"{USER}\n{PASSWORD}\n")
    file.chmod(0o600)
    with mail_server(needs_login=True) as post:
        said = {
            "SMTP": f"smtp+plain://127.0.0.1:{post.port}", "SMTP_LOGIN_FILE": str(file), "FROM": "service@example.org",
            "TO": "ops@example.org, night@example.org",
        }  # fmt: skip
        for name, value in said.items():
            monkeypatch.setenv(f"PASSERELLE_NOTICE_{name}", value)
        monkeypatch.setenv("PASSERELLE_STATE_DIR", str(tmp_path / "state"))
        yield post


def test_a_message_is_sent_as_a_test(
    mailed: Post, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (shown,) = run_by("test_a_notice_is_sent_as_a_test")
    assert run(shown.words) == 0
    assert "127.0.0.1 for ops@example.org, night@example.org has taken the notice" in capsys.readouterr().err
    ((_, readers, _),) = mailed.got
    assert readers == ["ops@example.org", "night@example.org"]
    mailed.refused = {"night@example.org"}
    assert run(shown.words) == 1
    assert "refuses night@example.org" in capsys.readouterr().err
    (tmp_path / "mail").chmod(0o644)
    assert run(shown.words) != 0
    said = capsys.readouterr().err
    assert "can be read by other users" in said
    assert PASSWORD not in said
    (tmp_path / "mail").chmod(0o600)
    monkeypatch.setenv("PASSERELLE_NOTICE_TO", "")
    assert run(shown.words) != 0
    assert "PASSERELLE_NOTICE_TO is not" in capsys.readouterr().err


def test_each_way_that_is_set_is_a_channel(mailed: Post) -> None:
    wanted = read_settings().notices
    assert PASSWORD not in repr(wanted)
    assert [one.name for one in channels_of(wanted)] == ["mail"]
    assert channels_of(Wanted("passerelle")) == []
