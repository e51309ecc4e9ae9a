"""`passerelle login` by the device flow, at an issuer on loopback: what is kept, renewed, refused and sent to whom."""

import json
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from service.cli import run
from service.cli.client import ApiError, Client
from service.cli.login import keep, login_file, service_url, token_of_login
from service.errors import InputError, PasserelleError
from service.history import open_history
from service.model.listings import EventListing
from service.model.people import IssuerAway
from service.people.signing_in import SignedIn, SignInFailed, begun, refreshed, waited
from tests.api.world import World
from tests.cli.reached import reached
from tests.documents import run_by
from tests.people.issuer import CLIENT, LocalIssuer, issuing
from tests.people.test_people_tokens import signing_in
from tests.state_folders import made

SERVICE = "http://127.0.0.1:8765"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("PASSERELLE_TOKEN", "PASSERELLE_TOKEN_FILE", "PASSERELLE_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def issuer() -> Iterator[LocalIssuer]:
    with issuing() as server:
        server.claims = {"now_s": time.time()}
        yield server
        assert server.refused == []


def test_the_pages_commands_sign_in(
    issuer: LocalIssuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (shown,) = run_by("test_the_pages_commands_sign_in")
    words = [issuer.url if word.startswith("https://") else word for word in shown.words]
    with open_history(made(tmp_path / "state" / "passerelle.sqlite")) as history:
        world = World(history).fill()
        world.clock.pass_time(time.time() - world.clock.now().timestamp())
        with reached(signing_in(world, issuer.url).app, ""):
            monkeypatch.delenv("PASSERELLE_TOKEN", raising=False)
            assert run(words) == 0
            assert f"Open {issuer.url}/go and confirm the code WDJB-MJHT" in capsys.readouterr().err
            assert stat.S_IMODE(login_file().stat().st_mode) == 0o600
            assert run(["whoami"]) == 0
            assert "ann (248289761001 of 127.0.0.1" in capsys.readouterr().err
            assert run(["logout"]) == 0
            assert run(["whoami"]) == 1
            assert "no token" in capsys.readouterr().err


def test_it_waits_as_the_issuer_says(issuer: LocalIssuer) -> None:
    issuer.answers = ["authorization_pending", "slow_down", "authorization_pending"]
    slept: list[float] = []
    signed = waited(begun(issuer.url, CLIENT, "openid"), sleep=slept.append)
    assert slept == [5, 10, 10]
    assert (signed.issuer, signed.client, signed.refresh) == (issuer.url, CLIENT, issuer.good_refresh)
    assert signed.ends_s > time.time() + 200


@pytest.mark.parametrize(
    ("error", "why"),
    [("access_denied", "was refused at the issuer"), ("expired_token", "in time"), ("x\x1b", "without a reason")],
)
def test_a_sign_in_that_is_refused_says_why(issuer: LocalIssuer, error: str, why: str) -> None:
    issuer.answers = [error]
    with pytest.raises(SignInFailed, match=why):
        waited(begun(issuer.url, CLIENT, "openid"), sleep=lambda _: None)


def test_nobody_waits_without_end(issuer: LocalIssuer) -> None:
    issuer.answers = ["authorization_pending"] * 500
    slept: list[float] = []
    with pytest.raises(SignInFailed, match="nobody confirmed the sign-in in time"):
        waited(begun(issuer.url, CLIENT, "openid"), sleep=slept.append)
    assert sum(slept) <= 605


def test_a_client_that_the_issuer_does_not_know_is_said() -> None:
    with issuing() as issuer, pytest.raises(SignInFailed, match="does not know the client"):
        begun(issuer.url, "another", "openid")


def test_what_ends_soon_is_renewed_and_the_old_refresh_token_is_used_once(issuer: LocalIssuer) -> None:
    old = SignedIn(issuer.url, CLIENT, "old", time.time() + 10, "refresh-1")
    keep(old, SERVICE)
    token = token_of_login(SERVICE)
    assert token not in (None, b"old")
    said: dict[str, Any] = json.loads(login_file().read_text())
    assert (said["token"].encode(), said["refresh"]) == (token, issuer.good_refresh)
    calls = len(issuer.calls)
    assert token_of_login(SERVICE) == token
    assert len(issuer.calls) == calls
    with pytest.raises(SignInFailed, match="the sign-in has ended") as error:
        refreshed(old)
    assert error.value.hint == "run `passerelle login`"
    with pytest.raises(SignInFailed):
        refreshed(SignedIn(issuer.url, CLIENT, "old", 0))


def test_a_token_is_sent_to_no_other_service() -> None:
    keep(SignedIn("https://l.example", CLIENT, "t", time.time() + 300), SERVICE)
    assert token_of_login(SERVICE) == b"t"
    assert token_of_login("https://evil.example.org") is None


def test_a_file_that_others_can_read_is_refused() -> None:
    keep(SignedIn("https://l.example", CLIENT, "t", time.time() + 300), SERVICE)
    login_file().chmod(0o644)
    with pytest.raises(InputError, match="can be read by other users"):
        token_of_login(SERVICE)


NO_TEXT = json.dumps({"url": SERVICE, "issuer": "i", "client": "c", "token": 7, "ends_s": 4e9, "refresh": ""})


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"url": "http://127.0.0.1:8765"}', "x" * 100, NO_TEXT])
def test_a_file_that_was_cut_off_is_nobody(content: str) -> None:
    keep(SignedIn("https://l.example", CLIENT, "t", 0), SERVICE)
    login_file().write_text(content)
    assert token_of_login(SERVICE) is None


def test_an_issuer_that_is_away_or_not_encrypted_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with issuing() as gone:
        url = gone.url
    assert run(["login", "--issuer", url, "--client", CLIENT]) != 0
    assert "127.0.0.1 does not answer: Connection refused" in capsys.readouterr().err
    with pytest.raises(PasserelleError, match="is not encrypted"):
        begun("http://login.example.org", CLIENT, "openid")
    assert run(["login"]) != 0
    assert "passerelle login --issuer URL --client ID" in capsys.readouterr().err


@contextmanager
def serving(issuer: LocalIssuer, folder: Path) -> Iterator[None]:
    """A service whose people are those of the issuer; the commands have no other token."""
    with open_history(made(folder / "state" / "passerelle.sqlite")) as history:
        world = World(history).fill()
        world.clock.pass_time(time.time() - world.clock.now().timestamp())
        with reached(signing_in(world, issuer.url).app, ""), pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.delenv("PASSERELLE_TOKEN")
            yield


def test_a_command_that_runs_long_renews_the_sign_in(issuer: LocalIssuer, tmp_path: Path) -> None:
    with serving(issuer, tmp_path):
        keep(SignedIn(issuer.url, CLIENT, issuer.token(time.time()), time.time() + 300, "refresh-1"), service_url())
        client = Client()
        assert client.get("whoami")["how"] == "sign-in"
        assert not [path for path in issuer.calls if path.endswith("/token")]
        keep(SignedIn(issuer.url, CLIENT, issuer.token(0), time.time() - 1, issuer.good_refresh), service_url())
        assert client.get("whoami")["how"] == "sign-in"
        assert len([path for path in issuer.calls if path.endswith("/token")]) == 1


def test_a_token_that_the_service_refuses_is_renewed_once(issuer: LocalIssuer, tmp_path: Path) -> None:
    with serving(issuer, tmp_path):
        keep(SignedIn(issuer.url, CLIENT, issuer.token(0), time.time() + 300, "refresh-1"), service_url())
        client = Client()
        assert next(iter(client.stream(EventListing(), None))) is not None
        issuer.claims = {"now_s": 0}
        keep(SignedIn(issuer.url, CLIENT, issuer.token(0), time.time() + 300, issuer.good_refresh), service_url())
        with pytest.raises(ApiError, match="it has expired"):
            client.get("whoami")
        assert len([path for path in issuer.calls if path.endswith("/token")]) == 2


def test_two_commands_renew_it_once(issuer: LocalIssuer) -> None:
    keep(SignedIn(issuer.url, CLIENT, "old", time.time() - 1, "refresh-1"), SERVICE)
    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(token_of_login, [SERVICE] * 8))
    assert len(found) == 1
    assert len([path for path in issuer.calls if path.endswith("/token")]) == 1
    assert stat.S_IMODE(login_file().with_suffix(".lock").stat().st_mode) == 0o600


