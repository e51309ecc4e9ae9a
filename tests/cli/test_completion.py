"""Scripts for shells and the man page know all commands."""

import subprocess
import sys
from pathlib import Path

import pytest

from service.cli import run
from service.cli.commands import app, load_all

TOP = Path(__file__).parents[2]


def commands() -> list[str]:
    load_all()
    return [name for name in app if not name.startswith("-")]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_names_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert [name for name in commands() if name not in script] == []


def completed(script: Path, *words: str) -> list[str]:
    """What bash offers after these words, by the function that the script has defined."""
    line = " ".join(f"'{word}'" for word in ("passerelle", *words))
    place = f"COMP_WORDS=({line}); COMP_CWORD={len(words)}"
    asked = f"source {script}; {place}; _passerelle; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "--norc", "-c", asked], check=True, capture_output=True, text=True)
    return sorted(done.stdout.split())


def test_bash_completes_commands_and_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["completion", "bash"])
    script = tmp_path / "passerelle"
    script.write_text(capsys.readouterr().out)
    assert completed(script, "dri") == ["drift", "drill"]
    assert "--state-dir" in completed(script, "key", "--")


def test_the_man_page_describes_every_command() -> None:
    """A text that docutils cannot read ends the program."""
    made = [sys.executable, str(TOP / "deploy" / "package" / "manpage.py")]
    page = subprocess.run(made, check=True, capture_output=True, text=True).stdout
    assert [name for name in commands() if f"passerelle {name}" not in page] == []
