"""The check of plain words notices what it should, and its list of known sentences can only shrink."""

from pathlib import Path

import pytest

from tests.prose import KNOWN, WORDS, Complaint, judge, known, main, new_and_gone, sentences, word_list
from tests.prose_texts import Sort, Text, of_page, of_python, of_script

LIST = word_list(WORDS.read_text(encoding="utf-8"))
THIRTY_ONE = "The host " + "very " * 27 + "slowly boots."


def rules(words: str, sort: Sort = "message") -> list[str]:
    return [complaint.rule for complaint in judge(Text("x", 1, sort, words), LIST)]


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        ("the host told us", "told"),
        ("it says who moved the address", "moved"),
        ("the connection was tried in vain", "in vain"),
        ("it heals by itself", "by itself"),
        ("what was done is undone", "undo"),
        ("the host puts everything back", "put back"),
        ("a door to the host", "door"),
        ("the line stands in the file", "stand"),
        ("nothing hangs on it", "hang on"),
        ("ask the hoster", "hoster"),
        ("a foreign table", "foreign"),
        ("`x` is no number", "is-no"),
        ("the range is too wide, write a smaller one", "comma"),
        ("no tokens; make one with `passerelle token create`", "comma"),
        ("What could not be read is never overwritten", "what"),
        ("Where no connection comes in, nothing is started", "what"),
        (THIRTY_ONE, "long"),
    ],
)
def test_what_is_not_plain_is_found(words: str, rule: str) -> None:
    assert rule in rules(words)


@pytest.mark.parametrize(
    "words",
    [
        "says where they differ and who moved (Git or the host)",
        "`deploy/setup` alone makes the command: below, `passerelle` is the one of the checkout",
        "What stands in `post-up` lines counts where it is",
        "an nft table of its own, or where a `post-up` line already makes it so; never twice",
        "no real Proxmox VE host was run",
        "What a person approves is that digest; the apply is refused as stale",
        "Where no new connection comes in, nothing is begun (`no-way-in`): it could not be confirmed",
        "What did not answer before proves nothing and stops nothing",
        "What else it must not reach is for the packet filter of its machine to say",
        "what somebody took the timer of is undone when the service looks next",
        "The switch guards in every case",
        "What the call says is not looked at: it is a doorbell",
        "`Idempotency-Key` makes a repeated POST the same POST",
        "1 for what each axis of a host is",
        "a change that cuts guests off waits for a person all the same",
        "Without a word of direction it is about what reaches the host itself",
        "lets `ifreload -a` take the guests off vmbr0, remove it: the stanza gets a line that keeps them",
        "arm one that changes nothing, confirm it not, and look at what happens",
        "nobody can be asked here",
        "no token nope that is still good",
        "'yesterday' is no time",
        "the API begins at 127.0.0.1",
        "take the line out of `packages`; whoever has a console can do it",
        "`ip addr` printed an MTU that is none",
        "the spec says otherwise than the host",
    ],
)
def test_each_pattern_that_a_reader_stumbled_on_is_found(words: str) -> None:
    assert rules(words)


@pytest.mark.parametrize(
    "words",
    [
        "The host is unreachable. Fix: check its console",
        "An apply is under way in this process",
        "Counts begin at 0 with the process",
        "The host stays the same after the apply",
        "pve1 was not looked at since the service started",
        "`told` and `moved` are names of fields",
        "there is no number in it",
        "the name is no longer there",
        "the file moved to another folder",
        "`-` stands for standard input",
        "a foreign key of the database",
        "What is the name of the host?",
        "one, two and three; four",
        "set AllowTcpForwarding in its sshd_config, check PermitOpen, and add the key",
        THIRTY_ONE.replace("very ", "", 1),
    ],
)
def test_what_is_plain_is_not_found(words: str) -> None:
    assert rules(words) == []


def test_headings_of_pages_and_names_of_things_may_begin_with_what() -> None:
    assert rules("What the lab is", "doc") == []
    assert rules("What the host answered.", "docstring") == []
    assert rules("What the host answered is hostile.", "doc") == ["what"]


