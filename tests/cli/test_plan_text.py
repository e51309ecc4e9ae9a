"""A plan as people read it: the line above it, its differences, its files, and what a pipe and a terminal get."""

import contextlib
import io
import os
import pty
from typing import Any

import pytest

from service.cli.output import Line, show_lines
from service.cli.plan_text import headline, plan_lines, show_plan

STEP = {"fact": "sysctl:net.ipv4.ip_forward", "why": "nat", "risk": "", "restart": False, "on_confirm": False}
DIFFERENCE = {
    "kind": "firewall", "resource": "inet passerelle", "field": "input rules", "op": "changed", "where": "live",
    "have": ["ct state invalid drop", "tcp dport 22 accept"], "want": ["tcp dport 22 accept", "tcp dport 80 accept"],
    "unknown": "", "moved": "git", "cause": "",
}  # fmt: skip
SUMMARY = {"steps": 1, "packages": 0, "refusals": 0, "opens": 2, "closes": 9, "cut": []}
FILE = {"path": "/etc/x.conf", "size": 20, "diff": ["@@ -0,0 +1 @@", "+\tone"], "cut": 0, "is_secret": False}
REFUSAL = {"rule": "management-path", "what": "it would cut", "hint": "mean it"}
GUEST = {"name": "web", "action": "create", "what": "create guest web in vmbr0 and start it", "order": {}}


def body(**more: Any) -> dict[str, Any]:
    return {"steps": [STEP], "packages": [], "refusals": [], "drifts": [], "files": [], "summary": SUMMARY} | more


def shown(**more: Any) -> list[str]:
    return [line.text for line in plan_lines(body(**more))]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "1 step, opens 2, closes 9, no guest loses its link"),
        (
            {"packages": [{}] * 3, "steps": [STEP] * 17},
            "17 steps, 3 packages, opens 2, closes 9, no guest loses its link",
        ),
        (
            {"summary": SUMMARY | {"opens": 0, "closes": 0}},
            "1 step, opens nothing, closes nothing, no guest loses its link",
        ),
        (
            {"summary": SUMMARY | {"closes": None}},
            "1 step, what it opens and closes is not fully known, no guest loses its link",
        ),
        ({"summary": SUMMARY | {"cut": ["tap100i0"]}}, "1 step, opens 2, closes 9, 1 port loses its link: tap100i0"),
        (
            {"summary": SUMMARY | {"cut": [f"tap{n}" for n in range(8)]}},
            "1 step, opens 2, closes 9, 8 ports lose their link: tap0, tap1, tap2, tap3, tap4, tap5 and 2 more",
        ),
        ({"summary": None}, "1 step"),
        ({"refusals": [REFUSAL]}, "refused (1 reason), 1 step, opens 2, closes 9, no guest loses its link"),
        ({"steps": []}, "no changes"),
        ({"guests": [GUEST]}, "1 step, 1 guest, opens 2, closes 9, no guest loses its link"),
        ({"steps": [], "guests": [GUEST], "summary": None}, "0 steps, 1 guest"),
        ({"steps": [], "drifts": [DIFFERENCE]}, "1 difference, no changes"),
    ],
)
def test_the_line_above_a_plan(more: dict[str, Any], said: str) -> None:
    assert headline(body(**more)) == said


def test_of_two_lists_of_rules_only_what_goes_and_comes_is_shown() -> None:
    assert shown(drifts=[DIFFERENCE])[:5] == [
        "", "Differences (changed by Git)", "  ~ firewall inet passerelle input rules [live]",
        "      - ct state invalid drop", "      + tcp dport 80 accept",
    ]  # fmt: skip
    turned = DIFFERENCE | {"want": DIFFERENCE["have"][::-1]}
    assert "      only the order differs" in shown(drifts=[turned])
    many = DIFFERENCE | {"want": [f"tcp dport {n} accept" for n in range(100)]}
    assert len(shown(drifts=[many])) < 30
    assert "      … 80 more (all with -o json)" in shown(drifts=[many])