def test_a_token_is_used_to_its_end_while_the_issuer_is_away(issuer: LocalIssuer) -> None:
    keep(SignedIn(issuer.url, CLIENT, "t", time.time() + 20, "refresh-1"), SERVICE)
    issuer.is_broken = True
    assert token_of_login(SERVICE) == b"t"
    with pytest.raises(IssuerAway):
        token_of_login(SERVICE, refused=b"t")


def test_a_sign_in_replaces_a_file_that_others_can_read(issuer: LocalIssuer) -> None:
    keep(SignedIn("https://l.example", CLIENT, "t", time.time() + 300), SERVICE)
    login_file().chmod(0o644)
    assert run(["login", "--issuer", issuer.url, "--client", CLIENT]) == 0
    assert stat.S_IMODE(login_file().stat().st_mode) == 0o600


def test_polls_that_are_lost_are_repeated_more_slowly(issuer: LocalIssuer) -> None:
    issuer.lost = 2
    slept: list[float] = []
    waited(begun(issuer.url, CLIENT, "openid"), sleep=slept.append)
    assert slept == [10, 20]
    issuer.lost = 500
    slept.clear()
    with pytest.raises(IssuerAway):
        waited(begun(issuer.url, CLIENT, "openid"), sleep=slept.append)
    assert sum(slept) <= 660


@pytest.mark.parametrize("kind", ["id_token", "access_token"])
def test_a_renewed_token_is_of_the_same_kind(issuer: LocalIssuer, kind: str) -> None:
    issuer.kinds = [kind]
    signed = waited(begun(issuer.url, CLIENT, "openid"), sleep=lambda _: None)
    assert signed.kind == kind
    issuer.kinds = ["id_token", "access_token"]
    signed = refreshed(signed)
    assert signed.kind == kind
    issuer.kinds = ["access_token"]
    if kind == "id_token":
        with pytest.raises(SignInFailed, match="gives no new ID token"):
            refreshed(signed)
