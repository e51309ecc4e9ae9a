"""fail2ban's files: sections of pairs, read as fail2ban reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.formats.fail2ban import parse, render

NAMES = st.from_regex(r"[a-z][a-z0-9_.-]{0,9}", fullmatch=True)
VALUES = st.from_regex(r"[A-Za-z0-9,:/%=\[\]()._-]{1,20}( [A-Za-z0-9,:/._-]{1,20}){0,3}", fullmatch=True)


@pytest.mark.long
@given(st.dictionaries(NAMES, st.dictionaries(NAMES, VALUES, max_size=4), max_size=3))
def test_what_is_rendered_is_read_back(sections: dict[str, dict[str, str]]) -> None:
    assert parse(render(sections)) == sections


def test_comments_blanks_and_lines_that_go_on() -> None:
    text = b"# a\n; b\n[sshd]\n\nenabled: true ; yes\nIgnoreIP = ::1\n   192.0.2.1\n\t192.0.2.2\n"
    text += b"[ssh d]\nlost = 1\n[sshd]\nport=1"
    assert parse(text) == {"sshd": {"enabled": "true", "ignoreip": "::1 192.0.2.1 192.0.2.2", "lost": "1", "port": "1"}}


@given(st.binary(max_size=300))
def test_no_bytes_make_it_fail(data: bytes) -> None:
    parse(data)
