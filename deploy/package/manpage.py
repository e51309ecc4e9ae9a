"""Print the man page of the command line, from the same texts as `--help`.

.venv/bin/python deploy/package/manpage.py >passerelle.1      read it with `man -l passerelle.1`
"""

import re
import sys

from docutils.core import publish_string

from service import __version__
from service.cli.commands import app, load_all

HEAD = """\
==========
passerelle
==========

-------------------------------------------------------------------
keep the networks of hypervisors and their guests as Git says
-------------------------------------------------------------------

:Manual section: 1
:Manual group: passerelle
:Version: {version}

"""
LEFT_OUT = re.compile(r"^\.\. (_cyclopts-[^\n]*:|contents::[^\n]*(\n   [^\n]+)*)\n", re.MULTILINE)
"""Targets of links and the list of contents: a page on a terminal has neither."""

HEADING = re.compile(r"\s*\*\*[^*]+:\*\*")
LITERAL = re.compile(r"(``.+?``|`[^`]+`)")


def plain(line: str) -> str:
    """A line in which only what is between backticks means anything: the texts of `--help` are not reStructuredText."""
    if HEADING.fullmatch(line):
        return line
    parts = LITERAL.split(line)
    outside = [re.sub(r"([*|\\]|(?<=\w)_(?!\w))", r"\\\1", part) for part in parts[::2]]
    inside = [f"``{part.strip('`')}``" for part in parts[1::2]]
    return "".join(word for pair in zip(outside, [*inside, ""], strict=True) for word in pair)


def page() -> str:
    """The page in roff."""
    load_all()
    body = LEFT_OUT.sub("", app.generate_docs(output_format="rst", recursive=True))
    _, _, body = body.partition("==========\npasserelle\n==========\n")
    body = body.replace("[**Required**", "[Required")
    text = HEAD.format(version=__version__) + "\n".join(map(plain, body.splitlines()))
    made: bytes = publish_string(
        text, writer="manpage",
        settings_overrides={
            "report_level": 2, "halt_level": 2, "input_encoding": "unicode", "output_encoding": "utf-8",
        },
    )  # fmt: skip
    return made.decode()


if __name__ == "__main__":
    sys.stdout.write(page())
