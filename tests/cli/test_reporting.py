"""A plan is reported to a forge: a status, and one comment that is updated in place."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.cli.forges import CONTEXT, ForgeError, ForgeKind, forge_of
from service.cli.reporting import Report, mark_of, report
from service.errors import InputError
from service.model.secret import Secret
from tests.cli.proposals import PLAN, REFUSED, answer, finding, host
from tests.cli.stand_ins import REPO, StandIn, stand_in

KINDS: tuple[ForgeKind, ...] = ("github", "gitlab", "gitea")
TOKEN = "the-forges-token"
OURS = "psr_abcdefghijkl.secret"
GOOD = answer(host("pve1", "changes", PLAN))
BAD = answer(host("pve1", "refused", REFUSED))


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> ForgeKind:
    found: ForgeKind = request.param
    return found


@pytest.fixture
def forge(kind: ForgeKind, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setenv("PASSERELLE_TOKEN", OURS)
    with stand_in(kind, TOKEN) as made:
        yield made
    assert made.refused == []


@pytest.fixture
def to(kind: ForgeKind, forge: StandIn, tmp_path: Path) -> Report:
    path = tmp_path / "forge-token"
    path.touch(0o600)
    path.write_text(f"{TOKEN}\n")
    return Report(kind, forge.api, REPO, path)


def test_a_status_and_one_comment_are_written_and_changed_in_place(kind: ForgeKind, forge: StandIn, to: Report) -> None:
    word = {"github": "failure", "gitlab": "failed", "gitea": "failure"}[kind]
    report(GOOD, to)
    report(BAD, to)
    report(GOOD, to)
    assert forge.statuses == [
        ("b" * 40, "success", CONTEXT, "1 host changes"),
        ("b" * 40, word, CONTEXT, "1 host is refused"),
        ("b" * 40, "success", CONTEXT, "1 host changes"),
    ]
    [text] = forge.comments.values()
    assert text.startswith("<!-- passerelle plan ")
    assert "### passerelle: 1 host changes" in text


def test_what_is_there_already_is_not_sent_again(forge: StandIn, to: Report) -> None:
    report(GOOD, to)
    before = len(forge.asked)
    report(GOOD, to)
    assert [one for one in forge.asked[before:] if not one.startswith("GET ")] == []


def test_the_comment_is_found_among_many_and_a_copy_is_left_alone(forge: StandIn, to: Report) -> None:
    """Anybody who may comment can copy our mark. It is not known before our comment is there, so the oldest is ours."""
    for number in range(230):
        forge.comment(f"comment {number}\n<!-- passerelle plan -->")
    report(GOOD, to)
    ours = max(forge.comments)
    forge.comment(forge.comments[ours])
    report(BAD, to)
    changed = [number for number, text in forge.comments.items() if "is refused" in text]
    assert changed == [ours]
    assert len(forge.comments) == 232


def test_marks_of_other_tokens_and_pull_requests_differ(to: Report) -> None:
    marks = {mark_of(Secret(token), to, number) for token in (b"a", b"b") for number in (1, 2)}
    assert len(marks) == 4


def test_the_longest_plan_fits(forge: StandIn, to: Report) -> None:
    long = PLAN | {"notes": ["é`\u202e" * 100] * 200}
    hosts = [host(f"pve{number}", "changes", long) for number in range(100)]
    report(answer(*hosts, findings=[finding("ü" * 900, "warning")] * 300), to)
    [(_, _, _, description)] = forge.statuses
    assert description == "100 hosts change"
    report(answer(errors=1, findings=[finding("@ada <b>")]), to)
    assert "1 error" in next(iter(forge.comments.values()))


def test_a_branch_gets_a_status_and_no_comment(forge: StandIn, to: Report) -> None:
    report(GOOD | {"proposal": {"kind": "branch", "name": "new"}}, to)
    assert (len(forge.statuses), forge.comments) == (1, {})


def test_a_forge_that_refuses_is_named_without_its_token(forge: StandIn, to: Report) -> None:
    for status in (401, 403, 404, 422, 500, 302):
        forge.broken = status
        with pytest.raises(ForgeError, match=f"HTTP {status}: it is broken") as raised:
            report(GOOD, to)
        assert TOKEN not in f"{raised.value}"
    forge.broken = 0
    assert to.report_token_file is not None
    to.report_token_file.write_text("another")
    with pytest.raises(ForgeError, match="401"):
        report(GOOD, to)


def test_a_token_that_others_may_read_is_not_used(forge: StandIn, to: Report) -> None:
    assert to.report_token_file is not None
    to.report_token_file.chmod(0o644)
    with pytest.raises(InputError, match="can be read by other users"):
        report(GOOD, to)
    assert forge.asked == []


@pytest.mark.parametrize(
    ("api", "repo", "token"),
    [
        ("http://git.example.org/api/v1", REPO, b"t"), ("ftp://127.0.0.1", REPO, b"t"), ("127.0.0.1", REPO, b"t"),
        ("https://git.example.org", "fleet/../../admin", b"t"), ("https://git.example.org", "fleet?x=1", b"t"),
        ("https://git.example.org", "a b/c", b"t"), ("https://git.example.org", REPO, b""),
        ("https://git.example.org", REPO, b"a\r\nX: y"), ("https://git.example.org?x", REPO, b"t"),
    ],
)  # fmt: skip
def test_what_cannot_be_an_address_a_repository_or_a_token_is_refused(
    kind: ForgeKind, api: str, repo: str, token: bytes
) -> None:
    with pytest.raises(InputError):
        forge_of(kind, api=api, repo=repo, token=Secret(token))


def test_only_a_commit_gets_a_status(forge: StandIn, to: Report) -> None:
    found: dict[str, Any] = answer()
    found["commit"]["hash"] = "../../hooks"
    with pytest.raises(ForgeError, match="is not one"):
        report(found, to)
    assert forge.asked == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/repos/acme/fleet/issues/7/comments?state=open", b"", 422),
        ("POST", "/repos/acme/fleet/statuses/main", b'{"state": "success"}', 404),
        ("POST", f"/repos/acme/fleet/statuses/{'b' * 40}", b'{"state": "failed", "description": ""}', 422),
        ("POST", f"/repos/acme/fleet/statuses/{'b' * 40}", b'{"state": "success", "name": "x"}', 422),
        ("PUT", "/repos/acme/fleet/issues/comments/1000", b'{"body": "x"}', 404),
        ("POST", "/repos/acme/fleet/issues/7/comments", b"{}", 422),
    ],
)
def test_the_stand_in_takes_only_what_is_documented(method: str, path: str, body: bytes, status: int) -> None:
    with stand_in("github", "t") as forge:
        headers = {name.lower(): value for name, value in forge.headers.items()}
        sent = headers | {"user-agent": "x"} | ({"content-type": "application/json"} if body else {})
        assert forge.answer(method, path, sent, body)[0] == status
        assert len(forge.refused) == 1
        assert forge.answer("GET", "/repos/acme/fleet/issues/7/comments", sent | {"x-other": "1"}, b"")[0] == 400
