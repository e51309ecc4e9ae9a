"""Host keys against a spec that is there: what was given is in the patch."""

from pathlib import Path

import pytest

from service.cli import run
from tests.adopt.trees import KEY, STYLES

GIVEN = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC+toltdQbLx35CC4hoInbongawp3QlD4Rib7XHgMubG"


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """The command about a folder that has no key of the host, with a spec that has none either."""
    for path in ("etc/hostname", "etc/network/interfaces"):
        (tmp_path / "root" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / path).write_bytes((STYLES / "ethers" / "root" / path).read_bytes())
    words = ["adopt", "--root", str(tmp_path / "root"), "--repo", str(tmp_path / "repo")]
    assert run(words) == 0
    return words


def patch(words: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines that the patch changes."""
    capsys.readouterr()
    assert run([*words, "--diff"]) == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    return [line for line in lines if line.startswith(("+", "-"))]


def test_a_given_key_goes_into_a_spec_without_one(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert patch(words, capsys) == []
    (added,) = patch([*words, "--host-key", f"{GIVEN} root@pve1"], capsys)
    assert added == f"+  host_keys: [{GIVEN}]"


def test_a_given_key_goes_beside_those_of_a_spec_once(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (spec,) = (tmp_path / "repo" / "hosts").iterdir()
    text = "".join(line for line in spec.read_text().splitlines(keepends=True) if "# host_keys" not in line)
    spec.write_text(text.replace("connection:\n", f"connection:\n  host_keys: [{KEY}]\n"))
    assert patch(words, capsys) == []
    assert patch([*words, "--host-key", KEY], capsys) == []
    gone, added = patch([*words, "--host-key", GIVEN], capsys)
    assert gone == f"-  host_keys: [{KEY}]"
    assert added == f"+  host_keys: [{KEY}, {GIVEN}]"
