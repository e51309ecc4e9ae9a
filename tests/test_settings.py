"""What the operator sets, as the service takes it."""

from pathlib import Path

import pytest

from service.errors import InputError
from service.model.secret import Secret
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
