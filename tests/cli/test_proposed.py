"""`passerelle plan` of a branch: what is printed, in each form, and how it ends."""

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from service.cli import run
from service.cli.proposed import exit_code, headline, verdict
from service.cli.proposed_forms import MAX_MARKDOWN_BYTES, block, code, junit, markdown, text_lines
from service.history import open_history
from tests.api.world import World
from tests.cli.proposals import PLAN, REFUSED, answer, finding, host
from tests.cli.reached import reached
from tests.documents import run_by
from tests.state_folders import made

HOSTILE = "@ada `a` ``b`` ``` #1 !2 <script>x</script> [x](http://e.example) --> \u202e /merge \x1b[31m | *x* &lt;"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_history(made(tmp_path / "state" / "passerelle.sqlite")) as history:
        yield World(history).fill()


@pytest.mark.parametrize(
    ("found", "said", "word", "code_"),
    [
        (answer(), "no host is concerned", "good", 0),
        (answer(host("a", "unchanged"), host("b", "unchanged")), "2 hosts are unchanged", "good", 0),
        (
            answer(host("a", "changes", PLAN), host("b", "new"), host("c", "unchanged")),
            "1 host changes, 1 is new, 1 is unchanged", "good", 2,
        ),
        (answer(host("a", "refused", REFUSED)), "1 host is refused", "bad", 1),
        (answer(errors=2), "2 errors: the revision would be refused as a whole", "bad", 1),
        (answer(host("a", "not-known"), host("b", "left-out")), "1 host cannot be planned, 1 was left out",
         "not-known", 4),
    ],
)  # fmt: skip
def test_a_revision_in_one_line_and_in_one_word(found: dict[str, Any], said: str, word: str, code_: int) -> None:
    assert (headline(found), verdict(found), exit_code(found, detailed=True)) == (said, word, code_)
    assert exit_code(found, detailed=False) == (0 if code_ == 2 else code_)


def test_people_read_each_plan_and_what_is_behind() -> None:
    found = answer(
        host("pve1", "changes", PLAN, settings=["sync"]), host("pve2", "unchanged"), contains_it=False,
        findings=[finding("doubtful", "warning")],
    )  # fmt: skip
    text = "\n".join(line.text for line in text_lines(found))
    assert text.startswith("pull request 7: 1 host changes, 1 is unchanged\nbbbbbbbbbbbb a bridge (Bob)")
    assert "does not contain the commit that is in force" in text
    assert "hosts/pve1.yaml:3:1: snyc: doubtful. Fix: write sync (warning)" in text
    assert "pve1: 1 step, opens nothing, closes nothing, no guest loses its link; changed in its file: sync" in text
    assert "  1. link:vmbr0: bridges" in text
    assert "pve2" not in text