def test_every_word_of_the_list_has_a_plain_one() -> None:
    assert len({name for name, _, _ in LIST}) == len(LIST) > 20
    assert all(plain for _, _, plain in LIST)


def test_sentences_end_where_people_end_them() -> None:
    assert sentences("The host, i.e. Debian 12.1, boots. `ip` runs (slowly). Done. passerelle waits") == [
        "The host, i.e. Debian 12.1, boots.", "`ip` runs (slowly).", "Done.", "passerelle waits",
    ]  # fmt: skip


PAGE = """\
# A heading

A paragraph
of two lines with `code` and [a link](target.md).

- one entry
- **another** entry

| head | cells |
|---|---|
| a cell | `x` |

```console
$ told
```
"""


def test_a_page_is_read_by_paragraphs_entries_and_cells() -> None:
    assert [(text.line, text.words) for text in of_page("page.md", PAGE)] == [
        (1, "A heading"),
        (3, "A paragraph of two lines with `code` and a link."),
        (6, "one entry"),
        (7, "another entry"),
        (9, "head"),
        (9, "cells"),
        (11, "a cell"),
        (11, "`x`"),
    ]


MODULE = '''\
"""The module.

    code(1)  -> None

A second paragraph
of two lines.
"""

LIMIT = 3
"""The note of a constant."""
# A comment
# of two lines
WORDS = "short"  # noqa: S108 (the reason of an exception)


def f(name: str) -> str:
    """The function."""
    return f"the host {name} is not {LIMIT:>{LIMIT}} here" "and more"
'''


def test_a_module_is_read_by_docstrings_comments_and_messages() -> None:
    found = {(text.line, text.sort, text.words) for text in of_python("m.py", MODULE, messages=True)}
    assert found == {
        (1, "docstring", "The module."),
        (5, "docstring", "A second paragraph of two lines."),
        (10, "docstring", "The note of a constant."),
        (11, "comment", "A comment of two lines"),
        (13, "comment", "the reason of an exception"),
        (17, "docstring", "The function."),
        (18, "message", "the host X is not X hereand more"),
    }
    assert not [text for text in of_python("m.py", MODULE, messages=False) if text.sort == "message"]


def test_the_comments_of_a_script_are_read() -> None:
    (text,) = of_script("run", "#!/bin/sh\n# one\n# two\ntrue # three\n")
    assert (text.line, text.words) == (2, "one two")


HELP = """\
#!/bin/sh
# What it does.
# usage: run [--fast]
#   --fast   without hosts
#            and without labs
"""


def test_the_help_of_a_script_is_read_line_by_line() -> None:
    words = [text.words for text in of_script("run", HELP)]
    assert words == ["What it does.", "usage: run [--fast]", "without hosts", "and without labs"]


def complaint(sentence: str) -> Complaint:
    return Complaint("service/a.py", 3, "told", sentence, "write reported")


def test_what_is_known_is_silent_what_is_new_is_not_and_what_is_mended_leaves_the_list() -> None:
    old, other = complaint("the host told us"), complaint("the host told you")
    listed = known(f"# why\n{old.key}\n")
    assert new_and_gone([old], listed) == ([], [])
    assert new_and_gone([old, old], listed) == ([old], [])
    assert new_and_gone([other], listed) == ([other], [old.key])


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "README.md").write_text("The host told us.\n\nThe host told you.\n")
    return tmp_path


def test_the_list_only_shrinks(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = tree / "known.txt"
    listed.write_text("")
    assert main([], tree, listed) == 1
    assert "README.md:3: told: The host told you.\n    Fix: write reported" in capsys.readouterr().out
    assert main(["--accept"], tree, listed) == 1
    assert known(listed.read_text()).total() == 0

    assert main(["--rebuild"], tree, listed) == 0
    assert main([], tree, listed) == 0
    (tree / "README.md").write_text("The host told us.\n")
    assert main([], tree, listed) == 1
    assert "not needed any more" in capsys.readouterr().out
    assert main(["--accept"], tree, listed) == 0
    assert known(listed.read_text()).total() == 1
    assert main([], tree, listed) == 0


def test_the_list_of_this_tree_is_written_as_the_check_writes_it() -> None:
    lines = [line for line in KNOWN.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert lines == sorted(lines)
