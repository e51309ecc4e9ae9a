"""What is shown of files that a plan writes: what changes, and nothing next to it."""

import json
from dataclasses import replace

import pytest

from service.model.facts import Step
from service.model.plans import FileChange
from service.model.secret import Seal, Secret
from service.model.states import Observed, Seen, Unknown
from service.plan.file_changes import MOST_CHARACTERS, MOST_LINES, changed_lines, file_changes
from service.plan.make import make_plan
from service.resources.desired import Desired, LastApplied
from service.resources.files import OwnFile
from service.resources.secret_files import SecretFile
from tests.laws.host import INTERFACES, bare_host, file_fact
from tests.laws.specs import desired_of

PATH = "/etc/x"
MANY = b"".join(b"line %d\n" % n for n in range(600))
SEAL = Seal(Secret(b"one key"))


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        (b"a\nb\nc\n", b"a\nB\nc\n", ("@@ -2 +2 @@", "-b", "+B")),
        (b"", b"a\nb\n", ("@@ -0,0 +1,2 @@", "+a", "+b")),
        (b"a\n", b"", ("@@ -1 +0,0 @@", "-a")),
        (b"a\n", b"a\n", ()),
        (MANY, MANY.replace(b"line 300\n", b"row 300\n"), ("@@ -301 +301 @@", "-line 300", "+row 300")),
        (b"a\n", b"\xff\n", None),
        (b"a\n", b"x" * (64 << 10) + b"\n", None),
        (b"", b"x" * 1000, ("@@ -0,0 +1 @@", "+" + "x" * (MOST_CHARACTERS - 1) + "…")),
    ],
)
def test_the_lines_that_go_and_come(old: bytes, new: bytes, lines: tuple[str, ...] | None) -> None:
    assert changed_lines(old, new) == lines


def test_much_that_differs_is_shown_whole_and_cut() -> None:
    lines = changed_lines(b"same\n" + MANY, b"same\n" + MANY.replace(b"line", b"row"))
    assert lines is not None
    assert (lines[0], len(lines)) == ("@@ -2,600 +2,600 @@", 1201)
    step = Step(f"file:{PATH}", file_fact(b""), {"sha256": "a"}, "asked")
    host = replace(bare_host(desired_of("uplink-alone").watch), texts={PATH: Seen(b"")})
    (change,) = file_changes([step], {"a": MANY}, host)
    assert change.diff is not None
    assert (len(change.diff), change.cut, change.size) == (MOST_LINES, 601 - MOST_LINES, len(MANY))


@pytest.mark.parametrize(
    ("seen", "before", "change"),
    [
        (Seen(b"a\n"), file_fact(b"a\n"), FileChange(PATH, 2, ("@@ -1 +1 @@", "-a", "+b"))),
        (Unknown("not looked at"), None, FileChange(PATH, 2, ("@@ -0,0 +1 @@", "+b"))),
        (Unknown("not looked at"), file_fact(b"a\n"), FileChange(PATH, 2, None)),
    ],
)
def test_what_was_there_before_and_cannot_be_told_is_not_made_up(
    seen: Observed[bytes], before: dict[str, object] | None, change: FileChange
) -> None:
    host = replace(bare_host(desired_of("uplink-alone").watch), texts={PATH: seen})
    step = Step(f"file:{PATH}", before, {"sha256": "b"}, "asked")  # type: ignore[arg-type]
    assert list(file_changes([step], {"b": b"b\n"}, host)) == [change]


def test_lines_of_others_in_a_file_that_changes_are_not_shown() -> None:
    desired = desired_of("two-bridges")
    other = b"\niface wlan0 inet dhcp\n\twpa-ssid home\n\twpa-psk OthersPassphrase\n"
    host = bare_host(desired.watch, {"/etc/network/interfaces": INTERFACES + other})
    plan = make_plan(desired, LastApplied(), host)
    body = json.dumps(plan.as_json())
    assert "+auto vmbr0" in body
    assert b"OthersPassphrase" in b"".join(plan.blobs.values())
    assert "OthersPassphrase" not in body


def test_of_secret_files_only_the_path_is_told_and_the_files_after_them_are_shown() -> None:
    secret = [SecretFile("sites", f"/etc/passerelle/{name}.key", Secret(b"TheKey\n"), SEAL) for name in ("a", "b")]
    desired = Desired.of("pve1", [*secret, OwnFile("sites", "/etc/passerelle/site.conf", b"bridge\n", "modules")])
    plan = make_plan(desired, LastApplied(), bare_host(desired.watch))
    assert plan.files == (
        FileChange("/etc/passerelle/a.key", is_secret=True),
        FileChange("/etc/passerelle/b.key", is_secret=True),
        FileChange("/etc/passerelle/site.conf", 7, ("@@ -0,0 +1 @@", "+bridge")),
    )
    assert "TheKey" not in json.dumps(plan.as_json())
