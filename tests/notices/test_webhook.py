"""One signed call: what is signed, what is refused before it is sent, what counts as not taken."""

import contextlib
import socket
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.cli import run
from service.cli.doctor import notice_checks
from service.errors import InputError
from service.history import open_history
from service.history.archive import DATABASE
from service.model.notices import NoticeStanding
from service.model.secret import Secret
from service.notices.channel import NoticeError
from service.notices.webhook import Webhook, key_of, signed
from service.settings import read_settings
from tests.documents import run_by
from tests.notices.receiver import SECRET, receiver
from tests.state_folders import made

KEY = Secret(SECRET.encode())
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_published_example_is_signed_as_the_specification_says() -> None:
    headers = signed(key_of(KEY), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    "url",
    [
        "", "example.org", "ftp://example.org/", "file:///etc/passwd", "https://", "https://a:b@example.org/",
        "https://example.org/#x", "https://example.org:x/", "https://example.org/a b", "https://[::1/",
        "https://example.org/\r\nx: y", "https://exämple.org/",
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InputError):
        Webhook(url, KEY)


@pytest.mark.parametrize(
    "secret", [b"", b"whsec_", b"whsec_c2hvcnQ=", b"whsec_!!", b"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
)
def test_a_secret_that_is_none_is_refused_and_not_shown(secret: bytes) -> None:
    with pytest.raises(InputError) as error:
        Webhook("https://example.org/", Secret(secret))
    assert not secret.removeprefix(b"whsec_") or secret.decode() not in str(error.value)


@pytest.mark.parametrize("host", ["example.org", "192.0.2.1", "[2001:db8::1]", "localhost.example.org", "127.0.0.1.x"])
def test_an_address_without_encryption_is_refused_unless_the_operator_wants_it(host: str) -> None:
    with pytest.raises(InputError, match="without encryption"):
        Webhook(f"http://{host}/", KEY)
    Webhook(f"http://{host}/", KEY, is_plain=True)
    Webhook(f"https://{host}/", KEY)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "[::1]", "localhost"])
def test_to_this_machine_no_encryption_is_needed(host: str) -> None:
    Webhook(f"http://{host}/", KEY)


def test_nobody_there_is_a_failure_that_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(NoticeError, match="does not take notices: Connection refused"):
        Webhook(f"http://127.0.0.1:{port}/", KEY).send("x_1", NOW, {})


def test_one_that_does_not_answer_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(NoticeError, match="does not take notices"):
        Webhook(f"http://127.0.0.1:{silent.getsockname()[1]}/", KEY, timeout_s=0.2).send("x_1", NOW, {})


def test_one_that_answers_a_byte_at_a_time_is_given_up() -> None:
    ended = threading.Event()

    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            for _ in range(400):
                connection.sendall(b"H")
                if ended.wait(0.05):
                    return

    with socket.create_server(("127.0.0.1", 0)) as slow:
        answers = threading.Thread(target=answer, args=(slow,))
        answers.start()
        try:
            with pytest.raises(NoticeError, match="does not take notices"):
                Webhook(f"http://127.0.0.1:{slow.getsockname()[1]}/", KEY, timeout_s=0.3).send("x_1", NOW, {})
            assert answers.is_alive()
        finally:
            ended.set()
            answers.join()


def test_one_that_speaks_no_tls_is_a_failure() -> None:
    with receiver() as server, pytest.raises(NoticeError, match="does not take notices"):
        Webhook(server.url.replace("http:", "https:"), KEY, timeout_s=5).send("x_1", NOW, {})


@pytest.fixture
def secret_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "notices"
    file.write_text(f"{SECRET}\n")
    file.chmod(0o600)
    monkeypatch.setenv("PASSERELLE_NOTICE_SECRET_FILE", str(file))
    return file


def test_a_notice_is_sent_as_a_test(
    secret_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (shown,) = run_by("test_a_notice_is_sent_as_a_test")
    words = [*shown.words, "--state-dir", str(tmp_path / "state")]
    with receiver() as server:
        monkeypatch.setenv("PASSERELLE_NOTICE_URL", server.url)
        assert run(words) == 0
        assert "127.0.0.1 has taken the notice" in capsys.readouterr().err
        assert [body["type"] for _, body in server.got] == ["test"]
        server.answers = [403]
        assert run(words) != 0
        assert "answers with status 403" in capsys.readouterr().err
        secret_file.chmod(0o644)
        assert run(words) != 0
        said = capsys.readouterr().err
        assert "can be read by other users" in said
        assert SECRET not in said
    assert stat.S_IMODE(secret_file.stat().st_mode) == 0o644


def test_how_far_it_is_is_shown(
    secret_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    with open_history(made(state / DATABASE)) as history:
        assert run(["notices", "show", "--state-dir", str(state)]) == 0
        assert "nobody is informed of events" in capsys.readouterr().err
        monkeypatch.setenv("PASSERELLE_NOTICE_URL", "https://example.org/hook")
        history.store.keep_notices("webhook", NoticeStanding(0, sent=3, failed=2, error="it answers with status 500"))
    assert run(["notices", "show", "--state-dir", str(state)]) == 1
    assert "it answers with status 500" in capsys.readouterr().out
    monkeypatch.setenv("PASSERELLE_STATE_DIR", str(state))
    (found,) = notice_checks(read_settings())
    assert (found["check"], found["ok"]) == ("notices by webhook", False)
    assert "example.org: 3 sent" in str(found["what"])