def outside_code(text: str) -> str:
    """What a forge would read as markdown: without code blocks, code spans and <code>."""
    text = re.sub(r"^(`{3,})diff\n.*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"(?<!`)(`+)(?!`)(.*?)(?<!`)\1(?!`)", "", text)
    return re.sub(r"<code>.*?</code>", "", text)


def test_a_branchs_words_are_in_code_only() -> None:
    """No name is called, no issue linked, no command given and no HTML made by whoever wrote the branch."""
    steps = [PLAN["steps"][0] | {"why": HOSTILE, "risk": HOSTILE, "fact": f"link:{HOSTILE}"}]
    body = PLAN | {"steps": steps, "notes": [HOSTILE, "````", "```diff"], "reachability": [f"opens {HOSTILE}"]}
    body |= {"summary": PLAN["summary"] | {"cut": [HOSTILE]}}
    found = answer(
        host("pve1", "changes", body, why=HOSTILE, settings=["sync"]), host("pve2", "new", why=HOSTILE),
        findings=[finding(HOSTILE, "warning"), finding("`", file=HOSTILE)],
    )  # fmt: skip
    found["commit"]["subject"] = HOSTILE
    text = markdown(found)
    assert "\x1b" not in text
    assert "\u202e" not in text
    left = outside_code(text)
    for word in ("@ada", "#1", "!2", "script", "http", "-->", "/merge", "*x*"):
        assert word not in left, left
    assert html.escape("<script>") in text


@pytest.mark.parametrize("text", ["", "`", "``", "a`b", "`a", "a` ``", "\n\n", "x" * 1000, "`" * 300])
def test_any_text_is_one_code_span(text: str) -> None:
    made = code(text)
    assert "\n" not in made
    ticks = re.match("`+", made)
    assert ticks is not None
    assert made.endswith(ticks[0])
    assert ticks[0] not in made[len(ticks[0]) : -len(ticks[0])]


def test_no_line_ends_a_code_block() -> None:
    made = block(["```", "`````", "x"])
    assert made.splitlines()[0] == "``````diff"
    assert made.splitlines()[-1] == "``````"


def test_a_comment_is_bounded_and_counts_what_it_leaves_out() -> None:
    long = PLAN | {"notes": ["n" * 300] * 100}
    found = answer(*[host(f"pve{n}", "changes", long) for n in range(300)], findings=[finding("é" * 900)] * 500)
    text = markdown(found)
    assert len(text.encode()) <= MAX_MARKDOWN_BYTES
    left = re.search(r"^(\d+) more hosts: see the output", text, re.MULTILINE)
    assert left is not None
    assert text.count("<details>") == text.count("</details>")
    assert text.count("**pve") + text.count("<b>pve") + int(left[1]) == 300
    assert "and 460 more findings" in text


def test_junit_has_a_test_for_each_host_and_each_file() -> None:
    found = answer(
        host("pve1", "refused", REFUSED), host("pve2", "not-known", why="never seen \x00"), host("pve3", "unchanged"),
        findings=[finding("a \x1b[31m"), finding("b", "warning"), finding("c", "warning", "fleet.yaml")],
    )  # fmt: skip
    suites = ElementTree.fromstring(junit(found))
    assert suites.attrib == {"tests": "5", "failures": "2", "skipped": "1", "errors": "0"}
    cases = {(one.get("classname"), one.get("name")): [child.tag for child in one] for one in suites.iter("testcase")}
    assert cases == {
        ("passerelle.lint", "fleet.yaml"): ["system-out"],
        ("passerelle.lint", "hosts/pve1.yaml"): ["failure", "system-out"],
        ("passerelle.plan", "pve1"): ["failure", "system-out"],
        ("passerelle.plan", "pve2"): ["skipped", "system-out"],
        ("passerelle.plan", "pve3"): ["system-out"],
    }


@pytest.mark.parametrize(
    "words",
    [
        ["pve1", "pve2"], ["--all"], ["--branch", "x"], ["--branch", "x", "--all", "pve1"],
        ["--branch", "x", "--pull", "7", "--all"], ["--branch", "x", "--all", "--repo", "."], ["pve1", "-o", "junit"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_cannot_be_meant_is_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", *words]) == 64
    assert "Fix:" in capsys.readouterr().err


def test_the_pages_commands_show_a_branch(
    world: World, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(world.desk, "proposed_body", PLAN)
    with reached(world.app, world.token("plan", hosts=("pve1",))):
        for command in run_by("test_the_pages_commands_show_a_branch"):
            assert run(command.words) == 0, (command, capsys.readouterr())
            said = capsys.readouterr().out
            assert "pve1" in said
            assert "pve2" not in said
        assert run(["plan", "pve1", "--branch", "new", "--all"]) == 64
        assert run(["plan", "--branch", "new", "--all", "--detailed-exitcode", "-o", "junit"]) == 2
        capsys.readouterr()
        assert run(["plan", "pve1", "--pull", "7", "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["proposal"], found["commit"]["subject"]) == ({"kind": "pull", "name": "7"}, "pull request 7")
    assert [one["file"] for one in found["findings"]] == ["hosts/pve1.yaml"]
