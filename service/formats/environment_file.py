"""The file that systemd's `EnvironmentFile=` names, as systemd 252 reads it (systemd.exec(5)).

read(text) -> {"PASSERELLE_SOURCE": "https://…", …}

Of two lines for a name the last one counts. Anything that is not an assignment is left out. It is not a shell's file:
nothing is expanded, and a `#` after the value is a part of it.
"""

import re
from collections.abc import Iterator

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BLANK = " \t\r"
_IN_DOUBLE = '"\\`$'
"""What a backslash takes its meaning from between double quotes; before all else it stands for itself."""


def read(text: str) -> dict[str, str]:
    """The variables that the file sets."""
    return dict(_assignments(text))


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        end = _end_of_line(text, at)
        line = text[at:end].lstrip(_BLANK)
        if not line or line[0] in "#;":
            at = _end_of_comment(text, at) + 1
            continue
        name, equals, _ = line.partition("=")
        if not equals:
            at = end + 1
            continue
        value, at = _value(text, at + text[at:end].index("=") + 1)
        if _NAME.fullmatch(name.rstrip(_BLANK)):
            yield name.rstrip(_BLANK), value


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _end_of_comment(text: str, at: int) -> int:
    """A comment, too, continues after a backslash at the end of its line."""
    end = _end_of_line(text, at)
    while end < len(text) and text[end - 1] == "\\":
        end = _end_of_line(text, end + 1)
    return end


def _value(text: str, at: int) -> tuple[str, int]:
    """The value that begins here, and where the next line does."""
    while at < len(text) and text[at] in _BLANK:
        at += 1
    said = ""
    while at < len(text) and text[at] in "'\"":
        part, at = _quoted(text, at + 1, text[at])
        said += part
        while at < len(text) and text[at] in _BLANK:
            at += 1
    rest, at = _plain(text, at)
    return said + rest, at


def _quoted(text: str, at: int, quote: str) -> tuple[str, int]:
    said = ""
    while at < len(text) and text[at] != quote:
        if quote == '"' and text[at] == "\\" and at + 1 < len(text):
            at += 1
            said += "" if text[at] == "\n" else text[at] if text[at] in _IN_DOUBLE else f"\\{text[at]}"
        else:
            said += text[at]
        at += 1
    return said, at + 1


def _plain(text: str, at: int) -> tuple[str, int]:
    """To the end of the line, without the blanks there. A character after a backslash is kept as it is."""
    said, kept = "", 0
    while at < len(text) and text[at] != "\n":
        if text[at] == "\\" and at + 1 < len(text):
            at += 1
            if text[at] != "\n":
                said += text[at]
                kept = len(said)
        else:
            said += text[at]
            kept = kept if text[at] in _BLANK else len(said)
        at += 1
    return said[:kept], at + 1
