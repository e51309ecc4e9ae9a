"""systemd's `EnvironmentFile=`: what systemd 252 of Debian 12 gave a unit of it is in `environment_file/seen.json`."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from service.formats.environment_file import read

HERE = Path(__file__).parent / "environment_file"


def test_a_file_is_read_as_systemd_reads_it() -> None:
    text = (HERE / "service.env").read_bytes().decode()
    assert read(text) == json.loads((HERE / "seen.json").read_text())
    assert text.endswith("\r\n")


@given(st.text(alphabet="AB= \t\n\r'\"\\#;$`x", max_size=40))
def test_any_text_is_read_to_its_end(text: str) -> None:
    assert all(name and "=" not in name for name in read(text))


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0'"), max_size=30))
def test_what_stands_between_single_quotes_is_the_value(value: str) -> None:
    assert read(f"A='{value}'\nB=1") == {"A": value, "B": "1"}
