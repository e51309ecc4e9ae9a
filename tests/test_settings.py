"""What the operator sets, as the service takes it."""

from datetime import timedelta
from pathlib import Path

import pytest

from service.errors import InputError
from service.model.secret import Secret
from service.model.web_sessions import SessionLimits
from service.settings import read_settings


def test_the_token_of_an_https_source_comes_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("glpat-abc123\n", encoding="ascii")
    file.chmod(0o600)
    settings = read_settings(git_token_file=file)
    assert settings.git_token == Secret(b"glpat-abc123")
    assert "glpat" not in repr(settings)
    assert read_settings().git_token is None


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"a\nb", "tokén".encode(), None])
def test_a_token_file_without_a_token_is_told(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
        file.chmod(0o600)
    with pytest.raises(InputError, match=str(file)):
        _ = read_settings(git_token_file=file).git_token


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("", ""), ("https://passerelle.example.org", "https://passerelle.example.org"),
        ("https://passerelle.example.org:443", "https://passerelle.example.org"),
        ("https://passerelle.example.org:8443", "https://passerelle.example.org:8443"),
        ("http://gate:80", "http://gate"), ("https://[2001:db8::1]:443", "https://[2001:db8::1]"),
    ],
)  # fmt: skip
def test_the_address_of_the_pages_is_an_origin_as_browsers_write_it(given: str, read: str) -> None:
    assert read_settings(web_url=given).web_url == read


@pytest.mark.parametrize(
    "given",
    ["passerelle.example.org", "https://", "https://x/", "https://x/path", "https://X", "ftp://x", "https://a@b"],
)
def test_what_is_no_origin_is_refused(given: str) -> None:
    with pytest.raises(InputError, match="PASSERELLE_WEB_URL"):
        read_settings(web_url=given)


def test_how_long_a_session_lasts_is_the_operator_s() -> None:
    assert read_settings().sessions == SessionLimits(timedelta(hours=8), timedelta(days=7))
    assert read_settings(session_idle_hours=1.5, session_days=1).sessions.idle == timedelta(minutes=90)
    for given in ({"session_idle_hours": 0}, {"session_days": 0}, {"session_days": 400}):
        with pytest.raises(InputError, match="PASSERELLE_SESSION"):
            read_settings(**given)
