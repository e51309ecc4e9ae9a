"""Notices by Apprise: its json:// plugin to a server on loopback, and what is not shown of an address."""

import json
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from service.cli import run
from service.errors import InputError
from service.model.secret import Secret
from service.model.states import Json
from service.notices.apprise_urls import MOST, channels, urls_of
from service.notices.channel import NoticeError
from tests.documents import run_by
from tests.threaded import in_thread

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BODY: dict[str, Json] = {"type": "host.state", "data": {"host": "pve1", "text": "pve1 is\r\nUnreachable"}}
TOKEN = "s3cret-token"
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr':DeprecationWarning")  # a plugin of Apprise imports it


class Server(ThreadingHTTPServer):
    """`got` are the bodies that came; each is answered with `status`, once `may_answer` is set."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[tuple[str, dict[str, Any]]] = []
        self.status = 200
        self.location = ""
        self.may_answer = threading.Event()
        self.may_answer.set()

    @property
    def url(self) -> Secret:
        return Secret(f"json://127.0.0.1:{self.server_address[1]}/{TOKEN}".encode())


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.may_answer.wait(30)
        self.server.got.append((self.path, body))
        self.send_response(self.server.status)
        self.send_header("content-length", "0")
        if self.server.location:
            self.send_header("location", self.server.location)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (its name there)
        """Nothing."""


@contextmanager
def server() -> Iterator[Server]:
    with Server() as one, in_thread(one):
        try:
            yield one
        finally:
            one.may_answer.set()


def test_each_address_gets_the_notice_on_its_own(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with server() as one, server() as other:
        first, second = channels([one.url, other.url])
        assert (first.name, second.name) == ("apprise-1", "apprise-2")
        assert first.send("passerelle_41", NOW, BODY) == ""
        ((path, body),) = one.got
        assert path == f"/{TOKEN}"
        assert body["message"] == body["title"] == "pve1 is Unreachable"
        assert other.got == []
        other.status = 403
        with pytest.raises(NoticeError, match=r"address 2 for Apprise \(json\) did not take the notice") as error:
            second.send("passerelle_41", NOW, BODY)
    assert TOKEN not in str(error.value)
    assert TOKEN not in first.where
    assert not [line for line in caplog.records if line.name.startswith("apprise")]


@pytest.mark.parametrize("query", ["", "?redirect=yes"])
def test_a_redirect_is_not_followed(query: str) -> None:
    with server() as one, server() as other:
        one.status = 307
        one.location = f"http://127.0.0.1:{other.server_address[1]}/"
        (channel,) = channels([Secret(one.url.reveal() + query.encode())])
        with pytest.raises(NoticeError, match="did not take the notice"):
            channel.send("passerelle_41", NOW, BODY)
        assert len(one.got) == 1
        assert other.got == []


def test_one_that_does_not_answer_is_left_alone_and_not_called_twice() -> None:
    with server() as one:
        (channel,) = channels([one.url], timeout_s=0.2)
        one.may_answer.clear()
        with pytest.raises(NoticeError, match="did not answer in"):
            channel.send("passerelle_41", NOW, BODY)
        with pytest.raises(NoticeError, match="has not answered yet"):
            channel.send("passerelle_41", NOW, BODY)
        one.may_answer.set()
        for thread in [thread for thread in threading.enumerate() if thread.name == "apprise"]:
            thread.join()
        assert channel.send("passerelle_42", NOW, BODY) == ""
        assert len(one.got) == 2


def test_without_encryption_only_this_machine_is_reached() -> None:
    plain = [Secret(f"json://example.org/{TOKEN}".encode())]
    with pytest.raises(InputError, match=r"address 1 for Apprise \(json\) would go without encryption") as error:
        channels(plain)
    assert TOKEN not in str(error.value)
    channels(plain, is_plain=True)
    for url in (b"rsyslog://198.51.100.7", b"jsons://example.org/x?verify=no"):
        with pytest.raises(InputError, match="address 1 for Apprise"):
            channels([Secret(url)])
        channels([Secret(url)], is_plain=True)
    channels([Secret(b"rsyslog://127.0.0.1"), Secret(b"syslog://"), Secret(b"jsons://localhost/?verify=no")])
    channels([Secret(b"jsons://example.org/x"), Secret(b"slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#ops")])


@pytest.mark.parametrize("url", [f"nothing://{TOKEN}", TOKEN, "json://", "http://[::1", f"slack://{TOKEN}"])
def test_an_address_that_is_none_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(InputError, match="address 1") as error:
        channels([Secret(url.encode())])
    assert TOKEN not in str(error.value)


def test_a_file_has_one_address_in_a_line() -> None:
    assert urls_of(b"# mine\n\n json://a \njson://b\n") == (Secret(b"json://a"), Secret(b"json://b"))
    for content in (b"", b"# none\n", b"json://a\n" * (MOST + 1)):
        with pytest.raises(InputError):
            urls_of(content)


def test_without_the_extra_the_operator_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(InputError, match="Apprise is not installed") as error:
        channels([Secret(b"json://127.0.0.1/")])
    assert "passerelle[apprise]" in error.value.hint
    assert channels([]) == []


def test_the_file_of_addresses_is_a_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (shown,) = run_by("test_a_notice_is_sent_as_a_test")
    file = tmp_path / "apprise"
    monkeypatch.setenv("PASSERELLE_NOTICE_APPRISE_FILE", str(file))
    with server() as one:
        file.write_bytes(one.url.reveal() + b"\n")
        file.chmod(0o644)
        assert run(shown.words) != 0
        file.chmod(0o600)
        assert run(shown.words) == 0
        one.status = 500
        assert run(shown.words) == 1
        assert len(one.got) == 2
    told = capsys.readouterr()
    assert "can be read by other users" in told.err
    assert "address 1 for Apprise (json) has taken the notice" in told.err
    assert TOKEN not in told.err + told.out
