"""Secrets are taken from files that only their owner can read, and every refusal says what fixes it."""

import os
from pathlib import Path

import asyncssh
import pytest

from service.cli.client import token_from_file
from service.errors import InputError, PasserelleError
from service.history import open_history
from service.private_files import read_private, refuse_writable
from service.settings import read_settings
from service.ssh.keys import load_client_key

OPEN_MODES = (0o640, 0o604, 0o660, 0o644, 0o666, 0o602, 0o777, 0o610)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text("glpat-abc123\n", encoding="ascii")
    file.chmod(0o600)
    return file


@pytest.mark.parametrize("mode", OPEN_MODES)
def test_a_secret_that_others_can_read_is_refused_with_the_command_that_mends_it(secret: Path, mode: int) -> None:
    secret.chmod(mode)
    with pytest.raises(InputError, match=f"the token file {secret} can be read by other users") as refused:
        read_private(secret, "the token file")
    assert refused.value.hint.startswith(f"run `chmod 600 {secret}`")
    assert "glpat" not in str(refused.value)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_secret_of_its_owner_alone_is_read(secret: Path, mode: int) -> None:
    secret.chmod(mode)
    assert read_private(secret, "the token file") == b"glpat-abc123\n"


def test_every_file_with_a_secret_is_looked_at(secret: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = tmp_path / "key"
    key.write_bytes(asyncssh.generate_private_key("ssh-ed25519").export_private_key())
    state = tmp_path / "state" / "passerelle.sqlite"
    open_history(state).close()
    monkeypatch.setenv("PASSERELLE_TOKEN_FILE", str(secret))
    uses = {
        secret: (lambda: read_settings(git_token_file=secret).git_token, token_from_file),
        key: (lambda: load_client_key(key), read_settings(git_key=key).check_files),
        state: (lambda: open_history(state).close(),),
        state.parent / "token.pepper": (lambda: open_history(state).close(),),
    }
    for file, users in uses.items():
        for use in users:
            file.chmod(0o640)
            with pytest.raises(PasserelleError, match=r"can be read by .*\(run `chmod 600 "):
                use()
            file.chmod(0o600)
            use()


@pytest.mark.parametrize("name", ["git_known_hosts", "git_ca_file"])
def test_what_decides_whom_we_trust_is_not_for_others_to_write(tmp_path: Path, name: str) -> None:
    file = tmp_path / "trusted"
    file.write_text("x")
    settings = read_settings(**{name: file})
    for mode in (0o644, 0o600, 0o444):
        file.chmod(mode)
        settings.check_files()
    for mode in (0o664, 0o646, 0o666):
        file.chmod(mode)
        with pytest.raises(InputError, match="can be changed by other users"):
            settings.check_files()
    file.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        refuse_writable(file, "the file")


def test_what_is_no_plain_file_is_said(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    with pytest.raises(InputError, match="is not a plain file"):
        read_private(pipe, "the token file")
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_private(tmp_path / "none", "the token file")
    big = tmp_path / "big"
    big.write_bytes(b"x" * (1 << 20) + b"x")
    big.chmod(0o600)
    with pytest.raises(InputError, match="longer than"):
        read_private(big, "the token file")


def test_a_credential_of_systemd_is_guarded_by_systemd(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret.chmod(0o440)  # how an access list for one user shows
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(secret.parent))
    assert read_private(secret, "the token file") == b"glpat-abc123\n"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(secret.parent / "else"))
    with pytest.raises(InputError):
        read_private(secret, "the token file")
