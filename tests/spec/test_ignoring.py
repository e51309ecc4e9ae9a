"""Comments that silence a warning: on which line, which rule, and never an error."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from service.cli import run
from service.spec.fleet import Fleet
from service.spec.ignoring import MOST_COMMENTS, comments_of
from tests.laws.specs import KEY
from tests.spec.conftest import FLEET, HOST

Read = Callable[..., Fleet]
NO_CONSOLE = HOST.replace("  console: https://console.example.net/pve1\n", "")
LINE = "connection:\n"
IGNORE = "# passerelle: ignore connection.no-console because it has a serial line"


def said(fleet: Fleet) -> list[str]:
    return [f"{found} [{found.rule}]" for found in fleet.findings]


@pytest.mark.parametrize(
    "text",
    [
        NO_CONSOLE.replace(LINE, f"connection:  {IGNORE}\n"),
        NO_CONSOLE.replace(LINE, f"{IGNORE}\n{LINE}"),
        NO_CONSOLE.replace(LINE, f"{IGNORE}\n\n# another comment\n{LINE}"),
        NO_CONSOLE.replace(LINE, f"  {IGNORE.replace('# ', '#').replace('passerelle: ', 'passerelle:')}\n{LINE}"),
    ],
)
def test_a_comment_silences_a_warning_on_its_line_or_on_the_next(read: Read, text: str) -> None:
    fleet = read({"hosts/pve1.yaml": text})
    assert said(fleet) == []
    assert [(one.finding.rule, one.because) for one in fleet.ignored] == [
        ("connection.no-console", "it has a serial line")
    ]
    assert "pve1" in fleet.hosts


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            HOST.replace(LINE, f"connection:  {IGNORE}\n"),
            "hosts/pve1.yaml:4:14: there is no warning connection.no-console on line 4. Fix: remove the comment "
            "[ignore.unused]",
        ),
        (
            HOST + IGNORE,
            "hosts/pve1.yaml:31:1: no line follows for which connection.no-console could be ignored. Fix: remove the "
            "comment [ignore.unused]",
        ),
        (
            HOST.replace(LINE, "connection:  # passerelle: ignore connection.no-konsole because x\n"),
            "hosts/pve1.yaml:4:14: there is no rule `connection.no-konsole`. Fix: write `connection.no-console`, if "
            "you mean that [ignore.unknown-rule]",
        ),
        (
            HOST.replace(LINE, "connection:  # passerelle: ignore connection.no-console\n"),
            "hosts/pve1.yaml:4:14: this comment silences nothing. Fix: write `# passerelle: ignore RULE because "
            "REASON` [ignore.form]",
        ),
        (
            HOST.replace(LINE, "connection:  # passerelle: ignore host.file-name because x\n"),
            "hosts/pve1.yaml:4:14: host.file-name is an error, and errors cannot be ignored. Fix: correct the spec, "
            "and remove the comment [ignore.error]",
        ),
    ],
)
def test_a_comment_that_silences_nothing_is_reported(read: Read, text: str, line: str) -> None:
    assert said(read({"hosts/pve1.yaml": text})) == [line]


@pytest.mark.parametrize("place", ["connection:  {}\n", "{}\nconnection:\n"])
def test_one_line_may_have_several_comments(read: Read, place: str) -> None:
    other = "# passerelle: ignore dnsmasq.option-19 because of an old client"
    fleet = read({"hosts/pve1.yaml": NO_CONSOLE.replace(LINE, place.format(f"{IGNORE} {other}"))})
    assert [(one.finding.rule, one.because) for one in fleet.ignored] == [
        ("connection.no-console", "it has a serial line")
    ]
    assert [found.rule for found in fleet.findings] == ["ignore.unused"]
    fleet = read({"hosts/pve1.yaml": NO_CONSOLE.replace(LINE, place.format(f"{other}  {IGNORE}"))})
    assert [one.because for one in fleet.ignored] == ["it has a serial line"]
    fleet = read({"hosts/pve1.yaml": NO_CONSOLE.replace(LINE, place.format(f"{IGNORE} # passerelle: ignore nothing"))})
    assert [found.rule for found in fleet.findings] == ["ignore.form"]


def test_a_comment_on_another_line_or_for_another_rule_silences_nothing(read: Read) -> None:
    fleet = read({"hosts/pve1.yaml": f"{IGNORE}\n{NO_CONSOLE}"})
    assert {found.rule for found in fleet.findings} == {"connection.no-console", "ignore.unused"}
    other = IGNORE.replace("connection.no-console", "dnsmasq.option-19")
    fleet = read({"hosts/pve1.yaml": NO_CONSOLE.replace(LINE, f"connection:  {other}\n")})
    assert {found.rule for found in fleet.findings} == {"connection.no-console", "ignore.unused"}


def test_an_error_is_never_silenced(read: Read) -> None:
    text = HOST.replace("host: pve1\n", "host: pve2  # passerelle: ignore host.file-name because I know\n")
    fleet = read({"hosts/pve1.yaml": text})
    assert {found.rule for found in fleet.findings} == {"host.file-name", "ignore.error"}
    assert fleet.has_errors


def test_no_comment_is_called_unused_while_a_rule_may_be_skipped(read: Read) -> None:
    text = HOST.replace(LINE, f"connection:  {IGNORE}\n").replace("sync: auto", "snyc: auto")
    assert {found.rule for found in read({"hosts/pve1.yaml": text}).findings} == {"unknown-key"}


def test_a_comment_in_a_shared_file_silences_for_all_its_hosts(read: Read) -> None:
    comment = IGNORE.replace("connection.no-console", "dnsmasq.domain-not-local")
    shared = f"{FLEET}defaults:\n  dnsmasq:\n    domain: example.lan"
    hosts = {
        f"hosts/pve{n}.yaml": f"host: pve{n}\n{HOST.partition(LINE)[0][11:]}{LINE}  address: 198.51.100.{n}\n"
        f"  host_keys: [{KEY}]\n  console: https://c.example.net/\n"
        for n in (1, 2)
    }
    loud = read({"fleet.yaml": shared + "\n", **hosts})
    quiet = read({"fleet.yaml": f"{shared}  {comment}\n", **hosts})
    assert [(found.file, found.line) for found in loud.findings if found.rule == "dnsmasq.domain-not-local"] == [
        ("fleet.yaml", 4)
    ]
    assert [one.finding.rule for one in quiet.ignored] == ["dnsmasq.domain-not-local"]
    assert {found.rule for found in loud.findings} - {found.rule for found in quiet.findings} == {
        "dnsmasq.domain-not-local"
    }


@pytest.mark.parametrize(
    "line",
    [f'name: "{IGNORE}"', f"name: '{IGNORE}'", f"name: x{IGNORE}", f"name: {IGNORE[1:]}", "# passerelle: ignored"],
)
def test_what_only_looks_like_a_comment_is_none(line: str) -> None:
    assert comments_of("x", f"{line}\n".encode()) == ()


def test_lint_shows_what_is_ignored_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "hosts").mkdir()
    (tmp_path / "fleet.yaml").write_text(FLEET)
    (tmp_path / "hosts/pve1.yaml").write_text(NO_CONSOLE.replace(LINE, f"connection:  {IGNORE}\n"))
    assert run(["lint", str(tmp_path)]) == 0
    assert capsys.readouterr() == ("", "1 host, 0 errors, 0 warnings, 1 ignored\n")
    assert run(["lint", str(tmp_path), "--show-ignored"]) == 0
    assert capsys.readouterr().out.endswith("(ignored because it has a serial line) [connection.no-console]\n")
    assert run(["lint", str(tmp_path), "--show-ignored", "-o", "json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["ignored"]
    assert (one["rule"], one["because"]) == ("connection.no-console", "it has a serial line")
    assert run(["lint", str(tmp_path), "--show-ignored", "-o", "sarif"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["runs"][0]["results"]
    assert result["suppressions"] == [{"kind": "inSource", "justification": "it has a serial line"}]


def test_comments_beyond_the_most_of_a_file_are_named_and_counted(read: Read) -> None:
    within = NO_CONSOLE.replace(LINE, f"{IGNORE}\n" * MOST_COMMENTS + LINE)
    assert said(read({"hosts/pve1.yaml": within})) == []
    late = NO_CONSOLE.replace(
        LINE, "# passerelle: ignore nat.duplicate because x\n" * MOST_COMMENTS + f"{IGNORE}\n" * 3 + LINE
    )
    found = read({"hosts/pve1.yaml": late}).findings
    assert {one.rule for one in found} == {"connection.no-console", "ignore.error", "ignore.too-many"}
    (many,) = (one for one in found if one.rule == "ignore.too-many")
    assert (many.line, many.col, many.severity) == (204, 1, "warning")
    assert many.message == (
        "a file has at most 200 comments that silence a rule, so 3 of this file, from this one on, silence nothing. "
        "Fix: correct what lint warns of instead"
    )