def test_who_changed_it_stands_on_each_line_where_it_was_not_the_same_side() -> None:
    said = shown(drifts=[DIFFERENCE, DIFFERENCE | {"moved": "host", "cause": "nat"}])
    assert said[1:3] == ["Differences", "  ~ firewall inet passerelle input rules [live] (changed by Git)"]
    assert "  ~ firewall inet passerelle input rules [live] (nat; changed by the host)" in said


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"have": None, "want": "present", "op": "missing"}, "+ firewall inet passerelle input rules [live]: present"),
        ({"have": None, "want": [], "op": "missing"}, "+ firewall inet passerelle input rules [live]"),
        ({"have": True, "want": None, "op": "extra"}, "- firewall inet passerelle input rules [live]: yes"),
        ({"have": "0", "want": "1"}, "~ firewall inet passerelle input rules [live]: 0 -> 1"),
        ({"have": None, "want": 1, "unknown": "cut off", "op": "missing"},
         "+ firewall inet passerelle input rules [live]: unknown: cut off"),
        ({"have": [{"chain": {}}] * 3, "want": None, "op": "extra"},
         "- firewall inet passerelle input rules [live]: 3 entries (all with -o json)"),
        ({"have": "x" * 500, "want": "y"},
         f"~ firewall inet passerelle input rules [live]: {'x' * 160}… (500 characters; all with -o json) -> y"),
    ],
)  # fmt: skip
def test_a_value_is_in_one_line(more: dict[str, Any], said: str) -> None:
    assert shown(drifts=[DIFFERENCE | more])[2] == f"  {said}"


def test_a_file_is_a_unified_diff_and_its_fields_are_not_said_twice() -> None:
    of_file = DIFFERENCE | {"resource": "/etc/x.conf", "field": "ruleset", "where": "file"}
    said = shown(files=[FILE], drifts=[of_file])
    assert said[1:3] == ["Differences (changed by Git)", "  ~ firewall /etc/x.conf ruleset [file]"]
    assert said[-5:] == ["Files", "  --- /dev/null", "  +++ /etc/x.conf", "  @@ -0,0 +1 @@", "  +\tone"]
    gone = FILE | {"size": None, "diff": ["@@ -1 +0,0 @@", "-one"], "cut": 7}
    assert shown(files=[gone])[-5:] == [
        "  --- /etc/x.conf", "  +++ /dev/null", "  @@ -1 +0,0 @@", "  -one", "  … 7 more lines",
    ]  # fmt: skip


def test_what_cannot_be_shown_of_a_file_is_said() -> None:
    assert shown(files=[FILE | {"is_secret": True, "diff": None}])[-1] == (
        "  /etc/x.conf: a secret; what changes in it is not shown"
    )
    assert shown(files=[FILE | {"diff": None}])[-1] == "  /etc/x.conf: 20 bytes; its lines cannot be shown"
    assert shown(files=[FILE | {"diff": []}])[-1] == "  /etc/x.conf: no line of it changes, only its mode or owner"


def test_a_pipe_gets_whole_lines_without_colour_and_nothing_that_a_terminal_obeys() -> None:
    out = io.StringIO()
    odd = STEP | {"why": "a\x1b[31m" + "long " * 60}
    show_plan({"host": "pve1", "digest": "sha256:abc", "body": body(steps=[odd], files=[FILE])}, out)
    lines = out.getvalue().splitlines()
    assert lines[0] == "pve1: 1 step, opens 2, closes 9, no guest loses its link"
    assert lines[-1] == "digest: sha256:abc"
    assert "  +\tone" in lines
    assert "\x1b" not in out.getvalue()
    assert max(map(len, lines)) > 300


def on_terminal(lines: list[Line]) -> str:
    """What a terminal of 40 columns gets."""
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as stream:
        show_lines(lines, stream)
    said = b""
    with contextlib.suppress(OSError):  # EIO: its other end is closed, and all was read
        while part := os.read(leader, 65536):
            said += part
    os.close(leader)
    return said.decode().replace("\r\n", "\n")


def test_a_terminal_gets_colours_and_folded_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    line = Line("  + ip saddr 10.10.10.0/24 tcp dport { 80, 443 } accept", "green", folded=4)
    said = on_terminal([line])
    assert "\x1b[32m" in said
    monkeypatch.setenv("NO_COLOR", "1")
    assert on_terminal([line]) == "  + ip saddr 10.10.10.0/24 tcp dport {\n    80, 443 } accept\n"


def test_guests_are_listed_with_what_is_done_to_them() -> None:
    said = shown(guests=[GUEST, GUEST | {"action": "set", "what": "set mounts of guest dev"}])
    start = said.index("Guests (a rollback leaves them)")
    assert said[start + 1 : start + 3] == ["  + create guest web in vmbr0 and start it", "  ~ set mounts of guest dev"]
