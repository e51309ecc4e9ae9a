"""The service's own key: made once, and shown as a line for the hosts."""

from pathlib import Path

import pytest

from service.cli import run
from service.errors import InputError
from service.ssh.own_key import authorized_line, own_key


def test_the_line_allows_commands_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "state" / "ssh_key"
    line = authorized_line(file)
    kind, key = own_key(file).export_public_key().decode().split()[:2]
    assert line == f"restrict {kind} {key} passerelle"
    assert authorized_line(file) == line
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_line_may_name_where_the_service_comes_from(tmp_path: Path) -> None:
    line = authorized_line(tmp_path / "ssh_key", "192.0.2.10, 2001:DB8::/32")
    assert line.startswith('from="192.0.2.10,2001:db8::/32",restrict ssh-ed25519 ')


def test_the_line_for_a_jump_host_allows_forwarding_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = authorized_line(tmp_path / "ssh_key")
    assert run(["key", "--state-dir", str(tmp_path), "--jump", "--from", "192.0.2.10"]) == 0
    said = capsys.readouterr()
    assert said.out == f'from="192.0.2.10",{plain.replace("restrict ", "restrict,port-forwarding ")}\n'
    assert "on each jump host." in said.err


@pytest.mark.parametrize("source", ["controller", '192.0.2.1",command="id', "192.0.2.1/33", "192.0.2.1,,", "*"])
def test_another_place_is_rejected_before_a_key_is_made(tmp_path: Path, source: str) -> None:
    with pytest.raises(InputError, match="is not an address or a network"):
        authorized_line(tmp_path / "ssh_key", source)
    assert list(tmp_path.iterdir()) == []


def test_the_command_prints_the_line_alone_on_standard_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["key", "--state-dir", str(tmp_path), "--from", "192.0.2.10"]) == 0
    said = capsys.readouterr()
    assert said.out == f"{authorized_line(tmp_path / 'ssh_key', '192.0.2.10')}\n"
    assert "authorized_keys" in said.err
